"""Scrapes to steps: resets whole and partial, gaps, duplicates, NaN; and the stream may be cut anywhere."""

from __future__ import annotations

from itertools import pairwise
from math import inf, isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.observe.answer import Series
from modelslo.observe.series import Parts, Scrape, Step, increases, scrapes, step, steps

ZERO_EDGES = (1.0, 2.0)


def scrape(
    at: int,
    count: float,
    total: float | None = 0.0,
    *,
    buckets: tuple[float, ...] = (),
    squares: float | None = None,
    edges: tuple[float, ...] = ZERO_EDGES,
) -> Scrape:
    return Scrape(at, count, total, squares, edges if buckets else (), buckets)


def test_the_difference_of_two_scrapes() -> None:
    found = step(scrape(0, 3, 2.5, buckets=(1, 2), squares=4.0), scrape(15_000, 8, 7.5, buckets=(2, 5), squares=9.0))
    assert found == Step(15_000, 5, 5.0, 5.0, ZERO_EDGES, (1, 2, 2))


def test_a_restart_counts_from_zero_for_all_parts() -> None:
    found = step(
        scrape(0, 30, 20.0, buckets=(10, 20), squares=4.0), scrape(15_000, 8, 7.5, buckets=(2, 5), squares=9.0)
    )
    assert found == Step(15_000, 8, 7.5, 9.0, ZERO_EDGES, (2, 3, 3))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (scrape(0, 5, 9.0), scrape(1, 7, 2.0)),  # the count has caught up, the sum has not
        (scrape(0, 5, 1.0, squares=9.0), scrape(1, 7, 2.0, squares=2.0)),
        (scrape(0, 5, nan), scrape(1, 7, 2.0)),  # a NaN sum ends with its process
        (scrape(0, 5, 1.0, buckets=(4, 5)), scrape(1, 7, 2.0, buckets=(3, 7))),
    ],
)
def test_a_restart_is_seen_in_any_part(before: Scrape, now: Scrape) -> None:
    found = step(before, now)
    assert found is not None
    assert (found.count, found.total) == (7, 2.0)


def test_what_is_left_of_a_sum_when_a_pod_restarts_is_nothing_new() -> None:
    """One of four pods behind a sum: three quarters of all labels ever counted would be those of this scrape."""
    # Given pods that each count ten labels a scrape, the second of which restarts after the ninth
    pods = [[10.0 * (number + 1 - 9 * (pod == 1 and number >= 9)) for number in range(20)] for pod in range(4)]
    whole = [scrape(15_000 * at, sum(now), sum(now) / 2) for at, now in enumerate(zip(*pods, strict=True))]
    # When their sum is read
    found, _ = steps(None, whole)
    # Then that scrape is lost, and no other
    assert [one.at for one in found] == [15_000 * at for at in range(1, 20) if at != 9]
    assert {(one.count, one.total) for one in found} == {(40.0, 20.0)}
    # And of the counters beside it
    series = Series({}, [one.at for one in whole], [one.count for one in whole])
    assert increases(None, series, -1)[0] == [(one.at, one.count) for one in found]


def test_a_sum_that_falls_alone_is_no_restart_and_no_number() -> None:
    """Negative losses: taken for a restart, all labels since the start counted anew at every scrape."""
    found = step(scrape(0, 6000, -10.0, squares=9.0), scrape(1, 6010, -13.0, squares=12.0))
    assert found is not None
    assert (found.count, isnan(found.total), found.squares) == (10, True, 3.0)
    squares = step(scrape(0, 6000, 10.0, squares=9.0), scrape(1, 6010, 13.0, squares=8.0))
    assert squares is not None
    assert (squares.count, squares.total) == (10, 3.0)
    assert squares.squares is not None
    assert isnan(squares.squares)


def test_a_nan_sum_is_nan_and_leaves_the_buckets() -> None:
    found = step(scrape(0, 3, 2.5, buckets=(1, 2)), scrape(15_000, 8, nan, buckets=(2, 5)))
    assert found is not None
    assert isnan(found.total)
    assert found.buckets == (1, 2, 2)
    still = step(scrape(0, 3, nan), scrape(15_000, 3, nan))
    assert still is not None
    assert isnan(still.total)


def test_a_missing_sum_is_no_zero_and_no_restart() -> None:
    for before, now in (
        (scrape(0, 3, None), scrape(1, 5, 7.0)),
        (scrape(0, 3, 2.0), scrape(1, 5, None)),
        (scrape(0, 5, 2.0), scrape(1, 3, None)),
    ):
        found = step(before, now)
        assert found is not None
        assert isnan(found.total)


def test_too_far_apart_says_nothing() -> None:
    assert step(scrape(0, 3), scrape(300_000, 5)) is not None
    assert step(scrape(0, 3), scrape(300_001, 5)) is None


def test_other_edges_or_counts_that_do_not_add_up_drop_the_buckets() -> None:
    other = step(scrape(0, 3, buckets=(1, 2)), scrape(1, 5, buckets=(1, 2), edges=(1.0, 4.0)))
    assert other is not None
    assert other.buckets == ()
    wild = step(scrape(0, 4, buckets=(1, 4)), scrape(1, 6, buckets=(3, 4)))  # +2 below 1, +0 below 2
    assert wild is not None
    assert wild.buckets == ()
    assert wild.count == 2


