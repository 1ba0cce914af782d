"""What one block adds to the logarithm of each e-process, by what the exporter offers (decision-statistics 4.2, 5)."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import SUM_BETS, Array, Block, Events, Mask, log_e, log_e_of_events
from modelslo.judge.scale import Data, Scale

_NOTHING: Final = np.zeros(0)
_NO_SEGMENTS: Final = np.zeros((0, 0))


@dataclass(frozen=True, slots=True, eq=False)
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


@dataclass(frozen=True, slots=True, eq=False)
class Wagers:
    """ln e of a block, not tempered or capped. ``mean`` (L,) and ``segments`` (L', G'): first worse, then not worse."""

    mean: Array
    tail: Array
    segments: Array


def wagers(
    scale: Scale,
    canary: Sample,
    stable: Sample,
    forecast: Array,
    tail_forecast: float,
    variance: float,
    segments: bool,
) -> Wagers:
    """ln e of a block. `forecast` (G,) and `tail_forecast`: stable's mean and tail share before it; `variance`: of one
    raw loss."""
    match scale.data:
        case Data.HISTOGRAM:
            return _of_buckets(scale, canary, stable, forecast, tail_forecast, segments)
        case Data.SQUARES if canary.squares is not None and stable.squares is not None:
            return _of_squares(scale, canary, stable, forecast, variance, segments)
        case _:
            return _of_sums(scale, canary, stable, forecast, variance, segments)


def _of_buckets(
    scale: Scale, canary: Sample, stable: Sample, forecast: Array, tail_forecast: float, segments: bool
) -> Wagers:
    block = Block(canary.buckets, stable.buckets)
    weight = canary.count + stable.count
    overall = (weight @ forecast / weight.sum()).reshape(1)
    mean = log_e(scale.signed, scale.r, scale.scores, forecast, overall, block, together=True).sum(axis=1)
    tail = _NOTHING
    if scale.tail is not None:
        cut = scale.tail.cut + 1
        bad_c, bad_s = canary.buckets[:, cut:].sum(axis=1), stable.buckets[:, cut:].sum(axis=1)
        events = Events(canary.count, bad_c), Events(stable.count, bad_s)
        tail = log_e_of_events(scale.tail.bets.sizes, scale.tail.ratio, tail_forecast, *events)
    found = _NO_SEGMENTS
    if segments:
        found = log_e(scale.segment_signed, scale.segment_r, scale.scores, forecast, forecast, block, together=False)
    return Wagers(mean, tail, found)


def _of_sums(scale: Scale, canary: Sample, stable: Sample, forecast: Array, variance: float, segments: bool) -> Wagers:
    """z of the contrast by a variance that is guessed from block means; exact for symmetric z (de la Peña 1999)."""

    def contrast(r: float) -> tuple[Array, Array]:
        a_c = stable.count / (stable.count + r * r * canary.count)
        a_s = -r * (canary.count / stable.count) * a_c
        d = a_c * (canary.total - canary.count * r * forecast) + a_s * (stable.total - stable.count * forecast)
        v = variance * (a_c * a_c * canary.count * r * r + a_s * a_s * stable.count)
        return d, v

    d, v = contrast(scale.r)
    mean = _two_sided(float(d.sum()), float(v.sum()))
    found = _NO_SEGMENTS
    if segments:
        ds, vs = contrast(scale.segment_r)
        found = np.stack([_two_sided(float(one), float(two)) for one, two in zip(ds, vs, strict=True)], axis=1)
    return Wagers(mean, _NOTHING, found)


def _two_sided(d: float, v: float) -> Array:
    z = d / sqrt(v) if v > 0 else 0.0
    square = SUM_BETS * SUM_BETS * (z * z / 2)
    return np.concatenate((SUM_BETS * z - square, -SUM_BETS * z - square))


def _of_squares(
    scale: Scale, canary: Sample, stable: Sample, forecast: Array, variance: float, segments: bool
) -> Wagers:
    weight = canary.count + stable.count
    overall = np.full(len(forecast), float(weight @ forecast / weight.sum()))
    mean = _bounded(scale.signed, scale.r, canary, stable, forecast, overall, variance).sum(axis=1)
    found = _NO_SEGMENTS
    if segments:
        found = _bounded(scale.segment_signed, scale.segment_r, canary, stable, forecast, forecast, variance)
    return Wagers(mean, _NOTHING, found)


def _bounded(
    bets: Array,
    r: float,
    canary: Sample,
    stable: Sample,
    forecast: Array,
    scale: Array,
    variance: float,
) -> Array:
    """ln(1 + a (x - c)) from below by sums and squares, for losses >= 0 (Fan, Grama & Liu 2015), shape (L, G)."""
    limit = 1 / (8 * sqrt(variance)) if variance > 0 else np.inf
    w = stable.count / (stable.count + r * r * canary.count)
    a_c = bets[:, None] * (w / (r * scale))[None, :]
    a_s = a_c * (-r * canary.count / stable.count)[None, :]
    shrink = np.minimum(1.0, limit / np.maximum(np.maximum(np.abs(a_c), np.abs(a_s)), 1e-300))
    a_c, a_s = a_c * shrink, a_s * shrink
    centre = r * forecast
    floor = canary.count * variance
    return _arm(a_c, centre, canary, floor) + _arm(a_s, forecast, stable, np.zeros(len(forecast)))


def _arm(a: Array, centre: Array, sample: Sample, floor: Array) -> Array:
    assert sample.squares is not None
    first = sample.total - sample.count * centre
    second = np.maximum(sample.squares - 2 * centre * sample.total + sample.count * centre * centre, floor)
    share = np.clip(a * centre[None, :], 0.0, 0.99)
    up = (-np.log1p(-share) - share) / (centre * centre)[None, :]
    price = np.where(a > 0, up, a * a / 2)
    found: Array = a * first[None, :] - price * second[None, :]
    return found
