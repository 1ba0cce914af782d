"""A/A: what stands against a replica besides its loss. A canary with that would be held or rolled back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import inf, isfinite, log
from typing import Final

from modelslo.judge.aa_arms import Cell
from modelslo.judge.arms import Arm, cell_of
from modelslo.judge.arms import Cell as Counted
from modelslo.judge.comparison import e_bh
from modelslo.judge.invalid import InvalidLosses, add_invalid
from modelslo.judge.parameters import Parameters
from modelslo.judge.problem import coverage_apart, oldest_fresh
from modelslo.judge.verdict import HARM
from modelslo.observe.evidence import STALENESS, Increment

_PRESENT: Final = 0.8
_SHORT: Final = 0.1  # of what is compared
_QUARTER: Final = 4
_FEW: Final = 0.02
# Labels that were to be expected, from which on it is no chance that less than half of them came, or twice as many:
# exp(-0.15 * 50) is below 1 in 1,000 (Chernoff), as for one of fifty replicas it must be.
_LEAST_EXPECTED: Final = 50.0


class Against(StrEnum):
    """What stands against a replica."""

    DIFFERS = "Differs"  # its loss
    NAN_LOSS = "NaNLoss"
    INVALID_LOSSES = "InvalidLosses"
    COVERAGE_DIFFERS = "CoverageDiffers"
    SUSPECT = "Suspect"  # one of these, by evidence that would hold a canary and is not enough to say so
    STALE = "Stale"
    NO_TRAFFIC = "NoTraffic"
    NOT_COMPARED = "NotCompared"

    @property
    def broken(self) -> bool:
        """Whether verdicts on canaries cannot be trusted for it. For the others it is not known."""
        return self in (self.DIFFERS, self.NAN_LOSS, self.INVALID_LOSSES, self.COVERAGE_DIFFERS)


@dataclass(frozen=True, slots=True)
class Served:
    """What a replica did in all that was read. ``arm``: since the comparison began."""

    labels: float
    predictions: float
    invalid: float
    arm: Arm


def served(cells: Sequence[Cell], since: float) -> dict[str, Served]:
    """Of each replica."""
    counted: dict[str, list[Counted]] = {}
    for cell in cells:
        of: dict[str, list[Increment]] = {}
        for one in cell:
            of.setdefault(one.version, []).append(one)
        for name, mine in of.items():
            counted.setdefault(name, []).append(cell_of(mine))
    return {
        name: Served(
            sum(one.labels for one in mine),
            sum(one.predictions for one in mine),
            sum(one.invalid for one in mine),
            Arm(tuple(one for one in mine if one.end > since)),
        )
        for name, mine in sorted(counted.items())
    }


def steady(found: Mapping[str, Served], since: float, at: float) -> tuple[list[str], tuple[str, ...]]:
    """Replicas with series nearly all the time, and the others: labels of a young one are of another age."""
    names = [name for name, one in found.items() if _missing(one.arm, since, at) <= (1 - _PRESENT) * (at - since)]
    return names, tuple(name for name in found if name not in names)


def _missing(of: Arm, since: float, at: float) -> float:
    """Seconds without it. Scrapes that are rarer than evaluations leave cells empty."""
    usual = min(STALENESS, _SHORT * (at - since))
    gaps = (later - earlier for earlier, later in pairwise((since, *(one.end for one in of.cells), at)))
    return sum(gap for gap in gaps if gap > usual)


def faults(parameters: Parameters, found: Mapping[str, Served], at: float) -> dict[str, frozenset[Against]]:
    """What stands against each at time `at`, the end of what was read."""
    against: dict[str, set[Against]] = {name: set() for name in found}
    timing = parameters.timing
    for name, one in found.items():
        cells = one.arm.cells
        nan = [not isfinite(cell.total) for cell in cells]
        if any(nan):  # one that is over is no broken exporter, and no sound one either
            lasting = nan[-1] or sum(nan) > _FEW * len(nan)
            against[name].add(Against.NAN_LOSS if lasting else Against.SUSPECT)
        if not any(cell.predictions or cell.labels or cell.invalid for cell in cells):
            against[name].add(Against.NO_TRAFFIC)
        if not cells or cells[-1].end < oldest_fresh(timing, at):
            against[name].add(Against.STALE)
    for since in (-inf, _newest_quarter(found, at)):
        for name, what in _coverages(found, timing.delay, since).items():
            against[name].add(what)
    for name, what in _invalid(found, parameters.gate.alpha).items():
        against[name].add(what)
    return {name: frozenset(of) for name, of in against.items()}


def _newest_quarter(found: Mapping[str, Served], at: float) -> float:
    """What began lately is little of the whole."""
    first = min((one.arm.cells[0].end for one in found.values() if one.arm.cells), default=at)
    return at - (at - first) / _QUARTER


def _coverages(found: Mapping[str, Served], delay: float, since: float) -> dict[str, Against]:
    """Whom the operator would hold as a canary of the others, by its own rule.

    One that is far off moves the others too: the one that is furthest off is taken out, and the rest looked at again.
    """
    covered = {name: one.arm.covered(delay, since) for name, one in found.items()}
    named: dict[str, Against] = {}
    while len(covered) > 1:
        apart = {name: shares for name in covered if (shares := _apart(covered, name)) is not None}
        if not apart:
            break
        worst = min(apart, key=lambda name: min(apart[name]) / max(apart[name]))
        for name in apart if len(covered) == 2 else (worst,):  # of two nobody can say who is off
            expected = covered[name][1] * apart[name][0]
            sure = max(expected, covered[name][0]) >= _LEAST_EXPECTED
            named[name] = Against.COVERAGE_DIFFERS if sure else Against.SUSPECT
        covered = {name: one for name, one in covered.items() if name not in named}
    return named


def _apart(covered: Mapping[str, tuple[float, float]], name: str) -> tuple[float, float] | None:
    """Coverage of the others and of this one, where they are too far apart."""
    others = [one for other, one in covered.items() if other != name]
    return coverage_apart((sum(one[0] for one in others), sum(one[1] for one in others)), covered[name])


def _invalid(found: Mapping[str, Served], alpha: float) -> dict[str, Against]:
    """Whose losses are no numbers more often than those of others; where there is none, the others' than whose."""
    of_cells: dict[float, dict[str, tuple[float, float]]] = {}
    for name, one in found.items():
        for cell in one.arm.cells:
            of_cells.setdefault(cell.end, {})[name] = (cell.invalid, cell.invalid + cell.labels)
    names = list(found)
    canary, stable = dict.fromkeys(names, InvalidLosses()), dict.fromkeys(names, InvalidLosses())
    for end in sorted(of_cells):
        of = of_cells[end]
        invalid, scored = sum(one[0] for one in of.values()), sum(one[1] for one in of.values())
        if invalid <= 0:
            continue
        for name, (mine, all_mine) in of.items():
            canary[name] = _add(canary[name], (mine, all_mine), (invalid - mine, scored - all_mine))
            stable[name] = _add(stable[name], (invalid - mine, scored - all_mine), (mine, all_mine))
    for tests in (canary, stable):
        guilty = e_bh([tests[name].log_e for name in names], alpha)
        if guilty:
            return {names[number]: Against.INVALID_LOSSES for number in guilty}
    return {name: Against.SUSPECT for name in names if canary[name].log_e >= log(HARM)}


def _add(state: InvalidLosses, canary: tuple[float, float], stable: tuple[float, float]) -> InvalidLosses:
    return add_invalid(
        state,
        invalid_canary=canary[0],
        scored_canary=canary[1],
        invalid_stable=stable[0],
        scored_stable=stable[1],
    )
