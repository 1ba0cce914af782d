"""The e-values of one block: never favourable on average while the hypothesis holds, whatever the losses are."""

from __future__ import annotations

from itertools import product
from math import exp, log, sqrt

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelslo.judge.betting import (
    LARGEST_BET,
    Array,
    Block,
    bets_for,
    cap_of,
    even_bets,
    log_e,
    log_e_of_all,
    log_mean_exp,
)
from modelslo.judge.scale import scores_of
from tests.unit.judge.laws import LAWS, LIGHT, Law

R = 1.1
BETS = np.array([1e-4, 0.01, 0.1, 0.45, LARGEST_BET])
SIGNED = np.concatenate((BETS, -BETS))
SIZES = ((1, 1), (5, 5), (5, 2000), (2000, 5), (40, 400), (3000, 3000))
"""Labels of canary and stable in a block."""


def block(canary: npt.ArrayLike, stable: npt.ArrayLike) -> Block:
    """Counts (K,) or (G, K) of each arm."""
    return Block.of(np.atleast_2d(np.asarray(canary, dtype=float)), np.atleast_2d(np.asarray(stable, dtype=float)))


def log_e_of(law: Law, counts: Block, forecast: float, bets: Array = SIGNED, r: float = R) -> Array:
    """ln e, shape (L, G), with one forecast for all strata."""
    means = np.full(len(counts.labels_canary), forecast)
    return log_e(bets, r, law.scores, means, means, counts)


def whole(values: Array) -> Array:
    """One shrinking factor for all strata."""
    found: Array = values.max(keepdims=True)
    return found


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_on_average_no_bet_wins_at_the_boundary(law: Law) -> None:
    """Section 11.1: blocks of a canary that is worse by exactly the margin; the forecast may be wrong by twice."""
    chance = np.random.default_rng(1)
    stable, canary = law.chances(), law.worse(R)
    for n_c, n_s in SIZES:
        # Given thousands of blocks
        counts = block(chance.multinomial(n_c, canary, 4000), chance.multinomial(n_s, stable, 4000))
        for wrong in (0.5, 1.0, 2.0):
            # When every bet is made on both directions
            e = np.exp(log_e_of(law, counts, wrong * law.mean()))
            # Then their mean is at most one, but for chance
            error = e.std(axis=1) / sqrt(e.shape[1])
            assert (e.mean(axis=1) <= 1 + 4 * error + 1e-9).all(), (n_c, n_s, wrong)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_away_from_the_boundary_the_right_bet_grows(law: Law) -> None:
    chance = np.random.default_rng(2)
    for ratio, sign in ((1.5, 1), (0.9, -1)):
        counts = block(chance.multinomial(100, law.worse(ratio), 2000), chance.multinomial(300, law.chances(), 2000))
        right, wrong = (log_e_of(law, counts, law.mean(), np.array([bet])) for bet in (0.1 * sign, -0.1 * sign))
        assert right.mean() > 0 > wrong.mean()


Chances = st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5).filter(lambda values: sum(values) > 0.1)


def chances(values: list[float]) -> Array:
    return np.array(values) / sum(values)


def log_mean_e(counts: Array, means: tuple[Array, Array], r: float, bets: Array, forecast: Array) -> Array:
    """ln E[e] per bet, exactly: e is a product of one factor per label, and labels are independent.

    `counts` (G, 2): labels of canary and stable; `means`: bucket probabilities (G, K) of both.
    """
    of_canary, of_stable = means
    strata, width = of_canary.shape
    scores = scores_of((0.5, 1.0, 2.0, 4.0))
    scale = np.array([forecast.mean()])

    def found(k: int, j: int) -> Array:
        """All the canary's labels in bucket k, all of stable's in bucket j."""
        at_k, at_j = np.eye(width)[[k] * strata], np.eye(width)[[j] * strata]
        which = Block.of(at_k * counts[:, :1], at_j * counts[:, 1:])
        return log_e(bets, r, scores, forecast, scale, which, whole)

    base = found(0, 0)
    canary = np.stack([(found(k, 0) - base) / counts[:, 0] for k in range(width)], axis=2)
    stable = np.stack([(found(0, j) - base) / counts[:, 1] for j in range(width)], axis=2)
    result: Array = (
        base
        + counts[:, 0] * np.log((np.exp(canary) * of_canary).sum(axis=2))
        + counts[:, 1] * np.log((np.exp(stable) * of_stable).sum(axis=2))
    ).sum(axis=1)
    return result


