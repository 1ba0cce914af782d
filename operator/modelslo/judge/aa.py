"""A/A: replicas of stable against each other. They serve one version, so that whatever differs is routing or metrics.

Each replica plays the canary of all others, in both directions, by the live comparison's own functions. The mean of
e-processes is an e-process: that of all replicas passes 1/alpha with probability alpha at most when none of them is
worse than the margin allows (Ville; Vovk & Wang 2021), however often one looks.

Fit is said when all that served was compared and nothing stands against any of it that would hold a canary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from math import isfinite, log
from typing import Final

import numpy as np

from modelslo.judge.aa_arms import CANARY, STABLE, Cell, Roles, arm, each_and_others
from modelslo.judge.aa_faults import Against, Served, faults, served, steady
from modelslo.judge.betting import log_mean_exp
from modelslo.judge.comparison import Compared, Comparison, compared, e_bh, remembered, says
from modelslo.judge.parameters import Parameters
from modelslo.judge.verdict import HARM, GateVerdict
from modelslo.observe.evidence import Increment

MOST_TAKEN_OUT: Final = 8
"""So many that differ are taken out one after the other, each with a comparison of all others anew."""
LEAST_COMPARED: Final = 50.0
"""Labels without which nothing can be said of a replica."""


class Fitness(StrEnum):
    """Whether verdicts on canaries can be trusted with this routing and these metrics."""

    FIT = "Fit"
    UNFIT = "Unfit"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True, slots=True)
class Replica:
    """``compared``: it as a canary of the others. ``log_e``: evidence (nats) that it differs by more than the margin,
    in either direction. ``invalid``: losses that were no numbers."""

    name: str
    labels: float
    predictions: float
    invalid: float
    compared: Compared
    log_e: float
    against: frozenset[Against]

    @property
    def coverage(self) -> float | None:
        """Labels per prediction, those included that gave no loss; None where predictions are not counted."""
        return (self.labels + self.invalid) / self.predictions if self.predictions > 0 else None

    @property
    def odd(self) -> bool:
        """Whether its loss differs. Such ones were taken out before the others were compared."""
        return Against.DIFFERS in self.against


@dataclass(frozen=True, slots=True)
class Report:
    """``log_e``: the largest mean e-value (nats) at any look, of ``log_threshold``. ``left_out`` were not there all the
    time. ``coverage`` is that of all, where it is below what the ModelSLO asks for.

    ``halves``: one half of the replicas as canary of the other; ``promoted_after`` (s) is when the gate promoted it,
    None: it did not.
    """

    log_e: float
    log_threshold: float
    replicas: tuple[Replica, ...]
    left_out: tuple[str, ...]
    halves: Compared
    promoted_after: float | None
    coverage: float | None = None

    @property
    def fitness(self) -> Fitness:
        """Missing data are no reason for Fit, whatever the rest says."""
        against = [what for one in self.replicas for what in one.against]
        if self.differ or self.coverage is not None or any(what.broken for what in against):
            return Fitness.UNFIT
        if against or self.left_out or self.leans or not self.promoted:
            return Fitness.INCONCLUSIVE
        return Fitness.FIT

    @property
    def differ(self) -> bool:
        """Whether their losses do, at the stated rate."""
        return self.log_e >= self.log_threshold or any(one.odd for one in self.replicas)

    @property
    def leans(self) -> bool:
        """Whether a canary would be held for as much evidence."""
        return self.log_e >= log(HARM) or self.halves.harm

    @property
    def promoted(self) -> bool:
        """Whether half against half was compared, and promoted."""
        return self.halves.ratio is not None and self.promoted_after is not None


@dataclass(slots=True)
class _Match:
    """The fold of the comparison of two groups of replicas."""

    comparison: Comparison

    def take(self, parameters: Parameters, cell: Cell, edges: tuple[float, ...]) -> None:
        if cell:
            self.comparison = compared(self.comparison, parameters, cell, edges, STABLE, CANARY)

    def says(self, parameters: Parameters, at: float) -> Compared:
        return says(self.comparison, parameters.gate, at)


@dataclass(slots=True)
class _Pair:
    """One replica as the canary of all others, and they as its."""

    own: _Match
    others: _Match

    def take(self, parameters: Parameters, roles: tuple[Roles, Roles], edges: tuple[float, ...]) -> None:
        own, others = roles
        self.own.take(parameters, own.arms(others), edges)
        self.others.take(parameters, others.arms(own), edges)

    def differs(self, parameters: Parameters, at: float) -> float:
        """ln of the mean e-value of both directions."""
        return _mean([match.says(parameters, at).log_e_rollback for match in (self.own, self.others)])

    def played(self, parameters: Parameters, at: float) -> _Played:
        found, reverse = self.own.says(parameters, at), self.others.says(parameters, at)
        return _Played(found, _mean([found.log_e_rollback, reverse.log_e_rollback]), found.harm or reverse.harm)


@dataclass(frozen=True, slots=True)
class _Played:
    """What a replica looks like as a canary of all others, ln e that it differs from them, and whether a canary would
    be held for that in either direction."""

    compared: Compared = field(default_factory=Compared)
    log_e: float = 0.0
    harm: bool = False


def compare_replicas(
    parameters: Parameters,
    increments: Sequence[Increment],
    edges: tuple[float, ...],
    since: float,
    seen: Callable[[float], None] = lambda done: None,
    until: float | None = None,
) -> Report:
    """`increments` are of stable alone, with the replica as their version; what ended by `since` (Unix s) is history.
    It was read `until` then, None: as far as there is anything.

    ValueError when fewer than two replicas were there all the time. `seen` is told the share that is done, from zero
    again whenever one that differs was taken out.
    """
    cells = [tuple(of) for _, of in groupby(sorted(increments, key=lambda one: one.end), key=lambda one: one.end)]
    everyone = served(cells, since)
    names, left_out = steady(everyone, since, cells[-1][0].end if cells else since)
    if len(names) < 2:
        raise ValueError(f"{len(names)} replicas were there all the time; two are needed")
    there = {name: everyone[name] for name in names}
    against = faults(parameters, there, cells[-1][0].end if until is None else until)
    sound = [name for name in names if there[name].labels > 0 and Against.NAN_LOSS not in against[name]]
    data = _Data(parameters, tuple(cells), edges, since)
    found = _compared(data, sound, seen) if len(sound) > 1 else _Found({})
    odd, others = _odd_ones(data, found, seen)
    return Report(
        found.highest,
        log(1 / parameters.gate.alpha),
        tuple(_replica(name, there[name], odd, others, against[name]) for name in names),
        left_out,
        found.halves,
        found.promoted_after,
        _too_low(parameters, there),
    )


def _replica(
    name: str, counted: Served, odd: Mapping[str, _Played], others: Mapping[str, _Played], against: frozenset[Against]
) -> Replica:
    played = odd.get(name) or others.get(name) or _Played()
    more = {Against.DIFFERS} if name in odd else set()
    if name in others and played.harm:
        more.add(Against.SUSPECT)
    unknown = played.compared.ratio is None or played.compared.canary < LEAST_COMPARED
    if unknown and name not in odd and Against.NO_TRAFFIC not in against and not any(one.broken for one in against):
        more.add(Against.NOT_COMPARED)
    return Replica(
        name, counted.labels, counted.predictions, counted.invalid, played.compared, played.log_e, against | more
    )


def _too_low(parameters: Parameters, there: Mapping[str, Served]) -> float | None:
    """Coverage of all, where the operator would hold any canary for it."""
    covered = [one.arm.covered(parameters.timing.delay) for one in there.values()]
    due = sum(one[1] for one in covered)
    found = sum(one[0] for one in covered) / due if due > 0 else None
    return found if found is not None and found < parameters.min_coverage else None


@dataclass(frozen=True, slots=True)
class _Data:
    parameters: Parameters
    cells: tuple[tuple[Increment, ...], ...]
    edges: tuple[float, ...]
    since: float


@dataclass(frozen=True, slots=True)
class _Found:
    each: dict[str, _Played]
    highest: float = 0.0
    halves: Compared = field(default_factory=Compared)
    promoted_after: float | None = None


def _compared(data: _Data, names: Sequence[str], seen: Callable[[float], None]) -> _Found:
    """Each of `names` with all others of them, and one half of them with the other."""
    parameters, canaries = data.parameters, frozenset(names[1::2])
    everyone = frozenset(names)
    before = _history(data, everyone)
    pairs = {name: _Pair(_Match(before), _Match(before)) for name in names}
    halves, highest, promoted_after = _Match(before), 0.0, None
    for number, cell in enumerate(data.cells, 1):
        at = cell[0].end
        if at > data.since:
            for name, roles in each_and_others(cell, names).items():
                pairs[name].take(parameters, roles, data.edges)
            both = (*arm(cell, everyone - canaries, STABLE), *arm(cell, canaries, CANARY))
            halves.take(parameters, both, data.edges)
            highest = max(highest, _mean([pair.differs(parameters, at) for pair in pairs.values()]))
            if promoted_after is None and _promoted(parameters, halves, at):
                promoted_after = at - data.since
        seen(number / len(data.cells))
    end = data.cells[-1][0].end
    each = {name: pair.played(parameters, end) for name, pair in pairs.items()}
    return _Found(each, highest, halves.says(parameters, end), promoted_after)


def _history(data: _Data, everyone: frozenset[str]) -> Comparison:
    """Before the comparison all replicas are stable's history, as far as their losses are numbers."""
    found = Comparison()
    for cell in data.cells:
        if cell[0].end <= data.since:
            sound = [one for one in cell if isfinite(one.losses.total)]
            found = remembered(found, arm(sound, everyone, STABLE), STABLE)
    return found


