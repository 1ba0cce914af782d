"""A/A: replicas of one version against each other."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from modelslo.judge.aa import MOST_TAKEN_OUT, Fitness, Report, compare_replicas
from modelslo.judge.aa_faults import Against
from modelslo.observe.evidence import Increment, Losses
from tests.unit.judge.make import INTERVAL, parameters, spec_of

EDGES = tuple(2.0**k for k in range(-5, 6))
HOUR = 3600.0


def increments(
    means: dict[str, float], cells: int, labels: int, seed: int = 1, coverage: float = 1.0, late: tuple[str, ...] = ()
) -> list[Increment]:
    """So many labels of each replica in each cell; those in `late` come in the last third."""
    chance, found = np.random.default_rng(seed), []
    for number in range(cells):
        for name, mean in means.items():
            if name in late and number < cells * 2 / 3:
                continue
            losses = chance.exponential(mean, labels)
            buckets = np.bincount(np.searchsorted(EDGES, losses), minlength=len(EDGES) + 1)
            counted = Losses(labels, float(losses.sum()), tuple(buckets.astype(float).tolist()), float(losses @ losses))
            start = number * INTERVAL
            found.append(Increment(start, start + INTERVAL, name, "", counted, labels / coverage))
    return found


def report(found: list[Increment], since: float = HOUR) -> Report:
    return compare_replicas(parameters(), found, EDGES, since)


def test_replicas_that_do_the_same_are_fit() -> None:
    found = report(increments({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, 240, 20, coverage=0.5))
    assert found.fitness is Fitness.FIT
    assert found.promoted_after is not None
    assert 0 < found.promoted_after < 3 * HOUR
    assert found.halves.ratio == pytest.approx(1.0, abs=0.1)
    assert [one.name for one in found.replicas] == ["a", "b", "c", "d"]
    assert [one.coverage for one in found.replicas] == [0.5] * 4
    assert not any(one.odd for one in found.replicas)


@pytest.mark.parametrize("mean", [0.6, 1.5])
def test_a_replica_that_differs_is_named_whatever_its_direction(mean: float) -> None:
    found = report(increments({"a": 1.0, "b": mean, "c": 1.0, "d": 1.0}, 240, 20))
    assert found.fitness is Fitness.UNFIT
    assert [one.name for one in found.replicas if one.odd] == ["b"]
    assert found.log_e >= found.log_threshold
    (odd,) = (one for one in found.replicas if one.odd)
    assert odd.compared.ratio == pytest.approx(mean, rel=0.1)


def test_of_two_nobody_can_say_who_is_odd() -> None:
    found = report(increments({"a": 1.0, "b": 1.6}, 180, 20))
    assert found.fitness is Fitness.UNFIT
    assert [one.name for one in found.replicas if one.odd] == ["a", "b"]


def test_two_that_differ_are_both_found() -> None:
    means = {"a": 1.0, "b": 2.0, "c": 1.0, "d": 0.4, "e": 1.0, "f": 1.0}
    found = report(increments(means, 240, 20))
    assert [one.name for one in found.replicas if one.odd] == ["b", "d"]


def test_few_labels_say_nothing() -> None:
    found = report(increments({"a": 1.0, "b": 1.0}, 120, 1))
    assert found.fitness is Fitness.INCONCLUSIVE
    assert found.promoted_after is None


def test_what_came_in_the_middle_is_left_out() -> None:
    found = report(increments({"a": 1.0, "b": 1.0, "young": 9.0}, 180, 20, late=("young",)))
    assert found.left_out == ("young",)
    assert found.fitness is Fitness.INCONCLUSIVE


def test_scrapes_that_are_rarer_than_evaluations_are_no_absence() -> None:
    """One is scraped every other minute: "1 replicas were there all the time"."""
    found = increments({"a": 1.0, "b": 1.0}, 240, 40)
    assert report([one for one in found if one.version == "a" or one.end % 120 == 0]).left_out == ()


def test_evidence_that_would_hold_a_canary_is_not_fit() -> None:
    found = report(increments({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.5}, 75, 20, seed=4))
    (d,) = (one for one in found.replicas if one.name == "d")
    assert not d.odd
    assert Against.SUSPECT in d.against
    assert found.fitness is Fitness.INCONCLUSIVE


def test_one_replica_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="1 replicas were there all the time"):
        report(increments({"a": 1.0}, 120, 20))


def test_all_of_many_replicas_are_compared() -> None:
    """Twenty, one of which has twice the loss and fewer labels than the others: it was among those not looked at."""
    means = {f"pod-{number:02d}": 1.0 for number in range(20) if number != 17}
    found = report(increments(means, 90, 8) + increments({"pod-17": 2.0}, 90, 6, seed=2), HOUR / 2)
    assert len(found.replicas) == 20
    assert [one.name for one in found.replicas if one.odd] == ["pod-17"]
    assert found.fitness is Fitness.UNFIT


def test_where_most_differ_it_comes_to_an_end() -> None:
    means = {f"pod-{number:02d}": 1.5**number for number in range(MOST_TAKEN_OUT + 3)}
    found = report(increments(means, 50, 20), HOUR / 2)
    assert sum(one.odd for one in found.replicas) > MOST_TAKEN_OUT
    assert found.fitness is Fitness.UNFIT


THREE = {"a": 1.0, "b": 1.0, "c": 1.0}
NO_LOSSES = Losses(0.0, 0.0, (0.0,) * (len(EDGES) + 1), 0.0)


def changed(name: str, **change: Any) -> list[Increment]:
    """Three alike, with such increments of one of them."""
    return [replace(one, **change) if one.version == name else one for one in increments(THREE, 240, 20)]


def without_sum(name: str, until: float = inf) -> list[Increment]:
    """Three alike; an exporter let a NaN into the sum of one of them."""
    return [
        replace(one, losses=replace(one.losses, total=nan)) if one.version == name and one.end <= until else one
        for one in increments(THREE, 240, 20)
    ]


def against(found: Report) -> dict[str, set[Against]]:
    return {one.name: set(one.against) for one in found.replicas if one.against}


def test_a_replica_whose_labels_never_come_is_unfit() -> None:
    found = report(changed("c", losses=NO_LOSSES))
    assert found.fitness is Fitness.UNFIT
    assert against(found) == {"c": {Against.COVERAGE_DIFFERS}}
    assert found.left_out == ()


def test_a_replica_whose_series_of_losses_never_begin_is_unfit() -> None:
    found = report(changed("c", losses=Losses()))
    assert found.fitness is Fitness.UNFIT
    assert against(found) == {"c": {Against.COVERAGE_DIFFERS}}


def test_of_two_one_without_labels_is_a_report_and_no_error() -> None:
    found = report([one for one in changed("c", losses=NO_LOSSES) if one.version != "a"])
    assert found.fitness is Fitness.UNFIT
    assert set(against(found)) == {"b", "c"}


@pytest.mark.parametrize("times", [4.0, 0.25])
def test_coverage_is_compared_by_the_operators_rule(times: float) -> None:
    found = report(changed("c", predictions=20.0 * times))
    assert found.fitness is Fitness.UNFIT
    assert against(found) == {"c": {Against.COVERAGE_DIFFERS}}


def test_labels_that_got_lost_lately_are_seen() -> None:
    found = report(
        [
            replace(one, predictions=80.0) if one.version == "c" and one.end > 210 * INTERVAL else one
            for one in increments(THREE, 240, 20)
        ]
    )
    assert against(found) == {"c": {Against.COVERAGE_DIFFERS}}


def test_few_labels_that_are_missing_may_be_chance() -> None:
    """Of c 11 of 54 predictions have labels and 80 % of the others': a canary would be held, and nothing is sure."""
    few = [replace(one, predictions=0.3) for one in increments({"c": 1.0}, 240, 1)]
    rare = [one if one.start % (16 * INTERVAL) == 0 else replace(one, losses=NO_LOSSES) for one in few]
    found = report(increments({"a": 1.0, "b": 1.0}, 240, 20, coverage=0.8) + rare)
    assert against(found) == {"c": {Against.SUSPECT, Against.NOT_COMPARED}}
    assert found.fitness is Fitness.INCONCLUSIVE


