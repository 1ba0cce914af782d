"""The bare control plane is a real one, ends cleanly, and can be made to fail on purpose."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.cluster import bare, cache, golang, runs
from tests.cluster.access import Cluster, wait_for
from tests.cluster.cache import REPO
from tests.cluster.fixtures import Namespace
from tests.cluster.prometheus import start as start_prometheus
from tests.cluster.shell import ClusterError

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: model}
spec:
  replicas: 2
  selector: {matchLabels: {app: model}}
  template:
    metadata: {labels: {app: model}}
    spec: {containers: [{name: server, image: localhost/nowhere}]}
"""


@pytest.mark.cluster
def test_controllers_work(namespace: Namespace) -> None:
    namespace.kubectl("apply", "-f", "-", input=DEPLOYMENT)
    namespace.kubectl("wait", "--for=create", "replicaset", "--selector=app=model", "--timeout=30s")
    pods = wait_for(
        "two pods of the ReplicaSet",
        lambda: namespace.kubectl("get", "pods", "--selector=app=model", "--output=name").split(),
    )
    assert all(pod.startswith("pod/model-") for pod in pods)


@pytest.mark.api
def test_python_client_and_admission(api_server: Cluster, namespace: Namespace) -> None:
    from kubernetes import client

    with api_server.client() as api:
        items = client.CoreV1Api(api).list_namespace().items
    names = [item.metadata.name for item in items if item.metadata is not None]
    assert namespace.name in names
    with pytest.raises(ClusterError, match="containerz"):
        namespace.kubectl("apply", "-f", "-", input=DEPLOYMENT.replace("containers", "containerz"))


@pytest.mark.api
def test_a_frozen_api_server_hangs_and_recovers() -> None:
    with bare.start(api_only=True) as cluster:
        cluster.freeze()
        wait_for("an API server that hangs", lambda: not _quick(cluster))
        cluster.thaw()
        wait_for("the API server again", cluster.answers)
        cluster.restart()
        wait_for("the API server after its restart", cluster.answers, timeout=60)


def _quick(cluster: Cluster) -> bool:
    try:
        cluster.kubectl("get", "--raw", "/readyz", timeout=1)
    except ClusterError:
        return False
    return True


@pytest.mark.api
def test_a_killed_owner_leaves_nothing() -> None:
    command = [sys.executable, "-m", "tests.cluster", "bare", "--api-only"]
    with subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip()).parent
        assert (folder / "started").exists()
        owner.send_signal(signal.SIGKILL)
    wait_for("every process of the run gone", lambda: not _processes_of(folder))
    # A process that ends has no command line any more when it gives up its files.
    wait_for("the run's lock given up", lambda: not runs.is_held(folder))
    with bare.start(api_only=True) as cluster:
        assert cluster.answers()
        assert not folder.exists()


@pytest.mark.cluster
def test_plain_processes_where_namespaces_are_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare, "can_unshare", lambda: False)
    with bare.start() as cluster:
        folder = cluster.folder
        cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
        assert cluster.get("configmap", "kept")["data"] == {"a": "b"}
    assert _processes_of(folder) == []


@pytest.mark.api
def test_binaries_of_envtest_are_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).symlink_to(golang.kube() / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert golang.kubectl() == tmp_path / "kubectl"
    with bare.start(api_only=True) as cluster:
        assert cluster.answers()
        plan = (cluster.folder / "plan.json").read_text()
    assert str(tmp_path / "kube-apiserver") in plan


def test_an_artefact_is_built_once_and_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELSLO_CACHE", str(tmp_path))
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        (folder / "x").write_text("made")
        if len(builds) == 1:
            raise ClusterError("broken on the way")

    with pytest.raises(ClusterError, match="on the way"):
        cache.artefact("thing", ["1"], build)
    assert list((tmp_path / "thing").iterdir()) == []
    with ThreadPoolExecutor() as pool:
        found = set(pool.map(lambda _: cache.artefact("thing", ["1"], build), range(4)))
    assert len(builds) == 2
    assert [(path / "x").read_text() for path in found] == ["made"]
    assert cache.artefact("thing", ["2"], build) not in found


def _processes_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if os.fsencode(str(folder)) in command:
            found.append(entry.parent.name)
    return found


def test_who_holds_the_lock_of_a_thing_can_build_its_artefact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cluster from nothing holds the lock `kind` and builds the artefact `kind`: it waited for itself for ever."""
    monkeypatch.setenv("MODELSLO_CACHE", str(tmp_path))

    def build() -> Path:
        with cache.lock("kind"):
            return cache.artefact("kind", ["input"], lambda folder: (folder / "kind").touch())

    with ThreadPoolExecutor(1) as pool:
        assert (pool.submit(build).result(timeout=10) / "kind").exists()


def test_a_real_prometheus() -> None:
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": []}
    with start_prometheus(config) as prometheus:
        assert prometheus.ready()
        folder = prometheus.folder
    assert not folder.exists()
