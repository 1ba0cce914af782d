"""Becoming ready, acting only while leading, and leaving in order. Threads and loop are real, the world is not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from modelslo.controller import operate
from modelslo.controller.feed import Feed
from modelslo.controller.health import Check
from modelslo.controller.lease import Election, Leadership, LeaseRecord
from modelslo.controller.operate import Exit, Life
from modelslo.controller.prune import Pruner
from tests.unit.controller.test_feed import Clock, Sink
from tests.unit.controller.test_lease import Store, quick
from tests.unit.controller.test_prune import Lists


class Engine:
    """Runs until told to stop, or ends, fails or hangs as asked."""

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary
        self.late = 0.0
        self.failure: Exception | None = None
        self.hangs = False
        self.running = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        self.diary.append("engine runs")
        self.running.set()
        if self.failure:
            raise self.failure
        await (asyncio.Event() if self.hangs else stop).wait()
        self.diary.append("engine stopped")

    def lateness(self) -> float:
        return self.late


class Sight:
    def __init__(self, diary: list[str]) -> None:
        self.diary = diary
        self.ended = asyncio.Event()
        self.running = False

    def start(self) -> None:
        self.running = True

    async def stop(self, timeout: float) -> None:
        self.running = False
        self.diary.append("watch stopped")


class Diarist(Store):
    """A Lease that notes when it is given back."""

    def __init__(self, diary: list[str]) -> None:
        super().__init__()
        self.diary = diary

    def replace(self, record: LeaseRecord) -> LeaseRecord:
        if not record.holder:
            self.diary.append("lease given back")
        return super().replace(record)


class World:
    def __init__(self) -> None:
        self.diary: list[str] = []
        self.engine = Engine(self.diary)
        self.sight = Sight(self.diary)
        self.store = Diarist(self.diary)
        self.lists = Lists({})
        self.stop = asyncio.Event()
        self.now = 0.0
        pruner = Pruner(Feed(Sink(), Clock()), self.lists, clock=lambda: self.now)
        self.life = Life(self.engine, pruner, self.sight, self.lead, clock=lambda: self.now, patience=0.2)

    def lead(self, on_leading: Callable[[], object]) -> Leadership:
        self.leadership = Leadership(Election(self.store, "one", quick()), quick(), on_leading, lambda why: None)
        return self.leadership


def within(story: Callable[[World], Awaitable[None]]) -> World:
    async def run() -> World:
        world = World()
        await asyncio.wait_for(story(world), 10)
        return world

    return asyncio.run(run())


def failing(checks: dict[str, Check]) -> dict[str, str]:
    return {name: problem for name, check in checks.items() if (problem := check())}


def test_it_acts_while_leading_and_leaves_in_order() -> None:
    async def story(world: World) -> None:
        living = asyncio.create_task(world.life.live(world.stop))
        await world.engine.running.wait()
        assert world.life.leading()
        assert failing(world.life.ready_checks()) == failing(world.life.live_checks()) == {}
        world.stop.set()
        assert await living == Exit.OK

    world = within(story)
    assert world.diary == ["engine runs", "engine stopped", "lease given back", "watch stopped"]


def test_a_follower_is_ready_and_does_not_act() -> None:
    async def story(world: World) -> None:
        other = Election(world.store, "other", quick())
        other.attempt()
        living = asyncio.create_task(world.life.live(world.stop))
        while failing(world.life.ready_checks()):
            await asyncio.sleep(0)
        assert not world.life.leading()
        world.engine.late = 99
        assert failing(world.life.live_checks()) == {}
        world.stop.set()
        assert await living == Exit.OK

    assert within(story).diary == ["watch stopped"]


def test_a_watch_that_ends_ends_the_process_in_order() -> None:
    async def story(world: World) -> None:
        living = asyncio.create_task(world.life.live(world.stop))
        await world.engine.running.wait()
        world.sight.ended.set()
        assert "watch" in failing(world.life.live_checks())
        assert await living == Exit.FAILED

    assert within(story).diary == ["engine runs", "engine stopped", "lease given back", "watch stopped"]


def test_an_engine_that_fails_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    async def story(world: World) -> None:
        world.engine.failure = RuntimeError("bug")
        assert await world.life.live(world.stop) == Exit.FAILED

    within(story)
    assert "engine ended" in caplog.text
    assert "RuntimeError: bug" in caplog.text


def test_an_engine_that_does_not_stop_keeps_the_lease() -> None:
    async def story(world: World) -> None:
        world.engine.hangs = True
        living = asyncio.create_task(world.life.live(world.stop))
        await world.engine.running.wait()
        world.stop.set()
        assert await living == Exit.FAILED

    world = within(story)
    assert "lease given back" not in world.diary
    assert world.store.record is not None
    assert world.store.record.holder == "one"
    # In the product the process ends here. A test that left the thread behind would trouble those after it.
    world.leadership.stop(5)
    assert not world.leadership.alive


def test_nothing_acts_before_the_first_complete_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operate, "FIRST_LIST_RETRY", 0.01)

    async def story(world: World) -> None:
        world.lists.failures = 10_000
        living = asyncio.create_task(world.life.live(world.stop))
        while world.lists.failures > 9_997:
            await asyncio.sleep(0)
        assert failing(world.life.ready_checks()) == {"list": "no complete list yet", "watch": "not up"}
        assert failing(world.life.live_checks()) == {}
        world.now = 901
        assert failing(world.life.live_checks()) == {"list": "no complete list for 901 s"}
        world.lists.failures = 0
        await world.engine.running.wait()
        world.stop.set()
        assert await living == Exit.OK

    within(story)


def test_a_stop_during_the_first_list_is_heard() -> None:
    async def story(world: World) -> None:
        world.lists.failures = 10_000
        living = asyncio.create_task(world.life.live(world.stop))
        while not world.lists.asked:
            await asyncio.sleep(0)
        world.stop.set()
        assert await living == Exit.OK

    assert within(story).diary == []


def test_an_engine_that_is_late_is_not_well() -> None:
    async def story(world: World) -> None:
        living = asyncio.create_task(world.life.live(world.stop))
        await world.engine.running.wait()
        world.engine.late = 2.5
        assert failing(world.life.live_checks()) == {"engine": "an evaluation is 2.5 intervals late"}
        world.stop.set()
        await living

    within(story)