def test_less_coverage_than_the_spec_asks_for_is_unfit() -> None:
    spec = spec_of(
        indicator={
            "loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": "fraud"}},
            "labels": {"minCoverage": "80%"},
        }
    )
    found = compare_replicas(parameters(spec), increments(THREE, 240, 20, coverage=0.5), EDGES, HOUR)
    assert found.coverage == pytest.approx(0.5, abs=0.01)
    assert found.fitness is Fitness.UNFIT
    assert report(increments(THREE, 240, 20, coverage=0.5)).coverage is None


def test_a_replica_without_traffic_is_not_fit() -> None:
    found = report(changed("c", losses=NO_LOSSES, predictions=0.0))
    assert found.fitness is Fitness.INCONCLUSIVE
    assert against(found) == {"c": {Against.NO_TRAFFIC}}


def test_a_replica_with_a_few_labels_is_not_compared_and_so_not_fit() -> None:
    others = [one for one in increments(THREE, 240, 20) if one.version != "c"]
    rare = increments({"c": 1.0}, 240, 1)
    few = [replace(one, losses=NO_LOSSES, predictions=0.0) if one.end > 70 * INTERVAL else one for one in rare]
    found = report(others + few)
    assert found.fitness is Fitness.INCONCLUSIVE
    assert against(found) == {"c": {Against.NOT_COMPARED}}


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_loss_sum_that_is_no_number_is_unfit_and_taken_out(name: str) -> None:
    """Nothing was compared at all, and it was fit."""
    found = report(without_sum(name))
    assert found.fitness is Fitness.UNFIT
    assert against(found) == {name: {Against.NAN_LOSS}}
    assert all((one.compared.ratio is None) is (one.name == name) for one in found.replicas)
    assert found.halves.ratio is not None


