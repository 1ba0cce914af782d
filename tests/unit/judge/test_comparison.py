"""The canary test keeps its stated error rates at every look, and finds what is there."""

from __future__ import annotations

import random
from math import exp, inf, isfinite, log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.judge.comparison import Comparison, add, scaled
from modelslo.judge.moments import Moments, moments_of, scores
from modelslo.judge.parameters import GateParameters
from modelslo.observe.evidence import Losses

GATE = GateParameters(margin=0.1, alpha=0.05, beta=0.05, min_samples=100)
LIMIT = log(20)


def sample(chance: random.Random, count: int, mean: float) -> Moments:
    values = [chance.expovariate(1 / mean) for _ in range(count)]
    return Moments(count, sum(values), sum(one * one for one in values))


def run(ratio: float, looks: int, seed: int, canary: int = 10, stable: int = 30) -> tuple[int | None, int | None]:
    """First look at which the canary would be rolled back, and promoted."""
    chance = random.Random(seed)
    state = scaled(Comparison(), sample(chance, 200, 1.0), GATE)
    back = forth = None
    for look in range(looks):
        season = 1.5 if look % 40 < 20 else 0.7  # shared by both arms
        state = add(state, "", sample(chance, stable, season), sample(chance, canary, ratio * season), GATE)
        if back is None and state.log_e_rollback() >= LIMIT:
            back = look
        if forth is None and state.log_e_promote() >= LIMIT:
            forth = look
    return back, forth


def test_at_the_margin_errors_stay_under_their_rates_at_every_look() -> None:
    """Ville's inequality on 150 streams x 200 looks exactly at the margin; 15 of 150 is 10 %, 5 % plus 2.8 sigma."""
    results = [run(1.1, 200, seed) for seed in range(150)]
    assert sum(back is not None for back, _ in results) <= 15
    assert sum(forth is not None for _, forth in results) <= 15


def test_a_worse_canary_is_found_and_never_called_good() -> None:
    results = [run(1.4, 150, seed) for seed in range(30)]
    assert all(back is not None for back, _ in results)
    assert all(forth is None for _, forth in results)


def test_a_better_canary_is_found_and_never_called_worse() -> None:
    results = [run(0.8, 150, seed) for seed in range(30)]
    assert all(forth is not None for _, forth in results)
    assert all(back is None for back, _ in results)


def test_a_canary_inside_the_margin_is_not_called_worse() -> None:
    assert all(run(1.05, 150, seed)[0] is None for seed in range(30))


def test_nothing_is_known_before_the_first_block() -> None:
    state = add(Comparison(), "", Moments(4, 4, 4), Moments(4, 400, 40000), GATE)
    assert (state.log_e_rollback(), state.log_e_promote(), state.interval(GATE)) == (0.0, 0.0, None)


@given(st.floats(0.001, 1000), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_unit_of_the_loss_does_not_matter(unit: float, seed: int) -> None:
    def final(scale: float) -> Comparison:
        chance = random.Random(seed)
        state = Comparison()
        for _ in range(20):
            one, two = sample(chance, 20, 1.0), sample(chance, 10, 1.2)
            state = add(state, "", times(one, scale), times(two, scale), GATE)
        return state

    assert final(unit).log_e_rollback() == pytest.approx(final(1.0).log_e_rollback(), rel=1e-6, abs=1e-6)


def times(one: Moments, scale: float) -> Moments:
    assert one.squares is not None
    return Moments(one.count, one.total * scale, one.squares * scale * scale)


@given(st.lists(st.tuples(st.integers(5, 10**6), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=20))
def test_e_values_are_finite_logs_for_any_losses(blocks: list[tuple[int, float, float]]) -> None:
    state = Comparison()
    for count, stable, canary in blocks:
        state = add(
            state,
            "",
            Moments(count, count * stable, count * stable * stable * 2),
            Moments(count, count * canary, count * canary * canary * 2),
            GATE,
        )
    assert isfinite(state.log_e_rollback())
    assert isfinite(state.log_e_promote())


def test_segments_are_compared_within_themselves() -> None:
    """Simpson: the canary gets more of the hard segment; within each segment both arms are alike."""
    chance, state = random.Random(1), Comparison()
    for _ in range(100):
        state = add(state, "easy", sample(chance, 40, 1.0), sample(chance, 5, 1.0), GATE)
        state = add(state, "hard", sample(chance, 5, 5.0), sample(chance, 40, 5.0), GATE)
    assert state.log_e_rollback() < LIMIT


@pytest.mark.parametrize("edges", [(1.0,), (0.5, 1.0, 2.0), tuple(2.0**k for k in range(-5, 8))])
def test_a_bucket_scores_its_middle(edges: tuple[float, ...]) -> None:
    values = scores(edges)
    assert len(values) == len(edges) + 1
    assert values[0] == edges[0] / 2
    assert values[-1] == edges[-1] * 1.25
    assert list(values) == sorted(values)


def test_sums_that_are_no_numbers_cannot_be_used_but_buckets_can() -> None:
    assert moments_of(Losses(10, float("nan")), ()) is None
    assert moments_of(Losses(10, inf), ()) is None
    with_buckets = moments_of(Losses(10, float("nan"), (5.0, 5.0)), (1.0,))
    assert with_buckets is not None
    assert with_buckets.mean == pytest.approx((5 * 0.5 + 5 * 1.25) / 10)


def test_the_band_holds_the_true_ratio() -> None:
    chance, state = random.Random(3), Comparison()
    for _ in range(300):
        state = add(state, "", sample(chance, 30, 1.0), sample(chance, 10, 1.3), GATE)
    band = state.interval(GATE)
    assert band is not None
    low, ratio, high = band
    assert low < 1.3 < high
    assert low < ratio < high
    assert exp(state.log_e_rollback()) > 20
