"""Upstream incidents: stable's loss jumps at once, so that nothing can be said about the canary (section 3.8).

Two exponentially fading means of stable's loss. While the fast one stands far above the slow one, the gate is frozen;
when the shift persists the slow one follows and the freeze ends by itself.
"""

from __future__ import annotations

from math import exp, sqrt
from typing import Final

from modelslo.judge.frozen import frozen
from modelslo.judge.timing import Tempo

_JUMP, _RELEASE, _LEAST_Z, _LEAST_Z_QUICK = 1.5, 1.25, 4.0, 5.0
# A mean of fewer is too skewed for z. What freezes is dropped: with few labels that would be stable's bad ones.
_LEAST_LABELS: Final = 50.0


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
        return self.labels**2 / self.weights2 if self.weights2 > 0 else 0.0


@frozen()
class Watch:
    """``frozen``: stable's loss has jumped and has not come back."""

    quick: Fading = Fading()
    fast: Fading = Fading()
    slow: Fading = Fading()
    frozen: bool = False


def watched(watch: Watch, labels: float, total: float, elapsed: float, cv2: float, tempo: Tempo) -> Watch:
    """Takes stable's labels of one scrape and their summed (bucketed) loss.

    `cv2` is the squared coefficient of variation of one loss, times the overdispersion of clustered labels. Besides the
    fast mean of the study a quick one is looked at: a jump to twice the loss takes the fast one three minutes to show,
    and until then a canary that it hits harder is judged.
    """
    quick = watch.quick.add(labels, total, elapsed, tempo.quick)
    fast = watch.fast.add(labels, total, elapsed, tempo.fast)
    slow = watch.slow.add(labels, total, elapsed, tempo.slow)
    now, usual = fast.mean, slow.mean
    if now is None or usual is None or usual <= 0:
        return Watch(quick, fast, slow, watch.frozen)
    if watch.frozen:
        return Watch(quick, fast, slow, now > _RELEASE * usual or _jumped(quick, slow, usual, cv2, _LEAST_Z_QUICK))
    jumped = _jumped(fast, slow, usual, cv2, _LEAST_Z) or _jumped(quick, slow, usual, cv2, _LEAST_Z_QUICK)
    return Watch(quick, fast, slow, jumped)


def _jumped(recent: Fading, slow: Fading, usual: float, cv2: float, least: float) -> bool:
    mean = recent.mean
    if mean is None or recent.effective < _LEAST_LABELS or mean <= _JUMP * usual:
        return False
    error = usual * sqrt(cv2 * (1 / recent.effective + 1 / slow.effective))
    return error <= 0 or (mean - usual) / error > least
