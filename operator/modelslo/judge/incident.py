"""Upstream incidents: stable's loss jumps at once, so that nothing can be said about the canary (section 3.8).

Two exponentially fading means of stable's loss. While the fast one stands far above the slow one, the gate is frozen;
when the shift persists the slow one follows and the freeze ends by itself.

What freezes is not compared. Were it chance, stable's bad labels would be left out and the canary accused: rare errors
of the same model, one in a hundred, became four times as many as the ones of stable that were left. So what is no
chance rests on how much stable's loss is seen to vary, also where no history tells it.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import Final

from modelslo.judge.frozen import frozen
from modelslo.judge.timing import Tempo

_JUMP, _RELEASE, _LEAST_Z, _LEAST_Z_QUICK = 1.5, 1.25, 4.0, 5.0
# A mean of fewer is too skewed for z, and so is one of fewer times CV^2: among them as many rare errors are expected.
_LEAST_LABELS: Final = 50.0
_LEAST_EVENTS: Final = 4.0
_NEWEST: Final = 3
_FEWEST_LABELS: Final = 5.0  # of which there is a mean to be compared with the one before


@frozen()
class Fading:
    """Labels and sum of losses, fading with time constant `memory`; ``weights2`` is the sum of squared weights."""

    labels: float = 0.0
    total: float = 0.0
    weights2: float = 0.0

    def add(self, labels: float, total: float, elapsed: float, memory: float) -> Fading:
        keep = exp(-elapsed / memory)
        return Fading(self.labels * keep + labels, self.total * keep + total, self.weights2 * keep * keep + labels)

    @property
    def mean(self) -> float | None:
        return self.total / self.labels if self.labels > 0 else None

    @property
    def effective(self) -> float:
        """Number of labels that would say as much with equal weights."""
        return self.labels * self.labels / self.weights2 if self.weights2 > 0 else 0.0


@frozen()
class Variation:
    """How much one loss varies, by the means of neighbouring scrapes: a season is in none, a jump in two differences.

    ``terms`` of (difference)^2 / (1/n + 1/n'), which is the variance of one loss on average, and their ``number``, both
    fading. ``labels`` and ``total`` wait until they are enough; ``mean`` is the one before, of ``before`` labels. The
    ``newest`` terms do not count yet: what is a jump must not pass for how much a loss varies.
    """

    labels: float = 0.0
    total: float = 0.0
    mean: float = 0.0
    before: float = 0.0
    terms: float = 0.0
    number: float = 0.0
    newest: tuple[float, ...] = ()

    def add(self, labels: float, total: float, elapsed: float, memory: float) -> Variation:
        """Takes the labels of a scrape and their summed loss."""
        labels, total = self.labels + labels, self.total + total
        keep = exp(-elapsed / memory)
        terms, number = self.terms * keep, self.number * keep
        if labels < _FEWEST_LABELS:
            return Variation(labels, total, self.mean, self.before, terms, number, self.newest)
        mean, newest = total / labels, self.newest
        if self.before > 0:
            change = mean - self.mean
            newest = (*newest, change * change * labels * self.before / (labels + self.before))
        if len(newest) > _NEWEST:
            terms, number, newest = terms + newest[0], number + 1, newest[1:]
        return Variation(0.0, 0.0, mean, labels, terms, number, newest)

    @property
    def variance(self) -> float:
        """Of one loss; 0 while it is not known."""
        return self.terms / self.number if self.number > 0 else 0.0


@frozen()
class Watch:
    """``frozen``: stable's loss has jumped and has not come back."""

    quick: Fading = Fading()
    fast: Fading = Fading()
    slow: Fading = Fading()
    variation: Variation = Variation()
    frozen: bool = False


def watched(watch: Watch, labels: float, total: float, elapsed: float, cv2: float, tempo: Tempo) -> Watch:
    """Takes stable's labels of one scrape and their summed (bucketed) loss.

    `cv2` is the squared coefficient of variation of one loss by the history, times the overdispersion of clustered
    labels; what is seen to be more counts. Besides the fast mean of the study a quick one is looked at: a jump to twice
    the loss takes the fast one three minutes to show, and until then a canary that it hits harder is judged.
    """
    quick = watch.quick.add(labels, total, elapsed, tempo.quick)
    fast = watch.fast.add(labels, total, elapsed, tempo.fast)
    slow = watch.slow.add(labels, total, elapsed, tempo.slow)
    variation = watch.variation.add(labels, total, elapsed, tempo.slow)
    return Watch(quick, fast, slow, variation, _frozen(watch.frozen, quick, fast, slow, cv2, variation.variance))


def _frozen(before: bool, quick: Fading, fast: Fading, slow: Fading, cv2: float, variance: float) -> bool:
    now, usual = fast.mean, slow.mean
    if now is None or usual is None or usual <= 0:
        return before
    cv2 = max(cv2, variance / usual / usual)
    if before:
        return now > _RELEASE * usual or _jumped(quick, slow, usual, cv2, _LEAST_Z_QUICK)
    return _jumped(fast, slow, usual, cv2, _LEAST_Z) or _jumped(quick, slow, usual, cv2, _LEAST_Z_QUICK)


def _jumped(recent: Fading, slow: Fading, usual: float, cv2: float, least: float) -> bool:
    mean = recent.mean
    if mean is None or mean <= _JUMP * usual or recent.effective < max(_LEAST_LABELS, _LEAST_EVENTS * cv2):
        return False
    error = usual * sqrt(cv2 * (1 / recent.effective + 1 / slow.effective))
    return error <= 0 or (mean - usual) / error > least