def test_the_first_scrape_is_a_baseline() -> None:
    found, last = steps(None, [scrape(5, 100)])
    assert found == []
    assert last is not None
    assert last.at == 5


def series(*pairs: tuple[int, float]) -> Series:
    return Series({}, [at for at, _ in pairs], [value for _, value in pairs])


def test_duplicates_and_steps_back_are_ignored() -> None:
    given_twice = Parts(count=series((10, 1), (10, 9), (5, 7), (20, 3)), total=series((10, 1.0), (20, 3.0)))
    assert [(one.at, one.count, one.total) for one in scrapes(given_twice, 0)] == [(10, 1, 1.0), (20, 3, 3.0)]
    found, last = increases(None, series((10, 1), (10, 9), (5, 7), (20, 3)), 0)
    assert found == [(20, 2)]
    assert last == (20, 3)


def test_impossible_counts_are_no_scrapes() -> None:
    parts = Parts(count=series((1, nan), (2, -1), (3, inf), (4, 7)), total=series((4, 1.0)))
    assert [one.at for one in scrapes(parts, 0)] == [4]
    assert list(scrapes(Parts(total=series((1, 1.0))), 0)) == []
    assert increases((0, 5.0), series((1, nan), (2, -1), (3, inf), (4, 7)), 0)[0] == [(4, 2.0)]


def test_buckets_are_sorted_and_checked() -> None:
    sound = Parts(
        count=series((1, 5)),
        buckets=[(inf, series((1, 5))), (2.0, series((1, 4))), (1.0, series((1, 3)))],
    )
    assert next(scrapes(sound, 0)).cumulative == (3, 4)
    without_inf = Parts(count=series((1, 5)), buckets=[(1.0, series((1, 3)))])
    assert next(scrapes(without_inf, 0)).cumulative == (3,)
    for wrong in (
        [(inf, series((1, 6))), (1.0, series((1, 3)))],
        [(1.0, series((1, 6)))],
        [(1.0, series((1, 3))), (2.0, series((1, 2)))],
        [(1.0, series((1, nan)))],
    ):
        assert next(scrapes(Parts(count=series((1, 5)), buckets=wrong), 0)).edges == ()


def test_edges_that_change_with_time() -> None:
    """An exporter restarts with other edges: each scrape has those that were there."""
    parts = Parts(
        count=series((1, 5), (2, 1), (3, 3)),
        buckets=[(1.0, series((1, 3))), (4.0, series((2, 1), (3, 2))), (inf, series((1, 5), (2, 1), (3, 3)))],
    )
    assert [(one.edges, one.cumulative) for one in scrapes(parts, 0)] == [
        ((1.0,), (3,)),
        ((4.0,), (1,)),
        ((4.0,), (2,)),
    ]
    found, _ = steps(None, scrapes(parts, 0))
    assert [(one.count, one.edges, one.buckets) for one in found] == [
        (1, (4.0,), (1, 0)),
        (2, (4.0,), (1, 1)),
    ]


def test_a_counter_that_restarts() -> None:
    assert increases((0, 10.0), series((1, 12), (2, 3), (3, 3)), 0)[0] == [(1, 2), (2, 3), (3, 0)]
    assert increases((0, 10.0), series((300_001, 12)), 0)[0] == []


RAW = st.builds(
    scrape,
    at=st.just(0),
    count=st.integers(0, 1000).map(float),
    total=st.none() | st.floats(0, 1e6) | st.just(nan) | st.just(inf),
    squares=st.none() | st.floats(0, 1e6) | st.just(nan),
)
STREAM = st.lists(st.tuples(st.integers(1, 400_000), RAW), max_size=25)


def timed(stream: list[tuple[int, Scrape]]) -> list[Scrape]:
    found, at = [], 0
    for wait, one in stream:
        at += wait
        found.append(Scrape(at, one.count, one.total, one.squares))
    return found


@settings(deadline=None)
@given(STREAM, st.lists(st.integers(0, 25), max_size=6))
def test_cutting_a_stream_anywhere_changes_nothing(stream: list[tuple[int, Scrape]], cuts: list[int]) -> None:
    every = timed(stream)
    whole, last = steps(None, every)
    pieces: list[Step] = []
    before: Scrape | None = None
    marks = [0, *sorted(min(cut, len(every)) for cut in cuts), len(every)]
    for start, end in pairwise(marks):
        found, before = steps(before, every[start:end])
        pieces += found
    assert repr(pieces) == repr(whole)
    assert repr(before) == repr(last)


@settings(deadline=None)
@given(STREAM)
def test_no_step_takes_anything_away(stream: list[tuple[int, Scrape]]) -> None:
    for one in steps(None, timed(stream))[0]:
        assert one.count >= 0
        assert isnan(one.total) or one.total >= 0
        assert one.squares is None or isnan(one.squares) or one.squares >= 0
        assert all(value >= 0 for value in one.buckets)
