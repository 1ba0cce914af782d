"""From raw samples of one series group to increments between scrapes. Pure, and the same wherever the stream is cut.

Times are Unix milliseconds. A *group* is a histogram with its squares counter, or a counter, with one set of labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from math import inf, isfinite, isnan, nan
from typing import Final

from modelslo.observe.answer import Series
from modelslo.observe.evidence import FRESH_LABELS, LARGEST, STALENESS

STALENESS_MS: Final = round(STALENESS * 1000)
# Counts are integers held in floats; sums over remote storage may round.
_ROUNDING: Final = 1e-9
# Of what was counted before. Of a sum over equal pods at least half is left when one of them restarts.
_FRESH_PART: Final = 0.25


@dataclass(frozen=True, slots=True)
class Scrape:
    """A histogram at one scrape. ``total`` and ``squares`` are None when there was no such sample.

    ``cumulative`` holds the counts up to each finite edge; both are empty when the buckets cannot be used.
    """

    at: int
    count: float
    total: float | None
    squares: float | None
    edges: tuple[float, ...] = ()
    cumulative: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """Increase of a histogram up to the scrape at ``at``. ``buckets`` are per bucket, the last above every edge."""

    at: int
    count: float
    total: float
    squares: float | None
    edges: tuple[float, ...]
    buckets: tuple[float, ...]


@dataclass(slots=True)
class Parts:
    """The series of one histogram, as they come out of an answer."""

    count: Series | None = None
    total: Series | None = None
    squares: Series | None = None
    buckets: list[tuple[float, Series]] = field(default_factory=list)


def scrapes(parts: Parts, after: int) -> Iterator[Scrape]:
    """Scrapes later than `after`, ascending. Without a sound `_count` there is no scrape; nothing is made up."""
    if parts.count is None:
        return
    times, rows = parts.count.times, _aligned(parts)
    for at, count, total, squares, (edges, cumulative, top) in zip(times, parts.count.values, *rows, strict=True):
        if at <= after or not (isfinite(count) and count >= 0):
            continue
        after = at
        if (top is not None and not _same(top, count)) or not _rising(cumulative, count):
            edges, cumulative = (), ()
        yield Scrape(at, count, total, squares, edges, cumulative)


_Row = tuple[tuple[float, ...], tuple[float, ...], float | None]


def _aligned(
    parts: Parts,
) -> tuple[Iterable[float | None], Iterable[float | None], Iterable[_Row]]:
    """Total, squares and (edges, cumulative counts, count of the +Inf bucket) for every time of `parts.count`."""
    assert parts.count is not None
    times = parts.count.times
    return _column(parts.total, times), _column(parts.squares, times), _buckets(parts.buckets, times)


def _column(series: Series | None, times: Sequence[int]) -> Iterable[float | None]:
    if series is None:
        return repeat(None, len(times))
    if series.times == times:
        return series.values
    at = dict(zip(reversed(series.times), reversed(series.values), strict=True))
    return [at.get(time) for time in times]


def _buckets(buckets: list[tuple[float, Series]], times: Sequence[int]) -> Iterable[_Row]:
    if not buckets:
        return repeat(((), (), None), len(times))
    buckets = sorted(buckets, key=lambda one: one[0])
    edges = tuple(edge for edge, _ in buckets)
    if all(series.times == times for _, series in buckets) and len(set(edges)) == len(edges):
        rows = zip(*(series.values for _, series in buckets), strict=True)
        if edges[-1] == inf:
            finite = edges[:-1]
            return [(finite, row[:-1], row[-1]) for row in rows]
        return [(edges, row, None) for row in rows]
    columns = [(edge, dict(zip(series.times, series.values, strict=True))) for edge, series in buckets]
    return [_row(columns, time) for time in times]


def _row(columns: list[tuple[float, dict[int, float]]], time: int) -> _Row:
    """The buckets at one time, for series that do not all have a sample then."""
    found: dict[float, float] = {}
    for edge, column in columns:
        if time in column:
            found.setdefault(edge, column[time])
    top = found.pop(inf, None)
    return tuple(found), tuple(found.values()), top


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= _ROUNDING * max(1.0, abs(other))


def _rising(cumulative: Sequence[float], count: float) -> bool:
    """Whether cumulative counts ascend from zero to `count`; false for NaN."""
    before = 0.0
    for value in cumulative:
        if not value >= before:
            return False
        before = value
    return before <= count + _ROUNDING * max(1.0, count)


def step(before: Scrape, now: Scrape) -> Step | None:
    """What happened between two scrapes; None when they are too far apart to say, or some of several pods restarted.

    After a restart of the exporter (a count fell, or a NaN sum became finite) it is the new value. Sums that fall while
    no count does are those of negative losses, and no numbers, unless the process is so young that it may be a new one.
    """
    if now.at - before.at > STALENESS_MS:
        return None
    if _restarted(before, now):
        if not _fresh(before.count, now.count):
            return None
        before = Scrape(
            before.at,
            0.0,
            None if now.total is None else 0.0,
            None if now.squares is None else 0.0,
            now.edges,
            (0.0,) * len(now.edges),
        )
    return Step(
        now.at,
        now.count - before.count,
        nan if now.total is None or before.total is None else _risen(before.total, now.total),
        None if now.squares is None or before.squares is None else _risen(before.squares, now.squares),
        *_per_bucket(before, now),
    )


def _fresh(before: float, now: float) -> bool:
    """Whether a count that fell is that of new processes alone, and not what is left of a sum over pods."""
    return now <= max(FRESH_LABELS, _FRESH_PART * before)


def _restarted(before: Scrape, now: Scrape) -> bool:
    return (
        now.count < before.count
        or _new(before.total, now.total, now.count)
        or _new(before.squares, now.squares, now.count)
        or (
            before.edges == now.edges
            and any(new < old for new, old in zip(now.cumulative, before.cumulative, strict=True))
        )
    )


def _new(before: float | None, now: float | None, count: float) -> bool:
    """A counter that was NaN stays so until its process ends: a number after a NaN is a new start. So is a smaller sum
    of no more labels than a new process has at once."""
    if before is None or now is None:
        return False
    return (isnan(before) and not isnan(now)) or (0 <= now < before and count <= FRESH_LABELS)


def _risen(before: float, now: float) -> float:
    """NaN where it fell, and for what is too large to be squared."""
    return now - before if 0 <= now - before < LARGEST else nan


def _per_bucket(before: Scrape, now: Scrape) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Edges and increases per bucket; both empty when they are unusable or do not add up."""
    if not now.edges or before.edges != now.edges:
        return (), ()
    up_to = [new - old for new, old in zip(now.cumulative, before.cumulative, strict=True)]
    up_to.append(now.count - before.count)
    buckets, below = [], 0.0
    for value in up_to:
        if value < below:
            return (), ()
        buckets.append(value - below)
        below = value
    return now.edges, tuple(buckets)


def steps(before: Scrape | None, new: Iterable[Scrape]) -> tuple[list[Step], Scrape | None]:
    """Steps between consecutive scrapes, `before` first, and the last scrape. The first ever is a baseline only."""
    found = []
    for scrape in new:
        if before is not None and (one := step(before, scrape)) is not None:
            found.append(one)
        before = scrape
    return found, before


Point = tuple[int, float]
"""Time and value of a plain counter."""


def increases(before: Point | None, series: Series, after: int) -> tuple[list[Point], Point | None]:
    """Increases of a plain counter at its scrapes later than `after`, and its last point. Values that are no count are
    left out, and what is left of a sum when one of its pods restarts."""
    found = []
    for at, value in zip(series.times, series.values, strict=True):
        if at <= after or not (isfinite(value) and value >= 0):
            continue
        after = at
        if before is not None and at - before[0] <= STALENESS_MS:
            if value >= before[1]:
                found.append((at, value - before[1]))
            elif _fresh(before[1], value):
                found.append((at, value))
        before = (at, value)
    return found, before
