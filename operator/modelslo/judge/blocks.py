"""Blocks: labels of both arms from the same minutes, compared with each other and with nothing else (section 3.5)."""

from __future__ import annotations

from typing import Final

import numpy as np

from modelslo.judge.betting import Array, Mask
from modelslo.judge.frozen import frozen
from modelslo.judge.wagers import Sample

BLOCK_LABELS: Final = 5.0
_ROUNDING: Final = 1e-6


@frozen(eq=False)
class Filling:
    """The block that is being filled; ``since`` is when its first labels came."""

    stable: Sample
    canary: Sample
    since: float | None = None

    def add(self, stable: Sample | None, canary: Sample | None, at: float, elapsed: float) -> Filling:
        """Takes what came in the last `elapsed` seconds before `at`; None: nothing of this arm."""
        if self.since is not None:
            stable = self.stable if stable is None else self.stable + stable
            canary = self.canary if canary is None else self.canary + canary
            return Filling(stable, canary, self.since)
        stable, canary = stable or self.stable, canary or self.canary
        some = any(stable.count.tolist()) or any(canary.count.tolist())
        return Filling(stable, canary, at - elapsed if some else None)

    def without(self, chosen: Mask) -> Filling:
        """The same with nothing in some of the strata."""
        stable, canary = self.stable.without(chosen), self.canary.without(chosen)
        return Filling(stable, canary, self.since if stable.count.any() or canary.count.any() else None)

    def divided(self, at: float, elapsed: float, longest: float, empty: Filling) -> Division | None:
        """The block, if it is over: both arms have enough labels in strata that both have; None: it goes on.

        Enough are five of each arm, or one after `longest` seconds. `elapsed`: since the first labels.
        """
        fewer = np.minimum(self.canary.count, self.stable.count)
        if min(fewer.tolist()) >= 1:
            canary, stable, chosen, rest = self.canary, self.stable, None, empty
        else:
            chosen = fewer >= 1
            canary, stable = self.canary.rows(chosen), self.stable.rows(chosen)
            rest = Filling(self.stable, self.canary, at).without(chosen)
            if rest.since is None:
                rest = empty
        least = 1.0 if elapsed >= longest else BLOCK_LABELS
        if min(sum(canary.count.tolist()), sum(stable.count.tolist())) < least:
            return None
        return Division(canary, stable, chosen, rest)


@frozen(eq=False)
class Division:
    """A block that is over, of the strata ``chosen`` (G,), None: all; and what waits for the next one."""

    canary: Sample
    stable: Sample
    chosen: Mask | None
    rest: Filling


@frozen(eq=False)
class Pair:
    """One block of both arms, and what follows from it.

    ``scored_canary``, ``scored_stable`` (G,) are sums of bucketed losses per stratum, of raw ones without a histogram.
    The rest are sums over the strata: ``labels_canary``, ``labels_stable``; ``weight`` of the weights
    w = n_c n_s / (n_c + n_s); ``mean_canary``, ``mean_stable`` of w times bucketed mean, ``raw_canary``,
    ``raw_stable`` of w times raw mean; ``error_canary``, ``error_stable`` of w^2 / n, which the variance of one loss
    makes that of the first two.
    """

    canary: Sample
    stable: Sample
    scored_canary: Array
    scored_stable: Array
    weight: float
    labels_canary: float
    labels_stable: float
    mean_canary: float
    mean_stable: float
    raw_canary: float
    raw_stable: float
    error_canary: float
    error_stable: float

    @property
    def beyond(self) -> bool:
        """Whether any loss lies above the last edge."""
        return any(self.canary.buckets[:, -1].tolist()) or any(self.stable.buckets[:, -1].tolist())

    def possible(self, halves: Array) -> bool:
        """Whether losses in these buckets can have these sums: each is at most half a bucket (K,) off its middle."""
        return _possible(self.canary, self.scored_canary, halves) and _possible(self.stable, self.scored_stable, halves)


def _possible(sample: Sample, scored: Array, halves: Array) -> bool:
    for total, middle, off in zip(
        sample.total.tolist(), scored.tolist(), sample.buckets.dot(halves).tolist(), strict=True
    ):
        if abs(total - middle) > off + _ROUNDING * middle:
            return False
    return True


def pair_of(canary: Sample, stable: Sample, scores: Array | None) -> Pair:
    """`scores` of the buckets, shape (K,); None without a histogram. Strata are few: numbers are quicker than arrays of
    them."""
    scored_c, scored_s = canary.scored(scores), stable.scored(scores)
    weight = labels_c = labels_s = mean_c = mean_s = raw_c = raw_s = error_c = error_s = 0.0
    for n_c, n_s, v_c, v_s, x_c, x_s in zip(
        canary.count.tolist(),
        stable.count.tolist(),
        scored_c.tolist(),
        scored_s.tolist(),
        canary.total.tolist(),
        stable.total.tolist(),
        strict=True,
    ):
        # The weight of one label: of all together it is n_c n_s / (n_c + n_s).
        of_canary, of_stable = n_s / (n_c + n_s), n_c / (n_c + n_s)
        all_of_it = n_c * of_canary
        weight += all_of_it
        labels_c += n_c
        labels_s += n_s
        mean_c += of_canary * v_c
        mean_s += of_stable * v_s
        raw_c += of_canary * x_c
        raw_s += of_stable * x_s
        error_c += all_of_it * of_canary
        error_s += all_of_it * of_stable
    return Pair(
        canary,
        stable,
        scored_c,
        scored_s,
        weight,
        labels_c,
        labels_s,
        mean_c,
        mean_s,
        raw_c,
        raw_s,
        error_c,
        error_s,
    )
