"""Complete lists: what they mend, and what happens when they fail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from modelslo.act.kube import UnavailableError
from modelslo.controller.feed import Body, Feed
from modelslo.controller.kinds import DEPLOYMENTS, KINDS, MODELSLOS, Kind
from modelslo.controller.prune import Pruner
from tests.unit.controller.test_feed import Clock, Sink, body


class Lists:
    def __init__(self, pages: dict[Kind, list[list[dict[str, Any]]]]) -> None:
        self.all = pages
        self.asked: list[Kind] = []
        self.failures = 0

    async def pages(self, kind: Kind) -> AsyncIterator[Sequence[Body]]:
        self.asked.append(kind)
        for page in self.all.get(kind, []):
            yield page
        if self.failures:
            self.failures -= 1
            raise UnavailableError("gone")


def test_one_pass_lists_every_kind() -> None:
    sink, lists = Sink(), Lists({MODELSLOS: [[body("a")], [body("b")]], DEPLOYMENTS: [[body("d")]]})
    pruner = Pruner(Feed(sink, Clock()), lists)
    assert pruner.age() == float("inf")
    asyncio.run(pruner.once())
    assert lists.asked == list(KINDS)
    assert set(sink.held) == {("model", "shop", "a"), ("model", "shop", "b"), ("deployment", "shop", "d")}
    assert pruner.age() < 1


def test_what_the_watch_missed_is_said_loudly_except_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    lists = Lists({MODELSLOS: [[body("a")]]})
    pruner = Pruner(Feed(Sink(), Clock()), lists)
    with caplog.at_level(logging.WARNING):
        asyncio.run(pruner.once())
        assert not caplog.records
        lists.all = {}
        asyncio.run(pruner.once())
    (record,) = caplog.records
    assert (record.__dict__["kind"], record.__dict__["dropped"]) == ("modelslos.modelslo.dev", 1)


def test_a_list_that_breaks_off_drops_nothing_and_is_tried_again() -> None:
    sink, lists = Sink(), Lists({MODELSLOS: [[body("a")]]})
    pruner = Pruner(Feed(sink, Clock()), lists, interval=0.001, retry=0.001)
    asyncio.run(pruner.once())
    lists.all, lists.failures = {}, 3

    async def until_gone() -> None:
        task = asyncio.create_task(pruner.run())
        while sink.held:
            await asyncio.sleep(0)
        task.cancel()

    asyncio.run(asyncio.wait_for(until_gone(), 10))
    assert lists.failures == 0
