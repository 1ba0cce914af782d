"""A/A: the cell of all replicas as two arms, those of any replica against the others, in both directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from modelslo.judge.betting import Array
from modelslo.observe.evidence import Increment, Losses

STABLE: Final = "stable"
CANARY: Final = "canary"
_COUNTS: Final = 5

Cell = Sequence[Increment]
_Kind = tuple[str, float, int, bool]
"""Segment, age, number of buckets, whether squares are told: only what has these alike can be added up."""


@dataclass(frozen=True, slots=True)
class Roles:
    """One cell, once with the one side as the canary and once as stable."""

    canary: Cell
    stable: Cell

    def arms(self, other: Roles) -> Cell:
        """This one as the canary of `other`."""
        return (*other.stable, *self.canary)


def arm(cell: Cell, names: frozenset[str], version: str) -> Cell:
    """What these replicas did together, as one version."""
    return [
        _increment(kind, np.sum(list(of.values()), axis=0), cell[0], version)
        for kind, of in _by_kind(cell, names).items()
    ]


def each_and_others(cell: Cell, names: Sequence[str]) -> dict[str, tuple[Roles, Roles]]:
    """Of each replica what it did, and what all others did together.

    Sums of those before and behind it, and no difference: what is taken away again leaves its rounding behind.
    """
    found: dict[str, tuple[tuple[list[Increment], list[Increment]], ...]] = {
        name: (([], []), ([], [])) for name in names
    }
    for kind, of in _by_kind(cell, frozenset(names)).items():
        none = np.zeros(_COUNTS + kind[2])
        rows = np.array([of.get(name, none) for name in names])
        rest = _before(rows) + _before(rows[::-1])[::-1]
        for number, name in enumerate(names):
            sides = ((rows[number], name in of), (rest[number], len(of) > (name in of)))
            for (canary, stable), (row, there) in zip(found[name], sides, strict=True):
                if there:
                    canary.append(_increment(kind, row, cell[0], CANARY))
                    stable.append(_increment(kind, row, cell[0], STABLE))
    return {name: (Roles(*own), Roles(*others)) for name, (own, others) in found.items()}


def _before(rows: Array) -> Array:
    """Of each row the sum of those before it."""
    found = np.zeros_like(rows)
    np.cumsum(rows[:-1], axis=0, out=found[1:])
    return found


def _by_kind(cell: Iterable[Increment], names: frozenset[str]) -> dict[_Kind, dict[str, Array]]:
    """Counts of each replica that may be added up."""
    found: dict[_Kind, dict[str, Array]] = {}
    for one in cell:
        if one.version not in names:
            continue
        losses = one.losses
        kind = (one.segment, one.age, len(losses.buckets), losses.squares is not None)
        squares = losses.squares or 0.0
        row = np.array([losses.count, losses.total, squares, one.predictions, one.invalid, *losses.buckets])
        of = found.setdefault(kind, {})
        of[one.version] = of[one.version] + row if one.version in of else row
    return found


def _increment(kind: _Kind, row: Array, cell: Increment, version: str) -> Increment:
    segment, age, _, squared = kind
    count, total, squares, predictions, invalid, *buckets = row.tolist()
    losses = Losses(count, total, tuple(buckets), squares if squared else None)
    return Increment(cell.start, cell.end, version, segment, losses, predictions, invalid, age=age)
