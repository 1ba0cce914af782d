"""Which versions users see. A shadow gets copies of their requests, and nobody gets its answers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_NOBODY: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Shadow:
    """No user saw ``version`` from ``since`` to ``until`` (Unix s); None: not to this day."""

    version: str
    since: float
    until: float | None = None


def hidden(shadows: Sequence[Shadow], start: float, end: float) -> frozenset[str]:
    """Versions that were shadows in a part of (start, end]: what they did in it cannot be told apart."""
    if not shadows:
        return _NOBODY
    return frozenset(one.version for one in shadows if one.since < end and (one.until is None or start < one.until))
