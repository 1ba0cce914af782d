"""What the judge promises, as rates, and whether counted errors keep it."""

from __future__ import annotations

from typing import Final, Protocol

from tests.simulate.results import Results, Share
from tests.simulate.words import Mode

TRACES: Final = 20
"""Of each kind."""
ERRORS: Final = 2 / 10_800
"""Wrong actions on canaries away from the boundary, of the study's goal 1."""
MISSED: Final = 6 / 4_200
RATE: Final = 0.05
"""What the user states, exactly at the margin."""
STRONG: Final = 0.16
"""At the margin where dependence is so strong that the promise is not kept: goal 4 of the study."""


class Judged(Protocol):
    """The first traces of a kind, judged."""

    def __call__(self, kind: str, traces: int = TRACES, mode: Mode = "histogram") -> Results: ...


def kept(share: Share, promise: float) -> bool:
    """Whether no more than chance lies between what was seen and what is promised."""
    return share.bounds[0] <= promise
