"""What each version did lately: predictions, labels and losses over a sliding window of evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Final

from modelslo.judge.parameters import Parameters
from modelslo.observe.evidence import Increment

_MOST_CELLS: Final = 120
_LEAST_CELLS: Final = 10


@dataclass(frozen=True, slots=True)
class Cell:
    """One grid cell of one version, all segments: end time and counts; ``total`` is NaN when the sum is."""

    end: float
    predictions: float
    labels: float
    total: float
    invalid: float


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

    def coverage(self, delay: float) -> float | None:
        """Labels over the predictions that are old enough (s) to have theirs; None when there are none."""
        if not self.cells:
            return None
        first, last = self.cells[0].end + delay, self.cells[-1].end - delay
        labelled = sum(cell.labels for cell in self.cells if cell.end >= first)
        due = sum(cell.predictions for cell in self.cells if cell.end <= last)
        return labelled / due if due > 0 else None

    def pace(self) -> float | None:
        """Labels per cell in the newest quarter over those before; None while the window is short."""
        if len(self.cells) < 2 * _LEAST_CELLS:
            return None
        quarter = len(self.cells) // 4
        before = sum(cell.labels for cell in self.cells[:-quarter]) / (len(self.cells) - quarter)
        return sum(cell.labels for cell in self.cells[-quarter:]) / quarter / before if before > 0 else None


@dataclass(frozen=True, slots=True)
class Arms:
    by_version: Mapping[str, Arm] = field(default_factory=dict)

    def share(self, version: str) -> float | None:
        """Measured share of the predictions in the window; None without predictions."""
        everything = sum(arm.predictions for arm in self.by_version.values())
        arm = self.by_version.get(version)
        return (arm.predictions if arm else 0.0) / everything if everything > 0 else None


def seen(arms: Arms, cell: tuple[Increment, ...], parameters: Parameters) -> Arms:
    """Takes one grid cell of all versions. The window holds two label delays and ten cells, at most 120 cells."""
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
            labels = sum(one.losses.count for one in mine)
            kept.append(
                Cell(
                    mine[0].end,
                    sum(one.predictions for one in mine),
                    labels,
                    sum(one.losses.total for one in mine),
                    sum(one.invalid for one in mine),
                )
            )
            last = mine[0].end if labels > 0 else before.last_label
        else:
            last = before.last_label
        if kept:
            result[version] = Arm(tuple(kept), last)
    return Arms(result)
