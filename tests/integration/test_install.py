"""docs/install.md, done: install, install again, uninstall. What belongs to the users stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster import bare
from tests.cluster.access import wait_for
from tests.cluster.bare import BareCluster
from tests.cluster.shell import ClusterError
from tests.integration.running import REPO, SYSTEM

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

NOON = "2026-01-01T12:00:00Z"
MODEL = (REPO / "examples" / "modelslo-minimal.yaml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cluster() -> Iterator[BareCluster]:
    with bare.start() as running:
        running.kubectl("apply", "--server-side", "-k", str(REPO / "manifests" / "base"))
        running.kubectl("wait", "--for=condition=Established", "crd/modelslos.modelslo.dev")
        yield running


def test_the_pod_passes_the_namespaces_pod_security(cluster: BareCluster) -> None:
    """No node runs it here, but admission has let it in."""
    wait_for("the operator's pod", lambda: cluster.get("pods", "-n", SYSTEM)["items"])


def test_a_second_install_changes_nothing(cluster: BareCluster) -> None:
    before = generations(cluster)
    cluster.kubectl("apply", "--server-side", "-k", str(REPO / "manifests" / "base"))
    assert generations(cluster) == before


def generations(cluster: BareCluster) -> dict[str, Any]:
    kinds = "deployments,configmaps,serviceaccounts,services,roles,rolebindings"
    found = cluster.get(kinds, "-n", SYSTEM, "-l", "app.kubernetes.io/part-of=modelslo")["items"]
    found += cluster.get("crd,clusterroles,clusterrolebindings", "-l", "app.kubernetes.io/part-of=modelslo")["items"]
    assert len(found) >= 10
    # Not everything has a generation, and what has a status gets new versions by itself.
    return {
        f"{o['kind']}/{o['metadata']['name']}": o["metadata"].get("generation") or o["metadata"]["resourceVersion"]
        for o in found
    }


def test_the_example_is_taken_as_it_stands(cluster: BareCluster) -> None:
    cluster.apply(MODEL)
    assert cluster.get("mslo", "fraud")["spec"]["mode"] == "Enforce"


def test_uninstall_leaves_models_and_then_workloads(cluster: BareCluster) -> None:
    cluster.kubectl("create", "deployment", "fraud-stable", "--image=model", "--replicas=3")
    cluster.apply(MODEL)
    decision = {"id": "d", "action": "Promote", "reason": "CanaryNotWorse", "at": NOON}
    state = {"observedGeneration": 1, "history": [decision]}
    cluster.kubectl(
        "patch", "mslo", "fraud", "--subresource=status", "--type=merge", "-p", json.dumps({"status": state})
    )
    before = cluster.get("deployment", "fraud-stable")["spec"]

    cluster.kubectl("delete", "-k", str(REPO / "manifests" / "operator"), "--timeout=60s", timeout=90)
    assert cluster.get("mslo", "fraud")["status"]["history"][0]["id"] == "d"

    cluster.kubectl("delete", "-k", str(REPO / "crds"), "--timeout=60s", timeout=90)
    with pytest.raises(ClusterError, match=r"the server (doesn't have|could not find)"):
        cluster.get("mslo", "fraud")
    assert cluster.get("deployment", "fraud-stable")["spec"] == before
