"""Values of the user's in messages."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.api.quoted import quoted, short

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.text(), st.integers(4, 100))
def test_what_is_short_stays_and_what_is_long_is_cut(text: str, most: int) -> None:
    found = short(text, most)
    assert found == text if len(text) <= most else len(found) == most
    assert len(text) <= most or (found.endswith("...") and text.startswith(found[:-3]))


@given(ANY)
def test_any_value_is_one_short_line_that_every_terminal_takes(value: Any) -> None:
    found = quoted(value, 60)
    assert len(found) <= 60
    assert found.isascii()
    assert found.isprintable()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null"),
        (True, "true"),
        ("10%", '"10%"'),
        ([1.0, "a"], '[1.0, "a"]'),
        (date(2026, 11, 29), '"2026-11-29"'),
    ],
)
def test_it_stands_as_it_was_written(value: object, said: str) -> None:
    assert quoted(value) == said


def test_what_is_nested_as_deep_as_can_be_read_has_words_too() -> None:
    for depth in range(900, 1100):
        try:
            value = json.loads("[" * depth + "]" * depth)
        except RecursionError:
            return
        assert quoted(value)
    pytest.fail("any depth can be read here")
