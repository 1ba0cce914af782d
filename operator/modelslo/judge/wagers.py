"""What one block adds to the logarithm of each e-process, by what the exporter offers (decision-statistics 4.2, 5)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Final

import numpy as np

from modelslo.judge.betting import (
    Array,
    Block,
    Mask,
    log_e,
    log_e_of_all,
    log_e_of_contrast,
    row_sums,
)
from modelslo.judge.cohorts import Groups
from modelslo.judge.frozen import frozen
from modelslo.judge.scale import Data, Scale

_NO_TAILS: Final = np.zeros((0, 0))
_NO_SEGMENTS: Final = np.zeros((0, 0))
_LARGEST: Final = 1.0  # standard errors by which a contrast is multiplied at most
_MOST: Final = 3.0  # where a contrast is worth most


@frozen(eq=False)
class Sample:
    """Both arms' labels of one block per judged stratum: counts, sums and squares (G,), buckets (G, K)."""

    count: Array
    total: Array
    squares: Array | None
    buckets: Array

    @staticmethod
    def empty(strata: int, buckets: int, squares: bool) -> Sample:
        return Sample(
            np.zeros(strata), np.zeros(strata), np.zeros(strata) if squares else None, np.zeros((strata, buckets))
        )

    def __add__(self, other: Sample) -> Sample:
        known = self.squares is not None and other.squares is not None
        return Sample(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares if known else None,  # type: ignore[operator]
            self.buckets + other.buckets,
        )

    def scored(self, scores: Array | None) -> Array:
        """Sums of bucketed losses per stratum (G,); `scores` of the buckets (K,), None: sums of raw losses."""
        return self.total if scores is None else self.buckets.dot(scores)

    def rows(self, chosen: Mask) -> Sample:
        """Some of the strata; `chosen` is boolean, shape (G,)."""
        return Sample(
            self.count[chosen],
            self.total[chosen],
            None if self.squares is None else self.squares[chosen],
            self.buckets[chosen],
        )

    def without(self, chosen: Mask) -> Sample:
        """The same with nothing in some of the strata."""
        kept = np.where(chosen, 0.0, 1.0)
        return Sample(
            np.where(chosen, 0.0, self.count),
            np.where(chosen, 0.0, self.total),
            None if self.squares is None else np.where(chosen, 0.0, self.squares),
            self.buckets * kept[:, None],
        )


@frozen(eq=False)
class Wagers:
    """ln e of a block, not tempered or capped. ``mean`` (L,) and ``segments`` (L', G'): first worse, then not worse;
    ``tails`` (R, L): of bad events, a row for each thing that is tolerated."""

    mean: Array
    tails: Array
    segments: Array


@frozen()
class Spread:
    """What is known of the variance of one loss, before a block: CV^2 of each arm relative to its own mean, and by
    what factor `phi` block means scatter more than independent labels would."""

    canary: float
    stable: float
    phi: float


def wagers(
    scale: Scale,
    canary: Sample,
    stable: Sample,
    forecast: Array,
    tail_forecasts: Sequence[float],
    r: float,
    spread: Spread | None,
    segments: bool,
    groups: Groups | None = None,
) -> Wagers:
    """ln e of a block. `forecast` (G,) and `tail_forecasts`: stable's mean, and its share of each tail, before it. `r`:
    the tolerated ratio as buckets read it (:mod:`modelslo.judge.misread`). `spread` is needed where there is no
    histogram, and `r` is not. `groups`: what segment each stratum is of, None: each is one."""
    tails = _of_tails(scale, canary, stable, tail_forecasts)
    overall = _overall(canary, stable, forecast)
    of_segment, added = _segmented(canary, stable, forecast, groups) if segments else (forecast, None)
    found = _NO_SEGMENTS
    if scale.data is Data.HISTOGRAM:
        block = Block.of(canary.buckets, stable.buckets)
        mean = log_e_of_all(scale.signed, r, scale.scores, forecast, np.array([overall]), block)
        if segments:
            # Where a segment has several ages it is to its strata what the whole is to all.
            within = None if groups is None else groups.most
            bets, ratio = scale.segment_signed, scale.segment_r
            found = log_e(bets, ratio, scale.scores, forecast, of_segment, block, within)
            found = found if added is None else added(found)
        return Wagers(mean, tails, found)
    assert spread is not None
    arms, overalls = (canary, stable, forecast), np.full(len(forecast), overall)
    mean = _of_moments(scale.signed, scale.r, *arms, overalls, spread, _whole)[:, 0]
    if segments:
        found = _of_moments(scale.segment_signed, scale.segment_r, *arms, of_segment, spread, added)
    return Wagers(mean, tails, found)


