"""How long a verdict on a canary takes, before there is one: the planning rule of decision-statistics section 8.

With f the canary's true mean loss over stable's, r = 1 + margin, kappa = n_c / n_s and an error rate a (alpha for a
rollback, beta for a promotion), a verdict needs about

    n_c = phi (ln(1/a) + 1.5 + ln(1 + n_c K' / D)) / K,    K = (f - r)^2 / (2 CV^2 (f^2 + r^2 kappa)) for small effects

labelled predictions of the canary. K is what one of them is worth (:mod:`modelslo.judge.effort`, where bets have a
limit that the study's rule has not: at CV 1, a tenth of the traffic and losses up to 48 times their mean that makes 2.5
times the labels, and so it is measured). The last term is what a verdict keeps back for clusters that are not seen,
with K' and D as in :mod:`modelslo.judge.verdict`. :class:`Luck` is measured, too (docs/planning.md). Of the rule
without a limit the study's reference used 1.0 (rollback) and 0.9 (promote) times the labels in half of the rollouts,
2.3 and 2.4 in nine of ten.

Times are seconds from the first prediction of the canary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isclose, log, log1p
from typing import Final

from modelslo.judge.blocks import BLOCK_LABELS
from modelslo.judge.effort import labels_per_nat
from modelslo.judge.verdict import BLOCKS_TO_PROMOTE, DOUBT_PROMOTION, DOUBT_ROLLBACK, measure

RESERVE: Final = 1.5
"""Nats that the mixture over bets costs on top of ln(1/a)."""
USUAL_TOP: Final = 37.5
"""1.25 times a last edge at 30 times the mean loss, as the buckets should be."""
SMALLEST_MARGIN: Final = 1e-4
LARGEST_MARGIN: Final = 1.0


class Outcome(StrEnum):
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"


class Luck(StrEnum):
    """Of ten rollouts, the labels used by the fifth or by the ninth quickest."""

    TYPICAL = "typical"
    NINE_OF_TEN = "nineOfTen"


# Labels used over labels planned, measured on 20 kinds of simulated rollouts: medians and nine tenths, rounded up.
_FACTORS: Final = {
    (Outcome.ROLLBACK, Luck.TYPICAL): 0.85,
    (Outcome.ROLLBACK, Luck.NINE_OF_TEN): 1.8,
    (Outcome.PROMOTE, Luck.TYPICAL): 0.8,
    (Outcome.PROMOTE, Luck.NINE_OF_TEN): 1.4,
}
_DOUBT: Final = {Outcome.ROLLBACK: DOUBT_ROLLBACK, Outcome.PROMOTE: DOUBT_PROMOTION}
_ROUNDS: Final = 30
_BLOCKS: Final = {Outcome.ROLLBACK: 2.0, Outcome.PROMOTE: float(BLOCKS_TO_PROMOTE)}


@dataclass(frozen=True, slots=True)
class Promise:
    """Relative margin, and the error rates of a rollback and of a promotion."""

    margin: float
    alpha: float = 0.05
    beta: float = 0.05

    @property
    def r(self) -> float:
        return 1 + self.margin

    def outcome(self, ratio: float) -> Outcome | None:
        """What is right for a canary of this true ratio; None at the margin itself, where holding is."""
        if isclose(ratio, self.r, rel_tol=1e-9):
            return None
        return Outcome.ROLLBACK if ratio > self.r else Outcome.PROMOTE

    def rate(self, outcome: Outcome) -> float:
        return self.alpha if outcome is Outcome.ROLLBACK else self.beta


@dataclass(frozen=True, slots=True)
class Traffic:
    """Labelled predictions per second of both arms together, the squared coefficient of variation of one loss, and the
    overdispersion phi >= 1 of clustered labels. ``top``: the largest loss that the buckets tell apart (1.25 times their
    last edge), over the mean loss."""

    rate: float
    cv2: float
    phi: float = 1.0
    top: float = USUAL_TOP


@dataclass(frozen=True, slots=True)
class Course:
    """How a rollout goes: the canary's shares of the traffic, one after the other, each for ``step_duration``.

    The last one lasts until the verdict. Labels of the warm-up, and for ``delay`` after every change of the share, are
    not judged. A promotion comes at ``least_age`` at the earliest and after ``least_labels`` of the canary; that many
    let the share grow, too. A block of labels lasts an ``interval`` or more, up to ``block`` where labels are few.
    """

    shares: tuple[float, ...]
    step_duration: float = 600.0
    warmup: float = 300.0
    delay: float = 0.0
    least_age: float = 600.0
    least_labels: float = 100.0
    interval: float = 60.0
    block: float = 600.0

    def at(self, share: float) -> Course:
        """The same at one share."""
        return replace(self, shares=(share,))


@dataclass(frozen=True, slots=True)
class Forecast:
    """When the verdict is spoken, in seconds, and the canary's labels that were judged by then."""

    outcome: Outcome
    seconds: float
    labels: float


