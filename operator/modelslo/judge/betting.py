"""Betting against "the canary's mean is at most r times stable's": e-values of one block of bucketed losses.

Scores ``v`` of the buckets, counts ``k`` of each arm and stratum, a forecast ``c`` of stable's mean from earlier blocks
(decision-statistics section 4.2). For a bet ``b`` in (0, 0.9] and a sign ``s`` (+1: worse, -1: not worse)

    w   = n_s / (n_s + r^2 n_c)
    a_c = s b w / (r c)          a_s = -r (n_c / n_s) a_c
    ln e(b) = sum_k k_c ln(1 + a_c (v - r c)) + sum_k k_s ln(1 + a_s (v - c))

Both a are shrunk by one factor so that no logarithm falls below ln 0.05. Given the past and the counts E[e] <= 1 while
the (traffic-weighted) mean contrast mu_c - r mu_s is <= 0 (s = +1) or >= 0 (s = -1), whatever the distribution and the
forecast: 1 + x <= exp(x). A wrong forecast costs speed only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Final

import numpy as np
import numpy.typing as npt

from modelslo.judge.frozen import frozen

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LARGEST_BET: Final = 0.9
SUM_BETS: Final = np.array([2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.17, 0.12, 0.08])
"""Bets on a normalised contrast, where there are only sums (section 5)."""
_SMALLEST_BEST, _LARGEST_BEST = 1e-4, 0.45
FLOOR: Final = 0.05
"""What a bet leaves of the wealth at least, whatever the loss."""
HIGHEST: Final = 700.0
_LEAST: Final = 1e-300
_CAP_SHARE, _CAP_SLACK = 1 / 3, 0.75


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """Bets of a mixture, shape (L,), and the logarithms of their prior masses; the masses sum to one."""

    sizes: Array
    log_mass: Array


def best_bet(cv2: float, r: float) -> float:
    """b* = r m / (CV^2 + m^2), the bet that is best at "no effect" (section 4.3); `r` = 1 + m."""
    margin = r - 1
    return r * margin / (cv2 + margin * margin)


def bets_for(cv2: float, r: float, masses: Sequence[float]) -> Bets:
    """Grid of octaves around :func:`best_bet`.

    `cv2` is the squared coefficient of variation of stable's bucketed loss, `r` = 1 + m the tolerated ratio. `masses`
    are those of b*/2, b*, 2 b* and so on; what they leave of one is spread over the larger bets.
    """
    best = min(max(best_bet(cv2, r), _SMALLEST_BEST), _LARGEST_BEST)
    sizes = [best / 2, best]
    while sizes[-1] * 2 < LARGEST_BET:
        sizes.append(sizes[-1] * 2)
    sizes.append(LARGEST_BET)
    named, others = list(masses[: len(sizes)]), max(0, len(sizes) - len(masses))
    found = np.array(named + [max(0.0, 1 - sum(named)) / max(1, others)] * others)
    return Bets(np.array(sizes), np.log(found / found.sum()))


def bets_of_sums(cv2: float, r: float, worse: bool) -> Bets:
    """The same around b* = r m / (CV^2 + m^2 / 3) where there are only sums, whose bets need no losses in a range
    (section 5).

    b* is best for x - (x^2 + 2 V) / 6 at "no effect". In the study it is r m / CV^2, which is as good while the margin
    is small beside the standard deviation.
    """
    sizes, masses = ((0.5, 1.0, 2.0, 4.0), (0.1, 0.3, 0.3, 0.3)) if worse else ((0.5, 1.0, 2.0), (0.2, 0.6, 0.2))
    margin = r - 1
    return Bets(np.array(sizes) * (r * margin / (cv2 + margin * margin / 3)), np.log(np.array(masses)))


def with_smaller(bets: Bets, octaves: int, share: float) -> Bets:
    """With so many more, each half of the next, that have `share` of the mass: for losses that may vary far more than
    those that the bets were made for."""
    smaller = bets.sizes[0] * 2.0 ** np.arange(-octaves, 0)
    mass = np.full(octaves, log(share / octaves))
    return Bets(np.concatenate((smaller, bets.sizes)), np.concatenate((mass, bets.log_mass + log(1 - share))))


def even_bets(sizes: Array) -> Bets:
    """The same mass on each."""
    return Bets(sizes, np.full(len(sizes), -log(len(sizes))))


@lru_cache(maxsize=256)
def cap_of(rate: float) -> float:
    """The most that one block may add to ln E, so that one poisoned scrape cannot decide at error rate `rate`."""
    return log(1 / rate) * _CAP_SHARE + _CAP_SLACK


@lru_cache(maxsize=256)
def _ones(number: int) -> Array:
    return np.ones(number)


def row_sums(values: Array) -> Array:
    """Sums over the last axis, (..., K) becomes (...): of small arrays in a quarter of the time of `sum`."""
    found: Array = values.dot(_ones(values.shape[-1]))
    return found


@frozen(eq=False)
class Block:
    """Counts per stratum and bucket, shape (2 G, K): the canary's strata, then stable's; both arms have labels in each
    of the G. ``labels_canary``, ``labels_stable``: their sums over the buckets."""

    counts: Array
    labels_canary: list[float]
    labels_stable: list[float]

    @staticmethod
    def of(canary: Array, stable: Array) -> Block:
        """From the counts of both arms, shapes (G, K)."""
        counts, strata = np.concatenate((canary, stable)), len(canary)
        labels = row_sums(counts).tolist()
        return Block(counts, labels[:strata], labels[strata:])


def log_e(
    bets: Array,
    r: float,
    scores: Array,
    forecast: Array,
    scale: Array,
    block: Block,
    within: Callable[[Array], Array] | None = None,
) -> Array:
    """ln e per bet and stratum, shape (L, G).

    `bets` (L,) are signed: s b. `forecast` (G,) is stable's mean, `scale` (G,) or (1,) what sets the size of a bet, in
    the unit of the loss. `within` gives each stratum the largest value (G,) among those that are summed with it: one
    shrinking factor for each such sum, so that it bets on the traffic-weighted average contrast.
    """
    gain, more, less = _gains(r, scores, forecast, scale, block)
    costs = np.array((more, less))
    if within is not None:
        costs = np.array([within(one) for one in costs])
    by_stratum = _shrunk(bets, *costs[:, :, None])
    strata = len(forecast)
    by_label = np.log1p(by_stratum[:, :, None] * gain.reshape(2, strata, 1, -1))
    # One product an arm and stratum, of (L, K) with (K, 1).
    of_arms = np.matmul(by_label, block.counts.reshape(2, strata, -1, 1))[..., 0]
    found: Array = (of_arms[0] + of_arms[1]).T
    return found


def log_e_of_all(bets: Array, r: float, scores: Array, forecast: Array, scale: Array, block: Block) -> Array:
    """The sum over all strata, one shrinking factor for all: ln e of the average contrast per bet, shape (L,)."""
    gain, more, less = _gains(r, scores, forecast, scale, block)
    bets = _shrunk(bets, max(more), max(less))
    found: Array = np.log1p(np.multiply.outer(bets, gain.ravel())).dot(block.counts.ravel())
    return found


def _gains(
    r: float, scores: Array, forecast: Array, scale: Array, block: Block
) -> tuple[Array, list[float], list[float]]:
    """What a label adds to the wealth of a bet of one, shape (2 G, K): the canary's strata, then stable's. And per
    stratum the most that one label costs a bet on "worse", and one on "not worse".

    Strata are few: numbers are quicker than arrays of them.
    """
    means, sizes = forecast.tolist(), scale.tolist()
    if len(sizes) < len(means):
        sizes *= len(means)
    first, last = scores.item(0), scores.item(-1)
    each_c, each_s, centres, more, less = [], [], [], [], []
    for n_c, labels, mean, size in zip(block.labels_canary, block.labels_stable, means, sizes, strict=True):
        n_s = max(labels, _LEAST)  # a count that rounds to a label, in no bucket
        each = n_s / ((n_s + r * r * n_c) * (r * size))
        other, centre = each * (-r * n_c / n_s), r * mean
        each_c.append(each)
        each_s.append(other)
        centres.append(centre)
        # The lowest score is worst for a bet on more, the highest for a bet on less; of stable's it is the other way.
        more.append(max(_LEAST, each * (centre - first), other * (mean - last)))
        less.append(max(_LEAST, each * (last - centre), other * (first - mean)))
    gain = np.array(each_c + each_s)[:, None] * (scores - np.array(centres + means)[:, None])
    return gain, more, less


def _shrunk(bets: Array, more: Array | float, less: Array | float) -> Array:
    """Bets of which no label takes more than 95 %: `more` > 0 is the most that one costs a bet of 1, `less` > 0 one of
    -1."""
    found: Array = np.minimum(np.maximum(bets, (FLOOR - 1) / less), (1 - FLOOR) / more)
    return found


def log_e_of_contrast(x: Array, square: Array, variance: Array) -> Array:
    """ln e of a bet that adds up to `x` under the null E x <= 0, all of one shape: x - (square + 2 variance) / 6.

    `square` is x^2 as it is, or the sum of the squares of independent parts of x; `variance` what either is on average.
    exp(x - x^2 / 6) <= 1 + x + x^2 / 3 (Delyon 2009), whatever the law. It is largest at x = 3.
    """
    return x - (square + 2 * variance) / 6


def log_mean_exp(log_wealth: Array, log_mass: Array) -> Array:
    """ln sum_l mass_l exp(log_wealth[..., l]): the e-value of a mixture, shape of the rest.

    From e^700 on it makes no difference any more, nor does it below e^-690.
    """
    found: Array = np.log(np.maximum(row_sums(np.exp(np.minimum(log_wealth + log_mass, HIGHEST))), _LEAST))
    return found