def test_one_sum_that_was_no_number_makes_nobody_unfit() -> None:
    """A process that had one ended, and the next has none."""
    once = [
        replace(one, losses=replace(one.losses, total=nan)) if one.version == "a" and 9000 < one.end <= 9060 else one
        for one in increments(THREE, 240, 20)
    ]
    found = report(once)
    assert found.fitness is Fitness.INCONCLUSIVE
    assert against(found) == {"a": {Against.SUSPECT}}


def test_where_all_sums_are_no_numbers_nothing_is_compared() -> None:
    found = report([replace(one, losses=replace(one.losses, total=nan)) for one in increments(THREE, 240, 20)])
    assert found.fitness is Fitness.UNFIT
    assert found.halves.ratio is None
    assert set(against(found)) == {"a", "b", "c"}


def test_a_sum_that_was_no_number_before_the_comparison_is_left_out_of_history() -> None:
    assert report(without_sum("b", until=HOUR / 2)).fitness is Fitness.FIT


def test_losses_that_are_no_numbers_are_unfit() -> None:
    found = report(changed("b", invalid=10.0))
    assert found.fitness is Fitness.UNFIT
    assert against(found) == {"b": {Against.INVALID_LOSSES}}


def test_where_all_but_one_count_invalid_losses_it_differs_from_them() -> None:
    means = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}
    found = report([replace(one, invalid=0.0 if one.version == "d" else 10.0) for one in increments(means, 240, 20)])
    assert against(found) == {"d": {Against.INVALID_LOSSES}}


def test_losses_of_which_none_is_a_number_are_unfit() -> None:
    found = report(changed("b", invalid=20.0, losses=NO_LOSSES))
    assert against(found) == {"b": {Against.INVALID_LOSSES}}


def test_invalid_losses_that_all_share_are_no_difference() -> None:
    found = report([replace(one, invalid=2.0) for one in increments(THREE, 240, 20)])
    assert found.fitness is Fitness.FIT


def test_a_replica_that_ended_is_not_fit() -> None:
    found = report([one for one in increments(THREE, 240, 20) if one.version != "c" or one.end <= 220 * INTERVAL])
    assert found.fitness is Fitness.INCONCLUSIVE
    assert against(found) == {"c": {Against.STALE}}


def test_where_nothing_new_comes_it_is_not_fit() -> None:
    found = compare_replicas(parameters(), increments(THREE, 240, 20), EDGES, HOUR, until=300 * INTERVAL)
    assert found.fitness is Fitness.INCONCLUSIVE
    assert against(found) == {name: {Against.STALE} for name in THREE}


def test_it_errs_no_more_often_than_it_promises() -> None:
    """Ten times three replicas that differ by less than the margin: at most two are called unfit (alpha 5 %)."""
    wrong = sum(
        report(increments({"a": 1.0, "b": 1.05, "c": 1.0}, 75, 10, seed=seed), HOUR / 2).fitness is Fitness.UNFIT
        for seed in range(10)
    )
    assert wrong <= 2


def test_progress_ends_at_one() -> None:
    seen: list[float] = []
    compare_replicas(parameters(), increments({"a": 1.0, "b": 1.0}, 90, 5), EDGES, HOUR, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
