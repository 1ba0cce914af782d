"""Budgets and burn rates have the values that the SRE workbook's formulas give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.api.spec import NoData, Objective, Severity
from modelslo.judge.budget import health_of
from modelslo.judge.parameters import burn_rules_of
from tests.unit.judge.make import parameters, spec_of, table

GOOD, BAD = 1.0, 3.0


def test_each_bad_slice_spends_its_share_of_the_budget() -> None:
    # Given 100 slices, goal 90 %: ten may be bad
    health = health_of(table([GOOD] * 96 + [BAD] * 4), parameters())
    assert (health.good, health.bad, health.missing) == (96, 4, 0)
    assert health.remaining == pytest.approx(0.6)


def test_an_overdrawn_budget_is_negative() -> None:
    assert health_of(table([BAD] * 20 + [GOOD] * 80), parameters()).remaining == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("policy", "missing", "remaining"),
    [(NoData.HOLD, 50, 1 - 5 / 10), (NoData.EXCLUDE, 50, 1 - 5 / 5), (NoData.BAD, 0, 1 - 55 / 10)],
)
def test_missing_slices_count_as_the_user_says(policy: NoData, missing: int, remaining: float) -> None:
    objective = spec_of().objective.model_copy(update={"no_data": policy})
    health = health_of(
        table([GOOD] * 45 + [BAD] * 5 + [None] * 50), parameters(spec_of().model_copy(update={"objective": objective}))
    )
    assert health.missing == missing
    assert health.remaining == pytest.approx(remaining)


def test_slices_before_the_first_sample_are_never_bad() -> None:
    objective = spec_of().objective.model_copy(update={"no_data": NoData.BAD})
    of = parameters(spec_of().model_copy(update={"objective": objective}))
    assert health_of(table([None] * 99 + [GOOD]), of).bad == 0


def test_few_samples_and_sums_that_are_no_numbers_say_nothing() -> None:
    few = health_of(table([BAD] * 100, samples=4), parameters())
    nan = health_of(table([float("nan")] * 100), parameters())
    for health in (few, nan):
        assert (health.good, health.bad, health.remaining) == (0, 0, None)
        assert health.burning(Severity.FAST) is None


@given(
    st.lists(st.sampled_from([GOOD, BAD, None]), min_size=1, max_size=250),
    st.integers(0, 250),
    st.sampled_from(list(NoData)),
)
def test_going_on_from_an_earlier_table_changes_nothing(means: list[float | None], known: int, policy: NoData) -> None:
    objective = spec_of().objective.model_copy(update={"no_data": policy})
    of = parameters(spec_of().model_copy(update={"objective": objective}))
    before = health_of(table(means[:known]), of) if means[:known] else None
    # The observer drops what lies before the window
    oldest = max(0, len(means) - of.window_slices)
    new = table(means[oldest:], first=oldest)
    assert health_of(new, of, before=before) == health_of(new, of)


def test_a_rule_burns_when_both_windows_do() -> None:
    objective = spec_of().objective.model_dump(by_alias=True) | {
        "burnRates": [{"severity": "Fast", "long": "20m", "short": "5m", "factor": 4}]
    }
    of = parameters(spec_of(objective=objective))
    # Given 8 of 20 bad: burn 0.4 / 0.1 = 4, and the newest five
    burns = health_of(table([GOOD] * 87 + [BAD] * 3 + [GOOD] * 5 + [BAD] * 5), of)
    assert burns.burns[0].long == pytest.approx(4.0)
    assert burns.burns[0].short == pytest.approx(10.0)
    assert burns.burning(Severity.FAST) is True
    # When it is over, the short window says so at once
    over = health_of(table([GOOD] * 82 + [BAD] * 13 + [GOOD] * 5), of)
    assert over.burning(Severity.FAST) is False
    assert over.burning(Severity.SLOW) is None


def test_the_workbooks_windows_at_28_days() -> None:
    objective = Objective.model_validate({"target": {"value": 1}})
    fast, slow = burn_rules_of(objective)
    assert (fast.severity, fast.long, fast.short) == (Severity.FAST, 12, 1)
    assert (slow.severity, slow.long, slow.short) == (Severity.SLOW, 72, 6)
    assert fast.factor == pytest.approx(13.44)
    assert slow.factor == pytest.approx(5.6)


@given(
    goal=st.sampled_from(["50%", "80%", "90%", "99%", "99.9%"]),
    window=st.integers(4, 10_000),
)
def test_default_rules_can_fire_and_fit_the_window(goal: str, window: int) -> None:
    objective = Objective.model_validate({"target": {"value": 1}, "goal": goal, "window": f"{window}m", "slice": "1m"})
    for rule in burn_rules_of(objective):
        assert 1 <= rule.short <= rule.long <= window
        assert rule.factor * (1 - float(goal[:-1]) / 100) <= 1


def test_only_the_asked_versions_count() -> None:
    both = table([BAD] * 100, version="v2")
    assert health_of(both, parameters(), frozenset({"v1"})).remaining is None
    assert health_of(both, parameters(), frozenset({"v2"})).bad == 100
