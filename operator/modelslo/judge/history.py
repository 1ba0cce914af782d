"""What stable did before the rollout: the scale of the test, frozen when it starts (decision-statistics 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp, isfinite, sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import Array
from modelslo.judge.frozen import changed, frozen
from modelslo.judge.increments import Delta
from modelslo.judge.noise import Differences, Noise
from modelslo.judge.scatter import Scatter, scatters_of_history
from modelslo.judge.timing import Tempo

_NONE: Final = np.zeros((0, 0))
_EMPTY: Final = np.zeros(0)
_LEAST_LABELS: Final = 5.0


@frozen(eq=False)
class Forecast:
    """Fading mean loss per stratum, shapes (G,)."""

    labels: Array
    total: Array

    @staticmethod
    def of(strata: int) -> Forecast:
        return Forecast(np.zeros(strata), np.zeros(strata))

    def add(self, labels: Array, total: Array, elapsed: float, memory: float) -> Forecast:
        """Takes labels and their summed loss per stratum; sums that are no numbers are left out."""
        keep = exp(-max(0.0, elapsed) / memory)
        if not isfinite(sum(total.tolist())):
            finite = np.isfinite(total)
            labels, total = np.where(finite, labels, 0.0), np.where(finite, total, 0.0)
        return Forecast(self.labels * keep + labels, self.total * keep + total)

    @property
    def mean(self) -> Array:
        """Per stratum; NaN where nothing was seen."""
        if min(self.labels.tolist()) > 0:
            return self.total / self.labels
        found: Array = np.divide(self.total, self.labels, out=np.full(len(self.total), np.nan), where=self.labels > 0)
        return found

    @property
    def overall(self) -> float:
        """Traffic-weighted; NaN before the first label."""
        labels: float = sum(self.labels.tolist())
        return float(sum(self.total.tolist())) / labels if labels > 0 else float("nan")


@frozen()
class Sound:
    """Labels of the scrapes whose sum is a number: their number, raw and bucketed losses, and squares where those are
    numbers too; ``squared`` are the labels of these."""

    labels: float = 0.0
    total: float = 0.0
    scored: float = 0.0
    squares: float = 0.0
    squared: float = 0.0

    def add(self, delta: Delta, scored: float) -> Sound:
        """Takes an increment whose sum is a number."""
        squares, squared = self.squares, self.squared
        if delta.squares is not None and isfinite(delta.squares[0]):
            squares, squared = squares + float(delta.squares[0]), squared + delta.labels
        total = self.total + float(delta.total[0])
        return Sound(self.labels + delta.labels, total, self.scored + scored, squares, squared)

    @property
    def mean(self) -> float:
        """Of the raw loss; 0 without labels."""
        return self.total / self.labels if self.labels > 0 else 0.0

    @property
    def deviation(self) -> float | None:
        """Standard deviation of one raw loss; None where squares do not tell."""
        return sqrt(max(0.0, self.squares / self.squared - self.mean**2)) if self.squared > 0 else None


@dataclass(frozen=True, eq=False)
class History:
    """Totals over stable's history; arrays as in :class:`Delta`."""

    count: Array = field(default_factory=lambda: _EMPTY)
    squares: Array | None = None
    buckets: Array = field(default_factory=lambda: _NONE)
    scored: Forecast | None = None  # of bucketed losses
    raw: Forecast | None = None
    sound: Sound = field(default_factory=lambda: Sound())
    waiting: tuple[float, float] = (0.0, 0.0)  # labels and sum of a window that is not full
    scales: tuple[Scatter, ...] = ()
    noise: Noise = field(default_factory=Noise)  # of raw losses

    @property
    def labels(self) -> float:
        return float(self.count[0]) if len(self.count) else 0.0

    def scored_moments(self, scores: Array) -> tuple[float, float]:
        """Mean and mean square of one bucketed loss; needs labels, and `scores` of the buckets, shape (K,)."""
        return moments(self.buckets[0], self.labels, scores)


def with_delta(history: History, delta: Delta, at: float, scores: Array, elapsed: float, tempo: Tempo) -> History:
    """Takes one increment of stable. `scores` of the buckets, shape (K,); empty without a histogram."""
    first = len(history.count) == 0
    scored = delta.buckets.dot(scores) if len(scores) else delta.total
    of_all, sound = float(scored[0]), history.sound
    if isfinite(delta.total[0]):
        sound = sound.add(delta, of_all)
    scales, waiting = history.scales or scatters_of_history(tempo.windows), history.waiting
    count = delta.count if first else history.count + delta.count
    buckets = delta.buckets if first else history.buckets + delta.buckets
    if len(scores):
        scales, waiting = _scattered(scales, waiting, delta, at, of_all, _variance(count, buckets, scores))
    return changed(
        history,
        noise=_noise(history, delta, at, tempo),
        scales=scales,
        waiting=waiting,
        count=count,
        squares=_sum(history.squares, delta.squares, first),
        buckets=buckets,
        scored=(history.scored or Forecast.of(len(delta.count))).add(delta.count, scored, elapsed, tempo.forecast),
        raw=(history.raw or Forecast.of(len(delta.count))).add(delta.count, delta.total, elapsed, tempo.forecast),
        sound=sound,
    )


def _noise(history: History, delta: Delta, at: float, tempo: Tempo) -> Noise:
    """Of what is compared: the segments, or the whole arm without any."""
    if history.raw is None:
        return Noise((Differences(), *(Differences(span) for span in tempo.windows)))
    rows = slice(1, None) if len(delta.count) > 1 else slice(0, 1)
    squares = None if delta.squares is None else delta.squares[rows]
    raw = Forecast(history.raw.labels[rows], history.raw.total[rows])
    return history.noise.add(at, delta.count[rows], delta.total[rows], squares, raw.mean, raw.overall)


def _sum(before: Array | None, now: Array | None, first: bool) -> Array | None:
    if now is None or (before is None and not first):
        return None
    return now if before is None else before + now


def _scattered(
    scales: tuple[Scatter, ...],
    waiting: tuple[float, float],
    delta: Delta,
    at: float,
    scored: float,
    variance: float,
) -> tuple[tuple[Scatter, ...], tuple[float, float]]:
    """Takes the labels of one scrape, with those that wait, once they are enough; `variance` of one bucketed loss."""
    labels, total = waiting[0] + delta.labels, waiting[1] + scored
    if not isfinite(total):
        return scales, (0.0, 0.0)
    if labels < _LEAST_LABELS:
        return scales, (labels, total)
    if variance > 0:
        scales = tuple(scale.add(at, labels, total / labels, variance / labels) for scale in scales)
    return scales, (0.0, 0.0)


def _variance(count: Array, buckets: Array, scores: Array) -> float:
    """Of one (bucketed) loss; 0 while it is not known."""
    labels = float(count[0])
    if labels < _LEAST_LABELS:
        return 0.0
    mean, square = moments(buckets[0], labels, scores)
    return max(0.0, square - mean * mean)


def moments(counts: Array, labels: float, scores: Array) -> tuple[float, float]:
    """Mean and mean square of one bucketed loss by the counts of its buckets, shape (K,)."""
    return float(counts.dot(scores)) / labels, float(counts.dot(scores * scores)) / labels
