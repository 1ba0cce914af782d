"""What each version did lately: predictions, labels and losses over a sliding window of evaluations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Final, NamedTuple

import numpy as np

from modelslo.judge.maturity import older_shares
from modelslo.judge.parameters import Parameters
from modelslo.judge.shadow import Shadow, hidden
from modelslo.observe.evidence import Increment

_MOST_CELLS: Final = 120
_LEAST_CELLS: Final = 10
_NOBODY: Final = frozenset[str]()


@dataclass(frozen=True, slots=True)
class Cell:
    """One grid cell of one version, all segments: end time and counts; ``total`` is NaN when the sum is."""

    end: float
    predictions: float
    labels: float
    total: float
    invalid: float


class Count(NamedTuple):
    """Of all versions that users see, counted up to ``end``: differences of two of them count what lies between.

    ``scored`` are labels, those included that gave no loss; ``told`` are labels whose delay is told, ``late`` those of
    them that took longer than the stated delay.
    """

    end: float = -inf
    predictions: float = 0.0
    scored: float = 0.0
    told: float = 0.0
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Arm:
    cells: tuple[Cell, ...] = ()
    last_label: float | None = None

    @property
    def labels(self) -> float:
        return sum(cell.labels for cell in self.cells)

    @property
    def predictions(self) -> float:
        return sum(cell.predictions for cell in self.cells)

    @property
    def loss(self) -> float | None:
        """Mean loss over the window; None without labels or when the sum is not finite."""
        total, labels = sum(cell.total for cell in self.cells), self.labels
        return total / labels if labels > 0 and isfinite(total) else None

    def coverage(self, delay: float, since: float = -inf) -> float | None:
        """Labels over the predictions since then that are old enough (s) to have theirs; None when there are none."""
        labelled, due = self.covered(delay, since)
        return labelled / due if due > 0 else None

    def covered(self, delay: float, since: float = -inf) -> tuple[float, float]:
        """Labels, and predictions since then that are old enough (s) to have theirs. One without a loss counts too."""
        cells = [cell for cell in self.cells if cell.end > since]
        if not cells:
            return 0.0, 0.0
        first, last = cells[0].end + delay, cells[-1].end - delay
        labelled = sum(cell.labels + cell.invalid for cell in cells if cell.end >= first)
        return labelled, sum(cell.predictions for cell in cells if cell.end <= last)


@dataclass(frozen=True, slots=True)
class Arms:
    by_version: Mapping[str, Arm] = field(default_factory=dict)
    counts: tuple[Count, ...] = (Count(),)

    def share(self, version: str) -> float | None:
        """Measured share of the predictions in the window; None without predictions."""
        everything = sum(arm.predictions for arm in self.by_version.values())
        arm = self.by_version.get(version)
        return (arm.predictions if arm else 0.0) / everything if everything > 0 else None


def cell_of(mine: Sequence[Increment]) -> Cell:
    """What one version did in one grid cell, all segments; there is some."""
    return Cell(
        mine[0].end,
        sum(one.predictions for one in mine),
        sum(one.losses.count for one in mine),
        sum(one.losses.total for one in mine),
        sum(one.invalid for one in mine),
    )


def together(arms: Arms, interval: float, shadows: Sequence[Shadow] = ()) -> Arm:
    """All versions as one, but for what they did in cells of `interval` seconds while they were `shadows`."""
    cells = [
        cell
        for version, arm in arms.by_version.items()
        for cell in arm.cells
        if version not in hidden(shadows, cell.end - interval, cell.end)
    ]
    cells.sort(key=lambda one: one.end)
    ever = {one.version for one in shadows}
    labels = [one.end for one in cells if one.labels > 0]
    labels += [arm.last_label for version, arm in arms.by_version.items() if arm.last_label and version not in ever]
    return Arm(tuple(cells), max(labels, default=None))


def seen(
    arms: Arms,
    cell: tuple[Increment, ...],
    parameters: Parameters,
    delay_edges: tuple[float, ...] = (),
    unseen: frozenset[str] = _NOBODY,
) -> Arms:
    """Takes one grid cell of all versions. The window holds two label delays and ten cells, at most 120 cells.

    `unseen` are shadows: what a mirror adds to the traffic, or takes away, says nothing of the data.
    """
    timing = parameters.timing
    keep = min(_MOST_CELLS, max(_LEAST_CELLS, round(2 * timing.delay / timing.interval) + _LEAST_CELLS) * 2)
    oldest = cell[0].end - keep * timing.interval
    versions = {one.version for one in cell}
    result = {}
    for version in sorted(versions | arms.by_version.keys()):
        before = arms.by_version.get(version, Arm())
        mine = [one for one in cell if one.version == version]
        kept = [one for one in before.cells if one.end > oldest]
        if mine:
            kept.append(cell_of(mine))
            last = mine[0].end if kept[-1].labels > 0 else before.last_label
        else:
            last = before.last_label
        if kept:
            result[version] = Arm(tuple(kept), last)
    first = bisect_right(arms.counts, oldest, key=lambda one: one.end) - 1
    users = [one for one in cell if one.version not in unseen]
    counted = _counted(arms.counts[-1], users, cell[0].end, delay_edges, timing.delay)
    return Arms(result, (*arms.counts[max(first, 0) :], counted))


def _counted(before: Count, cell: Sequence[Increment], end: float, edges: tuple[float, ...], delay: float) -> Count:
    told, late = _delays(cell, edges, delay)
    return Count(
        end,
        before.predictions + sum(one.predictions for one in cell),
        before.scored + sum(one.losses.count + one.invalid for one in cell),
        before.told + told,
        before.late + late,
    )


def _delays(cell: Sequence[Increment], edges: tuple[float, ...], delay: float) -> tuple[float, float]:
    """Labels whose delay is told, and those of them that took longer than `delay` (s)."""
    told = [one.delays for one in cell if edges and len(one.delays) == len(edges) + 1]
    if not told:
        return 0.0, 0.0
    counts = np.sum(told, axis=0)
    return float(counts.sum()), float(counts @ older_shares(edges, delay))
