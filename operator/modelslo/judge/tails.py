"""Losses too rare for bets on the mean, which are made for stable's variance: bad events, counted above an edge.

The study has one edge (decision-statistics section 4.5), for *large losses*: about one of a hundred exceeds it, and a
canary may have ``ratio`` times as many. Beside those a few *catastrophes* are lost, and bets on the mean are each too
bold for them. So there is a second edge, twenty times the mean or higher.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log
from typing import Final

import numpy as np

from modelslo.judge.betting import FLOOR, LARGEST_BET, Array, Bets, best_bet, row_sums
from modelslo.judge.frozen import frozen

LARGE_SHARE: Final = 0.012
RATIOS: Final = (1.5, 4.0)
_SLACK: Final = 1.25
_MOST_LIGHTER: Final = 1.5
CATASTROPHE: Final = 20.0
"""Times stable's mean. Up to there a loss that makes the mean worse by a margin is no rarer than bets on it bear."""
CATASTROPHE_SHARE: Final = 0.001
TOLERATED: Final = 1 / 4
"""Part of the margin that catastrophes may use up."""
_DOUBLE: Final = 2.0
_OCTAVES: Final = 2.0 ** np.arange(-1, 5)
_MASSES: Final = (0.05, 0.2, 0.3, 0.3, 0.1, 0.05)
_LEAST_SHARE: Final = 1e-9  # a forecast fades for as long as there is no event, and any will do
_LEAST: Final = 1e-300


@dataclass(frozen=True, slots=True)
class Tail:
    """Losses above the edge of bucket ``cut`` are bad events; ``share`` of stable's were. A canary may have ``ratio``
    times stable's share, or ``tolerated``, whichever is more.

    ``bets`` are those against each of the two: where both are refuted, the smaller e-value is one.
    """

    cut: int
    share: float
    ratio: float
    bets: tuple[Bets, ...]
    tolerated: float = 0.0


@frozen(eq=False)
class Tails:
    """None, one or two. ``above`` (K, T) is one for the buckets above each edge. ``sizes`` (R, L) are the bets, a row
    for each thing that is tolerated."""

    each: tuple[Tail, ...]
    above: Array
    sizes: Array

    @staticmethod
    def of(each: tuple[Tail, ...], buckets: int) -> Tails:
        """With so many `buckets`."""
        above = np.zeros((buckets, len(each)))
        for place, tail in enumerate(each):
            above[tail.cut + 1 :, place] = 1.0
        sizes = np.array([one.sizes for tail in each for one in tail.bets]).reshape(-1, len(_MASSES))
        return Tails(each, above, sizes)

    def events(self, buckets: Array) -> Array:
        """Bad events per stratum and edge, shape (G, T), of counts (G, K)."""
        found: Array = buckets.dot(self.above)
        return found

    def log_e(self, canary: tuple[Array, Array], stable: tuple[Array, Array], shares: Sequence[float]) -> Array:
        """ln e per row and bet, shape (R, L), of labels (G,) and buckets (G, K) of both arms. `shares` (T,) of stable's
        losses are bad events, by forecast.

        More often than stable's: as the bets on the mean (section 4.2), with losses of 0 and 1, summed over the strata.
        Too often: a label of the canary has 1 + b (1 / tolerated - 1) if it is an event, else 1 - b.
        """
        arms = list(zip(canary[0].tolist(), stable[0].tolist(), strict=True))
        events = list(zip(self.events(canary[1]).tolist(), self.events(stable[1]).tolist(), strict=True))
        rows = []
        for place, (tail, share) in enumerate(zip(self.each, shares, strict=True)):
            gains, cost = _gains(tail.ratio, max(share, _LEAST_SHARE), arms)
            counts: list[float] = []
            for (n_c, n_s), (k_c, k_s) in zip(arms, events, strict=True):
                counts += k_c[place], n_c - k_c[place], k_s[place], n_s - k_s[place]
            rows.append([(1 - FLOOR) / cost, *gains, *counts])
            if tail.tolerated > 0:
                rows.append([1 - FLOOR, *(1 / tail.tolerated - 1, -1.0, 0.0, 0.0) * len(arms), *counts])
        # One array: to make one of few numbers takes longer than what is done with it.
        table, middle = np.array(rows), 1 + 4 * len(arms)
        bets = np.minimum(self.sizes, table[:, :1])
        by_label = np.log1p(bets[:, :, None] * table[:, None, 1:middle])
        found: Array = np.matmul(by_label, table[:, middle:, None])[..., 0]
        return found


def _gains(r: float, share: float, arms: Sequence[tuple[float, float]]) -> tuple[list[float], float]:
    """What a label adds to a bet of one, by stratum: the canary's if it is a bad event, and if not, then stable's. And
    the most that one costs."""
    found: list[float] = []
    cost = _LEAST
    for n_c, n_s in arms:
        of_canary = n_s / ((n_s + r * r * n_c) * (r * share))
        of_stable = -r * n_c / n_s * of_canary
        found += of_canary * (1 - r * share), of_canary * -r * share, of_stable * (1 - share), of_stable * -share
        cost = max(cost, of_canary * r * share, of_stable * (share - 1))
    return found, cost


