"""What came of a backtest: the evaluations of a variant, gathered into episodes and figures. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelslo.backtest.course import Moment
from modelslo.backtest.variants import Variant
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Action, Reason

# Holds of an ordinary day: they are counted, and not told one by one.
_ORDINARY: Final = frozenset(
    {
        Reason.HEALTHY,
        Reason.NO_CANARY,
        Reason.IMMATURE,
        Reason.INSUFFICIENT_DATA,
        Reason.UNDECIDED,
        Reason.NEAR_MARGIN,
        Reason.WAITING_FOR_PODS,
        Reason.OPERATION_IN_PROGRESS,
        Reason.REJECTED_REVISION,
    }
)


@dataclass(frozen=True, slots=True)
class Episode:
    """Evaluations in a row with one decision; ``decision`` is the last one. Both times are of evaluations."""

    start: datetime
    end: datetime
    count: int
    decision: Decision
    version: str

    @property
    def notable(self) -> bool:
        """Whether a person wants to be told."""
        acts = self.decision.action is not Action.HOLD or self.decision.vetoed is not None
        return acts or self.decision.reason not in _ORDINARY


@dataclass(frozen=True, slots=True)
class Outcome:
    variant: Variant
    moments: tuple[Moment, ...]

    @property
    def episodes(self) -> list[Episode]:
        found: list[Episode] = []
        for one in self.moments:
            decision, last = one.decision, found[-1] if found else None
            version = decision.version or one.cast.canary or one.cast.stable or ""
            if last is not None and _kind(last.decision, last.version) == _kind(decision, version):
                found[-1] = Episode(last.start, one.at, last.count + 1, decision, version)
            else:
                found.append(Episode(one.at, one.at, 1, decision, version))
        return found

    def count(self, action: Action) -> int:
        return sum(one.decision.action is action for one in self.moments)

    def verdicts(self) -> list[tuple[Action, str, float]]:
        """Of each rollout that ended: how, which version, and how long it took (s)."""
        found: list[tuple[Action, str, float]] = []
        started: datetime | None = None
        for one in self.moments:
            if one.decision.action is Action.START:
                started = one.at
            elif one.decision.action in (Action.PROMOTE, Action.ROLLBACK) and started is not None:
                took = (one.at - started).total_seconds()
                found.append((one.decision.action, one.decision.version, took))
                started = None
        return found

    @property
    def unjudged(self) -> int:
        """Evaluations at which nothing could be said, for want of sound data."""
        return sum(one.judgement.problem is not None for one in self.moments)


def _kind(decision: Decision, version: str) -> tuple[str, ...]:
    return decision.action, decision.reason, decision.vetoed or "", version


def notable(outcome: Outcome) -> Sequence[Episode]:
    return [one for one in outcome.episodes if one.notable]
