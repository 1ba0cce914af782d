"""The engine as a whole on a clock that stands still: when it asks, what it writes, and what it survives."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from modelslo.act.kube import ForbiddenError, KubeError, UnavailableError
from modelslo.decide.revision import revision_of
from modelslo.engine.engine import Engine
from modelslo.engine.failpoint import Failpoint
from modelslo.engine.metrics import Metrics
from modelslo.engine.record import Recorder
from modelslo.engine.registry import Registry
from modelslo.engine.settings import Settings
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, ModelKey
from tests.unit.engine.bodies import deployment, job, model, retrain
from tests.unit.engine.fakes import DEPLOYMENTS, EVENTS, JOBS, MODELSLOS, FakeClock, FakeKube, Silent, calm

START = 1_000_000.0
URL = "http://prometheus:9090"


@dataclass
class World:
    settings: Settings = field(default_factory=lambda: Settings(prometheus_url=URL, settle=5.0))
    registry: Registry = field(default_factory=Registry)
    clock: FakeClock = field(default_factory=lambda: FakeClock(START))
    observer: Silent = field(default_factory=Silent)
    metrics: Metrics = field(default_factory=Metrics)
    record: io.StringIO = field(default_factory=io.StringIO)
    kube: FakeKube = field(init=False)

    def __post_init__(self) -> None:
        self.kube = FakeKube(self.registry)

    def add(self, name: str = "fraud", *, canary: str = "v1", canary_replicas: int = 0, **body: Any) -> None:
        """A ModelSLO with its pair."""
        self.kube.put(DEPLOYMENTS, deployment(f"{name}-stable"))
        self.kube.put(DEPLOYMENTS, deployment(f"{name}-canary", serves=canary, replicas=canary_replicas))
        self.kube.put(MODELSLOS, model(name, uid=f"uid-{name}", **body))

    def status(self, name: str = "fraud") -> dict[str, Any]:
        status: dict[str, Any] = self.kube.objects["modelslos", "ns", name]["status"]
        return status

    def deployment(self, name: str) -> dict[str, Any]:
        return self.kube.objects["deployments", "ns", name]

    def condition(self, kind: str, name: str = "fraud") -> dict[str, Any] | None:
        return next((one for one in self.status(name).get("conditions", ()) if one["type"] == kind), None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Engine]:
        engine = Engine(
            self.settings,
            self.registry,
            self.kube,
            self.observer,
            self.metrics,
            self.clock,
            Recorder(self.record),
            Failpoint(),
        )
        stop = asyncio.Event()
        task = asyncio.create_task(engine.run(stop))
        await self.clock.advance(0.3)  # new models are gathered
        try:
            yield engine
        finally:
            stop.set()
            await asyncio.wait_for(task, 5)


def ticks(asked: Sequence[Sequence[Ask]]) -> list[float]:
    return [asks[0].until for asks in asked]


def test_all_models_of_an_interval_are_asked_for_together_on_the_grid() -> None:
    async def run() -> None:
        world = World()
        for number in range(5):
            world.add(f"m{number}")
        async with world.running():
            await world.clock.advance(20)
        assert [len(asks) for asks in world.observer.asked] == [5, 5, 5]
        assert ticks(world.observer.asked) == [START - 5, START + 5, START + 15]

    asyncio.run(run())


def test_each_interval_has_its_own_grid_and_each_prometheus_its_own_pass() -> None:
    async def run() -> None:
        world = World(settings=Settings(prometheus_url=URL, allowed_prometheus_urls=("http://other:9090",), settle=5))
        indicator = model("b")["spec"]["indicator"] | {"prometheus": {"url": "http://other:9090"}}
        world.add("a")
        world.add("b", spec={"indicator": indicator})
        world.add("c", spec={"interval": "5s"})
        async with world.running():
            await world.clock.advance(10)
        by_model: dict[str, list[float]] = {}
        for asks in world.observer.asked:
            assert len({ask.source for ask in asks}) == 1
            for ask in asks:
                by_model.setdefault(ask.model.name, []).append(ask.until - START)
        assert by_model == {"a": [-5, 5], "b": [-5, 5], "c": [-5, 0, 5]}

    asyncio.run(run())


def test_a_pass_that_lasts_makes_the_next_ones_missed_and_then_all_of_it_is_read() -> None:
    async def run() -> None:
        world = World()
        world.add()
        async with world.running():
            world.observer.gate = asyncio.Event()
            await world.clock.advance(35)  # due at 10, 20 and 30
            assert len(world.observer.asked) == 2
            assert world.metrics.evaluations["missed"] == 2
            world.observer.gate.set()
            world.observer.gate = None
            await world.clock.advance(10)
        last = world.observer.asked[-1][0]
        assert last.until == START + 35
        assert last.since < START + 5  # nothing was known so far: it is read again

    asyncio.run(run())


def test_a_prometheus_that_hangs_does_not_hold_up_the_models_of_another() -> None:
    class Hanging(Silent):
        async def observe(self, asks: Sequence[Ask]) -> dict[ModelKey, Evidence]:
            if asks[0].source.url == "http://hangs:9090":
                await asyncio.Event().wait()
            return await super().observe(asks)

    async def run() -> None:
        world = World(settings=Settings(prometheus_url=URL, allowed_prometheus_urls=("http://hangs:9090",), settle=5))
        world.observer = Hanging()
        indicator = model("b")["spec"]["indicator"] | {"prometheus": {"url": "http://hangs:9090"}}
        world.add("a")
        world.add("b", spec={"indicator": indicator})
        async with world.running() as engine:
            await world.clock.advance(60)
            assert len(world.observer.asked) == 7
            assert engine.lateness() == 0.0

    asyncio.run(run())


def test_without_evidence_nothing_is_touched_and_the_condition_says_why() -> None:
    async def run() -> None:
        world = World()
        world.add()
        async with world.running():
            await world.clock.advance(30)
        assert {plural for _, plural, _ in world.kube.writes()} == {"modelslos"}
        condition = world.condition("DataSufficient")
        assert condition is not None
        assert (condition["status"], condition["reason"]) == ("False", "NoData")

    asyncio.run(run())


def test_a_steady_state_costs_no_request_per_tick() -> None:
    async def run() -> None:
        world = World()
        world.add()
        async with world.running():
            await world.clock.advance(20)
            calls = len(world.kube.calls)
            await world.clock.advance(600)
        assert len(world.kube.calls) == calls

    asyncio.run(run())


def test_one_poisoned_model_stops_nobody_else_and_is_tried_less_and_less() -> None:
    class Poisoned(Silent):
        def evidence(self, ask: Ask) -> Evidence:
            if ask.model.name == "bad":
                return None  # type: ignore[return-value]
            return super().evidence(ask)

    async def run() -> None:
        world = World()
        world.observer = Poisoned()
        world.add("bad")
        world.add("good")
        async with world.running():
            await world.clock.advance(600)
        stalled = world.condition("Stalled", "bad")
        assert stalled is not None
        assert stalled["reason"] == "InternalError"
        assert world.condition("Stalled", "good") is None
        of = [{ask.model.name for ask in asks} for asks in world.observer.asked]
        assert sum("good" in names for names in of) == 61
        assert sum("bad" in names for names in of) < 20

    asyncio.run(run())


def test_an_observer_that_raises_is_no_data() -> None:
    async def run() -> None:
        world = World()
        world.add()
        world.observer.error = RuntimeError("bug")
        async with world.running():
            await world.clock.advance(10)
            condition = world.condition("DataSufficient")
            assert condition is not None
            assert condition["reason"] == "QueryError"

    asyncio.run(run())


def test_a_spec_that_cannot_be_judged_is_stalled_and_mending_it_is_enough() -> None:
    async def run() -> None:
        world = World()
        indicator = model()["spec"]["indicator"] | {"prometheus": {"url": "http://elsewhere:9090"}}
        world.add(spec={"indicator": indicator})
        async with world.running():
            stalled = world.condition("Stalled")
            assert stalled is not None
            assert stalled["reason"] == "URLNotAllowed"
            assert world.observer.asked == []
            body = world.kube.objects["modelslos", "ns", "fraud"]
            world.kube.put(MODELSLOS, model(uid="uid-fraud", generation=2, status=body["status"]))
            await world.clock.advance(1)
            assert world.condition("Stalled") is None
            assert len(world.observer.asked) == 1

    asyncio.run(run())


@pytest.mark.parametrize(("scale", "stalls"), [(10.0, False), (11.0, True)])
def test_slices_that_the_time_scale_makes_too_short_to_measure_are_refused(scale: float, stalls: bool) -> None:
    """Its thousands of slices would be read one by one, and everybody else's evaluations be missed meanwhile."""

    async def run() -> None:
        # Given slices of 10 s
        world = World(settings=Settings(prometheus_url=URL, settle=5.0, time_scale=scale))
        world.add()
        async with world.running():
            await world.clock.advance(2)
            stalled = world.condition("Stalled")
            # Then nothing is asked where they last less than a second, and the message says what mends it
            assert (stalled is not None) is stalls
            assert bool(world.observer.asked) is not stalls
            if stalled is not None:
                assert stalled["reason"] == "InvalidSpec"
                assert "spec.objective.slice: 10s is 0.909 s" in stalled["message"]
                assert "Take 11s or longer, or lower timeScale" in stalled["message"]

    asyncio.run(run())


