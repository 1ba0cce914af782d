"""Vetoes asked of a real Prometheus: once for many models, at grid times, and a bad one spoils nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from math import isnan

import pytest

from modelslo.observe.ask import Ask, Source, Veto
from modelslo.observe.evidence import Evidence, ModelKey, NoEvidence, VetoSeen
from modelslo.observe.observer import Observer
from tests.cluster.prometheus import Prometheus, start
from tests.integration.exporters import steady
from tests.integration.faulty import between
from tests.integration.remote_write import CONFIG, FLAG, Sample, push
from tests.integration.test_observe import END, ask, exporter, observed, times

# The lag of the pipeline exceeds 900 s from the 11th to the 14th of the last 25 minutes.
STALE = Veto("features-stale", 'pipeline_lag_seconds{pipeline="features"} > 900')
BROKEN = (range(10, 14), 25)


def lag() -> Iterator[Sample]:
    minutes, count = BROKEN
    for number in range(count):
        for second in (0, 15, 30, 45):
            at = END - 60 * (count - number) + second + 15
            labels = {"__name__": "pipeline_lag_seconds", "pipeline": "features"}
            yield labels, round(at * 1000), 1200.0 if number in minutes else 30.0


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with start(CONFIG, flags=[FLAG]) as running:
        for number in range(20):
            push(running.url, steady(exporter("n", f"m{number}"), times(5), 2, 0.3))
        push(running.url, steady(exporter("n", "long"), times(26), 2, 0.3))
        push(running.url, lag())
        yield running


def watched(url: str, name: str, *vetoes: Veto, since: float = END - 60, until: float = END) -> Ask:
    return replace(ask(url, "n", name, since=since, until=until), vetoes=vetoes)


def of(found: dict[ModelKey, Evidence], name: str) -> Evidence:
    return found[ModelKey("n", name)]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("pipeline_lag_seconds > 1e6", None),  # nothing is returned
        ("pipeline_lag_seconds > 1", 30.0),
        ("vector(0)", 0.0),
        ("0", 0.0),  # a number is a sample, as in an alerting rule
        ("absent(no_such_series)", 1.0),
        ("0 * vector(Inf)", float("nan")),
    ],
)
def test_any_sample_of_any_value_lets_it_stand(prometheus: Prometheus, query: str, values: float | None) -> None:
    (seen,) = of(observed([watched(prometheus.url, "m1", Veto("v", query))]), "m1").vetoes
    assert [one.at for one in seen.stood] == ([] if values is None else [END])
    for one in seen.stood:
        assert one.value == values or isnan(one.value)


def test_replay_finds_what_was_found_live(prometheus: Prometheus) -> None:
    # Given 25 evaluations, one after the other
    whole = watched(prometheus.url, "long", STALE, since=END - 1500)

    async def run() -> tuple[Evidence, list[Evidence]]:
        live, replayed = Observer(2), Observer(2)
        pieces = []
        for number in range(25):
            since = END - 1500 + 60 * number
            pieces.append(of(await live.observe([replace(whole, since=since, until=since + 60)]), "long"))
        found = of(await replayed.observe([whole]), "long")
        live.close()
        replayed.close()
        return found, pieces

    found, pieces = asyncio.run(run())
    # Then the veto stood in four of them
    stood = tuple(one for piece in pieces for one in piece.vetoes[0].stood)
    assert [one.at for one in stood] == [END - 1500 + 60 * number for number in range(11, 15)]
    assert {(one.value, one.series) for one in stood} == {(1200.0, 1)}
    # And a replay of all at once says the same
    assert found.vetoes == (VetoSeen("features-stale", stood),)
    assert found.increments == tuple(one for piece in pieces for one in piece.increments)


def test_one_veto_of_many_models_is_one_query_a_tick(prometheus: Prometheus) -> None:
    with between(prometheus.url, lambda _, answer: answer) as (url, queries):
        asks = [watched(url, f"m{number}", STALE) for number in range(20)]

        async def run() -> None:
            observer = Observer(8)
            await observer.observe(asks)
            assert queries.count(STALE.query) == 1
            assert len(queries) == 3  # and one of samples, one of slices
            observer.close()

        asyncio.run(run())


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(", "bad_data"),
        ("pipeline_lag_seconds[5m]", "bad_data"),
        ('"words"', "bad_data"),
        ("pipeline_lag_seconds + on () group_left () {__name__=~'ml_.*'}", "execution"),
    ],
)
def test_a_bad_query_is_unknown_for_its_own_model_alone(prometheus: Prometheus, query: str, said: str) -> None:
    # Given models of one batch, and one with a query that Prometheus refuses
    asks = [watched(prometheus.url, f"m{number}", STALE) for number in range(3)]
    asks += [watched(prometheus.url, "m3", STALE, Veto("broken", query)), watched(prometheus.url, "m4")]

    async def run() -> None:
        observer = Observer(8)
        for turn in range(2):
            found = await observer.observe(asks)
            # Then it alone is Unknown, its losses are not read, and the message names field, value and mend
            gapped = {key.name: one.gap for key, one in found.items() if one.gap is not None}
            assert list(gapped) == ["m3"], turn
            gap = gapped["m3"]
            assert gap is not None
            assert gap.reason is NoEvidence.VETO_UNKNOWN
            assert gap.message.startswith(f"spec.guardrails.vetoes[1].query (broken): {query!r} cannot be read")
            assert said in gap.message
            assert "Correct the PromQL" in gap.message
            assert of(found, "m3").increments == ()
            # And what could be read of it is told
            assert [one.name for one in of(found, "m3").vetoes] == ["features-stale"]
        # When the query is mended, what was missed is read, as after an outage
        mended = await observer.observe([watched(prometheus.url, "m3", STALE, since=END - 120)])
        assert len(of(mended, "m3").increments) == 2
        observer.close()

    asyncio.run(run())


def test_a_warning_is_unknown_too(prometheus: Prometheus) -> None:
    def warned(query: str, answer: dict[str, object]) -> dict[str, object]:
        return answer | {"warnings": ["a store did not answer"]} if query == STALE.query else answer

    with between(prometheus.url, warned) as (url, _):
        found = observed([watched(url, "m1", STALE), watched(url, "m2")])
    gap = of(found, "m1").gap
    assert gap is not None
    assert (gap.reason, "a store did not answer" in gap.message) == (NoEvidence.VETO_UNKNOWN, True)
    assert of(found, "m2").gap is None


def test_one_that_never_answers_holds_its_own_model_alone(prometheus: Prometheus) -> None:
    """Whether the others have vetoes or none; the second time they do not wait for it either."""
    over = threading.Event()

    def slow(query: str, answer: dict[str, object]) -> dict[str, object]:
        if query == "slow":
            over.wait(20)
        return answer

    async def run(url: str) -> None:
        quick, late = Source(url, 1.5), Veto("late", "slow")
        asks = [watched(url, "m1", STALE), watched(url, "m2"), watched(url, "m3", late), watched(url, "m4", late)]
        observer = Observer(8)
        for _ in range(2):
            found = await observer.observe([replace(one, source=quick) for one in asks])
            gapped = {key.name: one.gap for key, one in found.items() if one.gap is not None}
            assert set(gapped) == {"m3", "m4"}
            assert gapped["m3"] is not None
            assert gapped["m3"].reason is NoEvidence.VETO_UNKNOWN
            assert "record the query by a rule" in gapped["m3"].message
        assert observer.stats.queries["QueryTimeout"] == 2
        observer.close()

    with between(prometheus.url, slow) as (url, _):
        try:
            asyncio.run(run(url))
        finally:
            over.set()


def test_a_model_that_goes_while_its_veto_is_read_troubles_nobody(prometheus: Prometheus) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def held(query: str, answer: dict[str, object]) -> dict[str, object]:
        if query == STALE.query:
            asked.set()
            go_on.wait(20)
        return answer

    async def run(url: str) -> None:
        observer = Observer(8)
        asks = [watched(url, "m1", STALE), watched(url, "m2", STALE)]
        reading = asyncio.create_task(observer.observe(asks))
        await asyncio.to_thread(asked.wait, 20)
        observer.forget(ModelKey("n", "m1"))
        go_on.set()
        found = await reading
        assert of(found, "m2").gap is None
        assert len(of(found, "m2").increments) == 1
        observer.close()

    with between(prometheus.url, held) as (url, _):
        asyncio.run(run(url))
