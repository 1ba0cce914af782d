"""What Prometheus had of one model over a time: enough to give each evaluation its evidence again. Pure.

A recording is a list of chunks; each is one line of JSON, so that reading can be broken off and gone on with.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from modelslo.observe.ask import Ask, Veto
from modelslo.observe.cells import Cell, on_common_edges
from modelslo.observe.evidence import (
    NO_AGE,
    STALENESS,
    Evidence,
    Gap,
    ModelKey,
    NoEvidence,
    SliceTable,
    Stood,
    VetoSeen,
)
from modelslo.observe.slices import PackedSlices, Row

SCHEMA: Final = 1


class RecordingError(ValueError):
    """A recording that cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording is of. Times in Unix seconds; ``series`` names the series that were read, as text.

    Cells of ``grid`` seconds cover (since, until]; the slices are of ``slice_length`` seconds. What was read is enough
    to evaluate at the grid times in (begin, end]. ``vetoes`` are all queries of vetoes, under names of the recording.
    """

    model: ModelKey
    series: str
    grid: float
    slice_length: float
    since: float
    until: float
    first_slice: int
    last_slice: int
    begin: float
    end: float
    vetoes: tuple[Veto, ...] = ()

    def line(self) -> str:
        plain = {
            "modelsloRecording": SCHEMA,
            "namespace": self.model.namespace,
            "name": self.model.name,
            "series": self.series,
            "grid": self.grid,
            "sliceLength": self.slice_length,
            "since": self.since,
            "until": self.until,
            "firstSlice": self.first_slice,
            "lastSlice": self.last_slice,
            "begin": self.begin,
            "end": self.end,
        }
        if self.vetoes:  # a recording without any is what it was before there were vetoes
            plain["vetoes"] = {one.name: one.query for one in self.vetoes}
        return json.dumps(plain, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Cells in (since, until], slices up to ``last_slice`` that no earlier chunk has, and when vetoes stood."""

    since: float
    until: float
    last_slice: int
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    vetoes: tuple[VetoSeen, ...] = ()

    def line(self) -> str:
        plain = {
            "since": self.since,
            "until": self.until,
            "lastSlice": self.last_slice,
            "cells": [_plain_cell(cell) for cell in self.cells],
            "slices": [[index, version, _plain(total), _plain(count)] for index, version, total, count in self.rows],
        }
        if self.vetoes:
            plain["vetoes"] = {
                one.name: [[stood.at, _plain(stood.value), stood.series] for stood in one.stood] for one in self.vetoes
            }
        return json.dumps(plain, separators=(",", ":"), allow_nan=False)


def chunk_of(evidence: Evidence, last_slice: int) -> Chunk:
    """The chunk that `evidence` holds."""
    cells = tuple(
        Cell(one, evidence.edges if one.losses.buckets else (), evidence.delay_edges if one.delays else ())
        for one in evidence.increments
    )
    rows: list[Row] = []
    for one in evidence.slices.slices if evidence.slices is not None else ():
        rows += [(one.index, version, total, count) for version, (total, count) in sorted(one.by_version.items())]
    return Chunk(evidence.since, evidence.at, last_slice, cells, tuple(rows), evidence.vetoes)


