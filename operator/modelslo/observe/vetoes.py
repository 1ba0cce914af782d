"""Upstream vetoes: queries of the user that return something while the data upstream are broken.

A veto is asked at the ends of the cells of the evaluation grid, by range query, so that a replay finds what was found
live. Each query is asked once in a round, however many models name it. As in an alerting rule, any sample lets the veto
stand, whatever its value: `up == 0` returns zeros, and `x != x` NaN.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from modelslo.api.quoted import short
from modelslo.observe.answer import Answer, Series
from modelslo.observe.ask import Ask, Source, Veto
from modelslo.observe.cells import boundaries
from modelslo.observe.evidence import Gap, NoEvidence, QueryRecord, Stood, VetoSeen
from modelslo.observe.failure import QueryError, QueryFailure, QueryTimeout, QueryWarning
from modelslo.observe.pool import Query, QueryPool, Round
from modelslo.observe.promql import encodable

# Cells in one query: a step of whole milliseconds stays close to the grid, and far below Prometheus' own 11,000.
_MOST_STEPS: Final = 500
_SHOWN: Final = 100
NO_UNICODE: Final = "it is no valid Unicode"


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of the vetoes of one ask; ``gap`` when one of them is not known."""

    seen: tuple[VetoSeen, ...] = ()
    gap: Gap | None = None
    queries: tuple[QueryRecord, ...] = ()


_One = tuple[tuple[Stood, ...] | QueryFailure, tuple[QueryRecord, ...]]


class VetoRound:
    """The vetoes of one round of observation."""

    def __init__(self, pool: QueryPool, places: asyncio.Semaphore) -> None:
        """`places` bounds the queries of vetoes in flight: slow ones must leave room for the losses."""
        self._pool, self._places = pool, places
        self._asked: dict[Hashable, asyncio.Task[_One]] = {}

    async def answered(self, ask: Ask, round_: Round) -> Answered:
        """All vetoes of `ask` over its cells."""
        ends = boundaries(ask.since, ask.until, ask.grid)
        found = await asyncio.gather(*(self._once(ask.source, veto, ends, ask.grid, round_) for veto in ask.vetoes))
        seen, gap, queries = [], None, list[QueryRecord]()
        for number, (veto, (result, records)) in enumerate(zip(ask.vetoes, found, strict=True)):
            queries += records
            if isinstance(result, QueryFailure):
                gap = gap or unknown(number, veto, result)
            else:
                seen.append(VetoSeen(veto.name, result))
        return Answered(tuple(seen), gap, tuple(queries))

    def _once(
        self, source: Source, veto: Veto, ends: tuple[int, ...], grid: float, round_: Round
    ) -> asyncio.Task[_One]:
        key = (source, veto.query, ends[0], ends[-1], grid)
        if key not in self._asked:
            self._asked[key] = asyncio.create_task(self._read(source, veto.query, ends, grid, round_))
        return self._asked[key]

    async def _read(self, source: Source, text: str, ends: tuple[int, ...], grid: float, round_: Round) -> _One:
        if not encodable(text):
            return QueryFailure(NO_UNICODE, culprit=True), ()
        times, records, stood = ends[1:], list[QueryRecord](), list[Stood]()
        for first in range(0, len(times), _MOST_STEPS):
            piece = times[first : first + _MOST_STEPS]
            query = query_of(source, text, piece, round(grid * 1000))
            async with self._places:
                result, record = await self._pool.ask(query, round_)
            records.append(record)
            if isinstance(result, QueryFailure):
                return result, tuple(records)
            try:
                stood += stood_in(result, piece, round(grid * 1000))
            except QueryFailure as failure:
                return failure, tuple(records)
        return tuple(stood), tuple(records)


def query_of(source: Source, text: str, times: Sequence[int], step: int) -> Query:
    """Asks `text` at `times` (Unix ms, `step` apart); the last one is exact."""
    end, start = times[-1], times[-1] - (len(times) - 1) * step
    return Query(source, text, start, end, lambda client: client.steps(text, start, end, step))


def stood_in(answer: Answer, times: Sequence[int], step: int) -> list[Stood]:
    """When anything was returned; of several series the value of the first, by its labels, is shown. Raises
    QueryFailure."""
    start, found = times[-1] - (len(times) - 1) * step, dict[int, list[float]]()
    for one in sorted(answer.series, key=_labels):
        for at, value in zip(one.times, one.values, strict=True):
            place = round((at - start) / step)
            if not 0 <= place < len(times):
                raise QueryError(f"Prometheus answered for {at / 1000:.3f}, which was not asked for")
            found.setdefault(place, []).append(value)
    return [Stood(times[place] / 1000, values[0], len(values)) for place, values in sorted(found.items())]


def _labels(one: Series) -> list[tuple[str, str]]:
    return sorted(one.labels.items())


def unknown(number: int, veto: Veto, failure: QueryFailure) -> Gap:
    """The veto at `number` of spec.guardrails.vetoes cannot be read: field, value and mend.

    Where nobody answers it is not the veto that is wrong.
    """
    if isinstance(failure, QueryError) and failure.unreachable:
        return failure.gap
    return Gap(
        NoEvidence.VETO_UNKNOWN,
        f"spec.guardrails.vetoes[{number}].query ({veto.name}): {short(veto.query, _SHOWN)!r} cannot be read, "
        f"so that nothing is decided: {str(failure).rstrip('.')}. {_mend(failure)}",
    )


def _mend(failure: QueryFailure) -> str:
    if isinstance(failure, QueryWarning):
        return "Mend what Prometheus warns of, or the query."
    if isinstance(failure, QueryTimeout):
        return "Is Prometheus well? Else record the query by a rule, or raise spec.indicator.prometheus.timeout."
    if failure.culprit:
        return "Correct the PromQL, or take the veto out."
    return "Is Prometheus well?"
