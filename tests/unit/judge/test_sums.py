"""Sums without a histogram: fair bets whatever the law, noise that is learned from them, verdicts, NaN."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.betting import Array, bets_of_sums, cap_of
from modelslo.judge.history import Forecast, History
from modelslo.judge.noise import CV2_UNKNOWN, Differences, Noise
from modelslo.judge.scale import Data, Rules, Scale, scale_of
from modelslo.judge.tempering import PRIOR
from modelslo.judge.verdict import GateVerdict, rare_labels
from modelslo.judge.wagers import Sample, Spread, Wagers, wagers
from tests.unit.judge.series import ENOUGH, Rollout, rules_of

Draw = Callable[[np.random.Generator, int, int], Array]

BLOCKS = 20_000
LAWS: dict[str, tuple[Draw, float]] = {
    "exponential": (lambda rng, g, n: rng.standard_exponential((g, n)), 1.0),
    "narrow": (lambda rng, g, n: rng.standard_gamma(25.0, (g, n)) / 25.0, 1 / 25),
    "lognormal": (lambda rng, g, n: np.exp(rng.standard_normal((g, n)) - 0.5), exp(1.0) - 1),
    "Pareto of index 2.5": (lambda rng, g, n: (1 + rng.pareto(2.5, (g, n))) * 0.6, 0.8),
    "Bernoulli": (lambda rng, g, n: (rng.random((g, n)) < 0.2) / 0.2, 4.0),
}
"""Losses of mean one, and their squared coefficients of variation."""

BARE = rules_of(edges=(), has_squares=False)
SQUARES = rules_of(edges=(), has_squares=True)


def sample(losses: Array, squares: bool) -> Sample:
    """One block per row."""
    count = np.full(len(losses), float(losses.shape[1]))
    total: Array = losses.sum(axis=1)
    return Sample(count, total, (losses * losses).sum(axis=1) if squares else None, np.zeros((len(losses), 1)))


def scale_for(cv2: float, squares: bool) -> Scale:
    """After a long history of this noise. Its bets are those of each segment, however many."""
    rules = Rules((), (), 0.1, 0.1, 0.05, 0.05, 0.0, segments=("one",), has_squares=squares)
    seen = np.full(2, 100.0)
    history = History(
        count=seen,
        squares=2 * seen if squares else None,
        buckets=np.zeros((2, 1)),
        scored=Forecast(seen, seen),
        raw=Forecast(seen, seen),
        noise=Noise((Differences(terms=1e4 * cv2, number=10_000),), within=1e4 * cv2, freedom=1e4),
    )
    return scale_of(rules, history)


def bet(scale: Scale, canary: Sample, stable: Sample, cv2: float, phi: float = 1.0, mean: float = 1.0) -> Wagers:
    forecast = np.full(len(canary.count), mean)
    return wagers(scale, canary, stable, forecast, (), scale.r, Spread(cv2, cv2, phi), True)


@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize(("n_c", "n_s"), [(1, 40), (5, 5), (30, 10)])
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("wrong", [0.5, 1.0, 2.0])
def test_no_bet_gains_at_the_boundary_on_average(law: str, n_c: int, n_s: int, squares: bool, wrong: float) -> None:
    # Given many blocks of a canary that is worse by exactly the margin, and a forecast that may be wrong by a factor
    draw, cv2 = LAWS[law]
    rng = np.random.default_rng(3)
    canary, stable = sample(1.1 * draw(rng, BLOCKS, n_c), squares), sample(draw(rng, BLOCKS, n_s), squares)
    # And what is known of the variance is true: relative to the forecast
    found = bet(scale_for(cv2, squares), canary, stable, cv2 / wrong**2, mean=wrong)
    e = np.exp(found.segments)
    # Then the wealth of each bet, for "worse" and for "not worse", does not grow beyond what chance does
    chance = e.std(axis=1) / BLOCKS**0.5
    assert (e.mean(axis=1) <= 1 + 4 * chance).all()


def test_the_unit_of_the_loss_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    losses, others = 1.3 * rng.standard_exponential((20, 15)), rng.standard_exponential((20, 60))
    for squares in (False, True):
        scale = scale_for(1.0, squares)
        found = bet(scale, sample(losses, squares), sample(others, squares), 1.0)
        large = bet(scale, sample(1000 * losses, squares), sample(1000 * others, squares), 1.0, mean=1000.0)
        np.testing.assert_allclose(large.segments, found.segments, rtol=1e-9)
        np.testing.assert_allclose(large.mean, found.mean, rtol=1e-9)


@pytest.mark.parametrize("squares", [False, True])
def test_one_loss_however_large_gains_little(squares: bool) -> None:
    # Given ordinary labels of which one of the canary's is a million
    rng = np.random.default_rng(5)
    losses = rng.standard_exponential((1, 20))
    losses[0, 3] = 1e6
    found = bet(
        scale_for(1.0, squares), sample(losses, squares), sample(rng.standard_exponential((1, 80)), squares), 1.0
    )
    # Then no bet gains what one block may, of three that a verdict takes
    assert found.mean.max() < cap_of(0.05) < log(20) / 1.5


@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize("cv2", [1.0, 0.01, 0.001])
@pytest.mark.parametrize("labels", [5, 100, 3000])
@pytest.mark.parametrize("ratio", [1.5, 3.0, 10.0, 1000.0])
def test_what_is_far_worse_is_never_lost_on(squares: bool, cv2: float, labels: int, ratio: float) -> None:
    """A contrast that is many standard errors off gains for every bet, by many labels and by narrow losses too."""
    rng = np.random.default_rng(8)
    losses, others = (rng.standard_gamma(1 / cv2, (1, labels)) * cv2 for _ in range(2))
    scale = scale_for(cv2, squares)
    found = bet(scale, sample(ratio * losses, squares), sample(others, squares), cv2).mean[: len(scale.back.sizes)]
    # Of the fewest labels some bets are too small, or too large, for what may be chance.
    assert found.max() > 0.0
    assert found.min() > 0.4 or (ratio - 1.1) * (labels / cv2) ** 0.5 < 30


@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize("margin", [0.1, 0.3])
@pytest.mark.parametrize("labels", [20, 3000])
def test_the_same_narrow_loss_is_no_worse_however_many_labels_come(squares: bool, margin: float, labels: int) -> None:
    """A margin that is many standard deviations wide."""
    rng, r = np.random.default_rng(9), 1 + margin
    losses, others = (rng.standard_gamma(1000.0, (1, labels)) / 1000 for _ in range(2))
    scale = replace(scale_for(0.001, squares), r=r)
    forth = -bets_of_sums(0.001, r, worse=False).sizes
    scale = replace(scale, signed=np.concatenate((scale.back.sizes, forth)))
    found = bet(scale, sample(losses, squares), sample(others, squares), 0.001).mean[len(scale.back.sizes) :]
    assert found.min() > 0.4


def learned(cv: float, *, level: Callable[[int], float] = lambda k: 1.0, squares: bool = False, n: int = 60) -> float:
    rng, noise = np.random.default_rng(6), Noise()
    for k in range(400):
        losses = level(k) * (1 + cv * rng.standard_normal(n))
        total = np.array([losses.sum()])
        square = np.array([(losses * losses).sum()]) if squares else None
        noise = noise.add(30.0 * k, np.array([float(n)]), total, square, np.array([level(k)]), level(k))
    return noise.cv2(squares)


@pytest.mark.parametrize("squares", [False, True])
@pytest.mark.parametrize("cv", [0.05, 0.2, 1.0])
def test_noise_is_learned_whatever_its_size(cv: float, squares: bool) -> None:
    assert learned(cv, squares=squares) == pytest.approx(cv * cv, rel=0.25)


@pytest.mark.parametrize("squares", [False, True])
def test_a_season_is_no_noise(squares: bool) -> None:
    assert learned(0.2, level=lambda k: 1 + 0.5 * np.sin(k / 40), squares=squares) == pytest.approx(0.04, rel=0.25)


def test_differences_between_segments_are_no_noise() -> None:
    rng, noise = np.random.default_rng(7), Noise()
    level = np.array([0.5, 3.0])
    for k in range(400):
        count = rng.poisson([20, 20]).astype(float) + 1
        total = level * rng.standard_gamma(25 * count) / 25
        noise = noise.add(30.0 * k, count, total, None, level, 1.5)
    assert noise.cv2(False) == pytest.approx(1 / 25, rel=0.25)


def test_nothing_is_learned_from_a_sum_that_is_no_number_nor_without_a_forecast() -> None:
    count, total = np.array([50.0]), np.array([50.0])
    nan = np.array([np.nan])
    noise = Noise().add(0.0, count, total, None, np.array([1.0]), 1.0)
    assert noise.add(30.0, count, nan, None, np.array([1.0]), 1.0).labels == 50
    assert noise.add(30.0, count, total, None, nan, np.nan) == noise
    assert noise.add(30.0, count, total, nan, np.array([1.0]), 1.0).within == 0


@pytest.mark.parametrize("squares", [False, True])
def test_a_canary_that_scatters_more_for_its_mean_is_bet_on_with_more_care(squares: bool) -> None:
    rng = np.random.default_rng(8)

    def own(shape: float, mean: float) -> float:
        noise = Noise()
        for k in range(200):
            losses = mean * rng.standard_gamma(shape, 20) / shape
            square = np.array([(losses * losses).sum()]) if squares else None
            noise = noise.add(30.0 * k, np.array([20.0]), np.array([losses.sum()]), square, np.array([1.0]), 1.0)
        return noise.cv2_of_arm(squares, 0.5)

    # Twice the mean and with it twice the standard deviation is no reason; four times the variance is
    assert own(2.0, 2.0) == pytest.approx(0.5, rel=0.25)
    assert own(0.5, 1.0) == pytest.approx(2.0, rel=0.25)
    # And it is never taken to scatter less than stable
    assert own(50.0, 1.0) == 0.5


def test_without_a_history_nothing_is_taken_for_granted() -> None:
    assert Noise().cv2(True) == Noise().cv2(False) == CV2_UNKNOWN
    assert Noise().tempering(CV2_UNKNOWN, False, 300.0).priors == (PRIOR, PRIOR, PRIOR)


@pytest.mark.parametrize("squares", [False, True])
def test_labels_that_come_in_clusters_are_expected_to_go_on_so(squares: bool) -> None:
    rng = np.random.default_rng(9)

    def priors(shared: bool) -> tuple[float, ...]:
        noise = Noise((Differences(), Differences(300.0), Differences(1200.0)))
        factor = 1.0
        for k in range(480):
            factor = float(rng.standard_gamma(20.0)) / 20 if k % 7 == 0 and shared else factor
            losses = factor * rng.standard_exponential(60)
            square = np.array([(losses * losses).sum()]) if squares else None
            noise = noise.add(30.0 * k, np.array([60.0]), np.array([losses.sum()]), square, np.array([1.0]), 1.0)
        return noise.tempering(noise.cv2(squares), squares, 300.0).priors

    assert max(priors(shared=False)) < 1.8
    assert max(priors(shared=True)) > 2


@pytest.mark.parametrize("rules", [BARE, SQUARES])
def test_verdicts_without_a_histogram(rules: Rules) -> None:
    worse, same = Rollout(rules), Rollout(rules)
    assert GateVerdict.ROLLBACK in worse.run(120, 2.0)
    assert GateVerdict.PROMOTE in same.run(480)
    assert worse.trial.scale.data is (Data.SQUARES if rules.has_squares else Data.SUMS)


@pytest.mark.parametrize("rules", [BARE, SQUARES])
def test_without_buckets_rare_large_losses_must_have_had_time_to_show(rules: Rules) -> None:
    """A canary that is far better on its first hundred labels may lose thirty times as much on one of three hundred."""
    rollout = Rollout(rules)
    while rollout.run(1, 0.3) != [GateVerdict.PROMOTE]:
        pass
    assert rollout.e.promote > 2 * ENOUGH
    least = rare_labels(rules.margin, rules.beta)
    assert least <= rollout.compared[1] <= least + 10


@given(st.floats(0.001, 2.0), st.floats(1e-4, 0.5))
def test_what_makes_a_canary_worse_by_the_margin_would_have_been_seen(margin: float, beta: float) -> None:
    share = min(0.5, margin / 29)  # of losses of thirty times the mean
    assert (1 - share) ** rare_labels(margin, beta) == pytest.approx(beta)


@pytest.mark.parametrize("rules", [BARE, SQUARES])
def test_sums_make_blocks_of_five_labels_too(rules: Rules) -> None:
    rollout = Rollout(rules)
    rollout.run(40, n_c=5)
    before = rollout.trial.contrast
    rollout.run(20, n_c=5)
    assert rollout.trial.contrast.blocks == before.blocks + 20


@pytest.mark.parametrize("rules", [BARE, SQUARES])
def test_a_canary_whose_sum_is_no_number_is_never_promoted(rules: Rules) -> None:
    # Given a canary that is far better, and of which that is known
    rollout = Rollout(rules)
    rollout.run(20, 0.7)
    while rollout.e.promote < 1:
        assert rollout.run(1, 0.7) != [GateVerdict.PROMOTE]
    # When one of its losses is no number
    rollout.canary.serve([np.nan])
    verdicts = rollout.run(240, 0.7)
    # Then it is held: its sum stays no number
    assert set(verdicts) <= {GateVerdict.NAN_LOSS, GateVerdict.NEAR_MARGIN, GateVerdict.INSUFFICIENT_DATA}


@pytest.mark.parametrize("edges", [tuple(k * 1e-4 for k in range(1, 8)), tuple(1e4 * 2.0**k for k in range(8))])
def test_buckets_of_another_scale_do_not_spoil_the_sums(edges: tuple[float, ...]) -> None:
    # Given a histogram that says nothing, so that the sums are judged
    rules = rules_of(edges=edges, has_squares=False)
    same, worse = Rollout(rules), Rollout(rules)
    assert same.gate.history.labels > 0
    # Then the noise is that of the losses, not of their buckets, and the verdicts are right
    assert GateVerdict.PROMOTE in same.run(480)
    assert same.trial.scale.data is Data.SUMS
    assert same.trial.scale.cv2 == pytest.approx(1.0, rel=0.4)
    assert GateVerdict.ROLLBACK in worse.run(120, 2.0)
