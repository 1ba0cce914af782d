"""From counters to increments: nothing is counted twice, and nothing that cannot be trusted is counted at all."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.increments import Counters, Delta, Meter, Meters, Reading, difference, step_of
from modelslo.judge.timing import Tempo
from tests.unit.judge.series import DT, EDGES, Process, rules_of, together

RULES = rules_of(segments=("easy", "hard"))
MEMORY = 600.0
Losses = st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["easy", "hard"]), st.floats(1, 2e4)), max_size=8)


def serving(process: Process, losses: list[tuple[float, str, float]]) -> Counters:
    for loss, segment, lag in losses:
        process.serve([loss], segment=segment, lag=lag)
    return process.counters()


def scrapes(*values: Counters | None, dt: float = DT) -> tuple[Meter, list[Delta | None], list[Reading]]:
    """One scrape after the other, every `dt` seconds."""
    meter, deltas, readings = Meter(), [], []
    for number, one in enumerate(values):
        meter, delta, reading = difference(meter, one, number * dt, MEMORY)
        deltas.append(delta)
        readings.append(reading)
    return meter, deltas, readings


def used(delta: Delta | None) -> Delta:
    assert delta is not None
    return delta


def altered(counters: Counters, index: int, value: float) -> Counters:
    """With another number among those that never fall."""
    values = counters.values.copy()
    values[index] = value
    return replace(counters, values=values)


PREDICTIONS, COUNT, FIRST_BUCKET = 0, 1, 1 + 3
LAST_BUCKET, FIRST_LAG = FIRST_BUCKET + len(EDGES), FIRST_BUCKET + 3 * (len(EDGES) + 1)


def test_the_first_scrape_is_only_where_counting_begins() -> None:
    process = Process(RULES).serve([1.0, 2.0], segment="easy")
    meter, deltas, readings = scrapes(process.counters())
    assert deltas == [None]
    assert readings == [Reading.FIRST]
    assert meter.last is not None


@given(st.lists(st.tuples(Losses, st.booleans()), min_size=1, max_size=12))
def test_increments_add_up_to_what_was_served_whatever_scrapes_are_missing(
    served: list[tuple[list[tuple[float, str, float]], bool]],
) -> None:
    # Given scrapes of which some are missing, but not the first and the last
    process = Process(RULES)
    begun = serving(process, [(1.0, "easy", 5.0)])
    series: list[Counters | None] = [begun]
    for losses, seen in served:
        counters = serving(process, losses)
        series.append(counters if seen else None)
    series.append(process.counters())
    # When they are differenced
    _, deltas, readings = scrapes(*series)
    # Then a gap is spanned by the next increment: the sum of all is what was served
    found = [delta for delta in deltas if delta is not None]
    after = process.counters()
    assert sum(delta.predictions for delta in found) == after.values[PREDICTIONS] - begun.values[PREDICTIONS]
    assert sum(delta.count for delta in found) == pytest.approx(process.count - np.array([1, 1, 0]))
    assert sum(delta.buckets for delta in found) == pytest.approx(
        process.buckets - Process(RULES).serve([1.0], segment="easy").buckets
    )
    assert sum(used(delta).total for delta in found) == pytest.approx(after.total - begun.total, abs=1e-9)
    lags = sum(delta.lags for delta in found if delta.lags is not None)
    assert lags == pytest.approx(process.lags - Process(RULES).serve([1.0], lag=5.0).lags)
    assert [reading for reading in readings if reading is not Reading.MISSING][1:] == [Reading.VALID] * len(found)


def test_a_whole_restart_counts_from_zero() -> None:
    old, new = Process(RULES).serve([1.0] * 200), Process(RULES).serve([2.0, 0.1], lag=400.0)
    _, deltas, readings = scrapes(old.counters(), old.serve([1.0] * 20).counters(), new.counters())
    delta = used(deltas[2])
    assert readings[2] is Reading.FULL_RESET
    assert (delta.labels, delta.predictions, delta.total[0]) == (2.0, 2.0, pytest.approx(2.1))
    assert (delta.buckets == new.buckets).all()
    assert delta.lags is not None
    assert (delta.lags == new.lags).all()


def test_a_restart_is_whole_with_as_many_labels_as_the_usual_rate_explains() -> None:
    """At most fifty, or four times what was expected since the last scrape."""
    for usual, new, expected in (
        (1, 50, Reading.FULL_RESET),
        (1, 51, Reading.PARTIAL_RESET),
        (100, 400, Reading.FULL_RESET),
        (100, 401, Reading.PARTIAL_RESET),
    ):
        old = Process(RULES).serve([1.0] * 5000)
        series = [old.counters(), *(old.serve([1.0] * usual).counters() for _ in range(50))]
        _, _, readings = scrapes(*series, Process(RULES).serve([1.0] * new).counters())
        assert readings[-1] is expected, (usual, new)


def test_a_restart_is_seen_in_predictions_and_buckets_too() -> None:
    """Labels may not have come yet, and a label may have come into another bucket."""
    before = Process(RULES).serve([4.0, 0.1], predictions=10)
    fewer_predictions = Process(RULES).serve([4.0, 0.1], predictions=3)
    other_bucket = Process(RULES).serve([4.0, 5.0], predictions=10)
    for after in (fewer_predictions, other_bucket):
        _, deltas, readings = scrapes(before.counters(), after.counters())
        assert readings[1] is Reading.FULL_RESET
        assert used(deltas[1]).labels == 2.0


@pytest.mark.parametrize("restarted", ["stable", "canary"])
def test_one_pod_of_several_that_restarts_costs_both_arms_their_increment(restarted: str) -> None:
    # Given two pods in one sum, whose counts are large
    arms = {name: [Process(RULES).serve([1.0] * 3000) for _ in range(2)] for name in ("stable", "canary")}
    meters, tempo = Meters(), Tempo()

    def look(number: int) -> tuple[float | None, float | None, tuple[Reading, Reading]]:
        nonlocal meters
        for pods in arms.values():
            for pod in pods:
                pod.serve([1.0] * 10)
        meters, step, readings = step_of(
            meters, number * DT, together(*arms["stable"]), together(*arms["canary"]), tempo
        )
        labels = [None if delta is None else delta.labels for delta in (step.stable, step.canary)]
        return labels[0], labels[1], readings

    look(0)
    assert look(1)[:2] == (20, 20)
    # When one pod of one arm starts again
    arms[restarted][1] = Process(RULES)
    # Then neither arm has an increment, and the next one is as usual
    labels_s, labels_c, readings = look(2)
    assert (labels_s, labels_c) == (None, None)
    assert Reading.PARTIAL_RESET in readings
    assert look(3) == (20, 20, (Reading.VALID, Reading.VALID))


def test_a_whole_restart_of_one_arm_leaves_the_other_alone() -> None:
    stable, canary = Process(RULES).serve([1.0] * 100), Process(RULES).serve([1.0] * 100)
    meters, _, _ = step_of(Meters(), 0.0, stable.counters(), canary.counters(), Tempo())
    _, step, _ = step_of(
        meters, DT, stable.serve([1.0] * 7).counters(), Process(RULES).serve([1.0] * 4).counters(), Tempo()
    )
    assert (used(step.stable).labels, used(step.canary).labels) == (7, 4)


@pytest.mark.parametrize("lost", ["stable", "canary", "both"])
def test_a_gap_is_spanned_by_the_next_increment(lost: str) -> None:
    stable, canary = Process(RULES).serve([1.0]), Process(RULES).serve([1.0])
    meters, _, _ = step_of(Meters(), 0.0, stable.counters(), canary.counters(), Tempo())
    stable.serve([1.0] * 7)
    canary.serve([1.0] * 3)
    here = {"stable": stable.counters(), "canary": canary.counters()}
    meters, step, _ = step_of(
        meters,
        DT,
        None if lost in ("stable", "both") else here["stable"],
        None if lost in ("canary", "both") else here["canary"],
        Tempo(),
    )
    found = {"stable": step.stable, "canary": step.canary}
    assert [name for name, one in found.items() if one is None] == ([lost] if lost != "both" else ["stable", "canary"])
    stable.serve([1.0] * 2)
    canary.serve([1.0] * 2)
    _, after, _ = step_of(meters, 2 * DT, stable.counters(), canary.counters(), Tempo())
    assert used(after.stable).labels == (9 if lost in ("stable", "both") else 2)
    assert used(after.canary).labels == (5 if lost in ("canary", "both") else 2)


@pytest.mark.parametrize("at", [DT, 0.0, -3600.0], ids=["same scrape", "clock back", "far back"])
def test_a_duplicate_and_a_clock_that_was_set_back_count_nothing(at: float) -> None:
    process = Process(RULES).serve([1.0])
    meter, _, _ = scrapes(process.counters(), process.serve([1.0] * 5).counters())
    # When a scrape comes that is not later than the last one, even with more labels
    again, delta, reading = difference(meter, process.serve([1.0] * 4).counters(), at, MEMORY)
    assert (delta, reading) == (None, Reading.MISSING)
    # Then the labels are counted once, as soon as time goes on
    _, delta, reading = difference(again, process.serve([1.0]).counters(), 2 * DT, MEMORY)
    assert (used(delta).labels, reading) == (5.0, Reading.VALID)


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("index", [PREDICTIONS, COUNT, FIRST_BUCKET, LAST_BUCKET, FIRST_LAG])
def test_a_count_that_is_no_number_is_no_scrape(index: int, value: float) -> None:
    process = Process(RULES).serve([1.0] * 3)
    first = process.counters()
    broken = altered(process.serve([1.0] * 2).counters(), index, value)
    _, deltas, readings = scrapes(first, broken, process.serve([1.0]).counters())
    assert readings == [Reading.FIRST, Reading.MISSING, Reading.VALID]
    assert used(deltas[2]).labels == 3


def test_a_sum_that_is_no_number_leaves_the_buckets() -> None:
    """client_golang counts a NaN loss in the bucket without an upper edge; the sum is NaN for ever."""
    process = Process(RULES).serve([1.0])
    first = process.counters()
    _, deltas, readings = scrapes(first, process.serve([nan, 0.3]).counters(), process.serve([0.3]).counters())
    assert readings[1:] == [Reading.VALID, Reading.VALID]
    assert isnan(used(deltas[1]).total[0])
    assert isnan(used(deltas[2]).total[0])
    assert used(deltas[1]).buckets[0, -1] == 1
    assert used(deltas[2]).buckets[0].sum() == 1


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (LAST_BUCKET, 9.0),  # the last bucket does not count all labels
        (LAST_BUCKET, 11.0),
        (COUNT, 11.0),
        (FIRST_BUCKET + 1, 10.5),  # a bucket counts more than the next one
    ],
)
def test_counts_that_do_not_agree_are_rejected(index: int, value: float) -> None:
    process = Process(RULES).serve([40.0])
    first, second = process.counters(), process.serve([40.0] * 9).counters()
    assert second.values[LAST_BUCKET] == 10
    _, deltas, readings = scrapes(first, altered(second, index, value), altered(second, PREDICTIONS, 20.0))
    assert readings[1] is Reading.REJECTED
    assert deltas[1] is None


def test_a_sum_that_falls_is_rejected_and_counting_goes_on_from_there() -> None:
    process = Process(RULES).serve([5.0] * 3)
    first, second = process.counters(), process.serve([1.0] * 2).counters()
    fallen = replace(second, total=second.total - 10.0)
    process.serve([1.0] * 4)
    third = replace(process.counters(), total=process.total - 10.0)
    _, deltas, readings = scrapes(first, fallen, third)
    assert readings == [Reading.FIRST, Reading.REJECTED, Reading.VALID]
    assert used(deltas[2]).labels == 4


def test_other_buckets_make_a_new_beginning() -> None:
    """Section 11.6: the edges were changed."""
    process, other = Process(RULES).serve([1.0] * 9), Process(rules_of(edges=(0.5, 1.0))).serve([1.0] * 12)
    _, deltas, readings = scrapes(process.counters(), other.counters(), other.serve([1.0]).counters())
    assert readings == [Reading.FIRST, Reading.FIRST, Reading.VALID]
    assert deltas[1] is None
    assert used(deltas[2]).labels == 1


def test_without_delays_and_squares_there_are_none() -> None:
    bare = rules_of(lag_edges=(), has_squares=False)
    process = Process(bare).serve([1.0])
    _, deltas, _ = scrapes(process.counters(), process.serve([2.0]).counters())
    assert used(deltas[1]).lags is None
    assert used(deltas[1]).squares is None
    assert used(deltas[1]).buckets[0].sum() == 1


def test_the_usual_rate_follows_the_labels_and_not_the_gaps() -> None:
    process = Process(RULES)
    series: list[Counters | None] = []
    for number in range(60):
        counters = process.serve([1.0] * 6).counters()
        series.append(None if 20 <= number < 40 else counters)
    meter, _, _ = scrapes(*series)
    assert meter.rate == pytest.approx(6 / DT)


@given(st.integers(0, 40), st.integers(1, 40))
def test_labels_are_never_negative_and_never_invented(before: int, after: int) -> None:
    """Whatever restarts: an increment counts no more than the new process did."""
    old, new = Process(RULES).serve([1.0] * before), Process(RULES).serve([1.0] * after)
    _, deltas, _ = scrapes(old.counters(), new.counters())
    if deltas[1] is not None:
        assert 0 <= deltas[1].labels <= after
        assert (deltas[1].buckets >= 0).all()


@pytest.mark.parametrize("value", [inf, -inf, nan])
def test_a_sum_that_stays_infinite_is_no_number_and_no_warning(value: float) -> None:
    process = Process(RULES).serve([1.0])
    series = [process.counters()]
    process.total[:] = process.squares[:] = value
    series += [process.serve([1.0]).counters(), process.serve([1.0]).counters()]
    _, deltas, readings = scrapes(*series)
    if value == -inf:  # it fell
        assert readings[1] is Reading.REJECTED
    delta = used(deltas[2])
    assert isnan(delta.total[0])
    assert delta.buckets[0].sum() == 1


@pytest.mark.parametrize("large", [1e76, 1e160, 1e300])
def test_a_sum_too_large_to_be_squared_is_no_number(large: float) -> None:
    process = Process(RULES).serve([1.0])
    series = [process.counters()]
    process.total[:] += large
    process.squares[:] += large
    series.append(process.serve([1.0]).counters())
    _, deltas, readings = scrapes(*series)
    assert readings[1] is Reading.VALID
    found = deltas[1]
    assert found is not None
    assert np.isnan(found.total).all()
    assert found.squares is not None
    assert np.isnan(found.squares).all()
    assert found.labels == 1.0


def test_a_count_too_large_is_no_scrape() -> None:
    process = Process(RULES).serve([1.0])
    series = [process.counters()]
    process.count[:] += 1e200
    series.append(process.counters())
    assert scrapes(*series)[2][1] is Reading.MISSING


def test_a_segment_that_is_not_there_once_costs_one_scrape() -> None:
    """Its counters are none: what it counted before would come anew with the next one."""
    rules = rules_of(segments=("a", "b"))
    process = Process(rules)
    series = []
    for number in range(4):
        process.serve([1.0] * 20, segment="a").serve([1.0] * 5, segment="b")
        series.append(process.counters())
        if number == 2:
            values = series[-1].values.copy()
            values[2] = 0.0  # the count of "a"
            series[-1] = replace(series[-1], values=values)
    _, deltas, readings = scrapes(*series)
    assert readings == [Reading.FIRST, Reading.VALID, Reading.MISSING, Reading.VALID]
    last = deltas[3]
    assert last is not None
    assert last.count.tolist() == [50.0, 40.0, 10.0]
