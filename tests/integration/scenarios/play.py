"""All scenarios on one stage and at the same time: each is a function in a thread, and its test waits for its end."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any, Final, TypeVar

import pytest

from tests.cluster import prometheus
from tests.cluster.access import Cluster, apply_crds
from tests.integration.running import Operator, install_rights, operator_kubeconfig
from tests.integration.scenarios import manifests
from tests.integration.scenarios.manifests import SLO
from tests.integration.scenarios.proxy import Proxy
from tests.integration.scenarios.world import World
from tests.integration.standin import StandIn

T = TypeVar("T")
PROXIES: Final = 4
# Longest wait for the end of one scenario; the longest takes about three minutes on an idle machine.
LONGEST: Final = 420.0
# One that is 1.5 times worse takes half a minute; with a busy machine and the season against it several times that.
VERDICT: Final = 300.0
_LONGEST_NAME: Final = 58  # with the five characters of a run it is a label
# More than a promotion needs at falsePromote 5 % and minSamples 100.
_CONVINCING: Final = 100.0
_ENOUGH: Final = 300
# The operator's own default Lease: what is tested here is not who leads.
_LEASE: Final = {
    "LEASE_DURATION": "15",
    "LEASE_RENEW_DEADLINE": "10",
    "LEASE_RETRY": "2",
    "LEASE_REQUEST_TIMEOUT": "1.8",
}


@dataclass
class Subject:
    """One model in its namespace: the pair of Deployments and the ModelSLO."""

    namespace: str
    world: World
    _order: Callable[[Mapping[str, Any]], None]

    # --- what is done to it

    def create(
        self, slo: dict[str, Any], *, stable_patience: int = 60, canary_patience: int = 60, canary_pods: int = 0
    ) -> None:
        """Stable serves v1; the canary has the same template."""
        canary = manifests.deployment("canary", "v1", patience=canary_patience)
        if canary_pods:
            canary["spec"]["replicas"] = canary_pods
        pair = (manifests.deployment("stable", "v1", patience=stable_patience), canary)
        items: list[dict[str, Any]] = [manifests.namespace(self.namespace)]
        items += [one | {"metadata": one["metadata"] | {"namespace": self.namespace}} for one in (*pair, slo)]
        self.world.cluster.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}), "--server-side")

    def images(self, **means: float | Mapping[str, float]) -> None:
        """What is inside the images: mean loss by version, or {"mean": 0.3, "nan": 0.1}."""
        versions = {v: {"mean": one} if isinstance(one, int | float) else dict(one) for v, one in means.items()}
        self._order({"namespace": self.namespace, "versions": versions})

    def mirror(self) -> None:
        """The canary's pods get a copy of every request, and no user any more."""
        self._order({"namespace": self.namespace, "mirror": True})

    def restart_joiner(self, *, careless: bool) -> None:
        self._order({"namespace": self.namespace, "restart": "careless" if careless else "careful"})

    def candidate(self, version: str, **annotations: str) -> None:
        """Put another version into the canary's template; `__` in a name stands for `/`."""
        patch = manifests.candidate(version, {name.replace("__", "/"): one for name, one in annotations.items()})
        self._patch("deployment", f"{SLO}-canary", patch, "strategic")

    def patch(self, change: Mapping[str, Any]) -> None:
        """Merge into the ModelSLO."""
        self._patch("modelslo", SLO, change, "merge")

    def _patch(self, kind: str, name: str, change: Mapping[str, Any], how: str) -> None:
        self.world.cluster.kubectl(
            "patch", kind, name, "--namespace", self.namespace, f"--type={how}", "--patch", json.dumps(change)
        )

    # --- what is seen of it

    def wait(self, what: str, ask: Callable[[], T | None], timeout: float = 150) -> T:
        return self.world.wait(f"{self.namespace}: {what}", ask, timeout, self.tell)

    def watch(self, seconds: float, check: Callable[[], None]) -> None:
        """Check after every look for so long."""
        until = time.monotonic() + seconds

        def ask() -> bool:
            check()
            return time.monotonic() >= until

        self.wait("the time being over", ask, seconds + 60)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._one("modelslo", SLO).get("status", {})
        return status

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message; empty when there is no such condition."""
        for one in self.status().get("conditions", ()):
            if one["type"] == kind:
                return one["status"], one["reason"], one["message"]
        return "", "", ""

    def sufficient(self) -> bool:
        return self.condition("DataSufficient")[0] == "True"

    def convinced(self) -> bool:
        """Whether the evidence for the canary suffices for a promotion: it then stays at its step."""
        rollout, comparison = self.status().get("rollout", {}), self.status().get("comparison", {})
        if not rollout or "readyAt" not in rollout["transitions"][-1]:
            return False
        return bool(comparison.get("ePromote", 0.0) > _CONVINCING and comparison["canarySamples"] > _ENOUGH)

    def decisions(self, version: str | None = None) -> list[tuple[str, str]]:
        """Action and reason of what was decided, oldest first."""
        history = self.status().get("history", ())
        return [(one["action"], one["reason"]) for one in history if version in (None, one["version"])]

    def acts(self) -> list[tuple[str, str]]:
        return [one for one in self.decisions() if one[0] in ("Promote", "Rollback", "Retrain")]

    def running(self) -> bool:
        return "operation" in self.status()

    def deployment(self, role: str) -> dict[str, Any]:
        return self._one("deployment", f"{SLO}-{role}")

    def version(self, role: str) -> str:
        return str(self.deployment(role)["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"])

    def pair(self) -> list[Any]:
        """All of both Deployments that somebody may have written, without their status."""
        bodies = (self.deployment("stable"), self.deployment("canary"))
        kept = ("name", "labels", "generation", "uid")
        return [(body["spec"], {key: body["metadata"].get(key) for key in kept}, _marks(body)) for body in bodies]

    def jobs(self) -> list[dict[str, Any]]:
        return self.world.view.all("job", self.namespace)

    def events(self) -> list[str]:
        """Reasons of the Events about the ModelSLO."""
        events = self.world.view.all("event", self.namespace)
        return [one["reason"] for one in events if one.get("regarding", {}).get("kind") == "ModelSLO"]

    def tell(self) -> str:
        status = {key: value for key, value in self.status().items() if key not in ("burnRates", "sli")}
        return json.dumps(status, indent=1)

    def _one(self, kind: str, name: str) -> dict[str, Any]:
        found = self.world.view.objects.get((kind, self.namespace), {})
        return found.get(name, {})

    # --- stretches of a life that many scenarios share

    def begin(self, version: str, **annotations: str) -> None:
        """Wait until stable is measured, then start a canary."""
        self.wait("the first data", self.sufficient)
        self.candidate(version, **annotations)
        self.wait("the canary being seen", lambda: self.status().get("rollout", {}).get("version") == version)

    def rolled_back(self, version: str, timeout: float = VERDICT) -> str:
        """Wait for the end of the rollback of `version`; its reason."""

        def reasons() -> list[str]:
            rejected = self.status().get("rejectedRevisions", ())
            return [str(one["reason"]) for one in rejected if one["version"] == version and not self.running()]

        found = self.wait(f"{version} being rolled back", reasons, timeout)
        assert self.deployment("canary")["spec"]["replicas"] == 0
        return found[-1]

    def promoted(self, version: str, timeout: float = VERDICT) -> str:
        """Wait for the end of the promotion of `version`; its reason."""

        def done() -> bool:
            # One look lists ModelSLOs before Deployments: in between the operation may have begun.
            status = self.status()
            return self.version("stable") == version and not status.keys() & {"operation", "rollout"}

        self.wait(f"{version} being promoted", done, timeout)
        assert self.deployment("canary")["spec"]["replicas"] == 0
        (reason,) = [reason for action, reason in self.decisions(version) if action == "Promote"]
        return reason


def _marks(body: Mapping[str, Any]) -> dict[str, str]:
    """Annotations, without the Deployment controller's own."""
    annotations: Mapping[str, str] = body["metadata"].get("annotations") or {}
    return {name: one for name, one in annotations.items() if not name.startswith("deployment.kubernetes.io/")}


