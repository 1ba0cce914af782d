"""A/A: replicas of stable against each other. They serve one version, so that whatever differs is routing or metrics.

Each replica plays the canary of all others, in both directions, by the live comparison's own functions. The mean of
e-processes is an e-process: that of all replicas passes 1/alpha with probability alpha at most when none of them is
worse than the margin allows (Ville; Vovk & Wang 2021), however often one looks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from math import log
from typing import Final

import numpy as np

from modelslo.judge.betting import log_mean_exp
from modelslo.judge.comparison import Compared, Comparison, compared, e_bh, remembered, says
from modelslo.judge.parameters import Parameters
from modelslo.judge.verdict import GateVerdict
from modelslo.observe.evidence import Increment

MOST_REPLICAS: Final = 12
"""So many are compared on their own, those with most labels; the others are only compared with."""
_PRESENT: Final = 0.8
_STABLE, _CANARY = "stable", "canary"


class Fitness(StrEnum):
    """Whether verdicts on canaries can be trusted with this routing and these metrics."""

    FIT = "Fit"
    UNFIT = "Unfit"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True, slots=True)
class Replica:
    """``compared``: it as a canary of the others. ``log_e``: evidence (nats) that it differs by more than the margin,
    in either direction. ``odd`` ones were taken out before the others were compared."""

    name: str
    labels: float
    predictions: float
    compared: Compared
    log_e: float
    odd: bool

    @property
    def coverage(self) -> float | None:
        """Labels per prediction; None where predictions are not counted."""
        return self.labels / self.predictions if self.predictions > 0 else None


@dataclass(frozen=True, slots=True)
class Report:
    """``log_e``: the largest mean e-value (nats) at any look, of ``log_threshold``. ``left_out`` were not there all the
    time.

    ``halves``: one half of the replicas as canary of the other; ``promoted_after`` (s) is when the gate promoted it,
    None: it did not.
    """

    fitness: Fitness
    log_e: float
    log_threshold: float
    replicas: tuple[Replica, ...]
    left_out: tuple[str, ...]
    halves: Compared
    promoted_after: float | None


@dataclass(slots=True)
class _Match:
    """Two groups of replicas, and the fold of their comparison."""

    canary: frozenset[str]
    stable: frozenset[str]
    comparison: Comparison = field(default_factory=Comparison)

    def remember(self, cell: Sequence[Increment]) -> None:
        """Before the comparison all replicas are stable's history."""
        self.comparison = remembered(self.comparison, [replace(one, version=_STABLE) for one in cell], _STABLE)

    def take(self, parameters: Parameters, cell: Sequence[Increment], edges: tuple[float, ...]) -> None:
        roles = [
            replace(one, version=_CANARY if one.version in self.canary else _STABLE)
            for one in cell
            if one.version in self.canary or one.version in self.stable
        ]
        if roles:
            self.comparison = compared(self.comparison, parameters, roles, edges, _STABLE, _CANARY)

    def says(self, parameters: Parameters, at: float) -> Compared:
        return says(self.comparison, parameters.gate, at)


def compare_replicas(
    parameters: Parameters,
    increments: Sequence[Increment],
    edges: tuple[float, ...],
    since: float,
    seen: Callable[[float], None] = lambda done: None,
) -> Report:
    """`increments` are of stable alone, with the replica as their version; what ended by `since` (Unix s) is history.

    ValueError when fewer than two replicas were there all the time. `seen` is told the share that is done.
    """
    cells = [tuple(of) for _, of in groupby(sorted(increments, key=lambda one: one.end), key=lambda one: one.end)]
    labels = _labels(increments)
    names, left_out = _steady([cell for cell in cells if cell[0].end > since], labels)
    if len(names) < 2:
        raise ValueError(f"{len(names)} replicas were there all the time; two are needed")
    data = _Data(parameters, tuple(cells), edges, since)
    busiest = sorted(sorted(names, key=lambda name: -labels[name][0])[:MOST_REPLICAS])
    halves = _Match(frozenset(names[1::2]), frozenset(names[::2]))
    found = _compared(data, busiest, frozenset(names), halves, seen)
    odd, others = _odd_ones(data, busiest, frozenset(names), found)
    replicas = tuple(
        Replica(name, *labels[name], *(odd if name in odd else others)[name], name in odd) for name in busiest
    )
    fitness = Fitness.INCONCLUSIVE if found.promoted_after is None else Fitness.FIT
    threshold = log(1 / parameters.gate.alpha)
    if found.highest >= threshold or odd:
        fitness = Fitness.UNFIT
    of_halves = halves.says(parameters, cells[-1][0].end)
    return Report(fitness, found.highest, threshold, replicas, left_out, of_halves, found.promoted_after)