class Recording:
    """The chunks of one recording, in order. Gives the evidence that the live operator would have had."""

    def __init__(self, header: Header, chunks: Iterable[Chunk] = ()) -> None:
        self.header = header
        self.cells: list[Cell] = []
        self._ends: list[float] = []
        self._rows: dict[int, list[Row]] = {}
        self._stood: dict[str, list[Stood]] = {one.query: [] for one in header.vetoes}
        self.until = header.since
        self.last_slice = header.first_slice - 1
        self._table: SliceTable | None = None
        for chunk in chunks:
            self.add(chunk)

    @property
    def complete(self) -> bool:
        return self.until >= self.header.until

    def add(self, chunk: Chunk) -> None:
        """Raises RecordingError unless it is the next one."""
        self._check(chunk)
        self.cells += chunk.cells
        self._ends += [cell.increment.end for cell in chunk.cells]
        for row in chunk.rows:
            self._rows.setdefault(row[0], []).append(row)
        queries = {one.name: one.query for one in self.header.vetoes}
        for veto in chunk.vetoes:
            self._stood[queries[veto.name]] += veto.stood
        self.until, self.last_slice = chunk.until, chunk.last_slice

    def _check(self, chunk: Chunk) -> None:
        header = self.header
        if chunk.since != self.until:
            raise RecordingError(f"since: {chunk.since!r}, and {self.until!r} is next")
        if not chunk.since < chunk.until <= header.until:
            raise RecordingError(f"until: {chunk.until!r} is not from {chunk.since!r} to {header.until!r}")
        if not self.last_slice <= chunk.last_slice <= header.last_slice:
            raise RecordingError(f"lastSlice: {chunk.last_slice} is not from {self.last_slice} to {header.last_slice}")
        if any(row[0] <= self.last_slice for row in chunk.rows):
            raise RecordingError(f"slices: {min(chunk.rows)[0]} is there, and {self.last_slice + 1} is next")
        strange = {one.name for one in chunk.vetoes} - {one.name for one in header.vetoes}
        if strange:
            raise RecordingError(f"vetoes: {min(strange)!r} is none of those that the first line names")

    def between(self, since: float, until: float) -> list[Cell]:
        """Cells that end in (since, until]."""
        return self.cells[bisect_right(self._ends, since) : bisect_right(self._ends, until)]

    def evidence(self, ask: Ask) -> Evidence:
        """What Prometheus would have answered to `ask`, whose grid and slices are those of the recording."""
        cells = self.between(ask.since, ask.until)
        newest = {cell.increment.version: cell.increment.end for cell in self.between(ask.until - STALENESS, ask.until)}
        if not cells and not newest:
            gap = Gap(NoEvidence.NO_DATA, f"Prometheus had no sample of {ask.selector.metric}_count then.")
            return Evidence(
                ask.model, ask.since, ask.until, slices=self._slices(ask), gap=gap, vetoes=self._vetoes(ask)
            )
        merged = on_common_edges(cells)
        return Evidence(
            ask.model,
            ask.since,
            ask.until,
            merged.increments,
            merged.edges,
            newest,
            slices=self._slices(ask),
            notes=merged.notes,
            delay_edges=merged.delay_edges,
            vetoes=self._vetoes(ask),
        )

    def _vetoes(self, ask: Ask) -> tuple[VetoSeen, ...]:
        """What was recorded of each; one that was not is not known."""
        found = []
        for veto in ask.vetoes:
            stood = self._stood.get(veto.query)
            if stood is not None:
                first, last = (bisect_right(stood, at, key=_at) for at in (ask.since, ask.until))
                found.append(VetoSeen(veto.name, tuple(stood[first:last])))
        return tuple(found)

    def _slices(self, ask: Ask) -> SliceTable:
        """The table of the window; the same object while no slice has closed, as live."""
        table, first, last = self._table, ask.first_slice, ask.last_slice
        if table is not None and (table.first, table.last) == (first, last):
            return table
        kept, after = PackedSlices(()), first - 1
        if table is not None and table.first <= first and table.last <= last and isinstance(table.slices, PackedSlices):
            kept, after = table.slices, table.last
        rows = [row for index in range(after + 1, last + 1) for row in self._rows.get(index, ())]
        self._table = SliceTable(ask.slice_length, first, last, kept.moved(first, rows))
        return self._table


def _at(stood: Stood) -> float:
    return stood.at


def _plain_cell(cell: Cell) -> dict[str, Any]:
    one = cell.increment
    plain: dict[str, Any] = {
        "at": [one.start, one.end],
        "version": one.version,
        "segment": one.segment,
        "losses": [_plain(one.losses.count), _plain(one.losses.total)],
        "counted": [_plain(one.predictions), _plain(one.invalid)],
    }
    if one.age != NO_AGE:
        plain["age"] = one.age
    if one.losses.squares is not None:
        plain["squares"] = _plain(one.losses.squares)
    if cell.edges:
        plain |= {"edges": list(cell.edges), "buckets": [_plain(count) for count in one.losses.buckets]}
    if cell.delay_edges:
        plain |= {"delayEdges": list(cell.delay_edges), "delays": [_plain(count) for count in one.delays]}
    return plain


def _plain(value: float) -> float | str:
    """JSON has no NaN, and it matters here."""
    return value if isfinite(value) else str(value)