@dataclass
class Stage:
    """What a scenario is given. The namespaces of its models are named after it."""

    name: str
    play: Play

    def model(self, part: str = "") -> Subject:
        name = "-".join(filter(None, (self.name, part)))
        namespace = f"{name[:_LONGEST_NAME]}-{self.play.run}"
        assert namespace not in self.play.namespaces, f"two models would be in the namespace {namespace}"
        self.play.namespaces.append(namespace)
        return Subject(namespace, self.play.world, self.play.order)

    def proxy(self) -> Proxy:
        return self.play.proxies.pop()


Story = Callable[[Stage], None]


@dataclass
class Play:
    """Everything that runs."""

    prometheus_url: str
    operator: Operator
    world: World
    town: subprocess.Popen[str]
    proxies: list[Proxy]
    stories: dict[str, Future[None]] = field(default_factory=dict)
    namespaces: list[str] = field(default_factory=list)
    run: str = field(default_factory=lambda: secrets.token_hex(2))
    """Sets the namespaces apart from those of a run before."""

    def order(self, order: Mapping[str, Any]) -> None:
        assert self.town.stdin is not None
        self.town.stdin.write(json.dumps(order) + "\n")
        self.town.stdin.flush()

    def clear(self) -> None:
        if self.namespaces:
            self.world.cluster.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *self.namespaces)