def test_a_clock_that_is_set_back_does_not_stop_the_judging() -> None:
    async def run() -> None:
        world = World()
        world.add()
        world.observer.gap = None
        async with world.running() as engine:
            await world.clock.advance(20)
            world.clock.set_back(3600)
            await world.clock.advance(10)
            assert engine.lateness() == 0.0
        assert [until - START for until in ticks(world.observer.asked)] == [-5, 5, 15, -3585, -3575]

    asyncio.run(run())


def test_what_is_deleted_is_forgotten_everywhere() -> None:
    async def run() -> None:
        world = World()
        world.add()
        async with world.running():
            world.registry.drop_model("ns", "fraud")
            asked = len(world.observer.asked)
            await world.clock.advance(60)
            assert len(world.observer.asked) == asked
        assert world.observer.forgotten == [ModelKey("ns", "fraud")]
        assert not any(sample.labels.get("slo") for metric in world.metrics.collect() for sample in metric.samples)

    asyncio.run(run())


def test_before_it_runs_the_engine_does_nothing() -> None:
    async def run() -> None:
        world = World()
        engine = Engine(world.settings, world.registry, world.kube, world.observer, world.metrics, world.clock)
        world.add()
        world.kube.put(DEPLOYMENTS, deployment("fraud-stable", replicas=3))
        await calm()
        assert world.kube.calls == []
        assert engine.lateness() == 0.0

    asyncio.run(run())


