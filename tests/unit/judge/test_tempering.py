"""Overdispersion of clustered labels: near one without them, near the design effect with them, from the past only."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.betting import Array
from modelslo.judge.scatter import Scatter, scatters_of_history
from modelslo.judge.tempering import CHANCE, MOST_PRIOR, PRIOR, SAFETY, Tempering, tempering_of

WINDOWS = (300.0, 1200.0)
DT = 30.0


def contrasts(kind: str, blocks: int, effect: float, seed: int) -> Array:
    """Contrasts of blocks half a minute apart, in units of what independent labels would scatter.

    `each`: every block by itself scatters `effect` times as much. `slow`: blocks of ten minutes share a part, so that
    one block hides what a window shows.
    """
    chance = np.random.default_rng(seed)
    own = chance.normal(size=blocks)
    if kind == "each":
        return own * sqrt(effect)
    shared: Array = np.repeat(chance.normal(size=blocks // 20 + 1), 20)[:blocks] * sqrt((effect - 1) / 20)
    return own + shared


def fed(values: Array, tempering: Tempering | None = None, *, weight: float = 10.0, variance: float = 4.0) -> Tempering:
    tempering = tempering or tempering_of((), WINDOWS[0])
    for number, value in enumerate(values):
        tempering = tempering.add(number * DT, weight, float(value) * sqrt(variance), variance)
    return tempering


def history_of(values: Array) -> tuple[Scatter, ...]:
    """What stable's history leaves: of one scrape, and of windows of five and twenty minutes."""
    scales = scatters_of_history(WINDOWS)
    for number, value in enumerate(values):
        scales = tuple(scale.add(number * DT, 10.0, float(value), 1.0) for scale in scales)
    return scales


def mean_phi(kind: str, effect: float, blocks: int = 400) -> float:
    return float(np.mean([fed(contrasts(kind, blocks, effect, seed)).phi for seed in range(12)]))


def test_without_history_and_blocks_a_prior_holds() -> None:
    """Section 5: phi = 1.5."""
    assert tempering_of((), WINDOWS[0]).phi == PRIOR + SAFETY * (PRIOR - CHANCE)


def test_independent_labels_are_hardly_tempered() -> None:
    assert 1.0 <= mean_phi("each", 1.0) < 1.4


@pytest.mark.parametrize("effect", [3.0, 8.0])
def test_clusters_within_a_block_are_tempered_by_the_design_effect(effect: float) -> None:
    assert 0.7 * effect < mean_phi("each", effect) < 1.8 * effect


def test_clusters_over_many_blocks_are_seen_on_the_longer_windows() -> None:
    """Consecutive blocks differ little; windows of five and twenty minutes tell."""
    alone, longer = mean_phi("slow", 10.0), mean_phi("each", 1.0)
    assert alone > 2 * longer
    assert alone > 3.0


def test_one_more_block_makes_its_mark_only_afterwards() -> None:
    """phi of a block rests on earlier ones: what will come cannot be seen in it."""
    before = fed(contrasts("each", 100, 5.0, 1))
    phi = before.phi
    calm, wild = before.add(100 * DT, 10.0, 0.0, 4.0), before.add(100 * DT, 10.0, 30.0, 4.0)
    after = [one.add(101 * DT, 10.0, 0.0, 4.0) for one in (calm, wild)]
    assert before.phi == phi
    assert after[1].phi > after[0].phi


def test_one_jump_of_the_level_counts_no_more_than_so_much() -> None:
    """A regression or an incident begins and the contrast is another: phi must not eat up all evidence after it."""
    values, after = contrasts("each", 400, 1.0, 3), np.arange(400) >= 200
    jumped = [fed(values + after * size).phi for size in (20.0, 2000.0, 2e6)]
    assert jumped[1] == pytest.approx(jumped[0], rel=0.2)
    assert jumped[2] == pytest.approx(jumped[1], rel=1e-6)


@pytest.mark.parametrize("size", [1.0, 2.0, 8.0])
def test_a_jump_does_not_raise_the_limit_for_itself(size: float) -> None:
    """A canary gets worse after two hours: each long window that overlaps the jump shows it once more."""
    jump = size * (np.arange(480) >= 240)
    tempering, most = tempering_of((), WINDOWS[0]), 1.0
    for number, value in enumerate(contrasts("each", 480, 1.0, 4) + jump):
        tempering = tempering.add(number * DT, 10.0, 2.0 * value, 4.0)
        most = max(most, tempering.phi)
    assert most < 6.0


def test_history_tells_how_clustered_labels_are_before_the_first_block() -> None:
    independent, clustered = (
        tempering_of(history_of(contrasts("each", 240, effect, 5)), WINDOWS[0]).phi for effect in (1.0, 6.0)
    )
    assert independent < 1.3
    assert 3.0 < clustered < 12.0


def test_what_moves_both_arms_alike_is_unlearned_from_the_contrasts() -> None:
    """Stable's history swings by hours, as the world does; the canary swings with it, so that contrasts do not."""
    chance = np.random.default_rng(11)
    swing = np.convolve(chance.normal(size=360), np.ones(40) / sqrt(40), mode="valid")[:240] * 2.5
    tempering = tempering_of(history_of(chance.normal(size=240) + swing), WINDOWS[0])
    independent = fed(contrasts("each", 120, 1.0, 2), tempering).phi
    clustered = fed(contrasts("slow", 120, 10.0, 2), tempering).phi
    assert tempering.phi > 6.0
    assert independent < 2.5
    assert clustered > 2 * independent


@given(
    st.lists(st.floats(-1e6, 1e6), max_size=40),
    st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(-1e6, 1e6), st.floats(1e-9, 1e9)), max_size=40),
)
def test_phi_is_at_least_one_and_a_number(history: list[float], blocks: list[tuple[float, float, float]]) -> None:
    """Otherwise e^(1/phi) would be no e-value (Jensen)."""
    tempering = tempering_of(history_of(np.array(history)), WINDOWS[0])
    assert 1.0 <= tempering.phi <= (1 + SAFETY) * MOST_PRIOR
    for number, (weight, value, variance) in enumerate(blocks):
        tempering = tempering.add(number * DT, weight, value, variance)
        assert 1.0 <= tempering.phi < float("inf")


def test_weights_and_variances_are_what_normalises() -> None:
    """Blocks of more labels scatter less: seen as it should be, that is no overdispersion."""
    chance = np.random.default_rng(7)
    tempering = tempering_of((), WINDOWS[0])
    for number in range(300):
        labels = 10.0 if number % 2 else 1000.0
        tempering = tempering.add(number * DT, labels, float(chance.normal()) / sqrt(labels), 1 / labels)
    assert tempering.phi < 1.5
