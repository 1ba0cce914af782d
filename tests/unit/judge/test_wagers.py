"""What a block adds where there are only sums, or sums and squares (section 5), and which test a block is given."""

from __future__ import annotations

from dataclasses import replace
from math import nan, sqrt

import numpy as np
import pytest

from modelslo.judge.betting import Array, Block, log_e, log_e_of_all
from modelslo.judge.history import History
from modelslo.judge.scale import Data, Rules, Scale, scale_of
from modelslo.judge.wagers import Sample, Spread, Wagers, wagers
from tests.unit.judge.series import EDGES, Rollout, rules_of

MEAN = 2.0
FORECAST = np.array([MEAN])


def scale_for(data: Data, **change: object) -> Scale:
    """Frozen after a history of exponential losses of mean two."""
    rules = rules_of(
        edges=EDGES if data is Data.HISTOGRAM else (), has_squares=data is not Data.SUMS, tail=False, **change
    )
    scale = scale_of(rules, Rollout(rules, mean=MEAN).gate.history)
    assert scale.data is data
    return scale


def sample(losses: Array, squares: bool = True) -> Sample:
    """One stratum."""
    buckets = np.bincount(np.searchsorted(EDGES, losses), minlength=len(EDGES) + 1).astype(float)
    return Sample(
        np.array([float(len(losses))]),
        np.array([losses.sum()]),
        np.array([(losses * losses).sum()]) if squares else None,
        buckets[None, :],
    )


def found(
    scale: Scale, canary: Sample, stable: Sample, variance: float = MEAN * MEAN, forecast: Array = FORECAST
) -> Wagers:
    cv2 = variance / float(forecast[0]) ** 2
    return wagers(scale, canary, stable, forecast, (), scale.r, Spread(cv2, cv2, 1.0), segments=False)


def drawn(chance: np.random.Generator, law: str, n: int) -> Array:
    """Losses of mean one."""
    if law == "gamma":
        return chance.gamma(3.0, 1 / 3, n)
    return chance.lognormal(-0.5, 1.0, n) if law == "lognormal" else chance.exponential(size=n)


def mean_e(data: Data, law: str, n_c: int, n_s: int, wrong: float = 1.0, blocks: int = 800) -> tuple[Array, Array]:
    """Mean over blocks at the boundary of e per bet, and its error; the forecast is `wrong` times the truth."""
    chance, scale = np.random.default_rng(3), scale_for(data)
    variance = MEAN * MEAN * {"gamma": 1 / 3, "lognormal": np.e - 1, "exponential": 1.0}[law]
    e = np.array(
        [
            np.exp(
                found(
                    scale,
                    sample(1.1 * MEAN * drawn(chance, law, n_c)),
                    sample(MEAN * drawn(chance, law, n_s)),
                    variance,
                    wrong * FORECAST,
                ).mean
            )
            for _ in range(blocks)
        ]
    )
    return e.mean(axis=0), e.std(axis=0) / sqrt(blocks)


@pytest.mark.parametrize("law", ["exponential", "gamma", "lognormal"])
@pytest.mark.parametrize("sizes", [(30, 30), (30, 270), (300, 100)])
@pytest.mark.parametrize("wrong", [0.5, 1.0, 2.0])
def test_with_squares_no_bet_wins_on_average_at_the_boundary(law: str, sizes: tuple[int, int], wrong: float) -> None:
    mean, error = mean_e(Data.SQUARES, law, *sizes, wrong)
    assert (mean <= 1 + 4 * error + 1e-9).all()


@pytest.mark.parametrize("law", ["exponential", "gamma"])
def test_with_sums_no_bet_wins_on_average_at_the_boundary(law: str) -> None:
    mean, error = mean_e(Data.SUMS, law, 30, 30)
    assert (mean <= 1 + 4 * error + 1e-9).all()