@given(
    strata=st.lists(st.tuples(Chances, Chances, st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=3),
    wrong=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    slack=st.floats(1.0, 1.5),
)
@settings(max_examples=150)
def test_no_distribution_no_forecast_and_no_split_makes_a_bet_favourable(
    strata: list[tuple[list[float], list[float], int, int]], wrong: list[float], slack: float
) -> None:
    """The proof of section 4.2 as a property: E[e] <= 1 where the traffic-weighted contrast of the strata is none."""
    scores = scores_of((0.5, 1.0, 2.0, 4.0))
    canary = np.array([chances(one) for one, _, _, _ in strata])
    stable = np.array([chances(one) for _, one, _, _ in strata])
    counts = np.array([(n_c, n_s) for _, _, n_c, n_s in strata], dtype=float)

    def contrast(r: float) -> float:
        weight = counts[:, 0] * counts[:, 1] / (counts[:, 1] + r * r * counts[:, 0])
        return float(weight @ (canary @ scores - r * (stable @ scores)))

    # Given the ratio at which both arms are just at the margin
    low, high = 0.01, 100.0
    assume(contrast(low) > 0 > contrast(high))
    for _ in range(80):
        middle = sqrt(low * high)
        low, high = (middle, high) if contrast(middle) > 0 else (low, middle)
    forecast = (stable @ scores) * np.exp(wrong[: len(strata)])
    # Then bets on "worse" lose there and for a wider margin, and bets on "not worse" there and for a narrower one
    for bets, ratio in ((BETS, high), (-BETS, low), (BETS, high * slack), (-BETS, low / slack)):
        assert (log_mean_e(counts, (canary, stable), ratio, bets, forecast) <= 1e-6).all()


@given(st.integers(0, 2**32), st.sampled_from([1e-9, 1e-3, 1000.0, 1e9]))
def test_the_unit_of_the_loss_makes_no_difference(seed: int, unit: float) -> None:
    """Section 11.3: losses and buckets in another unit, the same e-values."""
    chance = np.random.default_rng(seed)
    counts = block(chance.multinomial(9, LIGHT.worse(1.3), 3), chance.multinomial(70, LIGHT.chances(), 3))
    forecast = np.array([0.7, 1.0, 1.4])
    one, other = (
        log_e(SIGNED, R, scores_of(tuple(edge * scale for edge in LIGHT.edges)), forecast * scale, forecast[:1] * scale,
              counts, whole)
        for scale in (1.0, unit)
    )  # fmt: skip
    assert one == pytest.approx(other, rel=1e-9, abs=1e-9)


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 30), st.integers(1, 20), st.integers(1, 20))
def test_two_scrapes_at_one_split_are_as_good_as_one_block(seed: int, n_c: int, n_s: int, one: int, two: int) -> None:
    """Section 11.3: with the same n_c : n_s and forecast the order and the cut of the labels do not matter."""
    chance = np.random.default_rng(seed)
    first, second = (
        block(chance.multinomial(n_c * times, LIGHT.chances()), chance.multinomial(n_s * times, LIGHT.chances()))
        for times in (one, two)
    )
    both = Block.of(*np.split(first.counts + second.counts, 2))
    apart = log_e_of(LIGHT, first, 0.9) + log_e_of(LIGHT, second, 0.9)
    assert log_e_of(LIGHT, both, 0.9) == pytest.approx(apart, rel=1e-9, abs=1e-9)


def test_a_shared_shrink_is_that_of_the_worst_stratum() -> None:
    """A large bet on strata of different level stays one on the weighted contrast; no factor falls below 0.05."""
    counts = block(np.array([[0, 0, 0, 0, 1], [1, 0, 0, 0, 0]]), np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]))
    scores = scores_of((0.5, 1.0, 2.0, 4.0))
    found = log_e(SIGNED, R, scores, np.array([0.1, 4.0]), np.array([1.0]), counts, whole)
    assert (found >= 2 * log(0.05) - 1e-9).all()


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_the_whole_is_the_sum_over_strata_that_are_shrunk_alike(seed: int, strata: int) -> None:
    chance = np.random.default_rng(seed)
    counts = block(chance.multinomial(40, LIGHT.worse(1.3), strata), chance.multinomial(300, LIGHT.chances(), strata))
    forecast, scale = chance.uniform(0.2, 5, strata), np.array([1.3])
    summed = log_e(SIGNED, R, LIGHT.scores, forecast, scale, counts, whole).sum(axis=1)
    assert log_e_of_all(SIGNED, R, LIGHT.scores, forecast, scale, counts) == pytest.approx(summed, rel=1e-9, abs=1e-9)