def rollback(world: World) -> dict[str, Any]:
    """Status with the record of a rollback that was decided."""
    now = datetime.fromtimestamp(START, UTC).isoformat()
    operation = {
        "id": "op-1",
        "type": "Rollback",
        "step": "ScaleCanaryDown",
        "reason": "CanaryWorse",
        "startedAt": now,
        "stepStartedAt": now,
        "revision": revision_of(deployment("fraud-canary", serves="v2")["spec"]["template"]),
        "version": "v2",
    }
    return {"observedGeneration": 1, "operation": operation}


def test_an_operation_goes_on_after_a_restart_although_prometheus_hangs() -> None:
    async def run() -> None:
        world = World()
        world.observer.gate = asyncio.Event()
        world.add(canary="v2", canary_replicas=1, status=rollback(world))
        async with world.running():
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 0
            world.kube.put(DEPLOYMENTS, _seen(world.deployment("fraud-canary")))
            await calm()
            assert "operation" not in world.status()
        assert [one["reason"] for one in world.status()["rejectedRevisions"]] == ["CanaryWorse"]
        assert sorted(one["reason"] for one in world.kube.of(EVENTS)) == ["CanaryWorse", "RolledBack"]

    asyncio.run(run())


def _seen(body: dict[str, Any]) -> dict[str, Any]:
    """The Deployment after its controller has seen it."""
    wished = body["spec"]["replicas"]
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wished)
    return body | {"status": {"observedGeneration": body["metadata"]["generation"], **counts}}


@pytest.mark.parametrize("error", [UnavailableError("503"), UnavailableError("time-out"), ForbiddenError("RBAC", 403)])
def test_an_api_server_that_fails_for_a_while_delays_an_operation_and_no_more(error: KubeError) -> None:
    async def run() -> None:
        world = World()
        world.add(canary="v2", canary_replicas=1, status=rollback(world))
        failing = True
        world.kube.fail = lambda verb, plural, name: error if failing and verb == "patch" else None
        async with world.running():
            await world.clock.advance(30)
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 1
            failing = False
            await world.clock.advance(60)
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 0

    asyncio.run(run())


def test_two_changes_at_once_make_one_conflict_and_no_harm() -> None:
    async def run() -> None:
        world = World()
        world.add(canary="v2", canary_replicas=1, status=rollback(world))
        raced = False

        def race(verb: str, plural: str, name: str) -> KubeError | None:
            nonlocal raced
            if verb == "patch" and name == "fraud-canary" and not raced:
                raced = True
                body = world.deployment("fraud-canary")
                labels = {"labels": {"touched": "yes"}}
                world.kube.put(DEPLOYMENTS, body | {"metadata": body["metadata"] | labels})
            return None

        world.kube.fail = race
        async with world.running():
            await world.clock.advance(5)
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 0

    asyncio.run(run())


def test_a_canary_that_starts_is_recorded_before_its_pods_are_wished_for() -> None:
    async def run() -> None:
        world = World()
        world.add(canary="v2")
        async with world.running():
            await world.clock.advance(1)
        order = [(plural, name) for verb, plural, name in world.kube.writes() if verb == "patch"]
        assert order.index(("modelslos", "fraud")) < order.index(("deployments", "fraud-canary"))
        assert world.status()["rollout"]["version"] == "v2"
        assert world.deployment("fraud-canary")["spec"]["replicas"] == 1
        assert [one["reason"] for one in world.kube.of(EVENTS)] == ["NewRevision"]
        lines = world.record.getvalue().splitlines()
        assert len(lines) == 1
        assert world.status()["lastDecision"]["evidence"] in lines[0]

    asyncio.run(run())


