"""What buckets misread: a ratio of means that is r by the sums of the losses may be another one by their buckets.

All losses of a bucket count as its middle. Where a loss has a sharp edge, or varies less than its buckets are wide, a
canary whose mean is 1.10 times stable's may have a bucketed mean of 1.03 or 1.14 times. The exporter's sums tell:
with v the bucketed means of a block, x the raw ones, and lambda what stable's bucketed loss is over its raw one,

    d = (v_c - r v_s) - lambda (x_c - r x_s)

has, at the margin, the mean of the bucketed contrast alone, which is what a bet must not count as evidence. lambda
takes the noise that both share out of it. The ratio that a bet is about is r + mean(d) / v_s, by earlier blocks.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from modelslo.judge.betting import Array
from modelslo.judge.blocks import Pair
from modelslo.judge.frozen import frozen

_FEWEST: Final = 3.0
_MOST: Final = 0.5  # of r


@frozen()
class Misread:
    """Fading sums over blocks: their weights, weight times d over stable's mean, weight times its square, their number.

    ``sums`` are stable's losses by buckets and by the exporter's sums.
    """

    sums: tuple[float, float] = (0.0, 0.0)
    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    blocks: float = 0.0

    def ratio(self, r: float) -> float:
        """The ratio of bucketed means that bets are about, where the one of raw means is `r`.

        What is found counts as far as it stands out from its standard error e, as 1 - e^2/d^2 of it (James & Stein
        1961): where buckets are read right there is nothing to be corrected.
        """
        if self.blocks < _FEWEST:
            return r
        mean = self.total / self.weight
        error = max(0.0, self.squares / self.weight - mean * mean) * (1 + _FEWEST / self.blocks) / (self.blocks - 1)
        if error >= mean * mean:
            return r
        found = mean - error / mean
        return r + max(-_MOST * r, min(found, _MOST * r))

    def add(self, pair: Pair, r: float, mean: float, keep: float, halves: Array) -> Misread:
        """Takes a block; what was before counts `keep` times. `mean` is stable's bucketed loss before it, `halves` (K,)
        half the width of each bucket.

        Sums that are no numbers say nothing, nor do losses above the last edge: how large they are is in the sum alone.
        Nor do sums that no losses in their buckets have: after one loss of 10^20 a counter takes no others up.
        """
        scored, raw = self.sums[0] * keep, self.sums[1] * keep
        weight, total, squares, blocks = self.weight * keep, self.total * keep, self.squares * keep, self.blocks * keep
        if not mean > 0 or not isfinite(pair.raw_canary + pair.raw_stable) or pair.beyond or not pair.possible(halves):
            return Misread((scored, raw), weight, total, squares, blocks)
        scored, raw = scored + pair.mean_stable, raw + pair.raw_stable
        factor = scored / raw if raw > 0 else 1.0
        d = (pair.mean_canary - r * pair.mean_stable) - factor * (pair.raw_canary - r * pair.raw_stable)
        d /= pair.weight * mean
        return Misread(
            (scored, raw),
            weight + pair.weight,
            total + pair.weight * d,
            squares + pair.weight * d * d,
            blocks + 1,
        )
