"""Vetoes: any sample lets one stand, each query is asked once, and one that fails says what mends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from math import inf, isnan, nan

import pytest

from modelslo.observe.answer import Answer, Series
from modelslo.observe.ask import Ask, Veto
from modelslo.observe.evidence import Gap, NoEvidence, QueryRecord, Stood, VetoSeen
from modelslo.observe.failure import QueryError, QueryFailure, QueryTimeout, QueryWarning
from modelslo.observe.pool import Query, QueryPool, Round
from modelslo.observe.vetoes import Answered, VetoRound, stood_in, unknown
from tests.unit.observe.asks import ask

STALE = Veto("features-stale", "time() - max(features_updated_seconds) > 900")
Says = Callable[[Query], Answer | QueryFailure]


def answer(*series: tuple[dict[str, str], dict[int, float]]) -> Answer:
    """Series with their values by time (Unix ms)."""
    return Answer(tuple(Series(labels, list(of), list(of.values())) for labels, of in series), 100)


class Pool(QueryPool):
    """A Prometheus that says `says`."""

    def __init__(self, says: Says) -> None:
        super().__init__(1)
        self.says, self.asked, self.flying, self.most = says, list[Query](), 0, 0

    async def ask(self, query: Query, round_: Round) -> tuple[Answer | QueryFailure, QueryRecord]:
        self.asked.append(query)
        self.flying += 1
        self.most = max(self.most, self.flying)
        await asyncio.sleep(0)
        self.flying -= 1
        return self.says(query), QueryRecord(query.text, query.start / 1000, query.end / 1000, 0, 0, 0.0)


def answered(says: Says, *asks: Ask, places: int = 1) -> tuple[list[Answered], Pool]:
    async def run() -> tuple[list[Answered], Pool]:
        pool = Pool(says)
        vetoes = VetoRound(pool, asyncio.Semaphore(places))
        found = await asyncio.gather(*(vetoes.answered(one, Round()) for one in asks))
        pool.close()
        return list(found), pool

    return asyncio.run(run())


def watched(name: str = "m", *vetoes: Veto, since: float = 0.0, until: float = 60.0) -> Ask:
    return replace(ask(name=name, since=since, until=until), vetoes=vetoes or (STALE,))


@pytest.mark.parametrize("value", [1.0, 0.0, -3.0, nan, inf])
def test_any_sample_lets_it_stand_as_in_an_alerting_rule(value: float) -> None:
    (stood,) = stood_in(answer(({}, {60_000: value})), (60_000,), 60_000)
    assert (stood.at, stood.series) == (60.0, 1)
    assert stood.value == value or isnan(value)


def test_no_sample_means_that_it_does_not_stand() -> None:
    assert stood_in(answer(), (60_000,), 60_000) == []


def test_of_several_series_the_first_by_its_labels_is_shown() -> None:
    both = answer(({"job": "b"}, {60_000: 2.0, 120_000: 3.0}), ({"job": "a"}, {120_000: 9.0}))
    assert stood_in(both, (60_000, 120_000), 60_000) == [Stood(60.0, 2.0, 1), Stood(120.0, 9.0, 2)]


def test_it_is_asked_at_the_ends_of_the_cells() -> None:
    # Given four cells, in the second of which it stands
    (found,), pool = answered(lambda _: answer(({}, {120_000: 5.0})), watched(until=240.0))
    # Then one query covers them, and says which
    assert [(one.start, one.end, one.text) for one in pool.asked] == [(60_000, 240_000, STALE.query)]
    assert found.seen == (VetoSeen("features-stale", (Stood(120.0, 5.0, 1),)),)
    assert (found.gap, len(found.queries)) == (None, 1)


def test_five_hundred_models_with_one_veto_ask_it_once() -> None:
    asks = [watched(f"m{number}", Veto(f"name-{number}", STALE.query)) for number in range(500)]
    found, pool = answered(lambda _: answer(({}, {60_000: 1.0})), *asks)
    assert len(pool.asked) == 1
    assert [one.seen[0].name for one in found] == [f"name-{number}" for number in range(500)]


def test_other_times_and_other_queries_are_asked_apart_in_few_places() -> None:
    asks = [watched("a"), watched("b", until=120.0), watched("c", Veto("x", "x > 1"), STALE)]
    _, pool = answered(lambda _: answer(), *asks, places=2)
    assert len(pool.asked) == 3
    assert pool.most == 2


def test_an_answer_for_another_time_is_none() -> None:
    (found,), _ = answered(lambda _: answer(({}, {180_000: 1.0})), watched(until=120.0))
    assert found.gap is not None
    assert "answered for 180.000, which was not asked for" in found.gap.message


def test_a_long_history_comes_in_pieces() -> None:
    def says(query: Query) -> Answer:
        at = 600 * 60_000
        return answer(({}, {at: 1.0})) if query.start <= at <= query.end else answer()

    (found,), pool = answered(says, watched(until=1200 * 60.0))
    assert [(one.start // 60_000, one.end // 60_000) for one in pool.asked] == [(1, 500), (501, 1000), (1001, 1200)]
    assert Stood(600 * 60.0, 1.0, 1) in found.seen[0].stood


def test_one_that_fails_hides_no_other() -> None:
    def says(query: Query) -> Answer | QueryFailure:
        return QueryTimeout("no answer") if query.text == "slow" else answer(({}, {60_000: 7.0}))

    found, _ = answered(says, watched("a", STALE, Veto("slow", "slow")), watched("b"))
    assert [one.name for one in found[0].seen] == ["features-stale"]
    assert found[0].gap is not None
    assert found[1].gap is None


@pytest.mark.parametrize(
    ("failure", "mend"),
    [
        (QueryError("Prometheus answers 400 bad_data: parse error", culprit=True), "Correct the PromQL"),
        (QueryTimeout("No whole answer from http://p within 10 s"), "record the query by a rule"),
        (QueryWarning("Prometheus warns that its answer may be partial: x"), "Mend what Prometheus warns of"),
        (QueryError("Prometheus answers 503 unavailable: starting"), "Is Prometheus well?"),
    ],
)
def test_a_failure_names_field_value_and_mend(failure: QueryFailure, mend: str) -> None:
    gap = unknown(1, Veto("labels-late", "sum("), failure)
    assert gap.reason is NoEvidence.VETO_UNKNOWN
    assert gap.message.startswith("spec.guardrails.vetoes[1].query (labels-late): 'sum(' cannot be read")
    assert str(failure) in gap.message
    assert mend in gap.message


def test_where_nobody_answers_the_veto_is_not_to_blame() -> None:
    gap = unknown(0, STALE, QueryError("Cannot talk to http://p: refused", unreachable=True))
    assert (gap.reason, gap.message) == (NoEvidence.QUERY_ERROR, "Cannot talk to http://p: refused")


def test_a_long_query_is_cut_in_the_message_alone() -> None:
    gap: Gap = unknown(0, Veto("long", "a + " * 500), QueryTimeout("no answer"))
    assert len(gap.message) < 400


def test_what_cannot_be_sent_is_not_sent() -> None:
    (found,), pool = answered(lambda _: answer(), watched("a", Veto("odd", "up == \ud800")))
    assert pool.asked == []
    assert found.gap is not None
    assert "no valid Unicode" in found.gap.message
