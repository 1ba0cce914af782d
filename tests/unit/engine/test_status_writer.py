from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modelslo.api.status import ModelSLOStatus, Sli
from modelslo.engine.registry import Registry
from modelslo.engine.status import OutdatedError, StatusWriter
from modelslo.engine.views import Model
from modelslo.observe.evidence import ModelKey
from tests.unit.engine.bodies import model
from tests.unit.engine.fakes import MODELSLOS, FakeClock, FakeKube

KEY = ModelKey("ns", "fraud")


class World:
    def __init__(self, **body: Any) -> None:
        self.registry, self.clock = Registry(), FakeClock()
        self.kube = FakeKube(self.registry)
        self.kube.put(MODELSLOS, model(**body))
        self.writer = StatusWriter(self.kube, self.registry, self.clock, interval=60.0, heartbeat=900.0)

    def model(self) -> Model:
        found = self.registry.model(KEY)
        assert found is not None
        return found

    def stored(self) -> dict[str, Any]:
        (body,) = self.kube.of(MODELSLOS)
        status: dict[str, Any] = body["status"]
        return status

    async def show(self, value: float, **update: Any) -> bool:
        sli = Sli(value=value, target=0.35)
        return await self.writer.show(self.model(), self.model().status.model_copy(update={"sli": sli, **update}))


def test_figures_are_written_when_they_moved_and_it_is_their_time() -> None:
    async def run() -> None:
        world = World()
        assert await world.show(0.30)
        world.clock.at += 30
        assert not await world.show(0.40)
        world.clock.at += 30
        assert not await world.show(0.301)
        assert await world.show(0.40)
        assert world.stored()["sli"]["value"] == 0.40

    asyncio.run(run())


def test_a_record_is_written_at_once_with_the_figures_of_the_moment() -> None:
    async def run() -> None:
        world = World()
        await world.show(0.30)
        assert await world.show(0.31, observed_generation=1)
        assert world.stored()["sli"]["value"] == 0.31

    asyncio.run(run())


def test_nothing_new_is_written_as_a_heartbeat_now_and_then() -> None:
    async def run() -> None:
        world = World()
        await world.show(0.30)
        world.clock.at += 899
        assert not await world.show(0.30)
        world.clock.at += 1
        assert await world.show(0.3001)

    asyncio.run(run())


def test_a_model_that_did_not_change_costs_no_request() -> None:
    async def run() -> None:
        world = World()
        await world.show(0.30)
        calls = len(world.kube.calls)
        for _ in range(10):
            world.clock.at += 60
            await world.show(0.30)
        assert len(world.kube.calls) == calls

    asyncio.run(run())


def test_an_edit_by_somebody_else_does_not_lose_a_record() -> None:
    async def run() -> None:
        world = World()
        base = world.model()
        world.kube.registry = None  # the watch is late
        (body,) = world.kube.of(MODELSLOS)
        world.kube.put(MODELSLOS, body | {"metadata": body["metadata"] | {"annotations": {"a": "b"}}})
        written = await world.writer.record(base, base.status.model_copy(update={"observed_generation": 5}))
        assert written.status.observed_generation == 5
        assert world.stored()["observedGeneration"] == 5

    asyncio.run(run())


def test_a_status_that_somebody_else_wrote_is_never_written_over() -> None:
    async def run() -> None:
        world = World()
        base = world.model()
        world.kube.registry = None
        (body,) = world.kube.of(MODELSLOS)
        world.kube.put(MODELSLOS, body | {"status": {"observedGeneration": 9}})
        with pytest.raises(OutdatedError):
            await world.writer.record(base, base.status.model_copy(update={"observed_generation": 5}))
        assert world.stored()["observedGeneration"] == 9
        assert world.model().status.observed_generation == 9

    asyncio.run(run())


def test_a_model_that_is_gone_is_dropped() -> None:
    async def run() -> None:
        world = World()
        base = world.model()
        world.kube.objects.clear()
        with pytest.raises(OutdatedError):
            await world.writer.record(base, base.status.model_copy(update={"observed_generation": 5}))
        assert world.registry.model(KEY) is None

    asyncio.run(run())


def test_what_could_not_be_read_is_taken_away_with_the_next_write() -> None:
    async def run() -> None:
        world = World(status={"operation": {"id": "of another operator"}, "observedGeneration": 1})
        assert world.model().status == ModelSLOStatus(observed_generation=1)
        await world.writer.record(world.model(), world.model().status.model_copy(update={"observed_generation": 2}))
        assert "operation" not in world.stored()

    asyncio.run(run())


def test_numbers_that_are_none_never_reach_the_api_server() -> None:
    async def run() -> None:
        world = World()
        await world.show(float("nan"))
        assert "value" not in world.stored()["sli"]

    asyncio.run(run())
