"""The operator as a process against a real API server, under the service account of its manifests."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.aio import config
from kubernetes.aio.client.configuration import Configuration

from modelslo.act.kube import Kube
from modelslo.controller.feed import Feed
from modelslo.controller.prune import KubeLister, Pruner
from modelslo.engine.registry import Registry
from tests.cluster import bare
from tests.cluster.access import apply_crds, wait_for
from tests.cluster.bare import BareCluster
from tests.cluster.shell import ClusterError
from tests.integration.running import ACCOUNT, REPO, SYSTEM, Operator, install_rights, operator_kubeconfig

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

CRD = REPO / "crds" / "modelslo.dev_modelslos.yaml"
NOBODY = "http://127.0.0.1:1"
SETTINGS = {"PROMETHEUS_URL": NOBODY, "STATUS_INTERVAL": "0", "SETTLE": "0"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[BareCluster]:
    """One of our own: the operator watches all namespaces, and some tests restart the API server."""
    with bare.start() as running:
        install_rights(running)
        yield running


@dataclass
class Shop:
    """A namespace and the operator's credentials."""

    cluster: BareCluster
    folder: Path
    kubeconfig: Path
    namespace: str

    def operator(self, name: str = "operator", **settings: str) -> Operator:
        return Operator(self.kubeconfig, self.folder, name, {**SETTINGS, **settings})

    def apply(self, name: str, **spec: Any) -> None:
        self.cluster.apply(json.dumps(self.model(name, **spec)), "-n", self.namespace)

    def model(self, name: str, **spec: Any) -> dict[str, Any]:
        whole = {
            "indicator": {"loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": name}}},
            "objective": {"target": {"value": 0.35}},
            **spec,
        }
        return {"apiVersion": "modelslo.dev/v1alpha1", "kind": "ModelSLO", "metadata": {"name": name}, "spec": whole}

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get("mslo", name, "-n", self.namespace).get("status", {})
        return found

    def conditions(self, name: str) -> dict[str, tuple[str, str]]:
        return {c["type"]: (c["status"], c["reason"]) for c in self.status(name).get("conditions", [])}

    def wait(self, name: str, kind: str, value: str, timeout: float = 30) -> str:
        """Wait until the condition has this value, and return its reason."""
        wait_for(
            f"{kind}={value} of {name}",
            lambda: self.conditions(name).get(kind, ("", ""))[0] == value,
            timeout,
        )
        return self.conditions(name)[kind][1]

    def forget(self, name: str) -> None:
        self.cluster.kubectl("delete", "mslo", name, "-n", self.namespace)