@frozen()
class TailForecast:
    """Share of stable's losses in the tail, of late: fading numbers of labels and of bad events."""

    labels: float = 0.0
    events: float = 0.0

    @property
    def share(self) -> float:
        return self.events / self.labels if self.labels > 0 else float("nan")

    def add(self, labels: float, events: float, keep: float) -> TailForecast:
        """Takes labels; what was before counts `keep` times."""
        return TailForecast(self.labels * keep + labels, self.events * keep + events)


def tails_of(edges: tuple[float, ...], counts: Array, mean: float, margin: float) -> tuple[Tail, ...]:
    """None, one or two, of stable's `counts` by bucket (K,), losses of this `mean`, and `edges` (K - 1,)."""
    labels = float(row_sums(counts))
    above = (labels - np.cumsum(counts)[:-1]).tolist()
    large = _large(edges, above, labels, mean, margin)
    catastrophes = _catastrophes(edges, above, labels, mean, margin)
    if large is not None and catastrophes is not None and above[large.cut] == above[catastrophes.cut]:
        catastrophes = None  # with nothing in between the lower edge tells sooner
    return tuple(one for one in (large, catastrophes) if one is not None)


def _large(edges: Sequence[float], above: Sequence[float], labels: float, mean: float, margin: float) -> Tail | None:
    """The smallest edge that at most 1.2 % of stable's losses exceed, and not much more of a canary's that is worse by
    the margin throughout. `above` are those that exceed each edge."""
    r = 1 + margin
    low, high = RATIOS
    for cut, more in enumerate(above):
        if more > LARGE_SHARE * labels:
            continue
        share = (more + 0.5) / (labels + 1)
        usual = _usual(share, margin)
        # Where a tail is lighter than that of an exponential law, a little worse is much more of it.
        lighter = _SLACK * _stretched(edges, above, cut, r, r * mean)
        if lighter <= max(high, _MOST_LIGHTER * usual):
            ratio = max(usual, lighter, low)
            return Tail(cut, share, ratio, (_bets(share, ratio),))
    return None


def _catastrophes(
    edges: Sequence[float], above: Sequence[float], labels: float, mean: float, margin: float
) -> Tail | None:
    """The smallest edge of twenty times the mean that at most a thousandth of stable's losses exceed, and that a
    canary worse by the margin throughout would pass no more often than is tolerated.

    What is tolerated makes the mean worse by a quarter of the margin: fewer do not matter.
    """
    if not mean > 0:
        return None
    for cut, more in enumerate(above):
        edge = edges[cut]
        if edge < CATASTROPHE * mean or more > CATASTROPHE_SHARE * labels:
            continue
        share, tolerated = (more + 0.5) / (labels + 1), TOLERATED * margin * mean / edge
        ratio = max(_usual(share, margin), RATIOS[0])
        passed = share * _stretched(edges, above, cut, 1 + margin, (1 + margin) * mean)
        if passed <= max(ratio * share, tolerated):
            return Tail(cut, share, ratio, (_bets(share, ratio), _bets(tolerated, _DOUBLE)), tolerated)
    return None


def _bets(share: float, ratio: float) -> Bets:
    """Octaves around the best bet at "no effect" (section 4.3), up to those for sixteen times what is tolerated."""
    best = best_bet((1 - share) / share, ratio)
    return Bets(np.minimum(best * _OCTAVES, LARGEST_BET), np.log(_MASSES))


def _usual(share: float, margin: float) -> float:
    """How many times as many losses exceed the edge that `share` of an exponential law does, if all are 1 + `margin`
    times as large, and some slack."""
    found: float = _SLACK * share ** (-margin / (1 + margin))
    return found


def _stretched(edges: Sequence[float], above: Sequence[float], cut: int, r: float, bulk: float) -> float:
    """How many times as many losses exceed ``edges[cut]`` if all are `r` times as large.

    `above` are those that exceed each edge. Their logarithm is taken for a parabola through the last edges up to that
    one, where it falls ever faster, else for a straight line. Infinite where that cannot be told: without two lower
    edges, or where the next lower one is below the `bulk` of the losses, any part of which may be just under the edge.
    """
    place = bisect_right(edges, edges[cut] / r, 0, cut)
    if place < 2 or edges[place - 1] < bulk:
        return inf
    high, low, before = edges[cut], edges[place - 1], edges[place - 1] - edges[place - 2]
    logs = [log(one + 0.5) for one in (above[place - 2], above[place - 1], above[cut])]
    width, step = high - low, high - high / r
    slope = (logs[1] - logs[2]) / width
    bend = (slope - (logs[0] - logs[1]) / before) / (width + before)
    return exp((slope + max(0.0, bend) * (width - step)) * step)
