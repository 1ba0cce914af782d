"""Queries in threads: bounded in number and in time, recorded and counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from modelslo.api.address import shown
from modelslo.observe.answer import Answer
from modelslo.observe.ask import Source
from modelslo.observe.client import MOST_BYTES, PrometheusClient
from modelslo.observe.evidence import Gap, QueryRecord
from modelslo.observe.failure import QueryError, QueryFailure, QueryTimeout

T = TypeVar("T")
# The deadline of the exchange is kept by the client. Reading the answer takes longer on a busy machine, and a name
# server may keep a thread for ever: this many seconds later we stop waiting.
_GRACE: Final = 10.0
OK: Final = "Ok"


@dataclass(slots=True)
class Stats:
    """Since the start: queries by outcome (Ok or a NoEvidence reason), their seconds, bytes and series."""

    queries: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    bytes: int = 0
    series: int = 0


@dataclass(slots=True)
class Round:
    """One call of observe: which Prometheus answered in it and which is out of reach, by URL."""

    alive: set[str] = field(default_factory=set)
    down: dict[str, Gap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Query:
    """`start` < `end` are the times (Unix ms) that the answer covers."""

    source: Source
    text: str
    start: int
    end: int
    run: Callable[[PrometheusClient], Answer]


class QueryPool:
    """Runs queries in `threads` threads. `seen` is called after each with its outcome and seconds."""

    def __init__(
        self, threads: int, *, most_bytes: int = MOST_BYTES, seen: Callable[[str, float], None] | None = None
    ) -> None:
        self.stats = Stats()
        self._threads = threads
        self._most_bytes = most_bytes
        self._seen = seen
        self._clients: dict[Source, PrometheusClient] = {}
        self._places = asyncio.Semaphore(threads)
        # One Prometheus that hangs must not take all threads away from the others.
        self._places_of: dict[str, asyncio.Semaphore] = {}
        # One thread more than places: reading an answer must not wait for a thread that a name server keeps.
        self._executor = ThreadPoolExecutor(threads + 1, thread_name_prefix="observe")

    def close(self) -> None:
        """Ends the threads. Queries under way end at their deadline."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    async def ask(self, query: Query, round_: Round) -> tuple[Answer | QueryFailure, QueryRecord]:
        """The answer or why there is none. Nobody is asked again in a round in which he was out of reach."""
        url = query.source.url
        async with self._places_of.setdefault(url, asyncio.Semaphore(max(1, self._threads // 2))), self._places:
            gap = round_.down.get(url)
            if gap is not None:
                return _refused(gap), _record(query, None, 0.0, gap.message)
            began = time.monotonic()
            result = await self._answer(query)
            took = time.monotonic() - began
        self._count(result, took)
        self._learn(url, result, round_)
        answer = result if isinstance(result, Answer) else None
        return result, _record(query, answer, took, "" if answer is not None else str(result))

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Runs `work`, which takes time but waits for nothing, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _answer(self, query: Query) -> Answer | QueryFailure:
        client = self._client(query.source)
        try:
            return await asyncio.wait_for(
                asyncio.get_running_loop().run_in_executor(self._executor, query.run, client),
                query.source.timeout + _GRACE,
            )
        except QueryFailure as failure:
            return failure
        except TimeoutError:
            return QueryTimeout(f"No answer from {shown(query.source.url)} within {query.source.timeout:g} s")

    def _client(self, source: Source) -> PrometheusClient:
        if source not in self._clients:
            self._clients[source] = PrometheusClient(
                source.url, timeout=source.timeout, threads=self._threads, most_bytes=self._most_bytes
            )
        return self._clients[source]

    def _count(self, result: Answer | QueryFailure, took: float) -> None:
        outcome = OK
        if isinstance(result, Answer):
            self.stats.bytes += result.size
            self.stats.series += len(result.series)
        else:
            outcome = str(result.reason)
        self.stats.queries[outcome] += 1
        self.stats.seconds += took
        if self._seen is not None:
            self._seen(outcome, took)

    def _learn(self, url: str, result: Answer | QueryFailure, round_: Round) -> None:
        if isinstance(result, QueryError) and result.unreachable:
            round_.down[url] = result.gap
        elif isinstance(result, QueryTimeout):
            # One slow query of a server that answers others says nothing about the rest.
            if url not in round_.alive:
                round_.down[url] = result.gap
        else:
            round_.alive.add(url)


def _refused(gap: Gap) -> QueryFailure:
    return QueryTimeout(gap.message) if gap.reason is QueryTimeout.reason else QueryError(gap.message)


def _record(query: Query, answer: Answer | None, took: float, error: str) -> QueryRecord:
    return QueryRecord(
        query=query.text,
        start=query.start / 1000,
        end=query.end / 1000,
        series=len(answer.series) if answer is not None else 0,
        samples=answer.samples if answer is not None else 0,
        seconds=took,
        error=error,
    )
