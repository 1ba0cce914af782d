"""Feeds one trace to a judge and counts how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from tests.simulate.bound import labels_needed
from tests.simulate.deciders import Factory, Piped
from tests.simulate.kind import Kind
from tests.simulate.trace import build
from tests.simulate.truth import Count, Truth, Verdict, count
from tests.simulate.words import Line, Mode

_ACTIONS: Final = ("hold", "promote", "rollback", "retrain")


@dataclass(frozen=True, slots=True)
class Row:
    """How one trace ended.

    Attributes:
        kind, number, seed, mode, decider: Which trace, who judged.
        canary: First verdict on the canary, None if there was none.
        canary_at: Its minutes after the rollout.
        retrain_at: Minutes from the rollout to the first retrain, None if there was none.
        reason: What the judge gave as reason for its last verdict; without one, for its last hold.
        count: How that counts.
        labels: Canary labels of predictions after the warm-up that had arrived at the verdict.
        labels_all: The same with the warm-up's.
        bound: Least expected number of canary labels for the right verdict, where it is known.
        scrapes: Fed.
        cost: Mean CPU time of one scrape inside the judge, in microseconds; over a pipe the time that passed.
    """

    kind: str
    number: int
    seed: int
    mode: Mode
    decider: str
    canary: str | None
    canary_at: float | None
    retrain_at: float | None
    reason: str | None
    count: Count
    labels: int
    labels_all: int
    bound: float | None
    scrapes: int
    cost: float

    def to_json(self) -> Line:
        """As one flat object."""
        return asdict(self)

    @classmethod
    def from_json(cls, line: Mapping[str, object]) -> Row:
        """The inverse of `to_json`."""
        values = dict(line)
        counted = values.pop("count")
        assert isinstance(counted, dict)
        return cls(**values, count=Count(**counted))  # type: ignore[arg-type]


class _Verdicts:
    """The first verdicts of a trace (study, section 12)."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self.canary: Verdict | None = None
        self.retrain: Verdict | None = None
        self.reason: str | None = None

    def hear(self, answer: Mapping[str, object], now: float) -> None:
        """Takes one answer of a scrape at or after k0."""
        action = answer["action"]
        if action not in _ACTIONS:
            raise ValueError(f"the judge answered action {action!r}, which is none of {', '.join(_ACTIONS)}")
        if action in ("promote", "rollback") and self.canary is None:
            self.canary = Verdict(action, now)
        elif action == "retrain" and self.retrain is None:
            self.retrain = Verdict("retrain", now)
        elif self.canary is not None or self.retrain is not None:
            return
        reason = answer.get("reason")
        self.reason = None if reason is None else str(reason)

    @property
    def settled(self) -> bool:
        """Whether nothing can change any more: later answers would not count."""
        if self._truth.group == "stable":
            return self.retrain is not None
        return self.canary is not None


def drive(kind: Kind, number: int, factory: Factory, *, seed: int = 0, mode: Mode = "histogram", name: str = "") -> Row:
    """Has one trace judged, scrape by scrape, until nothing can change any more."""
    trace = build(kind, number, seed=seed, mode=mode)
    judge = factory(trace.meta)
    verdicts = _Verdicts(trace.truth)
    clock = time.perf_counter_ns if isinstance(factory, Piped) else time.thread_time_ns
    scrapes, spent = 0, 0
    for scrape in trace.scrapes:
        before = clock()
        answer = judge.feed(scrape)
        spent += clock() - before
        scrapes += 1
        now = scrape["t"]
        assert isinstance(now, float)
        if now >= trace.truth.rollout:
            verdicts.hear(answer, now)
        if verdicts.settled:
            break
    close = getattr(judge, "close", None)
    if close is not None:
        close()
    return Row(
        kind=kind.name,
        number=number,
        seed=seed,
        mode=mode,
        decider=name,
        canary=verdicts.canary.action if verdicts.canary else None,
        canary_at=_minutes(trace.truth, verdicts.canary),
        retrain_at=_minutes(trace.truth, verdicts.retrain),
        reason=verdicts.reason,
        count=count(trace.truth, verdicts.canary, verdicts.retrain),
        labels=trace.used.warm[scrapes - 1],
        labels_all=trace.used.all[scrapes - 1],
        bound=labels_needed(kind),
        scrapes=scrapes,
        cost=round(spent / 1e3 / max(1, scrapes), 1),
    )


def _minutes(truth: Truth, verdict: Verdict | None) -> float | None:
    return None if verdict is None else (verdict.time - truth.rollout) / 60.0
