"""At no time do two candidates lead, whatever the network does; the clock is ours."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelslo.controller.lease import (
    Election,
    Leadership,
    LeaseConflictError,
    LeaseError,
    LeaseLostError,
    LeaseRecord,
    LeaseTiming,
)

TIMING = LeaseTiming()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Store:
    """A Lease with the API server's rule: a write must rest on the newest version."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self.writes = 0
        self.down = False
        self.swallow = False

    def read(self) -> LeaseRecord | None:
        if self.down:
            raise LeaseError("down")
        return self.record

    def create(self, record: LeaseRecord) -> LeaseRecord:
        if not self.down and self.record is not None:
            raise LeaseConflictError("exists")
        return self._write(record)

    def replace(self, record: LeaseRecord) -> LeaseRecord:
        if not self.down and self.record is not None and self.record.version != record.version:
            raise LeaseConflictError("older")
        return self._write(record)

    def _write(self, record: LeaseRecord) -> LeaseRecord:
        if self.down:
            raise LeaseError("down")
        self.writes += 1
        self.record = replace(record, version=str(self.writes))
        if self.swallow:
            raise LeaseError("the answer never came")
        return self.record


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store() -> Store:
    return Store()


def candidate(store: Store, clock: Clock, name: str) -> Election:
    return Election(store, name, TIMING, clock)


def test_the_first_one_leads_and_the_second_waits(store: Store, clock: Clock) -> None:
    one, two = candidate(store, clock, "one"), candidate(store, clock, "two")
    assert one.attempt()
    assert not two.attempt()
    assert store.record is not None
    assert (store.record.holder, store.record.transitions) == ("one", 0)


def test_a_renewing_leader_stays(store: Store, clock: Clock) -> None:
    one, two = candidate(store, clock, "one"), candidate(store, clock, "two")
    for _ in range(100):
        assert one.attempt()
        assert not two.attempt()
        clock.now += TIMING.retry
    assert store.record is not None
    assert store.record.transitions == 0


def test_a_silent_leader_is_followed_after_the_duration_and_not_before(store: Store, clock: Clock) -> None:
    one, two = candidate(store, clock, "one"), candidate(store, clock, "two")
    one.attempt()
    two.attempt()
    clock.now += TIMING.duration - 0.1
    assert not two.attempt()
    clock.now += 0.2
    assert two.attempt()
    assert one.overdue()
    assert store.record is not None
    assert (store.record.holder, store.record.transitions) == ("two", 1)


def test_an_old_time_in_the_record_does_not_shorten_the_wait(store: Store, clock: Clock) -> None:
    store.record = LeaseRecord("dead", 15, renewed="1999-12-31T23:59:59.000000Z", version="1")
    assert not candidate(store, clock, "two").attempt()


def test_a_lease_given_back_is_taken_at_once(store: Store, clock: Clock) -> None:
    one, two = candidate(store, clock, "one"), candidate(store, clock, "two")
    one.attempt()
    two.attempt()
    one.release()
    assert not one.leading
    assert two.attempt()


def test_the_same_pod_leads_on_after_a_restart_of_its_container(store: Store, clock: Clock) -> None:
    candidate(store, clock, "pod").attempt()
    assert candidate(store, clock, "pod").attempt()
    assert store.record is not None
    assert store.record.transitions == 0


def test_a_lost_answer_is_looked_up(store: Store, clock: Clock) -> None:
    one = candidate(store, clock, "one")
    one.attempt()
    store.swallow = True
    with pytest.raises(LeaseError):
        one.attempt()
    store.swallow = False
    with pytest.raises(LeaseConflictError):
        one.attempt()
    assert one.attempt()


def test_the_deadline_counts_from_asking(store: Store, clock: Clock) -> None:
    one = candidate(store, clock, "one")
    one.attempt()
    store.down = True
    clock.now += TIMING.renew_deadline - 0.1
    with pytest.raises(LeaseError):
        one.attempt()
    assert not one.overdue()
    clock.now += 0.1
    assert one.overdue()
    assert one.time_left() == 0


def test_a_leader_that_reads_another_name_has_lost(store: Store, clock: Clock) -> None:
    one = candidate(store, clock, "one")
    one.attempt()
    store.record = LeaseRecord("two", 15, version="77")
    with pytest.raises(LeaseConflictError):
        one.attempt()
    with pytest.raises(LeaseLostError, match="two"):
        one.attempt()


