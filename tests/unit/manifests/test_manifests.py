"""What is installed: rights as narrow as the code needs, a pod that passes `restricted`, settings that load."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelslo.controller.kinds import KINDS
from modelslo.controller.operate import ENGINE_STOP, PART_STOP
from modelslo.engine.settings import Settings, load_settings
from tests.unit.manifests.promtool import promtool
from tests.unit.manifests.render import MANIFESTS, REPO, load, one, render

FOLDERS = ["base", "operator", "overlays/demo"]


def rules(kind: str) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of the operator's role of that kind."""
    (role,) = [o for o in load("operator/rbac.yaml") if o["kind"] == kind]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


# What the code does with each kind. A new line here is a new right: say why in rbac.yaml.
NEEDED = {
    ("modelslo.dev", "modelslos"): {"get", "list", "watch"},
    ("modelslo.dev", "modelslos/status"): {"patch"},
    ("apps", "deployments"): {"get", "list", "watch", "patch"},
    ("apps", "replicasets"): {"get", "list"},
    ("batch", "jobs"): {"get", "list", "watch", "create"},
    ("", "pods"): {"list"},
    ("", "namespaces"): {"get"},
    ("events.k8s.io", "events"): {"create", "patch"},
    ("autoscaling", "horizontalpodautoscalers"): {"list", "watch"},
}


def test_the_cluster_role_holds_what_is_needed_and_nothing_else() -> None:
    assert rules("ClusterRole") == {(g, r, verb) for (g, r), verbs in NEEDED.items() for verb in verbs}


def test_no_star_no_secret_no_impersonation() -> None:
    for group, resource, verb in rules("ClusterRole") | rules("Role"):
        assert "*" not in (group, resource, verb)
        assert resource not in {"secrets", "configmaps", "roles", "clusterroles", "pods/exec"}
        assert verb not in {"delete", "deletecollection", "impersonate", "escalate", "bind"}


def test_every_watched_kind_may_be_watched() -> None:
    for kind in KINDS:
        for verb in ("list", "watch"):
            assert (kind.group, kind.plural, verb) in rules("ClusterRole")


def test_only_its_own_lease() -> None:
    (role,) = [o for o in load("operator/rbac.yaml") if o["kind"] == "Role"]
    named = [rule for rule in role["rules"] if rule["verbs"] != ["create"]]
    assert [rule["resourceNames"] for rule in named] == [[Settings().lease_name]]


