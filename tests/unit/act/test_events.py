from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from kubernetes.aio.client.configuration import Configuration

from modelslo.act.events import Events, EventType, Notice, Subject
from modelslo.act.kube import AlreadyExistsError, Body, Kube, NotFoundError, Resource, UnavailableError

SUBJECT = Subject("ns", "fraud", "uid-1")


class Posted(Kube):
    """Keeps the Events that were posted."""

    def __init__(self) -> None:
        super().__init__(Configuration())
        self.events: dict[str, Body] = {}
        self.calls = 0
        self.down = False
        self.patched: set[str] = set()

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        self._call()
        name = body["metadata"]["name"]
        if name in self.events:
            raise AlreadyExistsError("there is one", 409)
        self.events[name] = body
        return body

    async def merge(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], subresource: str = ""
    ) -> Body:
        self._call()
        if name not in self.events:
            raise NotFoundError("gone", 404)
        self.patched |= set(patch)
        self.events[name] |= patch
        return self.events[name]

    def _call(self) -> None:
        self.calls += 1
        if self.down:
            raise UnavailableError("down")


def notice(key: str, reason: str = "CanaryWorse") -> Notice:
    return Notice(EventType.WARNING, reason, "Rollback", "v2 is worse", key)


class Now:
    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


def test_the_same_happening_told_again_after_a_crash_is_one_event() -> None:
    async def run() -> None:
        kube = Posted()
        for _ in range(2):  # two processes, one after the other
            await Events(kube, "pod", Now()).post(SUBJECT, notice("op-1"))
        (event,) = kube.events.values()
        assert "series" not in event
        assert event["regarding"]["uid"] == "uid-1"

    asyncio.run(run())


def test_the_same_happening_told_again_by_one_process_asks_nothing() -> None:
    async def run() -> None:
        kube = Posted()
        events = Events(kube, "pod", Now())
        for _ in range(3):
            await events.post(SUBJECT, notice("op-1"))
        assert kube.calls == 1

    asyncio.run(run())


def test_one_reason_again_and_again_is_counted_on_one_event() -> None:
    async def run() -> None:
        kube, now = Posted(), Now()
        events = Events(kube, "pod", now)
        for number in range(3):
            await events.post(SUBJECT, notice(f"op-{number}"))
            now.at += 60
        (event,) = kube.events.values()
        assert event["series"]["count"] == 3
        assert kube.patched == {"series"}  # the API server lets nothing else of an Event change
        await events.post(SUBJECT, notice("other", "Promoted"))
        now.at += 700
        await events.post(SUBJECT, notice("much later"))
        assert len(kube.events) == 3

    asyncio.run(run())


def test_an_event_that_ran_out_is_posted_anew() -> None:
    async def run() -> None:
        kube = Posted()
        events = Events(kube, "pod", Now())
        await events.post(SUBJECT, notice("op-1"))
        kube.events.clear()
        await events.post(SUBJECT, notice("op-2"))
        assert len(kube.events) == 1

    asyncio.run(run())


def test_an_event_that_cannot_be_posted_stops_nothing_and_is_tried_again() -> None:
    async def run() -> None:
        kube = Posted()
        events = Events(kube, "pod", Now())
        kube.down = True
        await events.post(SUBJECT, notice("op-1"))
        kube.down = False
        await events.post(SUBJECT, notice("op-1"))
        assert len(kube.events) == 1

    asyncio.run(run())