@dataclass(frozen=True, slots=True)
class _Data:
    parameters: Parameters
    cells: tuple[tuple[Increment, ...], ...]
    edges: tuple[float, ...]
    since: float


@dataclass(frozen=True, slots=True)
class _Found:
    """Of each replica what it looks like as a canary of all others, and ln e that it differs from them."""

    each: dict[str, tuple[Compared, float]]
    highest: float
    promoted_after: float | None


def _compared(
    data: _Data,
    names: Sequence[str],
    everyone: frozenset[str],
    halves: _Match | None = None,
    seen: Callable[[float], None] = lambda done: None,
) -> _Found:
    parameters = data.parameters
    pairs = {
        name: (_Match(frozenset({name}), everyone - {name}), _Match(everyone - {name}, frozenset({name})))
        for name in names
    }
    matches = [*(match for pair in pairs.values() for match in pair), *([halves] if halves is not None else [])]
    highest, promoted_after = 0.0, None
    for number, cell in enumerate(data.cells, 1):
        at = cell[0].end
        if at <= data.since:
            for match in matches:
                match.remember([one for one in cell if one.version in everyone])
            continue
        for match in matches:
            match.take(parameters, cell, data.edges)
        highest = max(highest, _mean([_differs(parameters, pair, at) for pair in pairs.values()]))
        if halves is not None and promoted_after is None and _promoted(parameters, halves, at):
            promoted_after = at - data.since
        seen(number / len(data.cells))
    end = data.cells[-1][0].end
    each = {name: (pair[0].says(parameters, end), _differs(parameters, pair, end)) for name, pair in pairs.items()}
    return _Found(each, highest, promoted_after)


def _odd_ones(
    data: _Data, names: Sequence[str], everyone: frozenset[str], found: _Found
) -> tuple[dict[str, tuple[Compared, float]], dict[str, tuple[Compared, float]]]:
    """Who differs, and the others without them: one odd replica among few moves the mean that others are held against.

    The oddest is taken out, and the rest compared again, until e-BH names nobody. Of two nobody can say who is odd.
    That something differs is claimed at the stated rate; who it is, is the best explanation.
    """
    odd: dict[str, tuple[Compared, float]] = {}
    alpha = data.parameters.gate.alpha
    while e_bh([evidence for _, evidence in found.each.values()], alpha):
        if len(everyone) == 2:
            return odd | found.each, {}
        name = max(found.each, key=lambda one: found.each[one][1])
        odd[name] = found.each[name]
        everyone, names = everyone - {name}, [one for one in names if one != name]
        if not names:
            return odd, {}
        found = _compared(data, names, everyone)
    return odd, found.each


def _labels(increments: Sequence[Increment]) -> dict[str, tuple[float, float]]:
    """Labels and predictions of each replica."""
    found: dict[str, tuple[float, float]] = {}
    for one in increments:
        labels, predictions = found.get(one.version, (0.0, 0.0))
        found[one.version] = labels + one.losses.count, predictions + one.predictions
    return found


def _steady(
    cells: Sequence[Sequence[Increment]], labels: dict[str, tuple[float, float]]
) -> tuple[list[str], tuple[str, ...]]:
    """Replicas with series nearly all the time, and the others: labels of a young one are of another age."""
    present: dict[str, int] = dict.fromkeys(labels, 0)
    for cell in cells:
        for name in {one.version for one in cell}:
            present[name] += 1
    names = sorted(name for name, count in present.items() if count >= _PRESENT * len(cells) and labels[name][0] > 0)
    return names, tuple(sorted(present.keys() - names))


def _differs(parameters: Parameters, pair: tuple[_Match, _Match], at: float) -> float:
    """ln of the mean e-value of both directions."""
    return _mean([match.says(parameters, at).log_e_rollback for match in pair])


def _mean(log_e: Sequence[float]) -> float:
    return float(log_mean_exp(np.array(log_e), np.full(len(log_e), -log(len(log_e)))))


def _promoted(parameters: Parameters, halves: _Match, at: float) -> bool:
    found = halves.says(parameters, at)
    return found.verdict is GateVerdict.PROMOTE and found.canary >= parameters.gate.min_samples and not found.harm
