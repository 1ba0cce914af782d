"""Steps of all series of one model, added up in the cells of the evaluation grid. Pure.

The order of every sum is fixed (series by name, then time), so that the same samples give the same bits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan

from modelslo.observe.answer import Series
from modelslo.observe.evidence import NO_AGE, Increment, Losses
from modelslo.observe.series import STALENESS_MS, Parts, Point, Scrape, Step, increases, scrapes, steps

PREDICTIONS = "predictions"
INVALID = "invalid"


@dataclass(slots=True)
class Gathered:
    """The series of one model in one answer. Keys name series; values begin with (version, segment)."""

    histograms: dict[str, tuple[str, str, float, Parts]] = field(default_factory=dict)  # and the age
    delays: dict[str, tuple[str, str, float, Parts]] = field(default_factory=dict)
    counters: dict[str, tuple[str, str, str, Series]] = field(default_factory=dict)  # and PREDICTIONS or INVALID


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where reading stopped: the last scrape of every living series, with its version, at time ``at`` (ms)."""

    at: int
    histograms: dict[str, tuple[str, Scrape]]
    delays: dict[str, tuple[str, Scrape]]
    counters: dict[str, Point]

    def newest(self) -> dict[str, float]:
        """Time (s) of the newest scrape of the losses, per version."""
        found: dict[str, int] = {}
        for version, scrape in self.histograms.values():
            found[version] = max(found.get(version, 0), scrape.at)
        return {version: at / 1000 for version, at in sorted(found.items())}


@dataclass(frozen=True, slots=True)
class Cell:
    """An increment and the edges of its buckets, and of those of its label delays."""

    increment: Increment
    edges: tuple[float, ...]
    delay_edges: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Merged:
    """Increments over the edges that all their buckets share, these edges, and remarks about what was lost."""

    increments: tuple[Increment, ...] = ()
    edges: tuple[float, ...] = ()
    delay_edges: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Sums:
    steps: list[Step] = field(default_factory=list)
    delays: list[Step] = field(default_factory=list)
    predictions: float = 0.0
    invalid: float = 0.0


_Place = tuple[int, str, str, float]
"""Number of the cell's end, version, segment and age."""


def boundaries(since: float, until: float, grid: float) -> tuple[int, ...]:
    """Ends of the grid's cells in ms: since, since + grid, ... and until."""
    last, found, number = _milliseconds(until), [_milliseconds(since)], 1
    while (boundary := _milliseconds(since + number * grid)) < last:
        if boundary > found[-1]:
            found.append(boundary)
        number += 1
    return (*found, last)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def advance(cursor: Cursor | None, gathered: Gathered, ends: Sequence[int]) -> tuple[list[Cell], Cursor]:
    """Reads on from `cursor` (None: the answer begins STALENESS before the first cell) to the last of `ends`.

    Returns the cells (ends[i], ends[i + 1]] in which something was measured, ascending by time, version, segment, age.
    """
    until, after = ends[-1], cursor.at if cursor is not None else ends[0] - STALENESS_MS
    sums: dict[_Place, _Sums] = {}
    histograms = dict(cursor.histograms) if cursor is not None else {}
    for place, one in _read_histograms(histograms, gathered.histograms, ends, after):
        sums.setdefault(place, _Sums()).steps.append(one)
    delays = dict(cursor.delays) if cursor is not None else {}
    for place, one in _read_histograms(delays, gathered.delays, ends, after):
        if one.count > 0:
            sums.setdefault(place, _Sums()).delays.append(one)
    counters = _read_counters(cursor, gathered, ends, after, sums)
    cells = [_cell(ends[place[0] - 1] / 1000, ends[place[0]] / 1000, *place[1:], sums[place]) for place in sorted(sums)]
    alive = until - STALENESS_MS
    return cells, Cursor(
        until,
        {key: one for key, one in histograms.items() if one[1].at > alive},
        {key: one for key, one in delays.items() if one[1].at > alive},
        {key: one for key, one in counters.items() if one[0] > alive},
    )


def _read_histograms(
    last: dict[str, tuple[str, Scrape]],
    gathered: Mapping[str, tuple[str, str, float, Parts]],
    ends: Sequence[int],
    after: int,
) -> Iterator[tuple[_Place, Step]]:
    """Steps with their place; `last` is brought up to date."""
    for key in sorted(gathered):
        version, segment, age, parts = gathered[key]
        before = last[key][1] if key in last else None
        found, newest = steps(before, scrapes(parts, after))
        for one in found:
            if one.at > ends[0]:
                yield (bisect_left(ends, one.at), version, segment, age), one
        if newest is not None:
            last[key] = (version, newest)


