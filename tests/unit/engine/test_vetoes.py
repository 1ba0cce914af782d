"""Vetoes in the engine: asked for with the losses, told once, kept in status, and no loss of history."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from modelslo.act.kube import EVENTS
from modelslo.api.spec import ModelSLOSpec
from modelslo.engine.asks import vetoes_of
from modelslo.observe.ask import Ask, Veto
from modelslo.observe.evidence import Evidence, Stood, VetoSeen
from tests.unit.engine.bodies import model
from tests.unit.engine.fakes import MODELSLOS
from tests.unit.engine.test_afresh import Labels
from tests.unit.engine.test_engine import START, World

STALE = {"name": "features-stale", "query": "lag > 900"}


class Upstream(Labels):
    """A Prometheus in which every veto stands until a time."""

    def __init__(self, until: float, begins: float = 0.0) -> None:
        super().__init__(begins)
        self.until = until

    def evidence(self, ask: Ask) -> Evidence:
        cells = range(1, round((ask.until - ask.since) / ask.grid) + 1)
        ends = [ask.since + ask.grid * number for number in cells]
        stood = tuple(Stood(at, 1200.0, 1) for at in ends if at <= self.until)
        return replace(super().evidence(ask), vetoes=tuple(VetoSeen(one.name, stood) for one in ask.vetoes))


def guarded(*vetoes: dict[str, str]) -> dict[str, Any]:
    return {"guardrails": {"vetoes": list(vetoes)}}


def events(world: World) -> list[tuple[str, str]]:
    return [(one["reason"], one["note"]) for one in world.kube.of(EVENTS)]


def test_vetoes_are_asked_as_they_are_written() -> None:
    spec = ModelSLOSpec.model_validate(model(spec=guarded(STALE))["spec"])
    assert vetoes_of(spec) == (Veto("features-stale", "lag > 900"),)
    assert vetoes_of(ModelSLOSpec.model_validate(model()["spec"])) == ()


def test_a_start_is_held_back_and_told_once_until_the_veto_lifts() -> None:
    async def run() -> None:
        # Given a new canary while the data upstream are broken
        world = World()
        world.observer = Upstream(until=START + 100)
        world.add(canary="v2", spec=guarded(STALE))
        async with world.running():
            await world.clock.advance(90)
            # Then it is not started, which is told once
            assert world.observer.asked[-1][0].vetoes == (Veto("features-stale", "lag > 900"),)
            assert "rollout" not in world.status()
            assert world.status()["vetoed"]["names"] == ["features-stale"]
            ((reason, note),) = events(world)
            assert reason == "DataIncident"
            assert note.startswith("Start is held back. Veto 'features-stale' stands (value 1200)")
            # When it lifts, it is
            await world.clock.advance(40)
            assert world.status()["rollout"]["version"] == "v2"
            assert world.status()["vetoed"]["liftedAt"] > world.status()["vetoed"]["since"]

    asyncio.run(run())


def test_a_veto_that_is_added_in_the_middle_is_applied_to_what_was_and_loses_no_history() -> None:
    async def run() -> None:
        # Given a canary that has been compared for a while
        world = World()
        world.observer = Upstream(until=START + 700)
        world.add(canary="v2", canary_replicas=1)
        async with world.running():
            await world.clock.advance(600)
            compared = world.status()["comparison"]["canarySamples"]
            assert compared > 100
            # When people say that the data were broken all the time
            body = world.kube.objects["modelslos", "ns", "fraud"]
            spec = body["spec"] | guarded(STALE)
            world.kube.put(MODELSLOS, model(uid="uid-fraud", generation=2, status=body["status"], spec=spec))
            await world.clock.advance(60)
            # Then nothing of that time is compared, and nobody is told of a lost history or of a new beginning
            assert world.status()["diagnosis"]["cause"] == "DataIncident"
            assert world.status().get("comparison", {}).get("canarySamples", 0) == 0
            assert {reason for reason, _ in events(world)} & {"HistoryLost", "ComparisonRestarted"} == set()
            # And when it is taken back all of it counts again
            body = world.kube.objects["modelslos", "ns", "fraud"]
            spec = {name: part for name, part in body["spec"].items() if name != "guardrails"}
            world.kube.put(MODELSLOS, model(uid="uid-fraud", generation=3, status=body["status"], spec=spec))
            await world.clock.advance(20)
            assert world.status()["comparison"]["canarySamples"] >= compared

    asyncio.run(run())


def test_evidence_that_was_asked_for_before_a_veto_was_added_is_not_judged_and_loses_no_history() -> None:
    async def run() -> None:
        # Given a canary that has been compared for a while, and an evaluation that waits for Prometheus
        world = World()
        world.observer = Upstream(until=0)
        world.add(canary="v2", canary_replicas=1)
        async with world.running():
            await world.clock.advance(600)
            compared = world.status()["comparison"]["canarySamples"]
            world.observer.gate = asyncio.Event()
            await world.clock.advance(10)
            # When a veto is added meanwhile
            body = world.kube.objects["modelslos", "ns", "fraud"]
            spec = body["spec"] | guarded(STALE)
            world.kube.put(MODELSLOS, model(uid="uid-fraud", generation=2, status=body["status"], spec=spec))
            await world.clock.advance(1)
            world.observer.gate.set()
            await world.clock.advance(30)
            # Then all that was compared still is
            assert world.status()["comparison"]["canarySamples"] >= compared

    asyncio.run(run())
