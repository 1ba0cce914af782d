"""Evidence from a real Prometheus: same names in two namespaces, many models in few queries, replay equal to live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf

import pytest

from modelslo.observe.ask import Ask, Selector, Source
from modelslo.observe.evidence import Evidence, Increment, ModelKey, NoEvidence
from modelslo.observe.observer import Observer
from tests.cluster.prometheus import Prometheus, start
from tests.integration.exporters import Exporter, steady
from tests.integration.remote_write import CONFIG, FLAG, push

# Data end about now, on a whole minute.
END = time.time() // 60 * 60 - 60
SCRAPE = 15.0
GRID = 60.0


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with start(CONFIG, flags=[FLAG]) as running:
        yield running


def times(minutes: float, offset: float = 0.0) -> list[float]:
    count = int(minutes * 60 / SCRAPE) + 1
    return [END - offset - (count - 1 - number) * SCRAPE for number in range(count)]


def ask(
    url: str,
    namespace: str,
    name: str,
    *,
    since: float = END - 300,
    until: float = END,
    match: tuple[tuple[str, str], ...] | None = None,
    **selector: str | None,
) -> Ask:
    chosen: dict[str, str | None] = {"metric": "ml_huber_loss", "version_label": "model_version", **selector}
    return Ask(
        model=ModelKey(namespace, name),
        source=Source(url, 10.0),
        selector=Selector(
            metric=str(chosen["metric"]),
            predictions="ml_predictions_total",
            invalid="ml_loss_invalid_total",
            match=match or (("model_name", name),),
            version_label=str(chosen["version_label"]),
            namespace_label=chosen.get("namespace_label") or "namespace",
            segment_label=chosen.get("segment_label"),
            delays=chosen.get("delays"),
            age_label=chosen.get("age_label"),
        ),
        since=since,
        until=until,
        grid=GRID,
        slice_length=60.0,
        first_slice=int(since // 60),
        last_slice=int(until // 60) - 1,
    )


def observed(asks: Sequence[Ask], observer: Observer | None = None) -> dict[ModelKey, Evidence]:
    async def run() -> dict[ModelKey, Evidence]:
        mine = observer or Observer(4)
        try:
            return await mine.observe(asks)
        finally:
            if observer is None:
                mine.close()

    return asyncio.run(run())


def mean(increments: Sequence[Increment], version: str) -> float:
    mine = [one.losses for one in increments if one.version == version]
    return sum(one.total for one in mine) / sum(one.count for one in mine)


def exporter(namespace: str, name: str, version: str = "v1", **more: str) -> Exporter:
    return Exporter({"namespace": namespace, "model_name": name, "model_version": version, "pod": "joiner", **more})


def test_equal_names_in_two_namespaces_stay_apart(prometheus: Prometheus) -> None:
    push(prometheus.url, steady(exporter("team-a", "fraud"), times(10), 20, 0.3))
    push(prometheus.url, steady(exporter("team-b", "fraud"), times(10), 10, 0.9))
    found = observed([ask(prometheus.url, "team-a", "fraud"), ask(prometheus.url, "team-b", "fraud")])
    a, b = found[ModelKey("team-a", "fraud")], found[ModelKey("team-b", "fraud")]
    assert a.gap is b.gap is a.slice_gap is None
    assert a.queries[0] is b.queries[0]
    assert [one.losses.count for one in a.increments] == [80.0] * 5
    assert [one.losses.count for one in b.increments] == [40.0] * 5
    assert mean(a.increments, "v1") == pytest.approx(0.3, rel=0.1)
    assert mean(b.increments, "v1") == pytest.approx(0.9, rel=0.1)
    assert sum(a.increments[0].losses.buckets) == 80.0
    assert a.edges == (0.1, 0.25, 0.5, 1.0, 2.0)
    assert a.newest == {"v1": END}
    assert [one.predictions for one in a.increments] == [80.0] * 5


def test_label_delays_come_with_the_losses_when_they_are_asked_for(prometheus: Prometheus) -> None:
    slow = exporter("team-l", "fraud")
    slow.delays = True
    push(prometheus.url, steady(slow, times(10), 20, 0.3))
    key = ModelKey("team-l", "fraud")
    found = observed([ask(prometheus.url, "team-l", "fraud", delays="ml_label_delay_seconds")])[key]
    assert found.delay_edges == (10.0, 60.0)
    assert [one.delays for one in found.increments] == [(0.0, 80.0, 0.0)] * 5
    assert [one.losses.count for one in found.increments] == [80.0] * 5
    assert len(found.queries) == 2
    without = observed([ask(prometheus.url, "team-l", "fraud")])[key]
    assert (without.delay_edges, [one.delays for one in without.increments]) == ((), [()] * 5)


def test_losses_come_by_age_where_a_label_tells_it(prometheus: Prometheus) -> None:
    # Given two versions, whose joiner tells ages apart, and counts predictions without
    stream = []
    for version in ("v1", "v2"):
        for number, age in enumerate(("60.0", "600.0", "+Inf"), 1):
            one = exporter("team-g", "fraud", version, age_bucket=age)
            one.counters = False
            stream += list(steady(one, times(10), 2 * number, 0.3, seed=number))
        served = exporter("team-g", "fraud", version)
        served.metric = "other"
        stream += list(steady(served, times(10), 12, 0.3))
    push(prometheus.url, stream)
    key, since = ModelKey("team-g", "fraud"), END - 300
    whole = ask(prometheus.url, "team-g", "fraud", since=since, age_label="age_bucket")

    async def run() -> list[Evidence]:
        live = Observer(2)
        pieces = [replace(whole, since=since + GRID * number, until=since + GRID * (number + 1)) for number in range(5)]
        found = [(await live.observe([piece]))[key] for piece in pieces]
        live.close()
        return found

    # When they are asked for
    found = observed([whole])[key]
    # Then each cell has them by age, and predictions where there is no upper edge; live in pieces as in one
    assert [(one.age, one.losses.count, one.predictions) for one in found.increments[:3]] == [
        (60.0, 8.0, 0.0),
        (600.0, 16.0, 0.0),
        (inf, 24.0, 48.0),
    ]
    assert {one.version for one in found.increments} == {"v1", "v2"}
    assert repr(found.increments) == repr(tuple(one for piece in asyncio.run(run()) for one in piece.increments))
    # And who does not name the label has the sum
    plain = observed([replace(whole, selector=replace(whole.selector, age_label=None))])[key]
    assert [(one.age, one.losses.count, one.predictions) for one in plain.increments[:1]] == [(inf, 48.0, 48.0)]


def test_slices_hold_increases_and_keep_their_identity(prometheus: Prometheus) -> None:
    push(prometheus.url, steady(exporter("team-s", "churn"), times(10), 20, 0.3))

    async def run() -> None:
        observer = Observer(2)
        first = await observer.observe([ask(prometheus.url, "team-s", "churn")])
        again = await observer.observe([ask(prometheus.url, "team-s", "churn")])
        one, other = (found[ModelKey("team-s", "churn")].slices for found in (first, again))
        assert one is not None
        assert one is other
        assert [each.index for each in one.slices] == list(range(one.first, one.last + 1))
        total, count = one.slices[-1].by_version["v1"]
        assert count == pytest.approx(80, rel=0.35)
        assert total / count == pytest.approx(0.3, rel=0.2)
        observer.close()

    asyncio.run(run())


def test_replay_equals_live_bit_for_bit(prometheus: Prometheus) -> None:
    """Two pods, two versions, three segments; a pod restarts, another goes; labels carry fractions of any kind."""
    stream = []
    for number, (version, pod) in enumerate((("v1", "a"), ("v1", "b"), ("v2", "c"))):
        for segment in ("short", "long", ""):
            more = {"segment": segment} if segment else {}
            one = exporter("team-r", "air", version, **{**more, "pod": pod})
            moments = [at + 0.123 * number for at in times(30)]
            if pod == "b":
                moments = moments[:60] + moments[100:]  # ten minutes without this pod
            head, tail = moments[:70], moments[70:]
            stream += list(steady(one, head, 7 + number, 0.31, seed=number))
            if pod == "a":
                one.restart()
            if pod == "c":
                one.poison()
            stream += list(steady(one, tail, 7 + number, 0.31, seed=number + 9))
    push(prometheus.url, stream)
    key = ModelKey("team-r", "air")
    whole = ask(prometheus.url, key.namespace, key.name, since=END - 1500, segment_label="segment")

    async def run() -> tuple[Evidence, list[Evidence]]:
        replayed, live = Observer(2), Observer(2)
        replay = (await replayed.observe([whole]))[key]
        pieces = []
        for number in range(25):
            since = END - 1500 + number * GRID
            pieces.append((await live.observe([replace(whole, since=since, until=since + GRID)]))[key])
        replayed.close()
        live.close()
        return replay, pieces

    replay, pieces = asyncio.run(run())
    assert replay.gap is None
    assert repr(replay.increments) == repr(tuple(one for piece in pieces for one in piece.increments))
    assert replay.newest == pieces[-1].newest
    assert {one.segment for one in replay.increments} == {"short", "long", ""}
    assert any(one.losses.total != one.losses.total for one in replay.increments if one.version == "v2")


def test_450_models_are_three_queries(prometheus: Prometheus) -> None:
    names = [f"model-{number}" for number in range(450)]
    stream = []
    for number, name in enumerate(names):
        stream += list(steady(exporter("fleet", name), times(2), 1 + number % 7, 0.3, seed=number))
    push(prometheus.url, stream)
    asks = [ask(prometheus.url, "fleet", name, since=END - 60) for name in names]

    async def run() -> None:
        observer = Observer(4)
        found = await observer.observe(asks)
        assert observer.stats.queries == {"Ok": 6}  # three of samples, three of slices
        for number, name in enumerate(names):
            evidence = found[ModelKey("fleet", name)]
            assert [one.losses.count for one in evidence.increments] == [4.0 * (1 + number % 7)]
        later = [replace(one, since=one.until, until=one.until + 60) for one in asks]
        found = await observer.observe(later)
        assert observer.stats.queries == {"Ok": 9}  # no slice has closed: three of samples
        observer.close()

    asyncio.run(run())


HOSTILE = (
    'say "no"',
    "a|b",
    "a.b",
    ".*",
    "back\\slash",
    "line\nbreak",
    "tab\there",
    "{curly}",
    "$(x)",
    "ümläut 模型",
    "^start$",
    "(?i)fraud",
    "a,b=c",
    "\ufffd",
    "nul\x00byte",
    "`tick`",
    "'single'",
)


def test_hostile_label_values_match_themselves_only(prometheus: Prometheus) -> None:
    values = [*HOSTILE, "aXb", "a", "b", "anything", "FRAUD"]
    stream = []
    for number, value in enumerate(values):
        one = Exporter({"namespace": "hostile", "model_name": value, "model_version": "v1"})
        stream += list(steady(one, times(3), number + 1, 0.3))
    push(prometheus.url, stream)
    asks = [
        ask(prometheus.url, "hostile", f"m{number}", since=END - 60, match=(("model_name", value),))
        for number, value in enumerate(HOSTILE)
    ]
    together = observed(asks)
    for number, single in enumerate(asks):
        alone = observed([single])[single.model]
        for evidence in (together[single.model], alone):
            assert evidence.gap is None, (HOSTILE[number], evidence.gap)
            assert [each.losses.count for each in evidence.increments] == [4.0 * (number + 1)], HOSTILE[number]


def test_a_label_value_that_cannot_be_sent_stops_only_its_own_model(prometheus: Prometheus) -> None:
    push(prometheus.url, steady(exporter("odd", "sound"), times(3), 2, 0.3))
    broken = ask(prometheus.url, "odd", "broken", match=(("model_name", "half \ud800"),))
    found = observed([broken, ask(prometheus.url, "odd", "sound", since=END - 60)])
    assert found[broken.model].gap is not None
    assert found[ModelKey("odd", "sound")].gap is None


def test_two_label_schemas(prometheus: Prometheus) -> None:
    ours = exporter("schemas", "ours")
    theirs = Exporter({"exported_namespace": "schemas", "app": "theirs", "tier": "gold", "release": "r7"})
    other_tier = Exporter({"exported_namespace": "schemas", "app": "theirs", "tier": "iron", "release": "r7"})
    for one, losses in ((ours, 3), (theirs, 5), (other_tier, 50)):
        push(prometheus.url, steady(one, times(3), losses, 0.3))
    mine = ask(prometheus.url, "schemas", "ours", since=END - 60)
    foreign = ask(
        prometheus.url,
        "schemas",
        "theirs",
        since=END - 60,
        match=(("app", "theirs"), ("tier", "gold")),
        version_label="release",
        namespace_label="exported_namespace",
    )
    found = observed([mine, foreign])
    assert [(one.version, one.losses.count) for one in found[mine.model].increments] == [("v1", 12.0)]
    assert [(one.version, one.losses.count) for one in found[foreign.model].increments] == [("r7", 20.0)]


def test_a_nan_sum_stays_visible_and_recovers_after_a_restart(prometheus: Prometheus) -> None:
    one = exporter("nan", "poisoned")
    moments = times(6)
    stream = list(steady(one, moments[:9], 4, 0.3))
    one.poison()
    stream += list(steady(one, moments[9:15], 4, 0.3))
    one.restart()
    stream += list(steady(one, moments[15:], 4, 0.3))
    push(prometheus.url, stream)
    evidence = observed([ask(prometheus.url, "nan", "poisoned", since=END - 360)])[ModelKey("nan", "poisoned")]
    sound = [one.losses.total == one.losses.total for one in evidence.increments]
    assert sound == [True, True, False, False, True, True]
    assert all(sum(one.losses.buckets) == one.losses.count for one in evidence.increments)


def test_what_is_not_there_is_no_data_and_no_zero(prometheus: Prometheus) -> None:
    push(prometheus.url, steady(exporter("silent", "gone"), times(10, offset=600), 3, 0.3))
    found = observed([ask(prometheus.url, "silent", "never"), ask(prometheus.url, "silent", "gone", since=END - 60)])
    for evidence in found.values():
        assert evidence.gap is not None
        assert evidence.gap.reason is NoEvidence.NO_DATA
        assert evidence.increments == ()
        assert evidence.slices is not None
        assert len(evidence.slices.slices) == 0
        assert "modelslo doctor" in evidence.gap.message


def test_a_prometheus_that_hangs_and_comes_back(prometheus: Prometheus) -> None:
    push(prometheus.url, steady(exporter("hang", "m"), times(5), 3, 0.3))
    models = [replace(ask(prometheus.url, "hang", "m", since=END - 60), source=Source(prometheus.url, 0.5))]

    async def run() -> None:
        observer = Observer(2)
        prometheus.freeze()
        try:
            began = time.monotonic()
            frozen = (await observer.observe(models))[models[0].model]
            took = time.monotonic() - began
        finally:
            prometheus.thaw()
        assert frozen.gap is not None
        assert frozen.gap.reason is NoEvidence.QUERY_TIMEOUT
        assert frozen.slice_gap is not None
        assert took < 5
        after = (await observer.observe([replace(models[0], source=Source(prometheus.url, 10.0))]))[models[0].model]
        assert after.gap is after.slice_gap is None
        assert after.increments[0].losses.count == 12
        observer.close()

    asyncio.run(run())
