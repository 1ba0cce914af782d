"""What was compared so far, for people and for the noise of the canary: sums over blocks."""

from __future__ import annotations

from math import isfinite
from typing import Final

from modelslo.judge.betting import Array
from modelslo.judge.blocks import Pair
from modelslo.judge.frozen import frozen
from modelslo.judge.wagers import Sample

_PRIOR_LABELS: Final = 50.0
_PRIOR_OF_MEAN: Final = 5.0


@frozen()
class Moments:
    """Labels of one arm and their bucketed losses in units of some mean: number, sum, sum of squares."""

    labels: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, sample: Sample, scored: Array, scores: Array, means: Array) -> Moments:
        """Takes the labels of a block and their bucketed losses (G,), in units of `means` (G,). `scores` of the buckets
        (K,)."""
        labels, total, squares = self.labels, self.total, self.squares
        squared = sample.buckets.dot(scores * scores)
        for mean, count, one, square in zip(
            means.tolist(), sample.count.tolist(), scored.tolist(), squared.tolist(), strict=True
        ):
            labels += count
            total += one / mean
            squares += square / (mean * mean)
        return Moments(labels, total, squares)

    def variance(self, prior: float) -> float:
        """Of one relative loss, not below `prior`, which is that of stable.

        Losses that are larger vary more, in proportion: what is expected before many labels are seen. Taken for
        clusters, it would hold back the rollback of just those canaries that are much worse.
        """
        if self.labels <= 0:
            return prior
        mean = self.total / self.labels
        own = max(0.0, self.squares / self.labels - mean * mean)
        likely = (_PRIOR_OF_MEAN + self.total) / (_PRIOR_OF_MEAN + self.labels)
        expected = prior * likely * likely
        return max(prior, (_PRIOR_LABELS * expected + self.labels * own) / (_PRIOR_LABELS + self.labels))

    def cv2(self, prior: float) -> float:
        """Squared coefficient of variation of one loss; `prior` counts as much as 50 labels."""
        if self.total <= 0:
            return prior
        own = max(0.0, self.squares * self.labels / (self.total * self.total) - 1)
        return (_PRIOR_LABELS * prior + self.labels * own) / (_PRIOR_LABELS + self.labels)


@frozen()
class Contrast:
    """Block-weighted sums of raw means, for people. ``stable``, ``canary``: labels that were compared."""

    weight: float = 0.0
    of_canary: float = 0.0
    of_stable: float = 0.0
    stable: float = 0.0
    canary: float = 0.0
    blocks: int = 0

    @property
    def ratio(self) -> float | None:
        return self.of_canary / self.of_stable if self.of_stable > 0 else None

    def add(self, pair: Pair) -> Contrast:
        """Takes a block; sums that are no numbers count as labels only."""
        weight, of_canary, of_stable = pair.weight, pair.raw_canary, pair.raw_stable
        if not isfinite(of_canary + of_stable):
            weight, of_canary, of_stable = 0.0, 0.0, 0.0
        return Contrast(
            self.weight + weight,
            self.of_canary + of_canary,
            self.of_stable + of_stable,
            self.stable + pair.labels_stable,
            self.canary + pair.labels_canary,
            self.blocks + 1,
        )
