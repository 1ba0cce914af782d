"""Tables, bars, ages and numbers for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from modelslo.api.quantity import UNIT_SECONDS

NONE: Final = "-"
_BAR: Final = 30


def table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> list[str]:
    """Lines with aligned columns, as kubectl prints them."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        (indent + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in cells
    ]


def bar(share: float) -> str:
    """A share of the whole as a bar; what is below 0 or above 1 is cut."""
    full = round(min(max(share, 0.0), 1.0) * _BAR)
    return f"[{'#' * full}{'.' * (_BAR - full)}]"


def age(since: datetime | None, now: datetime) -> str:
    """Time since then in its largest unit, with the next one below three of it: 45s, 2m10s, 5h, 12d."""
    if since is None:
        return NONE
    left = max(0, round((now - since).total_seconds()))
    units = [(unit, UNIT_SECONDS[unit]) for unit in ("d", "h", "m", "s")]
    for index, (unit, size) in enumerate(units):
        count, rest = divmod(left, size)
        if count or unit == "s":
            smaller = units[index + 1] if count < 3 and unit != "s" else None
            more = f"{rest // smaller[1]}{smaller[0]}" if smaller and rest >= smaller[1] else ""
            return f"{count}{unit}{more}"
    raise AssertionError("seconds are the last unit")


def number(value: float | None, digits: int = 4) -> str:
    """Four significant digits, without a tail of zeros."""
    return NONE if value is None else f"{value:.{digits}g}"


def percent(value: float | None) -> str:
    return NONE if value is None else f"{value * 100:.3g}%"