def test_deleting_the_lease_under_a_leader_brings_nobody_else_in(store: Store, clock: Clock) -> None:
    one, two = candidate(store, clock, "one"), candidate(store, clock, "two")
    one.attempt()
    two.attempt()
    store.record = None
    assert not two.attempt()
    assert one.attempt()
    store.record = None
    clock.now += TIMING.duration
    assert one.overdue()
    assert two.attempt()


@pytest.mark.parametrize(
    "broken", [{"request_timeout": 3.0}, {"retry": 11.0}, {"renew_deadline": 15.0}, {"request_timeout": 0.0}], ids=str
)
def test_times_that_do_not_fit_are_refused(broken: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must hold, and they are"):
        LeaseTiming(**broken)


class Candidates(RuleBasedStateMachine):
    """Three candidates with clocks that drift apart, a network that loses questions and answers, and crashes.

    A candidate acts as leader while it leads and is not overdue; its watchdog ends it then. That is never true of two.
    """

    @initialize()
    def begin(self) -> None:
        self.store = Store()
        self.clocks = [Clock() for _ in range(3)]
        self.all = [candidate(self.store, clock, f"c{i}") for i, clock in enumerate(self.clocks)]

    @rule(seconds=st.floats(0.1, 20), skew=st.lists(st.floats(0.99, 1.01), min_size=3, max_size=3))
    def wait(self, seconds: float, skew: list[float]) -> None:
        for clock, factor in zip(self.clocks, skew, strict=True):
            clock.now += seconds * factor

    @rule(who=st.integers(0, 2), network=st.sampled_from(["up", "up", "up", "down", "swallow"]))
    def attempt(self, who: int, network: str) -> None:
        one = self.all[who]
        if one.overdue():
            self.crash(who)
            return
        self.store.down, self.store.swallow = network == "down", network == "swallow"
        try:
            one.attempt()
        except LeaseLostError:
            self.crash(who)
        except LeaseError:
            pass
        finally:
            self.store.down = self.store.swallow = False

    @precondition(lambda self: any(one.leading for one in self.all))
    @rule()
    def release(self) -> None:
        for one in self.all:
            if one.leading and not one.overdue():
                try:
                    one.release()
                except LeaseError:
                    one.leading = False

    @rule(who=st.integers(0, 2))
    def crash(self, who: int) -> None:
        # A new pod has a new name.
        self.all[who] = candidate(self.store, self.clocks[who], f"{self.all[who].identity}'")

    @invariant()
    def at_most_one_acts(self) -> None:
        acting = [one.identity for one in getattr(self, "all", []) if one.leading and not one.overdue()]
        assert len(acting) <= 1, acting


Candidates.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCandidates = Candidates.TestCase


def quick() -> LeaseTiming:
    return LeaseTiming(duration=0.6, renew_deadline=0.4, retry=0.05, request_timeout=0.04)


def test_the_threads_lead_and_give_back() -> None:
    store, led = Store(), threading.Event()
    lost: list[str] = []
    leadership = Leadership(Election(store, "one", quick()), quick(), led.set, lost.append)
    leadership.start()
    assert led.wait(5)
    assert leadership.leading
    assert leadership.alive
    leadership.stop(5)
    assert not leadership.alive
    assert not lost
    assert store.record is not None
    assert store.record.holder == ""


def test_the_watchdog_ends_a_leader_that_cannot_renew() -> None:
    store, led, ended = Store(), threading.Event(), threading.Event()
    why: list[str] = []

    def on_lost(reason: str) -> None:
        why.append(reason)
        ended.set()

    leadership = Leadership(Election(store, "one", quick()), quick(), led.set, on_lost)
    leadership.start()
    assert led.wait(5)
    store.down = True
    assert ended.wait(5)
    assert "no renewal for 0.4 s" in why
    leadership.stop(5)


def test_the_watchdog_does_not_need_the_thread_that_renews() -> None:
    """A request that never comes back holds the renewing thread, not the watchdog."""
    store, led, ended, free = Store(), threading.Event(), threading.Event(), threading.Event()

    class Hanging(Store):
        def replace(self, record: LeaseRecord) -> LeaseRecord:
            free.wait(30)
            return store.replace(record)

        def create(self, record: LeaseRecord) -> LeaseRecord:
            return store.create(record)

    leadership = Leadership(Election(Hanging(), "one", quick()), quick(), led.set, lambda _: ended.set())
    leadership.start()
    assert led.wait(5)
    assert ended.wait(5)
    free.set()
    leadership.stop(5)
