"""Ages, bars, tables and numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.cli.text import age, bar, number, percent, table

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (130, "2m10s"),
        (3 * 60 + 1, "3m"),
        (3600 + 61, "1h1m"),
        (5 * 3600 + 1800, "5h"),
        (86_400 + 3_600, "1d1h"),
        (12 * 86_400, "12d"),
        (-5, "0s"),
    ],
)
def test_age(seconds: int, shown: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == shown


def test_no_age() -> None:
    assert age(None, NOW) == "-"


@given(st.floats(allow_nan=False))
def test_bar_has_one_length(share: float) -> None:
    assert len(bar(share)) == len(bar(0.5)) == 32


def test_bar_fills() -> None:
    assert bar(0.5) == "[" + "#" * 15 + "." * 15 + "]"


def test_numbers() -> None:
    assert [number(value) for value in (None, 0.31234567, 39.0, 1e-9)] == ["-", "0.3123", "39", "1e-09"]
    assert [percent(value) for value in (None, 0.41, -0.5, 0.9999)] == ["-", "41%", "-50%", "100%"]


def test_columns_are_aligned() -> None:
    assert table(("A", "LONG"), [("long cell", "b")], "  ") == ["  A           LONG", "  long cell   b"]
