"""The kind cluster `modelslo`: brought up, reused, deleted. What it needs comes from `docker`, `node` and `golang`."""

import json
import re
import shutil
from pathlib import Path

from tests.cluster import cache, docker, golang, node
from tests.cluster.access import Cluster, wait_for
from tests.cluster.cache import REPO
from tests.cluster.progress import say, side_by_side, step
from tests.cluster.shell import ClusterError, run, succeeds

NAME = "modelslo"
NODE = f"{NAME}-control-plane"
_CONFIG = REPO / "kind-config.yaml"
_READY_SECONDS = 180
_PULL_SECONDS = 900


def kubeconfig() -> Path:
    """Where the kubeconfig of the cluster is (or will be)."""
    folder = cache.root() / "kind"
    folder.mkdir(exist_ok=True)
    return folder / "kubeconfig"


def program() -> Path:
    """The kind that is on PATH, else ours."""
    there = shutil.which("kind")
    return Path(there) if there else golang.kind()


def _prepare() -> None:
    docker.ensure()
    if not docker.registry_reachable():
        node.image()


def warm() -> None:
    """Make everything that a cluster needs, but no cluster."""
    side_by_side(_prepare, program, golang.kubectl)


def up() -> Cluster:
    """The running cluster: the one that is there, started again if its node was stopped, else a new one."""
    cluster = Cluster(kubeconfig(), "kind")
    docker.ensure()
    with cache.lock("kind"):
        if _exists() and _revive(cluster):
            return cluster
        _create()
        if docker.keeps_in():
            _keep_names_in(cluster)
        with step("waiting for the cluster's first parts", "20 s"):
            wait_for("the default service account", lambda: _settled(cluster), timeout=_READY_SECONDS)
    return cluster


def _settled(cluster: Cluster) -> bool:
    try:
        cluster.kubectl("get", "serviceaccount", "default", "--namespace", "default")
        cluster.kubectl(
            "--namespace", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=60s", timeout=70
        )
    except ClusterError:
        return False
    return True


def _exists() -> bool:
    return NAME in run([program(), "get", "clusters"]).split()


def _revive(cluster: Cluster) -> bool:
    """Make the existing cluster answer; false (and it is deleted) when it cannot be brought back."""
    if not cluster.kubeconfig.exists():
        run([program(), "export", "kubeconfig", "--name", NAME, "--kubeconfig", cluster.kubeconfig])
    if cluster.answers():
        say(f"the kind cluster {NAME} is up already and is used again")
        return True
    say(f"the kind cluster {NAME} is there but does not answer: starting its node again")
    try:
        run(["docker", "start", NODE])
        run([program(), "export", "kubeconfig", "--name", NAME, "--kubeconfig", cluster.kubeconfig])
        with step("waiting for the node"):
            wait_for("the API server of the restarted node", cluster.answers, timeout=60, every=1)
            wait_for("the restarted cluster's parts", lambda: _settled(cluster), timeout=60, every=1)
    except (ClusterError, TimeoutError) as error:
        say(f"it does not come back ({error}): making it anew")
        _delete()
        return False
    return True


def _create() -> None:
    _drop_remains()
    create: list[str | Path] = [program(), "create", "cluster", "--name", NAME, "--config", _CONFIG]
    create += ["--kubeconfig", kubeconfig(), "--wait", f"{_READY_SECONDS}s"]
    if docker.registry_reachable():
        try:
            with step("creating the kind cluster from the public node image", "1-3 min at first"):
                run(create, timeout=_PULL_SECONDS)
        except ClusterError as error:
            say(f"that did not work, going on with a node image of our own: {error}")
            _delete()
        else:
            return
    image = node.image()
    with step("creating the kind cluster", "25 s"):
        run([*create, "--image", image], timeout=_READY_SECONDS + 120)


_NO_OUTSIDE_NAMES = """
.:53 {
    errors
    template ANY ANY {
       rcode NXDOMAIN
    }
}
"""


def _keep_names_in(cluster: Cluster) -> None:
    """Where nothing gets out, let the cluster's DNS say at once that it knows no outside name.

    A block of its own: within one block CoreDNS asks `template` before `kubernetes`, whatever the order in the file.
    """
    corefile = cluster.get("--namespace", "kube-system", "configmap", "coredns")["data"]["Corefile"]
    inside = re.sub(r"\n *forward \. /etc/resolv\.conf( \{[^}]*\})?", "", corefile)
    kept = inside.replace(".:53 {", "cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {", 1) + _NO_OUTSIDE_NAMES
    patch = json.dumps({"data": {"Corefile": kept}})
    cluster.kubectl("--namespace", "kube-system", "patch", "configmap", "coredns", "--patch", patch)
    cluster.kubectl("--namespace", "kube-system", "rollout", "restart", "deployment/coredns")


def _drop_remains() -> None:
    """A node that kind does not list as a cluster, or a kubeconfig without one, must not be in the way."""
    if succeeds(["docker", "container", "inspect", NODE]):
        _delete()
    kubeconfig().unlink(missing_ok=True)


def _delete() -> None:
    run([program(), "delete", "cluster", "--name", NAME, "--kubeconfig", kubeconfig()], timeout=120)
    kubeconfig().unlink(missing_ok=True)


def down() -> None:
    """Delete the cluster, and end the Docker daemon if it is ours (its images stay in the cache)."""
    if not docker.answers():
        say("no Docker daemon answers, so no kind cluster runs")
        return
    with cache.lock("kind"):
        _delete()
    say(f"the kind cluster {NAME} is gone")
    if docker.stop_own():
        say("our Docker daemon is ended too")
