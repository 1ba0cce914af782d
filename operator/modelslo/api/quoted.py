"""A value of the user's in a message: as it was written, and not longer than a line bears."""

from __future__ import annotations

import json
from typing import Any, Final

_DOTS: Final = "..."


def short(text: str, most: int) -> str:
    """At most `most` characters; what is cut off is shown by dots."""
    return text if len(text) <= most else text[: most - len(_DOTS)] + _DOTS


def quoted(value: Any, most: int = 80) -> str:
    """As JSON, which a value of YAML and of JSON alike may be written as."""
    try:
        return short(json.dumps(value, default=str), most)
    except RecursionError:  # what could just be read need not be written so deep
        return "a value in too many brackets"