def _read_counters(
    cursor: Cursor | None,
    gathered: Gathered,
    ends: Sequence[int],
    after: int,
    sums: dict[_Place, _Sums],
) -> dict[str, Point]:
    last = dict(cursor.counters) if cursor is not None else {}
    for key in sorted(gathered.counters):
        version, segment, kind, series = gathered.counters[key]
        found, newest = increases(last.get(key), series, after)
        for at, increase in found:
            if at > ends[0]:
                of = sums.setdefault((bisect_left(ends, at), version, segment, NO_AGE), _Sums())
                if kind == PREDICTIONS:
                    of.predictions += increase
                else:
                    of.invalid += increase
        if newest is not None:
            last[key] = newest
    return last


def _cell(start: float, end: float, version: str, segment: str, age: float, sums: _Sums) -> Cell:
    count = total = 0.0
    squares: float | None = 0.0
    for one in sums.steps:
        count += one.count
        total += one.total
        squares = None if squares is None or one.squares is None else squares + one.squares
    edges, buckets = _together((one.edges, one.buckets) for one in sums.steps if one.count > 0 or one.edges)
    losses = Losses(count, total, buckets, squares if sums.steps else None)
    delay_edges, delays = _together((one.edges, one.buckets) for one in sums.delays)
    return Cell(
        Increment(start, end, version, segment, losses, sums.predictions, sums.invalid, delays, age), edges, delay_edges
    )


def _together(
    parts: Iterable[tuple[tuple[float, ...], tuple[float, ...]]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Sum of several (edges, buckets) over the edges that all have; empty when one has none, or none are shared."""
    given = list(parts)
    if not given:
        return (), ()
    edges = shared_edges(one[0] for one in given)
    if not edges:
        return (), ()
    added = [0.0] * (len(edges) + 1)
    for own, buckets in given:
        for position, value in enumerate(buckets if own == edges else coarser(own, buckets, edges)):
            added[position] += value
    return edges, tuple(added)


def shared_edges(every: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    """The edges that occur in all of `every`, ascending."""
    distinct = set(every)
    if len(distinct) <= 1:
        return next(iter(distinct), ())
    return tuple(sorted(frozenset.intersection(*map(frozenset, distinct))))


def coarser(edges: tuple[float, ...], buckets: tuple[float, ...], wanted: tuple[float, ...]) -> tuple[float, ...]:
    """`buckets` between `edges` joined to those between `wanted`, a subset of `edges`."""
    joined = [0.0] * (len(wanted) + 1)
    for position, value in enumerate(buckets):
        at = bisect_left(wanted, edges[position]) if position < len(edges) else len(wanted)
        joined[at] += value
    return tuple(joined)


def on_common_edges(cells: Sequence[Cell]) -> Merged:
    """The increments of `cells`, made comparable."""
    every = {cell.edges for cell in cells if cell.edges}
    common = shared_edges(every)
    notes = []
    if len(every) > 1:
        kept = f"{len(common)} that all share serve" if common else "none is shared, so the buckets are not used"
        notes.append(f"Bucket edges differ between pods, versions or times: {kept}.")
    if any(cell.increment.losses.count > 0 and not cell.edges for cell in cells) and every:
        notes.append("Some histogram buckets do not add up to the count or differ in their edges; they are not used.")
    if any(isnan(cell.increment.losses.total) for cell in cells):
        notes.append("The sum of the losses of some version is NaN or missing.")
    delays = shared_edges({cell.delay_edges for cell in cells if cell.delay_edges})
    return Merged(tuple(_rebinned(cell, common, delays) for cell in cells), common, delays, tuple(notes))


def _rebinned(cell: Cell, common: tuple[float, ...], delays: tuple[float, ...]) -> Increment:
    one = cell.increment
    if cell.edges and cell.edges != common:
        buckets = coarser(cell.edges, one.losses.buckets, common) if common else ()
        one = replace(one, losses=replace(one.losses, buckets=buckets))
    if cell.delay_edges and cell.delay_edges != delays:
        one = replace(one, delays=coarser(cell.delay_edges, one.delays, delays) if delays else ())
    return one
