"""Wealth over time: prior masses, cap, tempering, restarts, and how mean, tail and segments become one e-value."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.betting import Array, Bets, cap_of
from modelslo.judge.evalues import EValues, Wealth, start, values, with_block, with_copy
from modelslo.judge.history import History
from modelslo.judge.scale import Rules, Scale, scale_of
from modelslo.judge.wagers import Wagers
from tests.unit.judge.series import Rollout, rules_of

SEGMENTS = ("easy", "hard")
PLAIN, NAMED = rules_of(), rules_of(segments=SEGMENTS)


def history_of(rules: Rules) -> History:
    return Rollout(rules).gate.history


HISTORIES = {rules: history_of(rules) for rules in (PLAIN, NAMED)}


def scale_for(rules: Rules, tail: bool = True) -> Scale:
    scale = scale_of(rules if tail else rules_of(segments=rules.segments, tail=False), HISTORIES[rules])
    assert [len(one.bets) for one in scale.tails.each] == ([1, 2] if tail else [])
    return scale


def drawn(scale: Scale, rules: Rules, chance: np.random.Generator, size: float = 1.0) -> Wagers:
    """Some ln e per bet."""
    groups = scale.strata if rules.segments else 0
    return Wagers(
        chance.normal(0, size, len(scale.signed)),
        chance.normal(0, size, scale.tails.sizes.shape),
        chance.normal(0, size, (len(scale.segment_signed) if groups else 0, groups)),
    )


def naively(bets: Bets, gains: list[Array], opened: list[int]) -> float:
    """ln of 0.8 E_0 + 0.2 sum_s E_s / (s (s + 1)), every copy kept apart; `opened`: blocks before each copy."""

    def mixture(first: int) -> float:
        return float(np.exp(bets.log_mass) @ np.exp(np.sum(gains[first:], axis=0) + np.zeros(len(bets.sizes))))

    copies = sum(mixture(first) / (number * (number + 1)) for number, first in enumerate(opened, 1))
    unopened = 1 / (len(opened) + 1)
    return log(0.8 * mixture(0) + 0.2 * (copies + unopened))


@given(
    seed=st.integers(0, 2**32),
    blocks=st.integers(0, 25),
    opened=st.lists(st.integers(0, 25), max_size=8),
    phi=st.floats(1.0, 9.0),
    named=st.booleans(),
    tail=st.booleans(),
)
def test_copies_as_one_number_are_what_explicit_copies_would_be(
    seed: int, blocks: int, opened: list[int], phi: float, named: bool, tail: bool
) -> None:
    """Section 4.3: restarts, for the mean, the tail and every segment."""
    # Given a rollout of some blocks, and copies that are opened before some of them
    rules = NAMED if named else PLAIN
    scale, chance = scale_for(rules, tail), np.random.default_rng(seed)
    opened = sorted(number for number in opened if number <= blocks)
    wealth, taken = start(scale, rules), []
    for number in range(blocks + 1):
        for _ in range(opened.count(number)):
            wealth = with_copy(wealth)
        if number < blocks:
            taken.append(drawn(scale, rules, chance))
            wealth = with_block(wealth, scale, taken[-1], phi)
    # When every process is computed copy by copy
    cap, number = cap_of(rules.alpha), len(scale.back.sizes)
    means = [np.minimum(one.mean[:number] / phi, cap) for one in taken]
    found = values(wealth, scale.tails.each)
    # Then that is the same
    assert found.mean == pytest.approx(naively(scale.back, means, opened), abs=1e-9)
    if tail:
        (large,), catastrophes = (one.bets for one in scale.tails.each)
        first, *others = (
            naively(bets, [np.minimum(one.tails[row] / phi, cap) for one in taken], opened)
            for row, bets in enumerate((large, *catastrophes))
        )
        # Catastrophes are both more often than stable's and more often than matters
        assert found.tail == pytest.approx(log(0.7 * exp(first) + 0.3 * exp(min(others))), abs=1e-9)
    number = len(scale.segment_back.sizes)
    for group, e in enumerate(found.segments_rollback):
        gains = [np.minimum(one.segments[:number, group] / phi, cap) for one in taken]
        assert e == pytest.approx(naively(scale.segment_back, gains, opened), abs=1e-9)


@given(seed=st.integers(0, 2**32), blocks=st.integers(0, 20), copies=st.integers(0, 5))
def test_mean_tail_and_segments_are_averaged_to_roll_back_and_all_are_needed_to_promote(
    seed: int, blocks: int, copies: int
) -> None:
    """Sections 4.5 and 4.6: averages of e-values are e-values; a promotion is an intersection."""
    scale, chance = scale_for(NAMED), np.random.default_rng(seed)
    wealth, not_worse = start(scale, NAMED), np.zeros(len(scale.forth.sizes))
    for number in range(blocks):
        one = drawn(scale, NAMED, chance)
        not_worse = not_worse + np.minimum(one.mean[len(scale.back.sizes) :], cap_of(NAMED.beta))
        wealth = with_block(wealth, scale, one, 1.0)
        wealth = with_copy(wealth) if number < copies else wealth
    e = values(wealth, scale.tails.each)
    assert e.tail is not None
    core = 0.75 * exp(e.mean) + 0.25 * exp(e.tail)
    mean_of_segments = sum(exp(one) for one in e.segments_rollback) / len(SEGMENTS)
    assert len(e.segments_rollback) == len(e.segments_promote) == len(SEGMENTS)
    assert e.rollback == pytest.approx(log(0.5 * core + 0.5 * mean_of_segments), abs=1e-9)
    overall = log(float(np.exp(scale.forth.log_mass) @ np.exp(not_worse)))
    assert e.promote == pytest.approx(min(overall, *e.segments_promote), abs=1e-9)


def test_without_evidence_every_e_value_is_one() -> None:
    for rules, tail in ((PLAIN, True), (PLAIN, False), (NAMED, True), (NAMED, False)):
        scale = scale_for(rules, tail)
        wealth = start(scale, rules)
        for copies in range(3):
            e = values(wealth, scale.tails.each)
            logs = (e.rollback, e.promote, e.mean, e.tail or 0.0, *e.segments_rollback, *e.segments_promote)
            assert logs == pytest.approx([0.0] * len(logs), abs=1e-12), copies
            wealth = with_copy(wealth)
    assert EValues().rollback == EValues().promote == 0.0


def gained(before: Wealth, after: Wealth) -> Array:
    return np.concatenate(((after.back - before.back).ravel(), (after.forth - before.forth).ravel()))


@given(seed=st.integers(0, 2**32), phi=st.floats(1.0, 20.0), size=st.floats(0.1, 1e6))
def test_a_block_is_tempered_then_capped(seed: int, phi: float, size: float) -> None:
    rules = rules_of(alpha=0.01, beta=0.2)
    scale = scale_for(PLAIN)
    found = drawn(scale, PLAIN, np.random.default_rng(seed), size)
    before = start(scale, rules)
    after = with_block(before, scale, found, phi)
    number = len(scale.back.sizes)
    assert after.back[0, :number] == pytest.approx(np.minimum(found.mean[:number] / phi, cap_of(0.01)))
    assert after.forth[0, : len(scale.forth.sizes)] == pytest.approx(np.minimum(found.mean[number:] / phi, cap_of(0.2)))
    assert (gained(before, after)[: len(scale.back.sizes)] <= cap_of(0.01)).all()


@pytest.mark.parametrize("rate", [0.3, 0.05, 0.001])
@pytest.mark.parametrize("named", [False, True])
def test_one_block_however_bad_does_not_roll_back_and_four_do_not_promote(rate: float, named: bool) -> None:
    """The cap of section 4.3; two blocks may roll back."""
    rules = rules_of(alpha=rate, beta=rate, segments=SEGMENTS if named else ())
    scale = scale_for(NAMED if named else PLAIN)
    groups = len(SEGMENTS) if named else 0
    poison = Wagers(
        np.full(len(scale.signed), 1e9),
        np.full(scale.tails.sizes.shape, 1e9),
        np.full((len(scale.segment_signed) if named else 0, groups), 1e9),
    )
    wealth, needed = with_copy(start(scale, rules)), 0
    while values(wealth, scale.tails.each).rollback < log(1 / rate):
        wealth, needed = with_block(wealth, scale, poison, 1.0), needed + 1
    assert 2 <= needed <= 3


def test_wealth_that_was_lost_can_be_regained_by_a_copy() -> None:
    """A regression after a long clean start: the first process is ruined, a later copy is not."""
    scale = scale_for(PLAIN, False)
    bad, good = (Wagers(np.full(len(scale.signed), gain), *[np.zeros((0, 0))] * 2) for gain in (-1e4, 1.0))
    wealth = start(scale, PLAIN)
    for _ in range(5):
        wealth = with_copy(with_block(wealth, scale, bad, 1.0))
    ruined = values(wealth, ()).rollback
    assert log(0.2 / 6) - 1e-9 <= ruined < 0
    for _ in range(12):
        wealth = with_block(wealth, scale, good, 1.0)
    assert values(wealth, ()).rollback > log(20)


def test_a_month_of_losses_and_a_month_of_gains_stay_numbers() -> None:
    """Section 11.6: underflow and overflow of the wealth."""
    scale = scale_for(NAMED)
    chance = np.random.default_rng(1)
    for size in (-1e6, 1e6):
        wealth = start(scale, NAMED)
        for number in range(600):
            found = drawn(scale, NAMED, chance)
            huge = Wagers(found.mean + size, found.tails + size, found.segments + size)
            wealth = with_block(wealth if number % 3 else with_copy(wealth), scale, huge, 1.0)
            e = values(wealth, scale.tails.each)
            assert np.isfinite([e.rollback, e.promote, e.mean, e.tail or 0.0, *e.segments_rollback]).all()
    assert e.rollback > log(20)
