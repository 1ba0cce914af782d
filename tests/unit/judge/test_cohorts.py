"""Cohorts of equal age, where a label tells how old each label is: what is compared, and what it may speak for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf, sqrt

import numpy as np
import pytest

from modelslo.judge.betting import Array
from modelslo.judge.cohorts import Cohorts
from modelslo.judge.gate import Gate, advance
from modelslo.judge.history import History, Sound
from modelslo.judge.increments import Step
from modelslo.judge.scale import Rules, Scale, scale_of
from modelslo.judge.trial import Trial
from modelslo.judge.verdict import GateVerdict, verdict_of
from modelslo.judge.wagers import Sample, Spread, wagers
from tests.unit.judge.aged import AGES, World, even, judged, late_are_better, late_are_worse
from tests.unit.judge.aged import rules_of as world_rules
from tests.unit.judge.series import EDGES, rules_of

PROMOTE, ROLLBACK = GateVerdict.PROMOTE, GateVerdict.ROLLBACK
SPREAD = Spread(1.0, 1.0, 1.0)

# Strata


def test_strata_are_segments_times_ages() -> None:
    cohorts = Cohorts(np.array([60.0, 600.0, inf]), 2)
    assert cohorts.fit(600.0).tolist() == [True, True, False] * 2
    assert not cohorts.fit(-inf).any()
    assert not cohorts.fit(1e9)[[2, 5]].any()
    groups = cohorts.groups(np.array([False, False, False, True, False, True]))
    assert (groups.present.tolist(), groups.index.tolist()) == ([1], [0, 0])
    every = cohorts.groups(None)
    assert every.sums(np.arange(6.0)).tolist() == [3.0, 12.0]
    assert every.most(np.array([1.0, 5.0, 2.0, -1.0, -7.0, -2.0])).tolist() == [5.0] * 3 + [-1.0] * 3
    assert (
        every.mean(np.array([1.0, 3.0, 5.0, 2.0, 2.0, 2.0]), np.array([1.0, 0, 1, 1, 1, 1])).tolist()
        == [3] * 3 + [2] * 3
    )
    assert cohorts.of_segments(np.array([False, False, False, True, False, True])).tolist() == [False, True]


def drawn(chance: np.random.Generator, number: list[int], means: list[float]) -> Sample:
    """Exponential losses of each stratum."""
    losses = [chance.exponential(mean, n) for mean, n in zip(means, number, strict=True)]
    buckets = np.array([np.bincount(np.searchsorted(EDGES, one), minlength=len(EDGES) + 1) for one in losses], float)
    total, squares = np.array([one.sum() for one in losses]), np.array([one @ one for one in losses])
    return Sample(buckets.sum(axis=1), total, squares, buckets)


def frozen(rules: Rules, squares: bool = True) -> Scale:
    """The scale without any history."""
    return scale_of(replace(rules, has_squares=squares), History())


@pytest.mark.parametrize("change", [{}, {"edges": ()}, {"edges": (), "has_squares": False}])
def test_a_segment_is_to_its_ages_what_the_whole_is_to_all(change: dict[str, object]) -> None:
    # Given two segments at three ages, of which the first has no label of the second age
    rules = rules_of(segments=("a", "b"), ages=(60.0, 600.0, inf), tail=False, segment_margin=0.1, **change)
    scale = scale_of(rules, History())
    assert (scale.strata, scale.segments) == (6, 2)
    assert scale.cohorts is not None
    chance = np.random.default_rng(4)
    canary = drawn(chance, [10, 20, 30, 7, 8], [1.0, 2.0, 3.0, 4.0, 5.0])
    stable = drawn(chance, [30, 20, 50, 17, 28], [1.0, 2.0, 3.0, 4.0, 5.0])
    forecast = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    groups = scale.cohorts.groups(np.array([True, False, True, True, True, True]))
    # When a block is bet on
    found = wagers(scale, canary, stable, forecast, (), scale.r, SPREAD, True, groups)
    # Then each segment has what it would have as the only one
    for number, rows in enumerate(([0, 1], [2, 3, 4])):
        mine = np.isin(np.arange(5), rows)
        alone = wagers(scale, canary.rows(mine), stable.rows(mine), forecast[mine], (), scale.r, SPREAD, False)
        assert found.segments[:, number] == pytest.approx(alone.mean, rel=1e-9)


def test_strata_of_one_age_are_bet_on_as_segments_are() -> None:
    plain, aged = rules_of(segments=("a", "b"), tail=False), rules_of(segments=("a", "b"), ages=(inf,), tail=False)
    chance = np.random.default_rng(5)
    arms = drawn(chance, [10, 20], [1.0, 2.0]), drawn(chance, [30, 20], [1.0, 2.0])
    forecast, scale = np.array([1.0, 2.0]), scale_of(aged, History())
    assert scale.cohorts is not None
    found = wagers(scale, *arms, forecast, (), scale.r, SPREAD, True, scale.cohorts.groups(None))
    expected = wagers(scale_of(plain, History()), *arms, forecast, (), scale.r, SPREAD, True)
    assert found.segments == pytest.approx(expected.segments)
    assert found.mean == pytest.approx(expected.mean)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("wrong", [0.5, 2.0])
def test_no_bet_gains_where_ages_differ_and_their_average_is_at_the_margin(sign: float, wrong: float) -> None:
    """Section 4.2: the null is the average contrast over the ages, weighted by n_c n_s / (n_s + r^2 n_c)."""
    # Given a canary that is better for quick labels and worse for late ones, by just as much
    rules = rules_of(segments=("a", "b"), ages=(60.0, inf), tail=False, segment_margin=0.1)
    scale, r = frozen(rules), 1.1
    assert scale.cohorts is not None
    n_c, n_s = np.array([12, 4, 6, 6]), np.array([20, 30, 9, 9])
    of_stable = np.array([1.0, 3.0, 0.5, 2.0])
    weight = n_c * n_s / (n_s + r * r * n_c)
    contrast = sign * np.array([-0.3, 0.3 * weight[0] / weight[1], 0.2, -0.2 * weight[2] / weight[3]])
    law_c, law_s = (two_point(means) for means in (r * of_stable + contrast, of_stable))
    chance, bets = np.random.default_rng(6), scale.segment_signed
    forecast = wrong * of_stable
    # When many blocks are bet on
    e = []
    for _ in range(4000):
        canary, stable = (
            Sample(n.astype(float), np.zeros(4), None, draw(chance, n, law)) for n, law in ((n_c, law_c), (n_s, law_s))
        )
        found = wagers(scale, canary, stable, forecast, (), scale.r, SPREAD, True, scale.cohorts.groups(None))
        e.append(np.concatenate((found.mean[:, None], found.segments), axis=1))
    # Then no e-value is above one on average, whole or segment, whatever the bet and the forecast
    values = np.exp(np.array(e))
    error = values.std(axis=0) / sqrt(len(values))
    assert len(bets) == values.shape[1]
    assert (values.mean(axis=0) <= 1 + 4 * error).all()


def two_point(means: Array) -> Array:
    """Shares of the buckets that give these bucketed means: the first one and the last but two."""
    scores = scale_of(rules_of(), History()).scores
    low, high = scores[0], scores[-3]
    found = np.zeros((len(means), len(scores)))
    found[:, -3] = (means - low) / (high - low)
    found[:, 0] = 1 - found[:, -3]
    return found


def draw(chance: np.random.Generator, number: Array, law: Array) -> Array:
    return np.array([chance.multinomial(n, shares) for n, shares in zip(number, law, strict=True)], float)


def test_small_segments_are_pooled_at_each_age_for_itself() -> None:
    rules = rules_of(segments=("a", "b", "c"), ages=(60.0, inf))
    count = np.array([1000.0, 600.0, 390.0, 3.0, 2.0, 2.0, 3.0])
    buckets = np.outer(count, np.ones(12) / 12)
    history = replace(History(), count=count, buckets=buckets, sound=Sound(1000.0, 1.0, 1.0))
    pooled = scale_of(rules, history).pooled
    assert pooled.tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 1, 0],
        [0, 0, 0, 1, 0, 1],
    ]


# What is compared


def fold(rules: Rules, world: World, *, seed: int = 1) -> Iterator[tuple[Step, Gate]]:
    """The rollout after each scrape of the canary."""
    gate = Gate()
    for step, started in world.steps(rules, seed):
        gate = advance(gate, rules, step, started)
        if started:
            yield step, gate


def trial_of(gate: Gate) -> Trial:
    assert gate.trial is not None
    return gate.trial


def test_a_cohort_is_compared_once_both_arms_can_have_labels_of_its_age() -> None:
    rules, before, first = world_rules(True), np.zeros(len(AGES)), 0.0
    for step, gate in fold(rules, World(hours=1.0)):
        trial = trial_of(gate)
        first = first or trial.first_prediction or 0.0
        age = step.at - first - rules.warmup
        assert step.canary is not None
        labels = step.canary.count[1:]
        # Then each block holds the labels of the cohorts that are old enough, and no others
        fit = [edge <= age for edge in AGES]
        if trial.young:
            before += np.where(fit, labels, 0.0) if any(fit) and age > 0 else 0.0
            assert trial.contrast.canary + trial.filling.canary.count.sum() == before.sum()
        assert trial.ripe == (age >= AGES[0])
        assert (verdict_of(gate, rules, step.at) is PROMOTE) <= (not trial.young)
    # And what has no upper edge once 98 % of the labels are younger
    assert not trial.young
    assert trial.whole is not None
    assert 5 < trial.whole.blocks < trial.contrast.blocks


def test_after_a_change_of_the_shares_young_labels_are_compared_first_again() -> None:
    rules, world = world_rules(True), World(hours=2.25)
    gate = Gate()
    for step, started in world.steps(rules, 2):
        changed = step.at >= 5400.0
        gate = advance(gate, rules, replace(step, settled=step.at - 5400.0) if changed else step, started)
        if not started:
            continue
        trial = trial_of(gate)
        if 5400.0 <= step.at < 5460.0:
            assert (trial.ripe, trial.young) == (False, True)
        if step.at in (5460.0, 5700.0):
            fit = np.array(AGES) <= step.at - 5400.0
            assert (trial.ripe, trial.young) == (True, True)
            assert trial.filling.stable.count[~fit].sum() == 0
    assert not trial_of(gate).young


def test_a_flood_of_old_labels_leaves_the_young_ones() -> None:
    """Without ages the whole scrape would be left out."""
    rules = world_rules(True)
    steps = [*World(hours=2.0).steps(rules, 3)]
    gate = Gate()
    for step, started in steps[:-1]:
        gate = advance(gate, rules, step, started)
    step = steps[-1][0]
    assert step.stable is not None
    assert step.stable.lags is not None
    count, buckets, lags = step.stable.count.copy(), step.stable.buckets.copy(), step.stable.lags.copy()
    for row in (0, -1):
        count[row] += 1000.0
        buckets[row, 0] += 1000.0
    lags[-1] += 1000.0
    flooded = replace(step, stable=replace(step.stable, count=count, buckets=buckets, lags=lags))
    before, after = trial_of(gate), trial_of(advance(gate, rules, flooded, True))
    assert after.contrast.blocks == before.contrast.blocks + 1
    assert after.contrast.stable - before.contrast.stable < 200
    assert after.ripe


def test_with_a_stated_delay_labels_above_the_last_age_wait_for_it() -> None:
    rules = replace(world_rules(True, delay=1500.0), ages=(60.0, inf))
    for step, gate in fold(rules, World(hours=1.0)):
        trial = trial_of(gate)
        old = step.at - (trial.first_prediction or 0.0) - rules.warmup >= 1500.0
        assert trial.young is not old
    assert trial.whole is not None
    assert trial.whole.blocks > 5


def test_a_labelled_arm_that_is_missing_costs_nothing() -> None:
    rules, gate = world_rules(True), Gate()
    for number, (step, started) in enumerate(World(hours=1.5).steps(rules, 4)):
        lost = (
            replace(step, stable=None) if number % 7 == 3 else replace(step, canary=None) if number % 7 == 5 else step
        )
        gate = advance(gate, rules, lost, started)
    assert trial_of(gate).contrast.blocks > 20


# What they speak for


SAME = ((late_are_worse, late_are_worse), (late_are_better, late_are_better))


@pytest.mark.parametrize(("stable", "canary"), SAME)
def test_the_same_model_is_not_misjudged_and_promoted_sooner(stable: object, canary: object) -> None:
    """Its labels are young; those of stable are of all ages, and losses depend on age."""
    world = World(stable=stable, canary=canary, hours=4.0)  # type: ignore[arg-type]
    aged = [judged(world, world_rules(True), seed) for seed in range(4)]
    waiting = [judged(world, world_rules(False), seed) for seed in range(4)]
    assert {one.verdict for one in (*aged, *waiting)} == {PROMOTE}
    assert np.median([one.after for one in aged]) < np.median([one.after for one in waiting]) - 300


def test_without_ages_and_without_waiting_it_would_be_misjudged() -> None:
    """What cohorts are for: a good canary looks bad, and a bad one good."""
    good = World(stable=late_are_better, canary=late_are_better)
    bad = World(stable=late_are_worse, canary=lambda age: 1.3 * late_are_worse(age))
    for world, wrong in ((good, ROLLBACK), (bad, PROMOTE)):
        at_once = [judged(world, world_rules(False, delay=0.001), seed).verdict for seed in range(4)]
        assert wrong in at_once
        assert wrong not in [judged(world, world_rules(True), seed).verdict for seed in range(4)]


def test_a_regression_is_rolled_back_long_before_the_labels_are_all_there() -> None:
    world = World(stable=late_are_worse, canary=lambda age: 1.3 * late_are_worse(age))
    aged = [judged(world, world_rules(True), seed) for seed in range(4)]
    waiting = [judged(world, world_rules(False), seed) for seed in range(4)]
    assert {one.verdict for one in (*aged, *waiting)} == {ROLLBACK}
    assert np.median([one.after for one in aged]) < 0.6 * min(one.after for one in waiting)


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_quick_labels_do_not_promote_a_canary_that_is_worse_for_late_ones(factor: float) -> None:
    """A seventh of the labels takes more than twenty minutes; for these alone it is worse: 14 or 27 % on the whole."""
    world = World(rate=(8.0, 4.0), stable=even, canary=lambda age: np.where(age > 1200.0, factor, 1.0), hours=1.5)
    found = [judged(world, world_rules(True), seed) for seed in range(4)]
    assert PROMOTE not in [one.verdict for one in found]
    if factor == 3.0:
        assert {one.verdict for one in found} == {ROLLBACK}


@pytest.mark.parametrize("level", [late_are_worse, late_are_better])
def test_at_the_margin_little_is_decided(level: object) -> None:
    """Of 12 rollouts at most one each way; alpha and beta are 5 %."""
    world = World(stable=level, canary=lambda age: 1.1 * level(age), hours=2.0)  # type: ignore[arg-type,operator]
    found = [judged(world, world_rules(True), seed).verdict for seed in range(12)]
    assert found.count(ROLLBACK) <= 1
    assert found.count(PROMOTE) <= 1