@pytest.fixture
def shop(cluster: BareCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    apply_crds(cluster)
    namespace = re.sub("[^a-z]+", "-", request.node.name)[:40].strip("-")
    cluster.kubectl("create", "namespace", namespace)
    yield Shop(cluster, tmp_path, operator_kubeconfig(cluster, tmp_path), namespace)
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")
    cluster.kubectl("delete", "lease", "--all", "-n", SYSTEM)


def loosened() -> str:
    """The CRD with a schema that lets anything through, as an older one might."""
    crd = yaml.safe_load(CRD.read_text(encoding="utf-8"))
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for version in crd["spec"]["versions"]:
        version["schema"] = {
            "openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}
        }
    return yaml.safe_dump(crd)


def refused(operator: Operator) -> list[str]:
    """What the log says about missing rights."""
    return [line for line in operator.text().splitlines() if "403" in line or "orbidden" in line]


def test_a_model_gets_its_conditions_and_is_forgotten(shop: Shop) -> None:
    shop.apply("before")
    with shop.operator() as operator:
        operator.wait_leading()
        assert shop.wait("before", "Ready", "True") == "Judging"
        shop.apply("after")
        shop.wait("after", "Ready", "True")
        assert shop.conditions("after")["DataSufficient"] == ("False", "QueryError")
        sample = f'modelslo_objective{{slo="after",slo_namespace="{shop.namespace}"}}'
        assert operator.metric(sample) == 0.35
        shop.forget("after")
        wait_for("the model being forgotten", lambda: operator.metric(sample) is None)
        assert operator.ask("/healthz")[0] == operator.ask("/readyz")[0] == 200
        assert operator.stop() == 0
        assert operator.lines()
        assert refused(operator) == []


def test_status_is_written_once_while_nothing_changes(shop: Shop) -> None:
    shop.apply("quiet", interval="1s")
    with shop.operator() as operator:
        shop.wait("quiet", "Ready", "True")
        version = shop.cluster.get("mslo", "quiet", "-n", shop.namespace)["metadata"]["resourceVersion"]
        before = operator.metric('modelslo_evaluations_total{outcome="done"}') or 0.0
        wait_for(
            "three more evaluations",
            lambda: (operator.metric('modelslo_evaluations_total{outcome="done"}') or 0.0) >= before + 3,
        )
        assert shop.cluster.get("mslo", "quiet", "-n", shop.namespace)["metadata"]["resourceVersion"] == version


def test_a_wrong_model_is_stalled_and_the_others_go_on(shop: Shop) -> None:
    shop.cluster.apply(loosened(), "--server-side", "--force-conflicts")
    wrong = shop.model("wrong", mode="Sometimes", surprise=1)
    wait_for("the loose schema", lambda: accepted(shop, wrong))
    apply_crds(shop.cluster)
    with shop.operator() as operator:
        assert shop.wait("wrong", "Stalled", "True") == "InvalidSpec"
        (stalled,) = [c for c in shop.status("wrong")["conditions"] if c["type"] == "Stalled"]
        assert "spec.mode" in stalled["message"]
        shop.apply("right")
        shop.wait("right", "Ready", "True")
        shown = f'modelslo_condition_abnormal{{reason="InvalidSpec",slo="wrong",slo_namespace="{shop.namespace}"'
        assert operator.metric(shown) == 1
        shop.forget("wrong")
        shop.apply("wrong")
        shop.wait("wrong", "Ready", "True")
        assert "Stalled" not in shop.conditions("wrong")


def accepted(shop: Shop, model: dict[str, Any]) -> bool:
    try:
        shop.cluster.apply(json.dumps(model), "-n", shop.namespace, "--validate=false")
    except ClusterError:
        return False
    kept = shop.cluster.get("mslo", model["metadata"]["name"], "-n", shop.namespace)
    if kept["spec"].get("surprise") == model["spec"].get("surprise"):
        return True
    shop.forget(model["metadata"]["name"])
    return False


def test_a_status_of_another_version_is_kept_as_far_as_it_can_be_read(shop: Shop) -> None:
    shop.cluster.apply(loosened(), "--server-side", "--force-conflicts")
    wait_for("the loose schema", lambda: accepted(shop, shop.model("old", surprise=1)))
    shop.cluster.kubectl(
        "patch",
        "mslo",
        "old",
        "-n",
        shop.namespace,
        "--type=json",
        "-p",
        '[{"op": "remove", "path": "/spec/surprise"}]',
    )
    run = {"id": "r-1", "job": "old-r-1", "startedAt": "2026-01-01T00:00:00Z", "result": "Succeeded", "version": "v2"}
    status = {
        "observedGeneration": 1,
        "retrains": [run],
        "rejectedRevisions": "this was a text once",
        "ofTheFuture": {"deep": [1]},
        "conditions": [],
    }
    shop.cluster.kubectl(
        "patch", "mslo", "old", "-n", shop.namespace, "--subresource=status", "--type=merge", "-p",
        json.dumps({"status": status}),
    )  # fmt: skip
    apply_crds(shop.cluster)
    with shop.operator() as operator:
        shop.wait("old", "Ready", "True")
        now = shop.status("old")
        assert now["retrains"] == [run]
        assert operator.metric('modelslo_evaluations_total{outcome="failed"}') == 0


def test_suspend_is_seen_and_taken_back(shop: Shop) -> None:
    shop.apply("calm", suspend=True)
    with shop.operator():
        shop.wait("calm", "Ready", "True")
        shop.apply("calm", suspend=False)
        wait_for("the new generation", lambda: shop.status("calm").get("observedGeneration") == 2)
        assert shop.conditions("calm")["Ready"][0] == "True"


def test_confined_to_chosen_namespaces_it_needs_rights_there_only(shop: Shop) -> None:
    kubectl, whom = shop.cluster.kubectl, f"--serviceaccount={SYSTEM}:{ACCOUNT}"
    kubectl("delete", "clusterrolebinding", ACCOUNT)
    kubectl("create", "rolebinding", ACCOUNT, f"--clusterrole={ACCOUNT}", whom, "-n", shop.namespace)
    shop.cluster.apply(json.dumps(shop.model("elsewhere")), "-n", "default")
    try:
        with shop.operator(NAMESPACES=shop.namespace) as operator:
            operator.wait_leading()
            shop.apply("here")
            shop.wait("here", "Ready", "True")
            assert "status" not in shop.cluster.get("mslo", "elsewhere", "-n", "default")
            assert refused(operator) == []
    finally:
        install_rights(shop.cluster)
        kubectl("delete", "mslo", "elsewhere", "-n", "default")


# --- leadership


def test_a_follower_takes_over_after_kill_9(shop: Shop) -> None:
    shop.apply("first")
    with shop.operator("one") as one:
        one.wait_leading()
        shop.wait("first", "Ready", "True")
        with shop.operator("two") as two:
            two.wait_ready()
            assert two.metric("modelslo_leading ") == 0
            one.kill()
            two.wait_leading()
            shop.apply("second")
            shop.wait("second", "Ready", "True")
            assert refused(one) + refused(two) == []


def test_a_follower_takes_over_at_once_when_the_leader_leaves(shop: Shop) -> None:
    patient = {"LEASE_DURATION": "60", "LEASE_RENEW_DEADLINE": "50"}
    with shop.operator("one", **patient) as one, shop.operator("two", **patient) as two:
        one.wait_ready()
        two.wait_ready()
        wait_for("a leader", lambda: leaders(one, two))
        (leader,) = leaders(one, two)
        follower = two if leader is one else one
        assert leader.stop() == 0
        follower.wait_leading()


def leaders(*operators: Operator) -> list[Operator]:
    return [operator for operator in operators if operator.metric("modelslo_leading ") == 1]


def test_a_leader_that_stood_still_ends_and_does_not_act(shop: Shop) -> None:
    """SIGSTOP is what a frozen machine looks like: when it goes on, another one leads."""
    with shop.operator("one") as one:
        one.wait_leading()
        with shop.operator("two") as two:
            two.wait_ready()
            one.process.send_signal(signal.SIGSTOP)
            two.wait_leading()
            one.process.send_signal(signal.SIGCONT)
            assert one.process.wait(10) == 1
            assert one.said("Leadership lost")


def test_the_same_pod_goes_on_with_its_lease(shop: Shop) -> None:
    patient = {"LEASE_DURATION": "60", "LEASE_RENEW_DEADLINE": "50"}
    with shop.operator("pod-a", **patient) as before:
        before.wait_leading()
        before.kill()
    with shop.operator("pod-a", **patient) as after:
        after.wait_leading()


# --- the API server


def test_it_lives_through_a_restart_of_the_api_server(shop: Shop) -> None:
    default_lease = {
        "LEASE_DURATION": "40",
        "LEASE_RENEW_DEADLINE": "30",
        "LEASE_RETRY": "1",
        "LEASE_REQUEST_TIMEOUT": "0.9",
    }
    shop.apply("before")
    with shop.operator(**default_lease) as operator:
        shop.wait("before", "Ready", "True")
        shop.cluster.restart("kube-apiserver")
        wait_for("the API server", shop.cluster.answers, timeout=60)
        shop.apply("after")
        shop.wait("after", "Ready", "True", timeout=60)
        shop.forget("before")
        sample = f'modelslo_objective{{slo="before",slo_namespace="{shop.namespace}"}}'
        wait_for("the model being forgotten", lambda: operator.metric(sample) is None, timeout=60)
        assert operator.process.poll() is None


def test_it_waits_for_the_crd_and_ends_when_the_crd_goes(shop: Shop) -> None:
    shop.cluster.kubectl("delete", "crd", "modelslos.modelslo.dev")
    with shop.operator("early") as early:
        wait_for("its endpoints", lambda: early.ask("/readyz")[0] == 500)
        assert "no complete list yet" in early.ask("/readyz")[1]
        assert early.ask("/healthz")[0] == 200
        apply_crds(shop.cluster)
        early.wait_leading()
        shop.apply("first")
        shop.wait("first", "Ready", "True")
        shop.cluster.kubectl("delete", "crd", "modelslos.modelslo.dev")
        assert early.process.wait(90) == 1
        assert early.said("The watch ended")


def test_a_list_mends_what_no_watch_told(shop: Shop) -> None:
    async def story() -> list[str]:
        settings = Configuration()
        await config.load_kube_config(str(shop.kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
        registry = Registry()
        async with Kube(settings) as kube:
            pruner = Pruner(Feed(registry), KubeLister(kube, [shop.namespace]))
            seen = []
            for change, name in ((shop.apply, "a"), (shop.apply, "b"), (shop.forget, "a")):
                change(name)
                await pruner.once()
                seen.append(",".join(sorted(model.key.name for model in registry)))
            return seen

    assert asyncio.run(story()) == ["a", "a,b", "b"]


# --- rights


def may(cluster: BareCluster, verb: str, resource: str, namespace: str = "default") -> bool:
    account = f"--as=system:serviceaccount:{SYSTEM}:{ACCOUNT}"
    kind, _, subresource = resource.partition("/")
    try:
        said = cluster.kubectl("auth", "can-i", verb, kind, f"--subresource={subresource}", "-n", namespace, account)
        return said.strip() == "yes"
    except ClusterError:
        return False


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("list", "configmaps"),
        ("delete", "deployments.apps"),
        ("create", "deployments.apps"),
        ("delete", "jobs.batch"),
        ("patch", "jobs.batch"),
        ("patch", "modelslos.modelslo.dev"),
        ("delete", "modelslos.modelslo.dev"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("list", "namespaces"),
        ("create", "leases.coordination.k8s.io"),
        ("patch", "horizontalpodautoscalers.autoscaling"),
    ],
)
def test_it_may_not(cluster: BareCluster, verb: str, resource: str) -> None:
    assert not may(cluster, verb, resource)


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("patch", "modelslos.modelslo.dev/status", "default"),
        ("patch", "deployments.apps", "default"),
        ("list", "replicasets.apps", "default"),
        ("create", "jobs.batch", "default"),
        ("list", "pods", "default"),
        ("get", "namespaces", "default"),
        ("create", "events.events.k8s.io", "default"),
        ("create", "leases.coordination.k8s.io", SYSTEM),
    ],
)
def test_it_may(cluster: BareCluster, verb: str, resource: str, namespace: str) -> None:
    apply_crds(cluster)
    assert may(cluster, verb, resource, namespace)


# --- mistakes at the start


def test_wrong_settings_are_told_in_words(shop: Shop) -> None:
    with shop.operator(PORT="many") as operator:
        assert operator.process.wait(30) == 2
        assert "wrong settings" in operator.text()
        assert "port" in operator.text()


def test_no_way_to_the_api_server(shop: Shop, tmp_path: Path) -> None:
    with Operator(tmp_path / "nowhere.kubeconfig", tmp_path, "lost", SETTINGS) as operator:
        assert operator.process.wait(30) == 2
        assert operator.said("No way to the API server")
