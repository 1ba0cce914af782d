"""Durations and percentages as people write them in a ModelSLO.

Durations are ``^[1-9][0-9]*(s|m|h|d|w)$`` (DESIGN section 5; CEL's own ``duration()`` knows no days).
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

DURATION_PATTERN: Final = r"^[1-9][0-9]{0,8}(s|m|h|d|w)$"
PERCENT_PATTERN: Final = r"^(100(\.0{1,6})?|[1-9]?[0-9](\.[0-9]{1,6})?)%$"
# What to write, by the pattern of the field.
MEND: Final = {
    DURATION_PATTERN: "a whole number and one unit of s, m, h, d, w, such as 30m",
    PERCENT_PATTERN: "a number from 0 to 100 and %, such as 5% or 99.5%",
}
UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _duration(text: str) -> str:
    if re.fullmatch(DURATION_PATTERN, text) is None:
        raise ValueError(f"{text!r} is not a duration: write {MEND[DURATION_PATTERN]}")
    return text


def _percent(text: str) -> str:
    if re.fullmatch(PERCENT_PATTERN, text) is None:
        raise ValueError(f"{text!r} is not a percentage: write {MEND[PERCENT_PATTERN]}")
    return text


Duration = Annotated[
    str,
    AfterValidator(_duration),
    Field(max_length=10, json_schema_extra={"pattern": DURATION_PATTERN}),
]
Percent = Annotated[
    str,
    AfterValidator(_percent),
    Field(max_length=12, json_schema_extra={"pattern": PERCENT_PATTERN}),
]


def seconds(duration: str) -> float:
    """Seconds of a :data:`Duration`; ``ValueError`` with the mend when it is not one."""
    _duration(duration)
    return float(int(duration[:-1]) * UNIT_SECONDS[duration[-1]])


def ratio(percent: str) -> float:
    """Ratio in [0, 1] of a :data:`Percent`; ``"5%"`` is 0.05."""
    return float(percent.removesuffix("%")) / 100