def test_no_decision_is_persisted_before_its_evidence_is() -> None:
    """A kill between the two would leave a decision that nobody can explain."""

    async def run() -> None:
        world = World()
        world.add(canary="v2")
        seen: list[int] = []

        def written(verb: str, plural: str, name: str) -> KubeError | None:
            if (verb, plural) == ("patch", "modelslos"):
                seen.append(len(world.record.getvalue().splitlines()))
            return None

        world.kube.fail = written
        async with world.running():
            await world.clock.advance(1)
        assert world.status()["lastDecision"]["action"] == "Start"
        assert seen[0] == 1

    asyncio.run(run())


def test_the_time_at_which_the_canarys_pods_are_there_is_written_when_it_is_seen() -> None:
    async def run() -> None:
        world = World()
        world.add(canary="v2")
        async with world.running():
            await world.clock.advance(3)
            assert "readyAt" not in world.status()["rollout"]["transitions"][0]
            asked = len(world.observer.asked)
            world.kube.put(DEPLOYMENTS, _seen(world.deployment("fraud-canary")))
            await calm()
            assert "readyAt" in world.status()["rollout"]["transitions"][0]
            assert len(world.observer.asked) == asked

    asyncio.run(run())


def test_a_dry_run_writes_status_and_no_event() -> None:
    async def run() -> None:
        world = World()
        world.add(canary="v2", spec={"mode": "DryRun"})
        async with world.running():
            await world.clock.advance(1)
        assert world.status()["lastDecision"]["reason"] == "NewRevision"
        assert {plural for _, plural, _ in world.kube.writes()} == {"modelslos"}

    asyncio.run(run())


@pytest.mark.parametrize("spec", [{"suspend": True}, {"mode": "DryRun"}])
def test_suspended_or_dry_nothing_but_status_is_written(spec: dict[str, Any]) -> None:
    async def run() -> None:
        world = World()
        world.add(canary="v2", canary_replicas=2, status=rollback(world), spec=spec)
        async with world.running():
            await world.clock.advance(60)
        assert {plural for _, plural, _ in world.kube.writes()} <= {"modelslos", "events"}
        assert world.deployment("fraud-canary")["spec"]["replicas"] == 2
        assert world.status()["operation"]["step"] == "ScaleCanaryDown"

    asyncio.run(run())


def test_a_deployment_that_was_there_before_its_model_is_fetched_once() -> None:
    async def run() -> None:
        world = World()
        world.kube.put(DEPLOYMENTS, deployment("fraud-stable"))
        world.kube.put(DEPLOYMENTS, deployment("fraud-canary", replicas=0))
        world.kube.put(MODELSLOS, model())
        async with world.running():
            await world.clock.advance(60)
        assert sorted(call for call in world.kube.calls if call[0] == "get") == [
            ("get", "deployments", "fraud-canary"),
            ("get", "deployments", "fraud-stable"),
        ]

    asyncio.run(run())


def test_a_lost_status_is_rebuilt_from_the_jobs_before_anything_is_decided() -> None:
    async def run() -> None:
        world = World()
        done = job("fraud-op-1", "op-1", condition="Complete")
        world.kube.put(JOBS, done)
        world.kube.put(JOBS, job("fraud-op-2", "op-2", condition="Failed"))
        world.add(spec={"retrain": retrain()})
        async with world.running():
            pass
        assert [(one["id"], one["result"]) for one in world.status()["retrains"]] == [
            ("op-1", "Succeeded"),
            ("op-2", "Failed"),
        ]
        assert world.status()["lastActions"]["retrain"] == "2026-11-22T10:00:00Z"
        assert "operation" not in world.status()

    asyncio.run(run())


def test_a_field_that_somebody_else_sets_again_and_again_is_left_alone_and_he_is_named() -> None:
    async def run() -> None:
        world = World()
        world.add()
        async with world.running():
            for _ in range(5):
                await world.clock.advance(10)
                body = world.deployment("fraud-canary")
                fields = [
                    {"manager": "argocd-controller", "time": "2026", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                    {"manager": "modelslo-operator", "time": "2027", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                ]
                managed = body | {"metadata": body["metadata"] | {"managedFields": fields}}
                world.kube.put(DEPLOYMENTS, managed | {"spec": body["spec"] | {"replicas": 3}})
            await world.clock.advance(10)
            stalled = world.condition("Stalled")
            assert stalled is not None
            assert stalled["reason"] == "FieldConflict"
            assert "'argocd-controller'" in stalled["message"]
            writes = [call for call in world.kube.writes() if call[1] == "deployments"]
            assert len(writes) == 2
            await world.clock.advance(700)  # and after a while it is tried again
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 0
            assert world.condition("Stalled") is None

    asyncio.run(run())
