"""Equal-age cohorts: when labels of both arms are of predictions that both arms made (decision-statistics 3.6, 3.7).

A label counts when its prediction was made after the canary's first one plus the warm-up, A seconds ago. How many of
stable's labels are older than A is read off its histogram of label delays; a canary can have none of those.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import field
from functools import lru_cache
from math import exp, inf, sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import Array, row_sums
from modelslo.judge.frozen import frozen

MOST_OLDER: Final = 0.02
_FLOOD: Final = 3.0
_SIZE_STEP: Final = 0.1
_NONE: Final = np.zeros(0)


@frozen(eq=False)
class Delays:
    """Stable's label delays of late, per bucket, shape (J,), fading; ``size``: labels that usually come at once.

    A flood of old labels after an outage counts no more than a few usual scrapes: it says nothing of labels to come.
    """

    counts: Array = field(default_factory=lambda: _NONE)
    size: float = 0.0

    def with_labels(self, lags: Array | None, elapsed: float, memory: float) -> Delays:
        """Takes the labels of `elapsed` seconds; older ones fade with time constant `memory` (s)."""
        labels = 0.0 if lags is None else float(row_sums(lags))
        if lags is None or labels <= 0:
            return self
        if len(self.counts) != len(lags):
            return Delays(lags, labels)
        most = _FLOOD * self.size
        counted = min(labels, most)
        size = self.size + _SIZE_STEP * (counted - self.size)
        return Delays(self.counts * exp(-elapsed / memory) + lags * (counted / labels), size)


@lru_cache(maxsize=16)
def older_shares(edges: tuple[float, ...], age: float) -> Array:
    """Share of the labels of each delay bucket, shape (J,), that is above `age` (s): linear inside, all of the last."""
    place = bisect_right(edges, age)
    found = np.ones(len(edges) + 1)
    found[:place] = 0.0
    if place < len(edges):
        lower, upper = edges[place - 1] if place else 0.0, edges[place]
        found[place] = min(1.0, (upper - age) / (upper - lower))
    found.flags.writeable = False  # those who ask for one age at one scrape have the same one
    return found


def wait(delays: Delays, edges: tuple[float, ...]) -> float:
    """Least age (s) from which on usual labels are mature; infinite where the delays do not tell."""
    above = float(row_sums(delays.counts))
    allowed = MOST_OLDER * above
    if not above > 0:
        return inf
    for lower, upper, count in zip((0.0, *edges[:-1]), edges, delays.counts[:-1].tolist(), strict=True):
        above -= count
        if above <= allowed:
            inside = (allowed - above) / count if count > 0 else 1.0
            return max(lower, upper - inside * (upper - lower))
    return inf


def mature(delays: Delays, lags: Array | None, edges: tuple[float, ...], age: float) -> bool:
    """Whether labels of now may be compared, `age` seconds after the canary's warm-up; `lags` are those of now.

    At most 2 % of stable's delays of late are longer. A batch that holds more such labels than chance explains (a
    backfill from before the rollout) is refused too. One old label in a small batch is chance: to refuse it would
    select for quick labels.
    """
    if age <= 0:
        return False
    shares = older_shares(edges, age)
    total = float(row_sums(delays.counts))
    if total <= 0 or float(delays.counts.dot(shares)) > MOST_OLDER * total:
        return False
    if lags is None:
        return True
    expected = MOST_OLDER * float(row_sums(lags))
    return float(lags.dot(shares)) <= expected + 3 * sqrt(expected) + 1
