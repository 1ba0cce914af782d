"""Whether late labels are worse than quick ones."""

from __future__ import annotations

from math import inf
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.judge.betting import Array
from modelslo.judge.lateness import Lateness
from modelslo.judge.maturity import older_shares

EDGES = (300.0, 900.0, 1800.0, 3600.0, 5400.0, 7200.0)
Law = Literal["alike", "worse", "better", "rare"]


def scrape(chance: np.random.Generator, law: Law, labels: float) -> tuple[Array, float]:
    """Labels by delay and the sum of their losses."""
    number = chance.poisson(labels)
    loss = chance.standard_exponential(number)
    if law == "alike":
        delay = 1000 * chance.standard_exponential(number)
    elif law == "worse":
        delay = 1000 * np.minimum(loss, 6) * chance.uniform(0.5, 1.5, number)
    elif law == "better":
        delay = 1000 * np.minimum(-np.log1p(-np.exp(-loss)), 6) * chance.uniform(0.5, 1.5, number)
    else:  # errors, 5 % of all, are found out late
        loss = (chance.random(number) < 0.05).astype(float)
        delay = loss * 6000 * chance.uniform(0.5, 1.5, number)
    counts = np.bincount(np.searchsorted(EDGES, delay), minlength=len(EDGES) + 1).astype(float)
    return counts, float(loss.sum())


def watched(law: Law, labels: float, seed: int, scrapes: int = 240, unit: float = 1.0) -> tuple[Lateness, Array]:
    chance, found, usual = np.random.default_rng(seed), Lateness(), np.zeros(len(EDGES) + 1)
    for _ in range(scrapes):
        counts, loss = scrape(chance, law, labels)
        found, usual = found.add(counts, loss * unit), usual + counts
    return found, usual


@pytest.mark.parametrize("labels", [3.0, 60.0])
@pytest.mark.parametrize("age", [900.0, 3600.0, 5000.0])
def test_where_the_delay_says_nothing_of_the_loss_there_is_no_bias(labels: float, age: float) -> None:
    older = older_shares(EDGES, age)
    found = [abs(one.bias(usual, older)) for one, usual in (watched("alike", labels, seed) for seed in range(40))]
    # Two standard errors either way; and what is found is small
    assert sum(bias > 0 for bias in found) <= 5
    assert max(found) < 0.08 if age < 1000 else max(found) < 0.02


@pytest.mark.parametrize("labels", [10.0, 60.0])
@pytest.mark.parametrize(
    ("law", "age", "least"), [("worse", 3000.0, 0.04), ("rare", 5400.0, 0.2), ("better", 600.0, 0.1)]
)
def test_late_labels_that_are_worse_or_better_are_found(law: Law, age: float, least: float, labels: float) -> None:
    """At most a few per cent of the labels are late, and much more of the loss."""
    older = older_shares(EDGES, age)
    for seed in range(10):
        found, usual = watched(law, labels, seed)
        bias = found.bias(usual, older)
        assert (-bias if law == "better" else bias) > least


def test_little_that_was_seen_says_nothing() -> None:
    found, usual = watched("rare", 60.0, 1, scrapes=20)
    assert found.bias(usual, older_shares(EDGES, 5400.0)) == 0.0
    assert Lateness().bias(usual, older_shares(EDGES, 5400.0)) == 0.0
    # Nor does what has no late labels at all
    prompt = Lateness()
    for number in range(50):
        prompt = prompt.add(np.array([10.0 + number % 3, 0, 0, 0, 0, 0, 0]), 10.0)
    assert prompt.bias(np.array([500.0, 0, 0, 0, 0, 0, 0]), older_shares(EDGES, 900.0)) == 0.0


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([1e-6, 1e6]))
def test_the_unit_of_the_loss_makes_no_difference(seed: int, unit: float) -> None:
    older = older_shares(EDGES, 3000.0)
    one, usual = watched("worse", 20.0, seed, scrapes=60)
    other, _ = watched("worse", 20.0, seed, scrapes=60, unit=unit)
    assert one.bias(usual, older) == pytest.approx(other.bias(usual, older), rel=1e-6, abs=1e-9)


def test_sums_that_are_no_numbers_and_other_edges_leave_no_trace() -> None:
    chance, found = np.random.default_rng(2), Lateness()
    for _ in range(60):
        found = found.add(*scrape(chance, "worse", 20.0))
    counts, _ = scrape(chance, "worse", 20.0)
    spoiled = found.add(counts, float("nan"))
    assert spoiled.number == found.number
    again = spoiled.add(*scrape(chance, "worse", 20.0))
    assert again.number == found.number  # the difference to the scrape before is not known
    other = found.add(np.ones(3), 2.0).add(np.array([1.0, 2, 1]), 3.0)
    assert other.number == 1
    assert other.bias(np.ones(3), older_shares((1.0, 2.0), 1.5)) == 0.0


def test_what_is_not_known_may_be_anything() -> None:
    older = older_shares(EDGES, 900.0)
    assert Lateness().between(np.ones(len(EDGES) + 1), older) == (-inf, inf)
    # Where nothing is late there is nothing to know
    assert Lateness().between(np.ones(len(EDGES) + 1), np.zeros(len(EDGES) + 1)) == (0.0, 0.0)


@pytest.mark.parametrize("age", [900.0, 3600.0])
def test_the_interval_holds_what_is_true(age: float) -> None:
    older = older_shares(EDGES, age)
    found = [one.between(usual, older) for one, usual in (watched("alike", 60.0, seed) for seed in range(40))]
    assert sum(low <= 0 <= high for low, high in found) >= 35
    assert max(high - low for low, high in found) < (0.4 if age < 1000 else 0.15)


def test_quick_labels_without_any_loss_lack_all_of_it() -> None:
    found, usual = watched("rare", 60.0, 3)
    assert found.bias(usual, older_shares(EDGES, 2900.0)) > 0.8


@pytest.mark.parametrize("kept", [0.1, 0.4, 0.9, 1.0, 1.5])
def test_errors_from_before_stand_out_once_there_is_less_traffic(kept: float) -> None:
    # Given errors that are known after 50 minutes at the earliest, as many as ever, and `kept` of the quick labels
    found, usual = watched("rare", 60.0, 3)
    older = older_shares(EDGES, 2900.0)
    late = float(usual @ older) / float(usual.sum())
    # Then the mean is what it is: all errors over all labels that are left
    expected = 1 / (late + kept * (1 - late)) - 1
    assert found.swelling(usual, older, kept) == pytest.approx(expected, rel=0.25, abs=0.02)


def test_where_the_delay_says_nothing_of_the_loss_nothing_swells() -> None:
    found, usual = watched("alike", 60.0, 3)
    for age in (60.0, 900.0, 3000.0):
        assert abs(found.swelling(usual, older_shares(EDGES, age), 0.4)) < 0.1
    assert found.swelling(usual, older_shares(EDGES, 1e9), 0.4) == pytest.approx(
        found.swelling(usual, np.append(np.zeros(len(EDGES)), 1.0), 0.4)
    )
    assert Lateness().swelling(usual, older_shares(EDGES, 900.0), 0.4) == pytest.approx(0.0)
