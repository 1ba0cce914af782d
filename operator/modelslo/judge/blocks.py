"""Blocks: labels of both arms from the same minutes, compared with each other and with nothing else (section 3.5)."""

from __future__ import annotations

from typing import Final

import numpy as np

from modelslo.judge.betting import Array, Mask
from modelslo.judge.frozen import frozen
from modelslo.judge.wagers import Sample

BLOCK_LABELS: Final = 5.0


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
    """One block of both arms, and what follows from it, per stratum (G,).

    ``scored_canary``, ``scored_stable`` are sums of bucketed losses, of raw ones without a histogram; ``weights`` are
    n_c n_s / (n_c + n_s), and ``weight`` is their sum. ``labels_canary``, ``labels_stable`` are of all strata.
    ``mean_canary``, ``mean_stable`` are sums over the strata of weights times bucketed mean, ``raw_canary``,
    ``raw_stable`` times raw mean.
    """

    canary: Sample
    stable: Sample
    scored_canary: Array
    scored_stable: Array
    weights: Array
    weight: float
    labels_canary: float
    labels_stable: float
    mean_canary: float
    mean_stable: float
    raw_canary: float
    raw_stable: float

    @property
    def beyond(self) -> bool:
        """Whether any loss lies above the last edge."""
        return bool(self.canary.buckets[:, -1].any() or self.stable.buckets[:, -1].any())


def pair_of(canary: Sample, stable: Sample, scores: Array | None) -> Pair:
    """`scores` of the buckets, shape (K,); None without a histogram."""
    n_c, n_s = canary.count, stable.count
    both = n_c + n_s
    of_canary, of_stable = (
        n_s / both,
        n_c / both,
    )  # the weight of one label: of all together it is n_c n_s / (n_c + n_s)
    weights = n_c * of_canary
    scored_c = canary.total if scores is None else canary.buckets.dot(scores)
    scored_s = stable.total if scores is None else stable.buckets.dot(scores)
    return Pair(
        canary,
        stable,
        scored_c,
        scored_s,
        weights,
        sum(weights.tolist()),
        sum(n_c.tolist()),
        sum(n_s.tolist()),
        float(of_canary.dot(scored_c)),
        float(of_stable.dot(scored_s)),
        float(of_canary.dot(canary.total)),
        float(of_stable.dot(stable.total)),
    )
