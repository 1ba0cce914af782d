"""Upstream vetoes: what stands now, and which cells are no evidence because one stood. Pure.

What the models were given while a veto stood says nothing of them. So the canary is not compared in that time, nor
until the labels of its predictions are in: it is like a step, behind which labels are waited for anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from modelslo.observe.evidence import Evidence

_ROUNDING: Final = 1e-3  # cells end on whole milliseconds


@dataclass(frozen=True, slots=True)
class Standing:
    """A veto that stands: so many series were returned, and this is the value of the first."""

    name: str
    series: int
    value: float

    @property
    def words(self) -> str:
        values = f"value {self.value:g}" if self.series == 1 else f"{self.series} series, the first {self.value:g}"
        return f"veto {self.name!r} stands ({values})"


def standing(evidence: Evidence) -> tuple[Standing, ...]:
    """The vetoes that stand at the time of the evidence."""
    found = []
    for one in evidence.vetoes:
        last = one.stood[-1] if one.stood else None
        if last is not None and last.at >= evidence.at - _ROUNDING:
            found.append(Standing(one.name, last.series, last.value))
    return tuple(found)


def unknown(evidence: Evidence, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the vetoes `names` of which the evidence says nothing."""
    seen = {one.name for one in evidence.vetoes}
    return tuple(name for name in names if name not in seen)


@dataclass(frozen=True, slots=True)
class Vetoed:
    """Ends of the cells at which a veto stood, ascending; before them, the last one known."""

    ends: tuple[float, ...] = ()

    def since(self, start: float, end: float) -> float:
        """Seconds for which none stands at the `start` of a cell; -inf when one stood at its start or end, inf without
        any. One that lifts may have stood until the end of the next cell."""
        place = bisect_right(self.ends, end)
        if place == 0:
            return inf
        found = start - (self.ends[place - 1] + end - start)
        return -inf if found < -_ROUNDING else max(0.0, found)


def vetoed(evidence: Evidence, before: float | None) -> Vetoed:
    """`before`: when a veto stood last, of what was judged so far."""
    ends = {stood.at for one in evidence.vetoes for stood in one.stood}
    return Vetoed(tuple(sorted(ends if before is None else ends | {before})))
