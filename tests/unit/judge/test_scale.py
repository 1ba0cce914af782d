"""What is frozen when a rollout starts rests on stable's history alone, and says so when the buckets are no use."""

from __future__ import annotations

import numpy as np
import pytest

from modelslo.judge.history import Forecast, History
from modelslo.judge.scale import CV2_UNKNOWN, MASSES_PROMOTE, MASSES_ROLLBACK, Data, Rules, data_of, scale_of, scores_of
from tests.unit.judge.series import HOLDS, Narrow, Rollout, rules_of


def history(rules: Rules, mean: float = 1.0, scrapes: int = 120) -> History:
    """Exponential losses of that mean."""
    return Rollout(rules, mean=mean, history=scrapes).gate.history


def test_a_score_is_the_middle_of_its_bucket() -> None:
    assert scores_of((1.0, 2.0, 4.0)).tolist() == [0.5, 1.5, 3.0, 5.0]
    assert scores_of(()).tolist() == []


@pytest.mark.parametrize(
    ("mean", "squares", "expected"),
    [
        (1.0, True, Data.HISTOGRAM),
        (1.0, False, Data.HISTOGRAM),
        (300.0, True, Data.SQUARES),  # nearly all above the last edge
        (300.0, False, Data.SUMS),
        (0.001, True, Data.SQUARES),  # all in the first bucket, whose middle is far from their mean
        (0.001, False, Data.SUMS),
        (10.0, True, Data.SQUARES),  # four per cent above the last edge
        (6.0, True, Data.HISTOGRAM),  # half a per cent
    ],
)
def test_buckets_of_another_scale_are_not_judged_by(mean: float, squares: bool, expected: Data) -> None:
    """Section 5: more than 2 % beyond the last edge, or a bucketed mean that is far off."""
    rules = rules_of(has_squares=squares)
    assert data_of(rules, history(rules, mean)) is expected


def test_a_sum_that_turned_nan_in_the_history_leaves_the_buckets() -> None:
    rollout = Rollout(rules_of(), history=60)
    rollout.started = False
    rollout.stable.total[:] = np.nan
    rollout.run(60, n_c=0)
    assert data_of(rollout.rules, rollout.gate.history) is Data.HISTOGRAM


@pytest.mark.parametrize(("squares", "expected"), [(True, Data.SQUARES), (False, Data.HISTOGRAM)])
def test_losses_that_vary_less_than_their_buckets_are_wide_are_judged_by_squares(squares: bool, expected: Data) -> None:
    """Where there are none the buckets stay, with what they misread taken off."""
    rules = rules_of(has_squares=squares)
    found = Narrow(rules).gate.history
    assert scale_of(rules, found).data is expected
    # One version is read right enough
    assert data_of(rules, found) is Data.HISTOGRAM
    # What is far too large is counted by the buckets all the same
    assert scale_of(rules, found).tails.each


@pytest.mark.parametrize("rate", [0.002, 0.01, 0.04, 0.2])
def test_rare_errors_of_zero_and_one_are_judged_by_buckets(rate: float) -> None:
    """None of them is about the mean: the bucket of one tells all."""
    rules = rules_of(edges=(0.0, 0.5, 1.0))
    rollout, rng = Rollout(rules, history=0), np.random.default_rng(3)
    rollout.started = False
    for _ in range(5):
        rollout.now += 30.0
        rollout.stable.serve((rng.random(2000) < rate).astype(float))
        rollout.look()
    assert scale_of(rules, rollout.gate.history).data is Data.HISTOGRAM


def test_without_buckets_the_best_of_the_rest_is_used() -> None:
    for squares, expected in ((True, Data.SQUARES), (False, Data.SUMS)):
        rules = rules_of(edges=(), has_squares=squares)
        assert data_of(rules, History()) is expected
        assert data_of(rules, history(rules)) is expected


def test_without_history_the_defaults_of_the_study_hold() -> None:
    scale = scale_of(rules_of(), History())
    assert (scale.data, scale.cv2, scale.tails.each) == (Data.HISTOGRAM, CV2_UNKNOWN, ())
    assert np.isnan(scale.forecast.mean).all()


def test_history_gives_the_dispersion_the_forecast_and_the_prior_masses() -> None:
    rules = rules_of()
    found = history(rules)
    scale = scale_of(rules, found)
    counts = found.buckets[0]
    mean, square = counts @ scale.scores / found.labels, counts @ scale.scores**2 / found.labels
    assert scale.cv2 == pytest.approx(square / mean**2 - 1)
    assert scale.forecast.overall == pytest.approx(mean, rel=0.05)
    assert np.exp(scale.back.log_mass[:4]) == pytest.approx(MASSES_ROLLBACK)
    assert np.exp(scale.forth.log_mass[:3]) == pytest.approx(MASSES_PROMOTE)
    # Bets on "not worse" are those with a minus
    assert scale.signed.tolist() == [*scale.back.sizes, *-scale.forth.sizes]


def test_a_last_edge_of_zero_tells_no_losses_apart() -> None:
    for edges in ((0.0,), (-1.0, -0.5, 0.0)):
        rollout = Rollout(rules_of(edges=edges), history=0, mean=0.0)
        assert set(rollout.run(60)) <= HOLDS
        assert rollout.trial.scale.data is Data.SQUARES


def test_one_nan_of_stable_does_not_hide_that_its_losses_are_narrow() -> None:
    rules = rules_of()
    rollout = Narrow(rules, history=100)
    rollout.started = False
    rollout.stable.serve([np.nan])
    rollout.run(1, n_c=0)
    rollout.stable.total[:] = 1e6  # its pod was restarted, and counts on from another sum
    rollout.stable.squares[:] = 1e6
    rollout.run(20, n_c=0)
    assert scale_of(rules, rollout.gate.history).data is Data.SQUARES


def test_segments_with_less_than_a_hundredth_of_the_traffic_are_judged_together() -> None:
    # Given two large segments and three of half a per cent each
    rules = rules_of(segments=("a", "b", "c", "d", "e"))
    rollout = Rollout(rules, history=1)
    for _ in range(60):
        rollout.now += 30.0
        for name, labels in (("a", 600), ("b", 400), ("c", 5), ("d", 5), ("e", 5)):
            rollout.stable.serve(rollout.draw(labels), segment=name)
        rollout.started = False
        rollout.look()
    # When the rollout starts
    scale = scale_of(rules, rollout.gate.history)
    # Then the small ones make one stratum, and every segment is in exactly one
    assert scale.pooled.tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 1, 1]]
    assert scale.strata == 3
    assert len(scale.forecast.mean) == 3


def test_segments_are_kept_apart_when_they_are_large_or_unknown() -> None:
    rules = rules_of(segments=("a", "b", "c"))
    assert (scale_of(rules, history(rules)).pooled == np.eye(3)).all()
    assert (scale_of(rules, History()).pooled == np.eye(3)).all()


def test_a_forecast_fades_and_leaves_out_sums_that_are_no_numbers() -> None:
    # Given labels of mean one, then as many of mean three an hour (the memory) later
    forecast = Forecast.of(2).add(np.array([10.0, 10.0]), np.array([10.0, 10.0]), 30.0, 3600.0)
    forecast = forecast.add(np.array([10.0, 10.0]), np.array([30.0, np.nan]), 3600.0, 3600.0)
    assert forecast.mean[0] == pytest.approx((np.exp(-1) * 1 + 3) / (np.exp(-1) + 1))
    assert forecast.mean[1] == pytest.approx(1.0)
    assert np.isnan(Forecast.of(1).mean).all()
    assert np.isnan(Forecast.of(1).overall)