def of_tails_alone(scale: Scale, canary: Sample, stable: Sample, tail_forecasts: Sequence[float]) -> Wagers:
    """ln e of a block whose sums are no numbers, without a histogram that is judged by: large losses are counted."""
    segments = np.zeros((len(scale.segment_signed), 0))
    return Wagers(np.zeros(len(scale.signed)), _of_tails(scale, canary, stable, tail_forecasts), segments)


def _of_tails(scale: Scale, canary: Sample, stable: Sample, shares: Sequence[float]) -> Array:
    """ln e of bad events; `shares` of stable's losses, by forecast."""
    if not scale.tails.each:
        return _NO_TAILS
    return scale.tails.log_e((canary.count, canary.buckets), (stable.count, stable.buckets), shares)


def _whole(values: Array) -> Array:
    found: Array = values.sum(keepdims=True)
    return found


def _segmented(
    canary: Sample, stable: Sample, forecast: Array, groups: Groups | None
) -> tuple[Array, Callable[[Array], Array] | None]:
    """For each stratum the traffic-weighted forecast of its segment, and what adds up its strata."""
    if groups is None:
        return forecast, None
    return groups.mean(forecast, canary.count + stable.count), groups.sums


def _overall(canary: Sample, stable: Sample, forecast: Array) -> float:
    """Traffic-weighted mean of the forecasts (G,)."""
    if len(forecast) == 1:
        return float(forecast[0])
    weight = canary.count + stable.count
    return float(weight.dot(forecast)) / float(row_sums(weight))


def _of_moments(
    bets: Array,
    r: float,
    canary: Sample,
    stable: Sample,
    forecast: Array,
    scale: Array,
    spread: Spread,
    added: Callable[[Array], Array] | None,
) -> Array:
    """ln e per bet and stratum, shape (L, G); `added`: of the sums over strata that it makes, such as of all, (L, 1).

    By :func:`log_e_of_contrast`. A contrast that is cut off from above has no larger mean and square: it is at 3. With
    squares the same holds label by label.
    """
    n_c, n_s = canary.count, stable.count
    a_c = n_s / ((n_s + r * r * n_c) * (r * scale))
    a_s = a_c * (-r * n_c / n_s)
    d = a_c * canary.total + a_s * stable.total
    square = forecast * forecast
    v_c, v_s = a_c * a_c * n_c * (r * r) * square, a_s * a_s * n_s * square
    v = v_c * spread.canary + v_s * spread.stable
    seen = None
    if canary.squares is not None and stable.squares is not None:
        seen = a_c * a_c * _around(canary, r * forecast) + a_s * a_s * _around(stable, forecast)
        if not np.isfinite(seen).all():
            seen = None
    # The bets are made for a canary that varies as stable does.
    wider = v / ((v_c + v_s) * spread.stable)
    if added is not None:
        wider = added(v) / (added(v_c + v_s) * spread.stable)
        d, v, seen = added(d), added(v), None if seen is None else added(seen)
    b = bets[:, None] / wider
    by_sums = _by_sums(b, d, v, spread.phi)
    if seen is None:
        return by_sums
    by_labels = log_e_of_contrast(b * d, b * b * seen, b * b * v)
    # Label by label a large bet is lost on a canary whose losses are all far above the margin. An average of e-values
    # is one, and so is that of their powers: evidence is divided by phi afterwards.
    both = spread.phi * (np.logaddexp(by_labels / spread.phi, by_sums / spread.phi) - log(2))
    found: Array = np.where(b > 0, both, by_labels)
    return found


def _by_sums(b: Array, d: Array, v: Array, phi: float) -> Array:
    """Of a bet `b` on a contrast `d` of variance `phi` times `v`.

    Of many labels, or narrow ones, it may be so many standard errors off that its square outweighs it: it is cut off.
    """
    b = b * np.minimum(1.0, _LARGEST / (np.abs(b) * np.sqrt(np.maximum(v / phi, 1e-300))))
    x = np.minimum(b * d, _MOST * phi)
    return log_e_of_contrast(x, x * x / phi, b * b * v)


def _around(sample: Sample, centre: Array) -> Array:
    """Sum of squared distances from `centre`, shape (G,)."""
    assert sample.squares is not None
    found: Array = np.maximum(sample.squares - 2 * centre * sample.total + sample.count * centre * centre, 0.0)
    return found
