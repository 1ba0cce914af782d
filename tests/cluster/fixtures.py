"""The pytest side of the clusters: the option, the guard, what is warmed before the first test, and the fixtures.

A test says by its marker what it needs (`api`, `cluster`, `kind`) and takes `cluster` and `namespace`; which cluster
that is, `--cluster` may change. A test that needs one certain fixture may name it: `api_server`, `control_plane` or
`kind_cluster`.
"""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from tests.cluster import bare, golang, kind
from tests.cluster.access import Cluster, refuse_operators
from tests.cluster.shell import ClusterError

_FIXTURE_OF = {"kind": "kind_cluster", "cluster": "control_plane", "api": "api_server"}
_SLOW_TEST_SECONDS = 300
_existing: str | None = None


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test, and the cluster it is in."""

    name: str
    cluster: Cluster

    def kubectl(self, *args: str, input: str | None = None, timeout: float | None = 60) -> str:  # noqa: A002
        """kubectl in this namespace."""
        return self.cluster.kubectl("--namespace", self.name, *args, input=input, timeout=timeout)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--cluster`: where the tests that need a cluster run."""
    parser.addoption(
        "--cluster",
        choices=["bare", "kind", "existing"],
        default=None,
        help="run every test on this: bare (a control plane without nodes; tests that need pods are left out), "
        "kind, or the existing cluster that $KUBECONFIG names. By default each test has what its marker asks for.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Hide the person's own kubeconfig from everything in this process, unless it is asked for."""
    global _existing
    _existing = os.environ.get("KUBECONFIG")
    if config.getoption("--cluster") == "existing":
        if not _existing or not Path(_existing).is_file():
            raise pytest.UsageError("--cluster=existing needs $KUBECONFIG to name one file")
        return
    os.environ["KUBECONFIG"] = os.devnull


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs pods on a cluster without nodes; give tests with real servers more time."""
    for item in items:
        needed = _needed(item)
        if needed is None:
            continue
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_SLOW_TEST_SECONDS))
        if needed == "kind_cluster" and config.getoption("--cluster") == "bare":
            item.add_marker(pytest.mark.skip(reason="needs pods; --cluster=bare has none"))


def _needed(item: pytest.Item) -> str | None:
    """The fixture of the cluster a test needs, if it needs one."""
    named = getattr(item, "fixturenames", ())
    for fixture in _FIXTURE_OF.values():
        if fixture in named:
            return fixture
    return next((fixture for marker, fixture in _FIXTURE_OF.items() if item.get_closest_marker(marker)), None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what is slow before the first test, outside its time limit and in sight."""
    config = session.config
    flavour = config.getoption("--cluster")
    needs = {_needed(item) for item in session.items if item.get_closest_marker("skip") is None} - {None}
    if not needs or config.getoption("collectonly") or flavour == "existing":
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        with capture.global_and_fixture_disabled():
            if flavour == "kind" or "kind_cluster" in needs:
                kind.up()
            if flavour != "kind" and needs & {"control_plane", "api_server"}:
                golang.kubectl()
                if "control_plane" in needs:
                    golang.kube()
    except ClusterError as error:  # says what to install: not to be lost in a traceback of pytest's own
        pytest.exit(f"these tests have no cluster: {error}", returncode=pytest.ExitCode.USAGE_ERROR)


def _elsewhere(config: pytest.Config) -> Cluster | None:
    """The cluster that the option puts in place of a bare one."""
    flavour = config.getoption("--cluster")
    if flavour == "existing":
        assert _existing is not None
        cluster = Cluster(Path(_existing), "existing")
        if not cluster.answers():
            raise ClusterError(f"no API server answers where {_existing} points")
        return cluster
    if flavour == "kind":
        return kind.up()
    return None


@pytest.fixture(scope="session")
def api_server(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """An API server; controllers need not be there."""
    other = _elsewhere(request.config)
    if other is not None:
        yield other
        return
    with bare.start(api_only=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A whole control plane; nodes need not be there."""
    other = _elsewhere(request.config)
    if other is not None:
        refuse_operators(other)
        yield other
        return
    with bare.start() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kind_cluster(request: pytest.FixtureRequest) -> Cluster:
    """A cluster with a node and pods; it stays up after the tests."""
    return _elsewhere(request.config) or kind.up()


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """The cluster that this test's marker (or another fixture of it) asks for."""
    needed = _needed(request.node)
    if needed is None:
        raise pytest.UsageError(f"{request.node.nodeid} needs one of the markers {', '.join(_FIXTURE_OF)}")
    return cast(Cluster, request.getfixturevalue(needed))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[Namespace]:
    """A new namespace, deleted after the test (without waiting for the end of it)."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    yield Namespace(name, cluster)
    cluster.kubectl("delete", "namespace", name, "--wait=false")