def scenario(story: Story) -> Callable[[Play], None]:
    """A test that waits for the end of the story, which begins together with all others that are to run."""
    assert isinstance(story, FunctionType)
    name = story.__name__.removeprefix("test_").replace("_", "-")

    def test(play: Play) -> None:
        play.stories[name].result(LONGEST)

    test.__name__, test.__doc__, test.__module__ = story.__name__, story.__doc__, story.__module__
    test.__dict__["story"] = (name, story)
    return test


@contextmanager
def playing(cluster: Cluster, folder: Path, items: list[pytest.Item]) -> Iterator[Play]:
    """The stage, and on it the stories of `items`."""
    with ExitStack() as stack:
        apply_crds(cluster)
        install_rights(cluster)
        stack.enter_context(StandIn(cluster))
        town, port = stack.enter_context(_town(cluster))
        server = stack.enter_context(prometheus.start(_scraping(port)))
        proxies = [Proxy(server.url) for _ in range(PROXIES)]
        for proxy in proxies:
            stack.callback(proxy.close)
        settings = {
            "PROMETHEUS_URL": server.url,
            "ALLOWED_PROMETHEUS_URLS": ",".join(proxy.url for proxy in proxies),
            "TIME_SCALE": str(manifests.SCALE),
            "SETTLE": str(manifests.SETTLE),
            "STATUS_INTERVAL": "1",
            **_LEASE,
        }
        operator = Operator(operator_kubeconfig(cluster, folder), folder, settings=settings)
        stack.enter_context(operator)
        operator.wait_leading()
        world = World(cluster, operator)
        play = Play(server.url, operator, world, town, proxies)
        stories = dict(_stories(items))
        pool = stack.enter_context(ThreadPoolExecutor(max(1, len(stories)), thread_name_prefix="story"))
        stack.callback(play.clear)
        stack.callback(world.close)
        world.start()
        play.stories = {name: pool.submit(story, Stage(name, play)) for name, story in stories.items()}
        yield play


def _stories(items: list[pytest.Item]) -> Iterator[tuple[str, Story]]:
    for item in items:
        told = getattr(getattr(item, "function", None), "story", None)
        if told is not None:
            yield told


@contextmanager
def _town(cluster: Cluster) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "tests.integration.scenarios.town", str(cluster.kubeconfig)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _scraping(port: int) -> dict[str, Any]:
    targets = [{"url": f"http://127.0.0.1:{port}/targets", "refresh_interval": "1s"}]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "joiners", "http_sd_configs": targets}],
    }
