"""Reads the evidence of many models in few queries.

One query fetches the raw samples of up to 200 models since the last evaluation, another one their slices when a slice
has closed. Vetoes are read first: where one is not known, nothing could be decided, and the losses are read when it is,
as after an outage. What was read last is kept per model: positions in the series, and closed slices. All of it can be
lost; it is read again from Prometheus, with the same result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

from modelslo.observe.answer import Answer
from modelslo.observe.ask import Ask
from modelslo.observe.batch import batches, family_of, matchers, unaskable
from modelslo.observe.bisect import Suspects, in_pieces
from modelslo.observe.cells import Cell, Cursor, Merged, advance, boundaries, on_common_edges
from modelslo.observe.client import MOST_BYTES
from modelslo.observe.evidence import (
    STALENESS,
    Evidence,
    Gap,
    ModelKey,
    NoEvidence,
    QueryRecord,
    SliceTable,
    VetoSeen,
)
from modelslo.observe.failure import QueryFailure
from modelslo.observe.gather import gather
from modelslo.observe.pool import Query, QueryPool, Round, Stats
from modelslo.observe.promql import samples_query, slice_query
from modelslo.observe.series import STALENESS_MS
from modelslo.observe.slices import History, Missing, Row, extended, missing, rows_of
from modelslo.observe.vetoes import VetoRound

# Models times grid cells in one answer of raw samples: a replay comes in pieces that fit into memory.
_MOST_CELLS: Final = 1200
# Models times slices in one answer; Prometheus itself gives at most 11,000 points a series.
_MOST_SLICES: Final = 40_000
_MOST_POINTS: Final = 11_000
# A step of whole milliseconds may drift this share of a slice away from the slices' own grid.
_DRIFT: Final = 0.01


@dataclass(slots=True)
class _Reading:
    """What one ask has got so far in this round."""

    ask: Ask
    cursor: Cursor | None
    cells: list[Cell] = field(default_factory=list)
    gap: Gap | None = None
    slice_gap: Gap | None = None
    queries: list[QueryRecord] = field(default_factory=list)
    vetoes: tuple[VetoSeen, ...] = ()


@dataclass(slots=True)
class _Known:
    """What is kept of one model between rounds. ``ask`` is the first one with this source, selector and slice."""

    ask: Ask
    cursor: Cursor | None = None
    history: History | None = None
    table: SliceTable | None = None


class Observer:
    """Reads evidence with at most `threads` queries at once. For one event loop.

    ``seen(outcome, seconds)`` is called after every query; the outcome is "Ok" or a NoEvidence reason.
    """

    def __init__(
        self,
        threads: int = 8,
        *,
        most_bytes: int = MOST_BYTES,
        seen: Callable[[str, float], None] | None = None,
    ) -> None:
        self._pool = QueryPool(threads, most_bytes=most_bytes, seen=seen)
        self._known: dict[ModelKey, _Known] = {}
        self._sample_suspects, self._slice_suspects = Suspects(), Suspects()
        # Models with a veto that could not be read last time: nobody else waits for it again.
        self._veto_suspects: set[ModelKey] = set()
        self._veto_places = asyncio.Semaphore(max(1, threads // 4))

    @property
    def stats(self) -> Stats:
        return self._pool.stats

    def forget(self, model: ModelKey) -> None:
        """Drops what is kept of a model that is no more."""
        self._known.pop(model, None)
        self._sample_suspects.models.discard(model)
        self._slice_suspects.models.discard(model)
        self._veto_suspects.discard(model)

    def close(self) -> None:
        self._pool.close()

    async def observe(self, asks: Sequence[Ask]) -> dict[ModelKey, Evidence]:
        """Evidence for every ask, one per model. What could not be read is a Gap in it; nothing is raised for that."""
        round_ = Round()
        readings = {ask.model: _Reading(ask, _continuing(ask, self._prepare(ask).cursor)) for ask in asks}
        for reading in readings.values():
            problem = unaskable(reading.ask)
            if problem is not None:
                reading.gap = reading.slice_gap = Gap(NoEvidence.QUERY_ERROR, problem)
        sound = [reading.ask for reading in readings.values() if reading.gap is None]
        vetoes = VetoRound(self._pool, self._veto_places)
        await asyncio.gather(
            *(self._read_vetoes_and_samples(group, readings, vetoes, round_) for group in self._by_vetoes(sound)),
            *(self._read_slices(wanted, batch, readings, round_) for wanted, batch in self._slice_batches(sound)),
        )
        return {model: self._evidence(reading) for model, reading in readings.items()}

    def _prepare(self, ask: Ask) -> _Known:
        """What is known of this model, afresh when other series are meant now."""
        known = self._known.get(ask.model)
        if known is None or _series_of(known.ask) != _series_of(ask):
            known = self._known[ask.model] = _Known(ask)
        return known

    # Vetoes

    def _by_vetoes(self, asks: Sequence[Ask]) -> list[list[Ask]]:
        """Who waits for whose vetoes: models without any for none, sound ones not for those that failed before."""
        groups: dict[Hashable, list[Ask]] = {}
        for ask in asks:
            key = ask.model in self._veto_suspects if ask.vetoes else None
            groups.setdefault(key, []).append(ask)
        return list(groups.values())

    async def _read_vetoes_and_samples(
        self, asks: Sequence[Ask], readings: dict[ModelKey, _Reading], vetoes: VetoRound, round_: Round
    ) -> None:
        # A veto that takes too long says nothing of the queries for losses.
        apart = Round()
        watched = [ask for ask in asks if ask.vetoes]
        for ask, found in zip(
            watched, await asyncio.gather(*(vetoes.answered(ask, apart) for ask in watched)), strict=True
        ):
            reading = readings[ask.model]
            reading.vetoes, reading.gap = found.seen, found.gap
            reading.queries += found.queries
            (self._veto_suspects.discard if found.gap is None else self._veto_suspects.add)(ask.model)
        # A model may be gone by now.
        known = [ask for ask in asks if readings[ask.model].gap is None and ask.model in self._known]
        await asyncio.gather(*(self._read_samples(batch, readings, round_) for batch in self._sample_batches(known)))

    # Raw samples

    def _sample_batches(self, asks: Sequence[Ask]) -> list[tuple[Ask, ...]]:
        def key(ask: Ask) -> Hashable:
            cold = _continuing(ask, self._known[ask.model].cursor) is None
            return ask.since, ask.until, ask.grid, cold, ask.model in self._sample_suspects.models

        return batches(asks, key)

    async def _read_samples(self, asks: Sequence[Ask], readings: dict[ModelKey, _Reading], round_: Round) -> None:
        ask = asks[0]
        ends, cells = boundaries(ask.since, ask.until, ask.grid), max(1, _MOST_CELLS // len(asks))
        windows = [ends[start : start + cells + 1] for start in range(0, len(ends) - 1, cells)]

        async def read(some: Sequence[Ask], window: tuple[int, ...]) -> QueryFailure | None:
            return await self._read_window([readings[one.model] for one in some], window, round_)

        bisection = self._sample_suspects.bisection(ask.source.url)
        failed = await in_pieces(asks, windows, read, bisection)
        self._sample_suspects.learn(bisection, asks, failed)
        for one, gap in failed:
            readings[one.model].gap = gap

    async def _read_window(
        self, readings: Sequence[_Reading], ends: tuple[int, ...], round_: Round
    ) -> QueryFailure | None:
        asks = [reading.ask for reading in readings]
        family, cold = family_of(asks[0].selector), readings[0].cursor is None
        start = ends[0] - STALENESS_MS if cold else ends[0]
        text = samples_query(family.metrics, matchers(asks), ends[-1] - start)
        query = Query(asks[0].source, text, start, ends[-1], lambda client: client.samples(text, ends[-1]))
        result, record = await self._pool.ask(query, round_)
        for reading in readings:
            reading.queries.append(record)
        if isinstance(result, QueryFailure):
            return result
        answer: Answer = result

        def work() -> list[tuple[list[Cell], Cursor]]:
            found = gather(asks, answer.series)
            return [advance(reading.cursor, found[reading.ask.model], ends) for reading in readings]

        for reading, (cells, cursor) in zip(readings, await self._pool.in_thread(work), strict=True):
            reading.cells.extend(cells)
            reading.cursor = cursor
        return None

    # Slices

    def _slice_batches(self, asks: Sequence[Ask]) -> list[tuple[Missing, tuple[Ask, ...]]]:
        wanted = {ask.model: gap for ask in asks if (gap := missing(ask, self._known[ask.model].history))}
        shared = batches(
            [ask for ask in asks if ask.model in wanted],
            lambda ask: (wanted[ask.model], ask.model in self._slice_suspects.models),
        )
        return [(wanted[batch[0].model], batch) for batch in shared]

    async def _read_slices(
        self, wanted: Missing, asks: Sequence[Ask], readings: dict[ModelKey, _Reading], round_: Round
    ) -> None:
        most = _points(wanted.length, len(asks))
        pieces = [
            Missing(wanted.length, first, min(first + most - 1, wanted.last))
            for first in range(wanted.first, wanted.last + 1, most)
        ]

        async def read(some: Sequence[Ask], piece: Missing) -> QueryFailure | None:
            return await self._read_piece([readings[one.model] for one in some], piece, round_)

        bisection = self._slice_suspects.bisection(asks[0].source.url)
        failed = await in_pieces(asks, pieces, read, bisection)
        self._slice_suspects.learn(bisection, asks, failed)
        for one, gap in failed:
            readings[one.model].slice_gap = gap

    async def _read_piece(self, readings: Sequence[_Reading], piece: Missing, round_: Round) -> QueryFailure | None:
        asks = [reading.ask for reading in readings]
        family, step = family_of(asks[0].selector), round(piece.length * 1000)
        labels = (family.namespace_label, *family.match_labels, family.version_label)
        text = slice_query(family.metric, matchers(asks), labels, step)
        start = round((piece.first + 1) * piece.length * 1000)
        end = start + (piece.last - piece.first) * step
        query = Query(asks[0].source, text, start - step, end, lambda client: client.steps(text, start, end, step))
        result, record = await self._pool.ask(query, round_)
        for reading in readings:
            reading.queries.append(record)
        if isinstance(result, QueryFailure):
            return result
        answer: Answer = result

        def work() -> dict[ModelKey, tuple[Row, ...]]:
            return dict(rows_of(asks, answer.series, piece.length))

        found = await self._pool.in_thread(work)
        for ask in asks:
            # It may have been forgotten in the meantime.
            if (known := self._known.get(ask.model)) is not None:
                known.history = extended(ask, known.history, found[ask.model], piece.last)
        return None

    # The result

    def _evidence(self, reading: _Reading) -> Evidence:
        ask, cursor, gap = reading.ask, reading.cursor, reading.gap
        merged = on_common_edges(reading.cells) if gap is None else Merged()
        newest = cursor.newest() if cursor is not None and gap is None else {}
        if gap is None and not newest and not merged.increments:
            gap = _no_data(ask)
        known = self._known.get(ask.model, _Known(ask))
        if gap is None:
            known.cursor = cursor
        if reading.slice_gap is None and missing(ask, known.history) is None:
            known.history = extended(ask, known.history, (), ask.last_slice)
            known.table = known.history.table
        return Evidence(
            model=ask.model,
            since=ask.since,
            at=ask.until,
            increments=merged.increments,
            edges=merged.edges,
            delay_edges=merged.delay_edges,
            newest=newest,
            slices=known.table,
            gap=gap,
            slice_gap=reading.slice_gap,
            queries=tuple(reading.queries),
            notes=merged.notes,
            vetoes=reading.vetoes,
        )


def _series_of(ask: Ask) -> Hashable:
    return ask.source.url, ask.selector, ask.slice_length


def _continuing(ask: Ask, cursor: Cursor | None) -> Cursor | None:
    """`cursor` when this ask begins where it stands."""
    return cursor if cursor is not None and cursor.at == round(ask.since * 1000) else None


def _no_data(ask: Ask) -> Gap:
    selector = ask.selector
    chosen = ", ".join(
        f"{label}={value!r}" for label, value in ((selector.namespace_label, ask.model.namespace), *selector.match)
    )
    return Gap(
        NoEvidence.NO_DATA,
        f"Prometheus has no sample of {selector.metric}_count with {chosen} in the last {STALENESS:.0f} s. "
        f"`modelslo doctor {ask.model.name} -n {ask.model.namespace}` says which label excludes it.",
    )


def _points(length: float, models: int) -> int:
    """Slices that one query may fetch for so many models."""
    off = abs(length * 1000 - round(length * 1000))
    drift = int(_DRIFT * length * 1000 / off) if off > 0 else _MOST_POINTS
    return max(1, min(_MOST_POINTS, drift, _MOST_SLICES // models))