@given(
    st.lists(st.integers(0, 10**6), min_size=12, max_size=12).filter(any),
    st.lists(st.integers(0, 10**6), min_size=12, max_size=12).filter(any),
    st.floats(1e-6, 1e6),
)
def test_a_million_labels_in_a_bucket_are_a_number(canary: list[int], stable: list[int], forecast: float) -> None:
    """Section 11.6: logarithms only."""
    found = log_e_of(LIGHT, block(np.array(canary), np.array(stable)), forecast)
    assert np.isfinite(found).all()
    assert (found >= (sum(canary) + sum(stable)) * log(0.05) * (1 + 1e-9)).all()


def test_a_small_bet_keeps_its_digits() -> None:
    """log1p: (1 + 1e-17) would be one."""
    counts = block(np.array([0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0]))
    small, large = (log_e_of(LIGHT, counts, 1.0, np.array([bet]))[0, 0] for bet in (1e-17, 1e-9))
    assert small == pytest.approx(large * 1e-8, rel=1e-6)


@given(st.floats(1e-6, 1e4), st.floats(0.01, 2.0), st.lists(st.floats(0.01, 0.24), min_size=2, max_size=4))
def test_the_grid_is_the_best_bet_its_half_and_its_doubles(cv2: float, margin: float, masses: list[float]) -> None:
    bets = bets_for(cv2, 1 + margin, masses)
    best = bets.sizes[1]
    assert best == pytest.approx(np.clip((1 + margin) * margin / (cv2 + margin**2), 1e-4, 0.45))
    assert bets.sizes[0] == best / 2
    assert bets.sizes[-1] == LARGEST_BET
    assert (np.diff(bets.sizes) > 0).all()
    assert (bets.sizes[2:-1] == best * 2.0 ** np.arange(1, len(bets.sizes) - 2)).all()
    assert bets.sizes[-2] * 2 >= LARGEST_BET
    # The first ones have the masses that were asked for, the others share the rest evenly
    found = np.exp(bets.log_mass)
    assert found.sum() == pytest.approx(1.0)
    named = np.array(masses[: len(found)])
    if len(found) > len(named):
        assert found[: len(named)] == pytest.approx(named)
        assert np.ptp(found[len(named) :]) < 1e-12
    else:  # fewer bets: in the same proportion
        assert found == pytest.approx(named / named.sum())


def test_even_bets_share_evenly() -> None:
    assert np.exp(even_bets(np.array([1.0, 2.0, 3.0])).log_mass) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("rate", [0.3, 0.2, 0.1, 0.05, 0.01, 0.001])
def test_no_block_can_decide_alone(rate: float) -> None:
    assert 0 < cap_of(rate) < log(1 / rate)


@given(st.lists(st.floats(-1e5, 600), min_size=1, max_size=12))
def test_a_mixture_of_wealth_over_and_underflows_into_a_number(logs: list[float]) -> None:
    found = float(log_mean_exp(np.array(logs), np.full(len(logs), -log(len(logs)))))
    assert max(-700.0, max(logs) - log(len(logs)) - 1e-9) <= found <= max(-690.0, max(logs) + 1e-9)


def test_a_mixture_takes_rows() -> None:
    rows = np.array([[0.0, 1.0], [2.0, 3.0]])
    expected = [log((exp(one) + exp(two)) / 2) for one, two in rows]
    assert log_mean_exp(rows, np.log([0.5, 0.5])) == pytest.approx(expected)


def test_laws_are_at_the_boundary() -> None:
    for law, ratio in product(LAWS, (0.9, 1.1, 1.5)):
        assert law.worse(ratio) @ law.scores == pytest.approx(ratio * law.mean(), rel=1e-9)
        assert law.worse(ratio).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_where_no_loss_can_speak_for_a_bet_it_is_made_all_the_same(sign: float) -> None:
    """One edge, a large ratio, all losses in the first bucket: the largest loss is none that is worse."""
    edges = (1.0,)
    block = Block.of(np.array([[10.0, 0.0]]), np.array([[40.0, 0.0]]))
    for mean in (0.5, float(np.nextafter(0.5, 0.0))):
        bets = sign * np.array([0.2])
        of_all = log_e_of_all(bets, 3.0, scores_of(edges), np.array([mean]), np.array([mean]), block)
        of_each = log_e(bets, 3.0, scores_of(edges), np.array([mean]), np.array([mean]), block)
        assert of_each[:, 0] == pytest.approx(of_all)
        assert np.isfinite(of_all).all()
        assert float(of_all[0]) * sign < 0  # it is far better than three times as bad