def _odd_ones(
    data: _Data, found: _Found, seen: Callable[[float], None]
) -> tuple[dict[str, _Played], dict[str, _Played]]:
    """Who differs, and the others without them: one odd replica among few moves the mean that others are held against.

    The oddest is taken out, and the rest compared again, until e-BH names nobody. Of two nobody can say who is odd.
    That something differs is claimed at the stated rate; who it is, is the best explanation.
    """
    odd: dict[str, _Played] = {}
    alpha, each = data.parameters.gate.alpha, found.each
    while named := e_bh([one.log_e for one in each.values()], alpha):
        if len(each) == 2:
            return odd | each, {}
        if len(odd) == MOST_TAKEN_OUT:
            guilty = [name for number, name in enumerate(each) if number in named]
            return odd | {name: each.pop(name) for name in guilty}, each
        name = max(each, key=lambda one: each[one].log_e)
        odd[name] = each[name]
        each = _compared(data, [one for one in each if one != name], seen).each
    return odd, each


def _mean(log_e: Sequence[float]) -> float:
    return float(log_mean_exp(np.array(log_e), np.full(len(log_e), -log(len(log_e)))))


def _promoted(parameters: Parameters, halves: _Match, at: float) -> bool:
    found = halves.says(parameters, at)
    return found.verdict is GateVerdict.PROMOTE and found.canary >= parameters.gate.min_samples and not found.harm
