"""Durations and percentages, and their CEL twins' patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from modelslo.api.expression import ratio as ratio_term
from modelslo.api.expression import seconds as seconds_term
from modelslo.api.expression import this
from modelslo.api.quantity import (
    DURATION_PATTERN,
    PERCENT_PATTERN,
    UNIT_SECONDS,
    Duration,
    Percent,
    ratio,
    seconds,
)

DURATIONS = st.builds(
    lambda number, unit: f"{number}{unit}", st.integers(1, 999_999_999), st.sampled_from(sorted(UNIT_SECONDS))
)
PERCENTS = st.decimals(0, 100, places=2, allow_nan=False).map(lambda number: f"{number}%")


@given(DURATIONS)
def test_durations_are_taken(text: str) -> None:
    assert TypeAdapter(Duration).validate_python(text) == text
    assert seconds(text) == int(text[:-1]) * UNIT_SECONDS[text[-1]]


@given(PERCENTS)
def test_percentages_are_taken(text: str) -> None:
    assert TypeAdapter(Percent).validate_python(text) == text
    assert 0 <= ratio(text) <= 1


@given(st.text(max_size=12))
def test_nothing_else_is_a_duration(text: str) -> None:
    if re.fullmatch(DURATION_PATTERN, text) is None:
        with pytest.raises(ValueError, match="is not a duration: write"):
            seconds(text)


@given(st.from_regex(r"[0-9]{0,4}\.?[0-9]{0,8}%?", fullmatch=True))
def test_nothing_else_is_a_percentage(text: str) -> None:
    valid = re.fullmatch(r"[0-9]+(\.[0-9]{1,6})?%", text) and float(text[:-1]) <= 100 and not re.match(r"0[0-9]", text)
    assert bool(re.fullmatch(PERCENT_PATTERN, text)) == bool(valid)
    if not valid:
        with pytest.raises(ValidationError, match="is not a percentage: write"):
            TypeAdapter(Percent).validate_python(text)


@pytest.mark.parametrize("text", ["0s", "05m", "1.5h", "1h30m", "-1s", "1", "s", "1H", "1 h", "1m\n", ""])
def test_odd_durations_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(text)


@pytest.mark.parametrize("text", ["100.5%", "101%", "-1%", "5", "5 %", ".5%", "1e1%", "5%\n", ""])
def test_odd_percentages_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Percent).validate_python(text)


@given(DURATIONS, PERCENTS)
def test_terms_compute_the_same(duration: str, percent: str) -> None:
    scope = {"self": {"duration": duration, "percent": percent}}
    assert seconds_term(this("duration")).of(scope) == seconds(duration)
    assert ratio_term(this("percent")).of(scope) == ratio(percent)


def test_cel_of_a_duration() -> None:
    assert seconds_term(this("slice")).cel == (
        "(int(self.slice.substring(0, self.slice.size() - 1)) * "
        "{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[self.slice.substring(self.slice.size() - 1)])"
    )
