"""Leadership: of several operators the one that holds the Lease acts; the others watch and wait.

How two leaders at once are kept out:

* A leader counts from the moment at which it *asked* for its last renewal that was granted. When that is
  ``renew_deadline`` ago, a watchdog ends the process, whatever the rest of it is doing.
* A follower takes a Lease only after it has seen it unchanged for the whole duration on its own clock. Nobody compares
  the clocks of two machines. As the duration is longer than the deadline, the old leader is gone by then.
* The API server refuses a write that rests on an older version of the Lease, so that of two takers one wins.

It runs in threads of its own: an event loop that stands still neither loses the Lease nor keeps the watchdog quiet.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol

log = logging.getLogger(__name__)


def boottime() -> float:
    """Seconds that also pass while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """In seconds. ``request_timeout`` < ``retry`` < ``renew_deadline`` < ``duration``."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    request_timeout: float = 1.8

    def __post_init__(self) -> None:
        if not 0 < self.request_timeout < self.retry < self.renew_deadline < self.duration:
            raise ValueError(
                "leaseRequestTimeout < leaseRetry < leaseRenewDeadline < leaseDuration must hold, and they are "
                f"{self.request_timeout:g}, {self.retry:g}, {self.renew_deadline:g} and {self.duration:g}: "
                "the defaults are 1.8, 2, 10 and 15"
            )


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The Lease as the API server has it. An empty ``holder`` means that it was given back."""

    holder: str
    duration: float
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    version: str = ""


class LeaseError(Exception):
    """The Lease could not be read or written: network, time-out, or the API server said no."""


class LeaseConflictError(LeaseError):
    """Somebody else wrote it first."""


class LeaseStore(Protocol):
    def read(self) -> LeaseRecord | None: ...

    def create(self, record: LeaseRecord) -> LeaseRecord: ...

    def replace(self, record: LeaseRecord) -> LeaseRecord:
        """Write it over exactly ``record.version``, else :class:`LeaseConflictError`. A deleted one comes back so."""


class LeaseLostError(Exception):
    """We led, and the Lease names somebody else."""


class Election:
    """One candidate's view of the Lease. Has no thread: :class:`Leadership` calls :meth:`attempt` again and again."""

    def __init__(
        self,
        store: LeaseStore,
        identity: str,
        timing: LeaseTiming,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._store, self.identity, self._timing, self._clock = store, identity, timing, clock
        self._held: LeaseRecord | None = None
        self._seen: LeaseRecord | None = None
        self._seen_at = 0.0
        self.renewed_at = 0.0
        self.leading = False

    def attempt(self) -> bool:
        """Take or renew the Lease if that is allowed; true when we hold it now. May raise :class:`LeaseError`."""
        asked = self._clock()
        current = self._held or self._store.read()
        if not self._may_take(current):
            return False
        mine = self._mine(current)
        try:
            written = self._store.create(mine) if current is None else self._store.replace(mine)
        except LeaseConflictError:
            # Perhaps our own earlier write, of which we never heard the answer. Look again next time.
            self._held = None
            raise
        self._held, self._seen = written, None
        self.renewed_at, self.leading = asked, True
        return True

    def release(self) -> None:
        """Give the Lease back, so that the next leader need not wait."""
        if self.leading and self._held is not None and not self.overdue():
            self.leading = False
            self._store.replace(replace(self._mine(self._held), holder="", duration=1))

    def overdue(self) -> bool:
        """True when we must no longer act as the leader."""
        return self.leading and self._clock() >= self.renewed_at + self._timing.renew_deadline

    def time_left(self) -> float:
        return max(0.0, self.renewed_at + self._timing.renew_deadline - self._clock())

    def _may_take(self, current: LeaseRecord | None) -> bool:
        if current is not None:
            if current.holder == self.identity:
                return True
            if self.leading:
                raise LeaseLostError(f"the Lease is held by {current.holder or 'nobody'}")
            if self._seen != current:
                self._seen, self._seen_at = current, self._clock()
        # Deleting the Lease under a leader does not shorten the wait for those who have seen it.
        seen = self._seen
        return seen is None or not seen.holder or self._clock() >= self._seen_at + max(seen.duration, 1.0)

    def _mine(self, current: LeaseRecord | None) -> LeaseRecord:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        again = current is not None and current.holder == self.identity
        return LeaseRecord(
            holder=self.identity,
            duration=self._timing.duration,
            transitions=0 if current is None else current.transitions + (not again),
            acquired=current.acquired if current is not None and again and current.acquired else now,
            renewed=now,
            version="" if current is None else current.version,
        )


EXIT_LEASE_LOST: Final = 1


def end_process(why: str) -> None:
    """No clean-up, no goodbye: another leader may begin at any moment."""
    log.critical("Leadership lost, ending at once: %s", why)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(EXIT_LEASE_LOST)


class Leadership:
    """Stands for election in a thread and, once leading, keeps a watchdog.

    ``on_leading`` is called once, in the thread. ``on_lost`` must not come back to work.
    """

    def __init__(
        self,
        election: Election,
        timing: LeaseTiming,
        on_leading: Callable[[], object],
        on_lost: Callable[[str], None] = end_process,
    ) -> None:
        self._election, self._timing = election, timing
        self._on_leading, self._on_lost = on_leading, on_lost
        self._jitter = random.Random()  # noqa: S311 - its own: the thread must not stir anybody else's
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._watchdog = threading.Thread(target=self._watch, name="lease-watchdog", daemon=True)

    @property
    def leading(self) -> bool:
        return self._election.leading

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Give the Lease back. Only after everything that acts has stopped."""
        self._stop.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._once()
            # Jitter keeps followers from asking in step.
            self._stop.wait(self._timing.retry * self._jitter.uniform(0.8, 1.2))
        try:
            self._election.release()
        except LeaseError as error:
            log.warning("The Lease could not be given back; it runs out by itself: %s", error)

    def _once(self) -> None:
        was_leading = self._election.leading
        try:
            self._election.attempt()
        except LeaseConflictError as error:
            log.info("Somebody else wrote the Lease first: %s", error)
        except LeaseError as error:
            log.warning("The Lease could not be read or written: %s", error)
        except LeaseLostError as lost:
            self._lose(str(lost))
        if self._election.leading and not was_leading:
            log.info("Leading", extra={"identity": self._election.identity})
            self._watchdog.start()
            self._on_leading()

    def _watch(self) -> None:
        while self._thread.is_alive() or self._election.leading:
            if self._election.overdue():
                self._lose(f"no renewal for {self._timing.renew_deadline:g} s")
                return
            time.sleep(min(self._election.time_left(), 0.25) + 0.001)

    def _lose(self, why: str) -> None:
        self._stop.set()
        self._on_lost(why)
