"""A/A: replicas of one version against each other."""

from __future__ import annotations

import numpy as np
import pytest

from modelslo.judge.aa import MOST_REPLICAS, Fitness, Report, compare_replicas
from modelslo.observe.evidence import Increment, Losses
from tests.unit.judge.make import INTERVAL, parameters

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
    assert found.fitness is not Fitness.UNFIT


def test_one_replica_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="1 replicas were there all the time"):
        report(increments({"a": 1.0}, 120, 20))


def test_of_many_replicas_those_with_most_labels_are_looked_at_one_by_one() -> None:
    found = report(increments({f"pod-{number:02d}": 1.0 for number in range(MOST_REPLICAS + 3)}, 90, 4), HOUR / 2)
    assert len(found.replicas) == MOST_REPLICAS
    assert found.fitness is not Fitness.UNFIT


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
