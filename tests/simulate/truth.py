"""What is true of a trace, and how a judge's actions are counted against it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulate.words import Action, Group


@dataclass(frozen=True, slots=True)
class Truth:
    """The truth of one trace. Times are seconds since the first scrape.

    Attributes:
        kind: Name of its kind.
        group: Of its kind.
        right: Allowed actions; without `hold` one of the others is required.
        rollout: Time of k0.
        deadline: Minutes after the rollout.
        onset: When the regression or the drift becomes one: its effect passes the margin or the SLO level.
            The time of the rollout when it is there from the start or there is none.
        ratio: True ratio of the means, canary over stable; None when there is no canary.
        regression: Whether promoting is wrong (not set at the boundary).
        drift: Whether the stable version drifts.
        incidents: (start, end).
    """

    kind: str
    group: Group
    right: frozenset[Action]
    rollout: float
    deadline: float
    onset: float
    ratio: float | None
    regression: bool
    drift: bool
    incidents: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's first action of a sort: on the canary (promote or rollback), or on stable (retrain)."""

    action: Action
    time: float


@dataclass(frozen=True, slots=True)
class Count:
    """How a trace ended.

    Attributes:
        false_rollback, false_promote, in_incident, false_retrain: Wrong actions. At the boundary every verdict is one.
        moot: Promoted before the regression began: neither right nor wrong, nobody could know.
        missed: A right verdict was required and did not come by the deadline.
        right: A right verdict came.
        delay: Minutes from the rollout, or from the onset if later, to the right verdict.
    """

    false_rollback: bool = False
    false_promote: bool = False
    in_incident: bool = False
    false_retrain: bool = False
    moot: bool = False
    missed: bool = False
    right: bool = False
    delay: float | None = None

    @property
    def wrong(self) -> bool:
        """Whether any action was wrong."""
        return self.false_rollback or self.false_promote or self.in_incident or self.false_retrain


def count(truth: Truth, canary: Verdict | None, retrain: Verdict | None) -> Count:
    """Counts the two first verdicts of a judge against the truth (study, sections 1, 7 and 12)."""
    rolled_back = canary is not None and canary.action == "rollback"
    promoted = canary is not None and canary.action == "promote"
    early = canary is not None and canary.time < truth.onset
    moot = promoted and early and truth.regression
    settled = retrain if truth.drift else canary
    right = settled is not None and settled.action in truth.right and (settled.time >= truth.onset)
    return Count(
        false_rollback=rolled_back and ("rollback" not in truth.right or early),
        false_promote=promoted and "promote" not in truth.right and not moot and not truth.drift,
        in_incident=canary is not None and any(start <= canary.time <= end for start, end in truth.incidents),
        false_retrain=retrain is not None and (not truth.drift or retrain.time < truth.onset),
        moot=moot,
        missed="hold" not in truth.right and not right and not moot,
        right=right,
        delay=(settled.time - truth.onset) / 60.0 if right and settled is not None else None,
    )
