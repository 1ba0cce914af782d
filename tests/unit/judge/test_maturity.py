"""Labels of both arms are compared when they are of one age: read off the delays of stable's labels (section 3.7)."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.betting import Array
from modelslo.judge.maturity import MOST_OLDER, Delays, mature, older_shares, wait

EDGES = (60.0, 120.0, 600.0, 3600.0)
MEMORY = 7200.0


def lags(**counts: int) -> Array:
    """Labels per delay bucket: b0 to b3, and inf."""
    return np.array([float(counts.get(name, 0)) for name in ("b0", "b1", "b2", "b3", "inf")])


def usual(*, scrapes: int = 100, **counts: int) -> Delays:
    delays = Delays()
    for _ in range(scrapes):
        delays = delays.with_labels(lags(**counts), 30.0, MEMORY)
    return delays


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        (0.0, [1, 1, 1, 1, 1]),
        (30.0, [0.5, 1, 1, 1, 1]),
        (60.0, [0, 1, 1, 1, 1]),
        (240.0, [0, 0, 0.75, 1, 1]),
        (3600.0, [0, 0, 0, 0, 1]),
        (1e9, [0, 0, 0, 0, 1]),
    ],
)
def test_the_share_of_older_labels_is_linear_within_a_bucket(age: float, expected: list[float]) -> None:
    assert older_shares(EDGES, age) == pytest.approx(expected)


def test_labels_are_waited_for_until_all_but_a_fiftieth_are_young_enough() -> None:
    """Delays of two to ten minutes: A fiftieth of that bucket is left 590.4 s after the warm-up."""
    delays, now = usual(b2=40), lags(b2=40)
    assert not mature(delays, now, EDGES, 590.0)
    assert mature(delays, now, EDGES, 591.0)


def test_two_old_labels_of_a_hundred_are_few_and_three_are_not() -> None:
    assert mature(usual(b0=98, inf=2), lags(b0=98, inf=2), EDGES, 120.0)
    assert not mature(usual(b0=97, inf=3), lags(b0=97, inf=3), EDGES, 120.0)


@given(st.lists(st.integers(0, 1000), min_size=5, max_size=5))
def test_the_wait_is_the_least_age_at_which_labels_are_mature(counts: list[int]) -> None:
    delays = Delays(np.array(counts, dtype=float))
    found = wait(delays, EDGES)
    if found == inf:
        assert not mature(delays, None, EDGES, 1e9)
        return
    assert mature(delays, None, EDGES, found + 1e-6)
    assert found == 0 or not mature(delays, None, EDGES, found * (1 - 1e-6) - 1e-6)


def test_nothing_is_compared_before_the_warm_up_is_over_or_before_any_label() -> None:
    assert not mature(usual(b0=10), lags(b0=10), EDGES, 0.0)
    assert not mature(usual(b0=10), lags(b0=10), EDGES, -5.0)
    assert not mature(Delays(), None, EDGES, 1e6)
    assert not mature(Delays().with_labels(lags(), 30.0, MEMORY), lags(), EDGES, 1e6)


@pytest.mark.parametrize("old", [60, 600, 60_000])
def test_a_flood_of_old_labels_is_refused_and_does_not_hold_up_what_comes_after_it_for_hours(old: int) -> None:
    delays, flood = usual(b0=40), lags(b0=40, b3=old)
    after = delays.with_labels(flood, 30.0, MEMORY)
    # The batch itself is refused
    assert not mature(after, flood, EDGES, 120.0)
    # A usual one is taken again within half an hour
    waited = 0
    while not mature(after, lags(b0=40), EDGES, 120.0):
        after, waited = after.with_labels(lags(b0=40), 30.0, MEMORY), waited + 1
    assert waited <= 60


def test_an_old_label_in_a_small_batch_is_chance() -> None:
    assert mature(usual(b0=40), lags(b0=4, inf=1), EDGES, 120.0)


def test_what_is_young_now_does_not_hide_that_labels_are_usually_late() -> None:
    """Quick labels are not the same as all labels: those of a young canary would be compared with a selection."""
    assert not mature(usual(b0=20, b3=20), lags(b0=5), EDGES, 600.0)


def test_without_a_batch_the_delays_of_late_decide() -> None:
    assert mature(usual(b0=40), None, EDGES, 120.0)
    assert not mature(usual(b2=40), None, EDGES, 120.0)


def test_delays_that_became_longer_are_followed() -> None:
    delays = usual(b0=40)
    for _ in range(20):
        delays = delays.with_labels(lags(b3=40), 30.0, MEMORY)
    assert not mature(delays, lags(b3=40), EDGES, 300.0)
    assert mature(delays, lags(b3=40), EDGES, 4000.0)


def test_other_edges_make_a_new_beginning() -> None:
    found = usual(b0=40).with_labels(np.array([0.0, 3.0]), 30.0, MEMORY)
    assert len(found.counts) == 2
    assert mature(found, None, (60.0,), 1e6) is False


@given(
    st.lists(st.integers(0, 1000), min_size=5, max_size=5).filter(any),
    st.floats(0.1, 1e5),
    st.floats(0.0, 1e5),
)
def test_waiting_longer_never_makes_labels_immature(counts: list[int], age: float, more: float) -> None:
    found = np.array(counts, dtype=float)
    delays = Delays().with_labels(found, 30.0, MEMORY)
    assert mature(delays, found, EDGES, age + more) or not mature(delays, found, EDGES, age)
    if mature(delays, found, EDGES, age):
        assert found @ older_shares(EDGES, age) <= MOST_OLDER * found.sum() + 1e-9
