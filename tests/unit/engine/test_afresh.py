"""A comparison that begins again at E = 1 says so, once, and why."""

from __future__ import annotations

import asyncio
import copy
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from modelslo.api.status import Comparison, OperationStatus, OperationType
from modelslo.engine import worker
from modelslo.engine.afresh import lost_history, restarted_comparison
from modelslo.engine.evaluate import Evaluation, evaluate
from modelslo.judge.comparison import Compared
from modelslo.judge.judgement import Judgement, Memory, Verdict
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, Increment, Losses
from tests.unit.decide.make import NOW, judgement, rolling
from tests.unit.engine.bodies import deployment
from tests.unit.engine.fakes import DEPLOYMENTS, EVENTS, MODELSLOS, Silent
from tests.unit.engine.test_engine import World


def replayed(labels: float) -> Judgement:
    found = judgement(Verdict.UNDECIDED)
    assert found.canary is not None
    return replace(found, canary=replace(found.canary, compared=Compared(blocks=3, canary=labels)))


@pytest.mark.parametrize(("found", "told"), [(0.0, True), (449.0, True), (450.0, False), (700.0, False)])
def test_history_is_lost_when_fewer_labels_are_read_again_than_were_compared(found: float, told: bool) -> None:
    status = rolling().model_copy(update={"comparison": Comparison(canary_samples=500)})
    notice = lost_history(status, replayed(found))
    assert (notice is not None) is told
    if notice is not None:
        assert (notice.type, notice.reason) == ("Warning", "HistoryLost")
        assert f"has {found:.0f} of the 500 labels" in notice.note


def test_a_rollout_that_was_not_compared_so_far_has_lost_nothing() -> None:
    assert lost_history(rolling(), replayed(0.0)) is None


def test_other_parameters_begin_again_and_the_same_do_not() -> None:
    status = rolling().model_copy(update={"comparison": Comparison(canary_samples=500)})
    assert restarted_comparison(status, status) is None
    notice = restarted_comparison(status, rolling(parameters="other"))
    assert notice is not None
    assert (notice.type, notice.reason) == ("Normal", "ComparisonRestarted")
    assert "500 labels" in notice.note


def test_nobody_is_told_while_an_operation_carries_out_the_verdict() -> None:
    operation = OperationStatus(
        id="1",
        type=OperationType.ROLLBACK,
        step="ScaleCanaryDown",
        reason="Test",
        started_at=NOW,
        step_started_at=NOW,
    )
    status = rolling().model_copy(update={"comparison": Comparison(canary_samples=500), "operation": operation})
    assert restarted_comparison(status, rolling(parameters="other")) is None
    assert lost_history(status, replayed(0.0)) is None


class Labels(Silent):
    """A Prometheus with so many labels of each version in each grid cell since `begins`."""

    def __init__(self, begins: float, versions: tuple[str, ...] = ("v1", "v2")) -> None:
        super().__init__()
        self.begins, self.versions, self.gap = begins, versions, None

    def evidence(self, ask: Ask) -> Evidence:
        cells = [ask.since + ask.grid * number for number in range(round((ask.until - ask.since) / ask.grid))]
        found = tuple(
            Increment(start, start + ask.grid, version, "", Losses(60.0, 60.0, (), 120.0), 60.0)
            for start in cells
            if start >= self.begins
            for version in self.versions
        )
        newest = dict.fromkeys(self.versions, ask.until)
        return Evidence(ask.model, ask.since, ask.until, found, newest=newest)


def events(world: World) -> list[str]:
    return [one["reason"] for one in world.kube.of(EVENTS)]


async def rolled(world: World) -> dict[str, Any]:
    """A canary that has been compared for a while; the body of its ModelSLO."""
    world.add(canary="v2", canary_replicas=1)
    async with world.running():
        await world.clock.advance(600)
    assert world.status()["comparison"]["canarySamples"] > 100
    return world.kube.objects["modelslos", "ns", "fraud"]


def again(world: World, observer: Silent) -> World:
    """Another process on the same cluster."""
    return World(clock=world.clock, observer=observer)


def test_a_restart_on_the_same_history_tells_nothing() -> None:
    async def run() -> None:
        world = World()
        world.observer = Labels(0.0)
        body = await rolled(world)
        fresh = again(world, Labels(0.0))
        fresh.add(canary="v2", canary_replicas=1)
        fresh.kube.put(MODELSLOS, body)
        async with fresh.running():
            await fresh.clock.advance(120)
        assert events(fresh) == []
        assert fresh.status()["comparison"]["canarySamples"] >= body["status"]["comparison"]["canarySamples"]

    asyncio.run(run())


def test_a_restart_without_the_history_warns_once_also_when_prometheus_is_away_at_first() -> None:
    async def run() -> None:
        # Given an operator that was restarted in the middle, and a Prometheus that is away, and then new
        world = World()
        world.observer = Labels(0.0)
        body = await rolled(world)
        silent = Silent()
        fresh = again(world, silent)
        fresh.add(canary="v2", canary_replicas=1)
        fresh.kube.put(MODELSLOS, body)
        async with fresh.running():
            await fresh.clock.advance(90)
            # Then what was said stays said, for as long as nothing else is known
            known = fresh.status()["comparison"]["canarySamples"]
            assert known == body["status"]["comparison"]["canarySamples"]
            assert events(fresh) == []
            # When it answers
            silent.evidence = Labels(fresh.clock.now() - 100).evidence  # type: ignore[method-assign]
            await fresh.clock.advance(200)
        # Then a person is told, and the comparison goes on with what there is
        assert events(fresh) == ["HistoryLost"]
        assert fresh.status()["comparison"]["canarySamples"] < known

    asyncio.run(run())