def test_users_get_theirs_through_the_roles_that_clusters_have() -> None:
    viewer, editor = load("operator/rbac-users.yaml")
    aggregated = {
        role["metadata"]["name"]: sorted(
            label.rpartition("-")[2] for label in role["metadata"]["labels"] if "aggregate-to-" in label
        )
        for role in (viewer, editor)
    }
    assert aggregated == {"modelslo-viewer": ["admin", "edit", "view"], "modelslo-editor": ["admin", "edit"]}
    assert all("modelslos/status" not in rule["resources"] for rule in editor["rules"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_renders_with_everything_in_the_namespace(folder: str) -> None:
    cluster_wide = {"Namespace", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
    for item in render(folder):
        if item["kind"] not in cluster_wide:
            assert item["metadata"]["namespace"] == "modelslo-system", item["metadata"]["name"]
    assert (
        one(folder, "Namespace", "modelslo-system")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )


def test_the_operator_can_be_deleted_without_the_crd() -> None:
    assert not [o for o in render("operator") if o["kind"] == "CustomResourceDefinition"]


def test_gitops_tools_keep_the_crd() -> None:
    crd = one("base", "CustomResourceDefinition", "modelslos.modelslo.dev")
    annotations = crd["metadata"]["annotations"]
    assert "Prune=false" in annotations["argocd.argoproj.io/sync-options"]
    assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


def pod(folder: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(folder, "Deployment", "modelslo-operator")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_pod_is_restricted(folder: str) -> None:
    spec = pod(folder)
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {next(iter(set(v) - {"name"})) for v in spec["volumes"]} <= {"configMap", "emptyDir"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


def test_probes_ask_the_paths_that_are_served() -> None:
    (container,) = pod("base")["containers"]
    assert [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")] == [
        {"path": "/readyz", "port": "http"},
        {"path": "/healthz", "port": "http"},
        {"path": "/readyz", "port": "http"},
    ]
    assert container["ports"] == [{"name": "http", "containerPort": Settings().port}]


def test_there_is_time_to_stop_in_order() -> None:
    assert pod("base")["terminationGracePeriodSeconds"] > ENGINE_STOP + 2 * PART_STOP


@pytest.mark.parametrize("path", ["operator/settings.yaml", "overlays/demo/settings.yaml"])
def test_the_settings_load(path: str) -> None:
    load_settings({"MODELSLO_CONFIG": str(MANIFESTS / path)})


def test_the_demo_replays_days_in_seconds() -> None:
    settings = load_settings({"MODELSLO_CONFIG": str(MANIFESTS / "overlays/demo/settings.yaml")})
    assert (settings.time_scale, settings.settle, settings.status_interval) == (7200, 2, 2)
    assert settings.allows("http://prometheus.flights:9090")
    assert settings.service_accounts == ("flights-trainer",)
    (container,) = pod("overlays/demo")["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_the_settings_are_mounted_where_they_are_read() -> None:
    for folder in FOLDERS:
        spec = pod(folder)
        (container,) = spec["containers"]
        variables = {v["name"]: v.get("value") for v in container["env"]}
        (mount,) = [m for m in container["volumeMounts"] if m["name"] == "settings"]
        assert variables["MODELSLO_CONFIG"] == f"{mount['mountPath']}/settings.yaml"
        (volume,) = [v for v in spec["volumes"] if v["name"] == "settings"]
        data = one(folder, "ConfigMap", volume["configMap"]["name"])["data"]
        assert set(data) == {"settings.yaml"}


def test_the_image_has_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"', (REPO / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    (container,) = pod("base")["containers"]
    assert container["image"] == f"modelslo/operator:{version[1]}"


def test_every_file_of_the_folders_is_used_or_stands_alone() -> None:
    """A manifest that no kustomization names is a manifest that nobody applies."""
    alone = {MANIFESTS / "prometheus" / "scrape.yaml", MANIFESTS / "prometheus" / "alerts.yaml"}
    used: set[Path] = set()
    for file in MANIFESTS.rglob("kustomization.yaml"):
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
        used.add(file)
        used |= {(file.parent / name).resolve() for name in loaded.get("resources", [])}
        for generator in loaded.get("configMapGenerator", []):
            used |= {(file.parent / name.rpartition("=")[2]).resolve() for name in generator["files"]}
    files = {f for f in MANIFESTS.rglob("*") if f.is_file() and f.parts[-2] != "flux"}
    assert files - used - alone == set()


class OneOfEach(yaml.SafeLoader):
    """Refuses a mapping that names a key twice: YAML forbids it, and most readers keep the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{sorted(keys)}{node.start_mark}"
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize("folder", ["manifests", "examples", "crds"])
def test_no_key_is_written_twice(folder: str) -> None:
    files = sorted(file for kind in ("*.yaml", "*.yml") for file in (REPO / folder).rglob(kind))
    assert files
    for file in files:
        assert list(yaml.load_all(file.read_text(encoding="utf-8"), OneOfEach))


def test_who_scrapes_the_operator_finds_its_pod() -> None:
    """By the labels and the port that the pod really has, with the Prometheus operator and without it."""
    template = one("base", "Deployment", "modelslo-operator")["spec"]["template"]
    labels, (container,) = template["metadata"]["labels"], template["spec"]["containers"]
    port = container["ports"][0]["name"]
    (monitor,) = load("components/podmonitor/podmonitor.yaml")
    assert monitor["metadata"]["namespace"] == "modelslo-system"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert [(one["port"], one["path"]) for one in monitor["spec"]["podMetricsEndpoints"]] == [(port, "/metrics")]

    (scrape,) = load("prometheus/scrape.yaml")
    jobs = {job["job_name"]: job for job in scrape["scrape_configs"]}
    seen = {f"__meta_kubernetes_pod_label_{re.sub('[^a-z]', '_', name)}": value for name, value in labels.items()}
    seen["__meta_kubernetes_pod_container_port_name"] = port
    kept = [rule for rule in jobs["modelslo-operator"]["relabel_configs"] if rule.get("action") == "keep"]
    assert len(kept) == 2
    for rule in kept:
        (source,) = rule["source_labels"]
        assert re.fullmatch(rule["regex"], seen[source])
    # Queries match `namespace`: each job takes it from the target, and lets no exporter's own one stand in its place.
    for job in jobs.values():
        assert {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"} in job["relabel_configs"]
        assert not job.get("honor_labels", False)


def test_prometheus_takes_the_scrape_jobs(tmp_path: Path) -> None:
    """But for the discovery itself, which Debian's Prometheus is built without."""
    (scrape,) = load("prometheus/scrape.yaml")
    for job in scrape["scrape_configs"]:
        assert {one["role"] for one in job.pop("kubernetes_sd_configs")} == {"pod"}
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(scrape), encoding="utf-8")
    done = subprocess.run([promtool(), "check", "config", str(file)], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_forms_of_the_alerts_are_the_same() -> None:
    (plain,) = load("prometheus/alerts.yaml")
    (rule,) = load("components/alerts/prometheusrule.yaml")
    assert rule["spec"] == plain