@pytest.mark.parametrize("data", [Data.SUMS, Data.SQUARES])
@pytest.mark.parametrize(("ratio", "worse"), [(2.0, True), (0.7, False)])
def test_sums_find_what_is_there(data: Data, ratio: float, worse: bool) -> None:
    chance, scale = np.random.default_rng(4), scale_for(data)
    back = len(scale.back.sizes)
    total = np.zeros(len(scale.signed))
    for _ in range(40):
        canary, stable = ratio * MEAN * chance.exponential(size=300), MEAN * chance.exponential(size=900)
        total += found(scale, sample(canary), sample(stable)).mean
    best_back, best_forth = np.max(total[:back]), np.max(total[back:])
    assert (best_back > 5) == worse
    assert (best_forth > 5) == (not worse)
    assert min(best_back, best_forth) < 0.5


@pytest.mark.parametrize("data", [Data.SUMS, Data.SQUARES])
def test_the_unit_of_the_loss_makes_no_difference_to_sums(data: Data) -> None:
    chance = np.random.default_rng(5)
    canary, stable = 1.3 * MEAN * chance.exponential(size=60), MEAN * chance.exponential(size=200)
    rules = rules_of(edges=(), has_squares=data is Data.SQUARES, tail=False)
    results = []
    for unit in (1.0, 1000.0):
        scale = scale_of(rules, Rollout(rules, mean=MEAN * unit).gate.history)
        results.append(
            found(scale, sample(canary * unit), sample(stable * unit), (MEAN * unit) ** 2, FORECAST * unit).mean
        )
    assert results[0] == pytest.approx(results[1], rel=1e-6, abs=1e-9)


def test_where_stables_squares_were_not_scraped_the_sums_serve() -> None:
    chance = np.random.default_rng(6)
    scale = scale_for(Data.SQUARES)
    canary, stable = chance.exponential(size=60), chance.exponential(size=60)
    without = found(scale, sample(canary, squares=False), sample(stable)).mean
    assert np.isfinite(without).all()
    # The losses' own scatter makes no difference then
    twice = replace(sample(canary), squares=None, buckets=np.zeros((1, len(EDGES) + 1)))
    assert found(scale, twice, sample(stable)).mean.tolist() == without.tolist()


def test_buckets_make_no_use_of_sums() -> None:
    """A NaN in a sum does no harm."""
    chance = np.random.default_rng(7)
    scale = scale_for(Data.HISTOGRAM)
    canary, stable = sample(chance.exponential(size=60)), sample(chance.exponential(size=60))
    broken = replace(canary, total=np.array([nan]), squares=np.array([nan]))
    assert found(scale, broken, stable).mean.tolist() == found(scale, canary, stable).mean.tolist()


def test_strata_are_added_and_each_segment_is_bet_on_by_itself() -> None:
    """Section 4.6."""
    rules: Rules = rules_of(segments=("a", "b"), tail=False)
    scale = scale_of(rules, History())
    chance = np.random.default_rng(8)
    canary = np.array([chance.multinomial(30, np.ones(12) / 12) for _ in range(2)]).astype(float)
    stable = np.array([chance.multinomial(90, np.ones(12) / 12) for _ in range(2)]).astype(float)
    forecast = np.array([3.0, 6.0])
    nothing = np.zeros(2)
    arms = Sample(canary.sum(axis=1), nothing, None, canary), Sample(stable.sum(axis=1), nothing, None, stable)
    one = wagers(scale, *arms, forecast, (), scale.r, Spread(1.0, 1.0, 1.0), segments=True)
    for group in range(2):
        alone = Block.of(canary[group : group + 1], stable[group : group + 1])
        mine = forecast[group : group + 1]
        expected = log_e(scale.segment_signed, 1.3, scale.scores, mine, mine, alone)[:, 0]
        assert one.segments[:, group] == pytest.approx(expected)
    both = Block.of(canary, stable)
    mean = log_e_of_all(scale.signed, 1.1, scale.scores, forecast, np.array([4.5]), both)
    assert one.mean == pytest.approx(mean)
