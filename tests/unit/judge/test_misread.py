"""What buckets misread is told by the sums: losses with a sharp edge, losses that vary less than their buckets."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.betting import Array
from modelslo.judge.blocks import Pair, pair_of
from modelslo.judge.misread import Misread
from modelslo.judge.scale import halves_of, scores_of
from modelslo.judge.wagers import Sample
from tests.unit.judge.series import bits

R = 1.1
Draw = Callable[[np.random.Generator, int], Array]


def sharp(rng: np.random.Generator, n: int) -> Array:
    """Pareto of index 2.5: no loss is below 0.6."""
    return np.asarray((1 + rng.pareto(2.5, n)) * 0.6)


def narrow(rng: np.random.Generator, n: int) -> Array:
    """A standard deviation of a fifth of the mean."""
    return np.asarray(rng.standard_gamma(25.0, n) / 25.0)


def light(rng: np.random.Generator, n: int) -> Array:
    return np.asarray(rng.standard_exponential(n))


def edges(first: float, ratio: float) -> tuple[float, ...]:
    """Up to 300 times the mean, which no loss here exceeds."""
    return tuple(first * ratio**k for k in range(30))


def sample(values: Array, bounds: tuple[float, ...]) -> Sample:
    buckets = np.bincount(np.searchsorted(bounds, values), minlength=len(bounds) + 1)[None, :].astype(float)
    return Sample(np.array([float(len(values))]), values.sum()[None], None, buckets)


def pair(canary: Array, stable: Array, bounds: tuple[float, ...]) -> Pair:
    return pair_of(sample(canary, bounds), sample(stable, bounds), scores_of(bounds))


def misread(draw: Draw, bounds: tuple[float, ...], ratio: float, blocks: int = 400, labels: int = 50) -> Misread:
    """After blocks of a canary `ratio` times as bad."""
    rng = np.random.default_rng(5)
    found = Misread()
    scores = scores_of(bounds)
    mean = float(scores[np.searchsorted(bounds, draw(rng, 100_000))].mean())
    for _ in range(blocks):
        found = found.add(pair(ratio * draw(rng, labels), draw(rng, labels), bounds), R, mean, 1.0, halves_of(bounds))
    return found


def read(draw: Draw, bounds: tuple[float, ...]) -> float:
    """What the buckets make of a ratio of R."""
    rng, scores = np.random.default_rng(6), scores_of(bounds)
    values = draw(rng, 400_000)
    return float(scores[np.searchsorted(bounds, R * values)].mean() / scores[np.searchsorted(bounds, values)].mean())


@pytest.mark.parametrize("draw", [sharp, narrow])
@pytest.mark.parametrize("first", [0.01, 0.012, 0.014, 0.017])
def test_at_the_margin_bets_are_about_what_buckets_read(draw: Draw, first: float) -> None:
    # Given a canary at the margin, whose buckets say more or less than that
    bounds = edges(first, 1.9)
    expected = read(draw, bounds)
    # When many blocks were compared, then the ratio is the buckets' one
    assert misread(draw, bounds, R).ratio(R) == pytest.approx(expected, abs=0.006)


def test_some_buckets_misread_by_points() -> None:
    """Else the test before would say nothing."""
    for draw in (sharp, narrow):
        off = [read(draw, edges(first, 1.9)) - R for first in (0.01, 0.012, 0.014, 0.017)]
        assert max(off) > 0.02
        assert min(off) < -0.02


@pytest.mark.parametrize("ratio", [0.8, 1.0, 1.1, 1.5])
def test_where_buckets_read_right_nothing_is_corrected(ratio: float) -> None:
    assert misread(light, edges(0.01, 1.9), ratio).ratio(R) == pytest.approx(R, abs=0.004)


def test_a_coin_is_read_right_although_its_bucket_says_less_than_one() -> None:
    """A loss of 1 counts as the middle of (0.5, 1]: of both arms."""

    def coin(rng: np.random.Generator, n: int) -> Array:
        return (rng.random(n) < 0.2).astype(float)

    rng, bounds, found = np.random.default_rng(1), (0.0, 0.5, 1.0), Misread()
    for _ in range(50):
        found = found.add(pair(coin(rng, 200), coin(rng, 200), bounds), R, 0.15, 1.0, halves_of(bounds))
    assert found.ratio(R) == pytest.approx(R, abs=1e-9)


def test_few_blocks_correct_nothing() -> None:
    assert Misread().ratio(R) == R
    assert misread(narrow, edges(0.012, 1.9), R, blocks=2).ratio(R) == R


@pytest.mark.parametrize("broken", [nan, inf, 0.0, 1e3])
def test_sums_that_are_no_numbers_or_that_their_buckets_cannot_have_say_nothing(broken: float) -> None:
    """A counter that took up one loss of 10^25 moves no more; an exporter may add up something else."""
    bounds, rng = edges(0.01, 1.9), np.random.default_rng(2)
    found = misread(narrow, bounds, R, blocks=10)
    one = pair(light(rng, 20), light(rng, 20), bounds)
    for arm in (one.canary, one.stable):
        whole, arm.total[:] = arm.total.copy(), broken
        again = pair_of(one.canary, one.stable, scores_of(bounds))
        assert bits(found.add(again, R, 1.0, 1.0, halves_of(bounds))) == bits(found)
        arm.total[:] = whole
    assert bits(found.add(one, R, nan, 1.0, halves_of(bounds))) == bits(found)


def test_what_was_learned_fades_while_nothing_is_told() -> None:
    bounds, rng = edges(0.012, 1.9), np.random.default_rng(2)
    found = misread(narrow, bounds, R)
    assert abs(found.ratio(R) - R) > 0.01
    for _ in range(10):
        found = found.add(pair(np.append(light(rng, 20), 1e9), light(rng, 20), bounds), R, 1.0, 0.37, halves_of(bounds))
    assert found.ratio(R) == R


def test_losses_above_the_last_edge_say_nothing() -> None:
    """How large they are is in the sum and not in the buckets: winsorised they are meant to be."""
    bounds, rng = edges(0.01, 1.9), np.random.default_rng(2)
    found = misread(narrow, bounds, R, blocks=10)
    wild = np.append(light(rng, 20), 1e9)
    assert bits(found.add(pair(wild, light(rng, 20), bounds), R, 1.0, 1.0, halves_of(bounds))) == bits(found)
    assert bits(found.add(pair(light(rng, 20), wild, bounds), R, 1.0, 1.0, halves_of(bounds))) == bits(found)


@given(st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), min_size=2, max_size=12), st.floats(1e-6, 1e6))
def test_whatever_was_seen_the_ratio_stays_positive(blocks: list[list[float]], mean: float) -> None:
    found, bounds = Misread(), (1.0, 10.0, 1e6)
    for canary, stable in zip(blocks[::2], blocks[1::2], strict=False):
        found = found.add(pair(np.array(canary), np.array(stable), bounds), R, mean, 1.0, halves_of(bounds))
        assert R / 2 <= found.ratio(R) <= 1.5 * R


@given(st.floats(1e-6, 1e6))
def test_the_unit_of_the_loss_does_not_matter(unit: float) -> None:
    rng, found, scaled = np.random.default_rng(4), Misread(), Misread()
    plain, wide = edges(0.012, 1.9), edges(0.012 * unit, 1.9)
    for _ in range(6):
        canary, stable = narrow(rng, 20), narrow(rng, 20)
        found = found.add(pair(canary, stable, plain), R, 1.0, 1.0, halves_of(plain))
        scaled = scaled.add(pair(unit * canary, unit * stable, wide), R, unit, 1.0, halves_of(wide))
    assert scaled.ratio(R) == pytest.approx(found.ratio(R), rel=1e-6)