def test_a_checkpoint_of_another_schema_begins_again_with_an_event() -> None:
    async def run() -> None:
        world = World()
        world.observer = Labels(0.0)
        body = await rolled(world)
        body["status"]["rollout"]["parameters"] = "an-older-schema"
        fresh = again(world, Labels(0.0))
        fresh.add(canary="v2", canary_replicas=1)
        fresh.kube.put(MODELSLOS, body)
        now = datetime.fromtimestamp(fresh.clock.now(), UTC)
        async with fresh.running():
            await fresh.clock.advance(120)
        assert events(fresh) == ["ComparisonRestarted"]
        since = datetime.fromisoformat(fresh.status()["rollout"]["judgedSince"])
        assert abs((since - now).total_seconds()) <= 60
        assert fresh.status()["comparison"]["canarySamples"] < 200

    asyncio.run(run())


def test_another_version_in_the_middle_of_a_rollout_is_compared_from_nothing_and_nothing_is_lost() -> None:
    async def run() -> None:
        # Given a canary that has been compared for a while
        world = World()
        world.observer = Labels(0.0, ("v1", "v2", "v3"))
        world.add(canary="v2", canary_replicas=1)
        async with world.running():
            await world.clock.advance(600)
            before = world.status()["comparison"]["canarySamples"]
            # When its template gets another version
            world.kube.put(DEPLOYMENTS, deployment("fraud-canary", serves="v3", version=2, generation=2))
            seen = []
            for _ in range(300):
                await world.clock.advance(1)
                if world.status()["rollout"]["version"] == "v3":
                    seen.append((world.status().get("comparison") or {}).get("canarySamples", 0))
        # Then what is said of it is never what was said of the one before
        assert seen
        assert max(seen[:60]) < before
        assert seen == sorted(seen)
        # And nobody is told of lost history
        assert "HistoryLost" not in events(world)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"guardrails": {"cooldown": {"rollback": "2h"}}}, True),
        ({"rollout": {"stepDuration": "20m"}}, True),
        ({"rollout": {"gate": {"deadline": "3d"}}}, True),
        ({"rollout": {"gate": {"margin": "7%"}}}, False),
        ({"rollout": {"gate": {"minDuration": "45m"}}}, False),
        ({"objective": {"target": {"value": 0.4}}}, False),
    ],
)
def test_what_matters_to_decisions_alone_does_not_have_the_history_read_again(
    change: dict[str, dict[str, Any]], kept: bool
) -> None:
    async def run() -> None:
        world = World()
        world.observer = Labels(0.0)
        body = copy.deepcopy(await rolled(world))
        async with world.running():
            await world.clock.advance(20)
            body["spec"] = {**body["spec"], **{name: body["spec"].get(name, {}) | one for name, one in change.items()}}
            body["metadata"]["generation"] += 1
            world.kube.put(MODELSLOS, body)
            asked = len(world.observer.asked)
            await world.clock.advance(10)
            spans = [asks[0].until - asks[0].since for asks in world.observer.asked[asked:]]
        assert (max(spans) <= 20) is kept

    asyncio.run(run())


def test_a_long_history_is_judged_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a Lease to renew."""
    beside: dict[bool, set[bool]] = {True: set(), False: set()}

    def spied(*case: Any) -> Evaluation:
        beside[len(case[5].increments) >= 300].add(threading.current_thread() is not threading.main_thread())
        return evaluate(*case)

    monkeypatch.setattr(worker, "evaluate", spied)
    monkeypatch.setattr(worker, "_LONG", 300)

    async def run() -> None:
        world = World()
        world.observer = Labels(0.0)
        world.add(canary="v2", canary_replicas=1)
        async with world.running():
            for _ in range(1000):  # real time: a thread is at work
                if "lastEvaluationTime" in world.status():
                    break
                await asyncio.sleep(0.01)
            await world.clock.advance(50)

    asyncio.run(run())
    assert beside == {True: {True}, False: {False}}


def test_what_was_judged_by_another_spec_meanwhile_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The history is judged beside the event loop, and the margin changes there."""
    begun, changed = threading.Event(), threading.Event()
    memories: list[Memory] = []

    def slow(*case: Any) -> Evaluation:
        if not begun.is_set() and len(case[5].increments) >= 300:
            begun.set()
            assert changed.wait(10)
        if case[1].gate.margin == 0.07:
            memories.append(case[4])
        return evaluate(*case)

    async def run() -> None:
        # Given a history that is being judged
        world = World()
        world.observer = Labels(0.0)
        body = copy.deepcopy(await rolled(world))
        monkeypatch.setattr(worker, "evaluate", slow)
        monkeypatch.setattr(worker, "_LONG", 300)
        async with world.running():
            await asyncio.to_thread(begun.wait, 10)
            # When the margin changes
            body["spec"]["rollout"]["gate"] = {"margin": "7%"}
            body["metadata"]["generation"] += 1
            world.kube.put(MODELSLOS, body)
            await world.clock.advance(0.3)
            changed.set()
            for _ in range(1000):  # real time: a thread is at work
                if memories:
                    break
                await asyncio.sleep(0.01)
                await world.clock.advance(1)

    asyncio.run(run())
    # Then nothing of it is known to what is judged by the new one
    assert (memories[0].judged_since, memories[0].versions) == (None, (None, None))
