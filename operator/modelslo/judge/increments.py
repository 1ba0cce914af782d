"""From cumulative counters to increments that can be trusted (decision-statistics sections 3.1 to 3.4).

Rows of the arrays are the arm as a whole (row 0) and then its segments; columns are buckets, the last one above the
highest finite edge. Times are seconds.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from math import exp, inf, isfinite, nan
from typing import Final

import numpy as np

from modelslo.judge.betting import Array, row_sums
from modelslo.judge.frozen import frozen
from modelslo.judge.timing import Tempo
from modelslo.observe.evidence import FRESH_LABELS, LARGEST

# A restarted process has counted no more than FRESH_LABELS, or this many times what was expected.
_FRESH_RATIO: Final = 4.0
_ROUNDING: Final = 1e-6


class Reading(StrEnum):
    """What became of one scrape of one arm."""

    MISSING = "Missing"
    FIRST = "First"
    VALID = "Valid"
    FULL_RESET = "FullReset"
    PARTIAL_RESET = "PartialReset"
    REJECTED = "Rejected"


@frozen(eq=False)
class Counters:
    """Cumulative counters of one arm, R rows of K buckets and J delay buckets.

    ``values`` (1 + R + R K + J,) holds predictions, counts, cumulative loss buckets row by row, cumulative
    delay buckets: all that must never fall. ``total`` and ``squares`` (R,) are sums, which may be NaN;
    ``squares`` is None where it is not exported.
    """

    values: Array
    total: Array
    squares: Array | None
    delays: int = 0

    @property
    def labels(self) -> float:
        return float(self.values[1])


@frozen(eq=False)
class Delta:
    """What one arm did between two scrapes; ``buckets`` and ``lags`` are counts per bucket, not cumulative."""

    count: Array
    total: Array
    squares: Array | None
    buckets: Array
    predictions: float
    lags: Array | None

    @property
    def labels(self) -> float:
        """Labelled predictions of the whole arm."""
        return float(self.count[0])


@frozen(eq=False)
class Meter:
    """The last valid counters of one arm, their time, and the usual rate of labels (1/s)."""

    last: Counters | None = None
    at: float = 0.0
    rate: float | None = None


@frozen(eq=False)
class Step:
    """Both arms at one scrape; None: nothing to be used of this arm now.

    ``settled`` are the seconds for which both arms have had their share of now, below 0 while it changes.
    """

    at: float
    stable: Delta | None
    canary: Delta | None
    settled: float = inf


@frozen(eq=False)
class Meters:
    stable: Meter = Meter()
    canary: Meter = Meter()


def step_of(
    meters: Meters,
    at: float,
    stable: Counters | None,
    canary: Counters | None,
    tempo: Tempo,
    edges: tuple[float, ...] = (),
) -> tuple[Meters, Step, tuple[Reading, Reading]]:
    """Increments of both arms since their last valid scrapes. A partial reset of one costs the increment of both."""
    meter_s, delta_s, reading_s = difference(meters.stable, stable, at, tempo.rate, edges)
    meter_c, delta_c, reading_c = difference(meters.canary, canary, at, tempo.rate, edges)
    if Reading.PARTIAL_RESET in (reading_s, reading_c):
        delta_s = delta_c = None
    return Meters(meter_s, meter_c), Step(at, delta_s, delta_c), (reading_s, reading_c)


def difference(
    meter: Meter, now: Counters | None, at: float, memory: float, edges: tuple[float, ...] = ()
) -> tuple[Meter, Delta | None, Reading]:
    """The increment since the last valid scrape, None where there is none to be trusted.

    The usual rate of labels is a fading mean of time constant `memory` (s). With the `edges` of the buckets a sum that
    they do not allow is found out.
    """
    # Counters are finite and >= 0, so that one sum tells of a NaN or an infinity anywhere.
    if now is None or not abs(float(row_sums(now.values))) < LARGEST:
        return meter, None, Reading.MISSING
    last = meter.last
    if last is None or len(last.values) != len(now.values):
        return Meter(now, at, meter.rate), None, Reading.FIRST
    if at <= meter.at:  # a duplicate, or the clock was set back
        return meter, None, Reading.MISSING
    moved, reading = now.values - last.values, Reading.VALID
    if min(moved.tolist()) < 0:
        if now.labels >= last.labels and _lacks_segment(last, now):
            return meter, None, Reading.MISSING
        expected = (meter.rate or 0.0) * (at - meter.at)
        if now.labels > min(max(FRESH_LABELS, _FRESH_RATIO * expected), last.labels):
            return Meter(now, at, meter.rate), None, Reading.PARTIAL_RESET
        reading, moved = Reading.FULL_RESET, now.values
    delta, gaps = _delta(last if reading is Reading.VALID else None, now, moved)
    if not _plausible(delta, gaps) or not _allowed(delta, now, edges):
        return Meter(now, at, meter.rate), None, Reading.REJECTED
    return Meter(now, at, _rate(meter, delta, at, memory)), delta, reading


def _lacks_segment(last: Counters, now: Counters) -> bool:
    """Whether a segment that had labels has none while the arm goes on: its series is not there now."""
    rows = slice(2, 1 + len(now.total))
    return any(one == 0 < before for one, before in zip(now.values[rows], last.values[rows], strict=True))


def _delta(last: Counters | None, now: Counters, moved: Array) -> tuple[Delta, Array]:
    """The increment, and by how many the count of each row is above its +Inf bucket. ``last`` None: counted from
    zero."""
    rows, end = len(now.total), len(moved) - now.delays
    count, cumulative = moved[1 : 1 + rows], moved[1 + rows : end].reshape(rows, -1)
    total, squares = _less(now.total, None if last is None else last.total), now.squares
    if squares is not None:
        of_last = None if last is None else last.squares
        squares = None if last is not None and of_last is None else _less(squares, of_last)
    return Delta(
        count=count,
        total=total,
        squares=squares,
        buckets=cumulative.dot(_steps(cumulative.shape[1])),
        predictions=float(moved[0]),
        lags=moved[end:].dot(_steps(now.delays)) if now.delays else None,
    ), count - cumulative[:, -1]


@lru_cache(maxsize=64)
def _steps(number: int) -> Array:
    """Makes counts per bucket of cumulative ones, (..., K) times (K, K): one product is quicker than differences."""
    found: Array = np.eye(number) - np.eye(number, k=1)
    return found


def _less(now: Array, last: Array | None) -> Array:
    """The difference of sums, since zero without a `last`. What is or was no number, +Inf too, is NaN; so is what is
    too large. What fell is below zero."""
    before = [0.0] * len(now) if last is None else last.tolist()
    found = [one - other for one, other in zip(now.tolist(), before, strict=True)]
    return np.array([one if one < LARGEST else nan for one in found])


def _plausible(delta: Delta, gaps: Array) -> bool:
    """Counts that agree with each other; a sum that is a number must not fall."""
    rounding = _ROUNDING * (1 + delta.labels)
    if min(delta.buckets.ravel().tolist()) < -rounding:
        return False
    if delta.buckets.shape[1] > 1 and any(abs(gap) > rounding for gap in gaps.tolist()):
        return False
    return not any(one < -_ROUNDING for one in delta.total.tolist())


def _allowed(delta: Delta, now: Counters, edges: tuple[float, ...]) -> bool:
    """Whether the sum of the losses lies between the edges of their buckets; one that is no number says nothing."""
    total, buckets = float(delta.total[0]), delta.buckets[0]
    if not isfinite(total) or len(buckets) != len(edges) + 1 or not edges:
        return True
    least, most = buckets.dot(_ends(edges)).tolist()
    rounding = _ROUNDING * (1 + abs(float(now.total[0])))
    return bool(total >= least - rounding and (buckets[-1] > 0 or total <= most + rounding))


@lru_cache(maxsize=256)
def _ends(edges: tuple[float, ...]) -> Array:
    """Of each bucket, shape (K, 2), the last one without an upper end."""
    return np.array([(0.0, *edges), (*edges, 0.0)]).T


def _rate(meter: Meter, delta: Delta, at: float, memory: float) -> float:
    elapsed = at - meter.at
    rate = delta.labels / elapsed
    return rate if meter.rate is None else meter.rate + (1 - exp(-elapsed / memory)) * (rate - meter.rate)