def labels_needed(promise: Promise, traffic: Traffic, share: float, ratio: float) -> float:
    """Labels of the canary by the planning rule at this share of the traffic; infinite at the margin."""
    outcome = promise.outcome(ratio)
    if outcome is None:
        return inf
    per_nat = traffic.phi * _labels_per_nat(promise, traffic, share, ratio)
    doubt = _DOUBT[outcome] * _labels_per_nat(promise, traffic, share, measure(promise.r, outcome is Outcome.ROLLBACK))
    least = labels = per_nat * (log(1 / promise.rate(outcome)) + RESERVE)
    for _ in range(_ROUNDS):  # each leaves a fifth of the error or less
        labels = least + per_nat * log1p(labels / doubt)
    return labels


def least_labels(promise: Promise, traffic: Traffic, share: float, ratio: float) -> float:
    """Labels of the canary that any test with these error rates needs on average, ln(1/a) / K."""
    outcome = promise.outcome(ratio)
    if outcome is None:
        return inf
    return log(1 / promise.rate(outcome)) * _labels_per_nat(promise, traffic, share, ratio)


def _labels_per_nat(promise: Promise, traffic: Traffic, share: float, ratio: float) -> float:
    return labels_per_nat(ratio, promise.r, traffic.cv2, share / (1 - share), traffic.top)


def forecast(
    promise: Promise, traffic: Traffic, course: Course, ratio: float, luck: Luck = Luck.TYPICAL
) -> Forecast | None:
    """The verdict on a canary of this true ratio; None at the margin, where there is none to be expected."""
    outcome = promise.outcome(ratio)
    if outcome is None:
        return None
    stages = tuple(_stages(traffic, course))

    def evidence(share: float) -> float:
        return traffic.rate * share / labels_needed(promise, traffic, share, ratio)

    def labels(share: float) -> float:
        return traffic.rate * share

    found = max(
        _reached(stages, evidence, _FACTORS[outcome, luck]),
        _reached(stages, lambda share: 1 / _block_seconds(traffic, course, share), _BLOCKS[outcome]),
    )
    if outcome is Outcome.PROMOTE:
        found = max(found, _reached(stages, labels, course.least_labels), course.least_age)
    return Forecast(outcome, found, _collected(stages, labels, found))


def smallest_margin(
    promise: Promise, traffic: Traffic, course: Course, within: float, luck: Luck = Luck.TYPICAL
) -> float | None:
    """The smallest margin at which a canary that is as good as stable is promoted within so many seconds.

    None: even a margin of 100 % takes longer, because of the waits or for lack of labels.
    """

    def seconds(margin: float) -> float:
        found = forecast(Promise(margin, promise.alpha, promise.beta), traffic, course, 1.0, luck)
        assert found is not None
        return found.seconds

    low, high = SMALLEST_MARGIN, LARGEST_MARGIN
    if seconds(high) > within:
        return None
    if seconds(low) <= within:
        return low
    while high > low * (1 + 1e-6):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if seconds(middle) > within else (low, middle)
    return high


@dataclass(frozen=True, slots=True)
class _Stage:
    """Labels of `share` are judged from ``start`` to ``end``."""

    start: float
    end: float
    share: float


def _stages(traffic: Traffic, course: Course) -> Iterator[_Stage]:
    begun, labels = 0.0, 0.0
    for number, share in enumerate(course.shares):
        start = begun + course.delay + (0.0 if number else course.warmup)
        end = inf
        if number < len(course.shares) - 1:
            lacking = max(0.0, course.least_labels - labels) / (traffic.rate * share)
            end = max(begun + course.step_duration + course.delay, start + lacking)
            labels += (end - start) * traffic.rate * share
        yield _Stage(start, end, share)
        begun = end


def _reached(stages: tuple[_Stage, ...], rate: Callable[[float], float], amount: float) -> float:
    """When so much has been collected; `rate` is what a share gives per second."""
    for stage in stages:
        per_second = rate(stage.share)
        if amount <= per_second * (stage.end - stage.start):
            return stage.start + amount / per_second
        amount -= per_second * (stage.end - stage.start)
    raise AssertionError("the last stage has no end")


def _collected(stages: tuple[_Stage, ...], rate: Callable[[float], float], until: float) -> float:
    return sum(rate(one.share) * max(0.0, min(until, one.end) - one.start) for one in stages)


def _block_seconds(traffic: Traffic, course: Course, share: float) -> float:
    """Until both arms have five labels, or one each after ``block``."""
    rarer = traffic.rate * min(share, 1 - share)
    return max(course.interval, min(BLOCK_LABELS / rarer, max(course.block, 1 / rarer)))
