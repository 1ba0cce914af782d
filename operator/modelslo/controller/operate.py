"""One life of the operator: become ready, stand for leadership, act while leading, leave in order.

The order of leaving matters: whatever acts stops first, only then is the Lease given back, and the watch goes last.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Protocol

from modelslo.controller.health import Check
from modelslo.controller.lease import Leadership
from modelslo.controller.prune import Pruner

log = logging.getLogger(__name__)

ENGINE_STOP: Final = 15.0
PART_STOP: Final = 4.0
FIRST_LIST_RETRY: Final = 2.0
LIST_LIMIT: Final = 900.0
LATE_LIMIT: Final = 2.0


class Exit(IntEnum):
    """Exit codes of the process."""

    OK = 0
    FAILED = 1  # something ended that must not: the watch, the engine; or the Lease was lost
    MISUSE = 2  # settings or credentials


class Actor(Protocol):
    """The engine, as far as this module knows it."""

    async def run(self, stop: asyncio.Event) -> None: ...

    def lateness(self) -> float:
        """By how many of its intervals the most overdue evaluation is late; 0 when none is."""


class Sight(Protocol):
    """The watch, as far as this module knows it."""

    ended: asyncio.Event

    @property
    def running(self) -> bool: ...

    def start(self) -> None: ...

    async def stop(self, timeout: float) -> None: ...


@dataclass(slots=True)
class Life:
    """The parts of a running operator. ``lead`` makes the leadership from what to call once leading."""

    actor: Actor
    pruner: Pruner
    watch: Sight
    lead: Callable[[Callable[[], object]], Leadership]
    clock: Callable[[], float] = time.monotonic
    patience: float = ENGINE_STOP
    leadership: Leadership | None = None
    synced: bool = False
    started_at: float = 0.0

    async def live(self, stop: asyncio.Event) -> Exit:
        """Until ``stop`` is set or something ends that must not."""
        self.started_at = self.clock()
        if not await self._sync(stop):
            return Exit.OK
        loop = asyncio.get_running_loop()
        leading, still = asyncio.Event(), asyncio.Event()
        self.leadership = self.lead(lambda: loop.call_soon_threadsafe(leading.set))
        self.watch.start()
        self.leadership.start()
        acting = asyncio.create_task(self._act(leading, still), name="engine")
        listing = asyncio.create_task(self.pruner.run(), name="prune")
        code = await self._until_over(stop, acting, listing)
        still.set()
        return max(code, await self._leave(acting, listing))

    async def _sync(self, stop: asyncio.Event) -> bool:
        first = asyncio.create_task(self.pruner.until_done(FIRST_LIST_RETRY), name="first list")
        await _first_of(first, stop)
        if not first.done():
            first.cancel()
            return False
        first.result()
        self.synced = True
        # What was read at the start stays; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        log.info("Ready", extra={"seconds": round(self.clock() - self.started_at, 3)})
        return True

    async def _act(self, leading: asyncio.Event, still: asyncio.Event) -> None:
        waiting = asyncio.create_task(leading.wait())
        await _first_of(waiting, still)
        waiting.cancel()
        if not still.is_set():
            await self.actor.run(still)

    async def _until_over(self, stop: asyncio.Event, *tasks: asyncio.Task[None]) -> Exit:
        asked, blind = asyncio.create_task(stop.wait()), asyncio.create_task(self.watch.ended.wait())
        await asyncio.wait({asked, blind, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        blind.cancel()
        if stop.is_set():
            return Exit.OK
        if self.watch.ended.is_set():
            log.critical("The watch ended; nothing may be decided on what it last saw")
        for task in tasks:
            if task.done():
                log.critical("%s ended", task.get_name(), exc_info=task.exception())
        return Exit.FAILED

    async def _leave(self, acting: asyncio.Task[None], listing: asyncio.Task[None]) -> Exit:
        listing.cancel()
        _, pending = await asyncio.wait({acting}, timeout=self.patience)
        if pending:
            # The Lease is left to run out: something may still be writing.
            log.critical("The engine did not stop within %g s", self.patience)
            return Exit.FAILED
        if self.leadership is not None:
            await asyncio.to_thread(self.leadership.stop, PART_STOP)
        await self.watch.stop(PART_STOP)
        return Exit.OK

    # --- what the kubelet is told

    def live_checks(self) -> dict[str, Check]:
        return {
            "list": self._list_is_old,
            "watch": self._watch_is_dead,
            "lease": self._lease_is_dead,
            "engine": self._late,
        }

    def ready_checks(self) -> dict[str, Check]:
        return {"list": lambda: None if self.synced else "no complete list yet", "watch": self._watch_not_up}

    def _list_is_old(self) -> str | None:
        age = self.pruner.age() if self.synced else self.clock() - self.started_at
        return None if age <= LIST_LIMIT else f"no complete list for {age:.0f} s"

    def _watch_is_dead(self) -> str | None:
        return "ended" if self.watch.ended.is_set() else None

    def _watch_not_up(self) -> str | None:
        return None if self.watch.running else "not up"

    def _lease_is_dead(self) -> str | None:
        return None if self.leadership is None or self.leadership.alive else "its thread ended"

    def _late(self) -> str | None:
        late = self.actor.lateness() if self.leading() else 0.0
        return None if late <= LATE_LIMIT else f"an evaluation is {late:.1f} intervals late"

    # --- what Prometheus is told

    def leading(self) -> bool:
        return self.leadership is not None and self.leadership.leading

    def list_age(self) -> float:
        return self.pruner.age()

    def missed(self) -> int:
        return self.pruner.mended

    def overdue(self) -> float:
        return self.actor.lateness()


async def _first_of(task: asyncio.Task[None] | asyncio.Task[bool], event: asyncio.Event) -> None:
    """Wait for the task to end or the event to be set."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
