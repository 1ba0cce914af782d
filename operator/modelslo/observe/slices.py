"""The closed slices of one model: what is cached, what to fetch next, and how an answer becomes slices. Pure."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Final, overload

from modelslo.observe.answer import Series
from modelslo.observe.ask import Ask, Selector, Source
from modelslo.observe.batch import Owners, family_of
from modelslo.observe.evidence import ModelKey, Slice, SliceTable
from modelslo.observe.promql import PART_LABEL

Row = tuple[int, str, float, float]
"""Index of the slice, version, sum of losses (NaN when it is), labelled samples."""
# Names of versions that have left the window are dropped when there are more than this.
_MOST_VERSIONS: Final = 64


class PackedSlices(Sequence[Slice]):
    """Slices in ascending order at about 20 bytes each: a window of 28 days has 8,000 of them. Immutable."""

    __slots__ = ("_counts", "_indices", "_starts", "_totals", "_versions", "_which")

    def __init__(self, rows: Iterable[Row]) -> None:
        """`rows` ascend by index and version, each pair once."""
        self._versions: list[str] = []
        self._indices, self._which = array("q"), array("i")
        self._totals, self._counts = array("d"), array("d")
        self._starts = array("i")  # first row of each slice
        self._append(rows)

    def _append(self, rows: Iterable[Row]) -> None:
        known = {version: number for number, version in enumerate(self._versions)}
        for index, version, total, count in rows:
            if not self._indices or self._indices[-1] != index:
                self._starts.append(len(self._indices))
            self._indices.append(index)
            self._which.append(known.setdefault(version, len(known)))
            self._totals.append(total)
            self._counts.append(count)
        self._versions = list(known)

    def moved(self, first: int, rows: Iterable[Row]) -> PackedSlices:
        """These from slice `first` on, and then `rows`, which are all later. Copies memory, not objects."""
        if len(self._versions) > _MOST_VERSIONS:
            return PackedSlices((*self.rows(first), *rows))
        begin, found = bisect_left(self._indices, first), PackedSlices(())
        found._versions = self._versions
        found._indices, found._which = self._indices[begin:], self._which[begin:]
        found._totals, found._counts = self._totals[begin:], self._counts[begin:]
        kept = self._starts[bisect_left(self._starts, begin) :]
        found._starts = kept if begin == 0 else array("i", [start - begin for start in kept])
        found._append(rows)
        return found

    def rows(self, first: int) -> Iterator[Row]:
        """The rows from slice `first` on."""
        for row in range(bisect_left(self._indices, first), len(self._indices)):
            yield self._indices[row], self._versions[self._which[row]], self._totals[row], self._counts[row]

    def __iter__(self) -> Iterator[Slice]:
        """What one by one would give, in a third of the time."""
        versions, index = self._versions, None
        of: dict[str, tuple[float, float]] = {}
        for at, which, total, count in zip(self._indices, self._which, self._totals, self._counts, strict=True):
            if at != index:
                if index is not None:
                    yield Slice(index, of)
                index, of = at, {}
            of[versions[which]] = (total, count)
        if index is not None:
            yield Slice(index, of)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, position: int) -> Slice: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Slice, ...]: ...
    def __getitem__(self, position: int | slice) -> Slice | tuple[Slice, ...]:
        if isinstance(position, slice):
            return tuple(self[one] for one in range(*position.indices(len(self))))
        start = self._starts[position]
        position %= len(self._starts)
        end = self._starts[position + 1] if position + 1 < len(self._starts) else len(self._indices)
        return Slice(
            self._indices[start],
            {self._versions[self._which[row]]: (self._totals[row], self._counts[row]) for row in range(start, end)},
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash((len(self), tuple(self._indices[:1]), tuple(self._indices[-1:])))

    def __repr__(self) -> str:
        return f"PackedSlices({tuple(self)!r})"


@dataclass(frozen=True, slots=True)
class History:
    """The cached slices of one model: complete from ``table.first`` to ``table.last`` for these series."""

    source: Source
    selector: Selector
    table: SliceTable


@dataclass(frozen=True, slots=True)
class Missing:
    """Slices to fetch: [first, last] of ``length`` seconds."""

    length: float
    first: int
    last: int


def missing(ask: Ask, history: History | None) -> Missing | None:
    """What must still be fetched; None when the cache holds all."""
    if ask.last_slice < ask.first_slice:
        return None
    if history is None or not _continues(ask, history):
        return Missing(ask.slice_length, ask.first_slice, ask.last_slice)
    first = max(history.table.last + 1, ask.first_slice)
    return Missing(ask.slice_length, first, ask.last_slice) if first <= ask.last_slice else None


def _continues(ask: Ask, history: History) -> bool:
    table = history.table
    return (
        (history.source.url, history.selector, table.length) == (ask.source.url, ask.selector, ask.slice_length)
        and table.first <= ask.first_slice
        and table.last <= ask.last_slice
    )


def extended(ask: Ask, history: History | None, rows: Iterable[Row], last: int) -> History:
    """The history with fetched `rows` up to slice `last` added and what lies before the window dropped.

    The table stays the same object when nothing changes.
    """
    kept = PackedSlices(())
    if history is not None and _continues(ask, history):
        table = history.table
        if (table.first, table.last) == (ask.first_slice, last):
            return history
        if isinstance(table.slices, PackedSlices):
            kept = table.slices
    packed = kept.moved(ask.first_slice, sorted(rows))
    return History(ask.source, ask.selector, SliceTable(ask.slice_length, ask.first_slice, last, packed))


@dataclass(slots=True)
class _Halves:
    totals: dict[tuple[int, str], float] = field(default_factory=dict)
    counts: dict[tuple[int, str], float] = field(default_factory=dict)


def rows_of(asks: Sequence[Ask], series: Iterable[Series], length: float) -> Mapping[ModelKey, tuple[Row, ...]]:
    """The rows of each model in an answer to ``promql.slice_query``. A version without samples has none."""
    family, owners = family_of(asks[0].selector), Owners(asks)
    found = {ask.model: _Halves() for ask in asks}
    for one in series:
        version = one.labels.get(family.version_label, "")
        for ask in owners.of(one.labels):
            of = found[ask.model]
            half = of.counts if one.labels.get(PART_LABEL) == "count" else of.totals
            for at, value in zip(one.times, one.values, strict=True):
                half[round(at / 1000 / length) - 1, version] = value
    return {
        model: tuple(
            (index, version, of.totals.get((index, version), nan), count)
            for (index, version), count in of.counts.items()
            if count != 0
        )
        for model, of in found.items()
    }
