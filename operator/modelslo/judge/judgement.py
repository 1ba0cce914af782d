"""From evidence to a judgement: health of the SLO, canary against stable, probable cause. Pure.

:func:`judge` folds evidence into a :class:`Memory`; the same evidence in any number of pieces gives the same memory,
so that a restarted operator replays Prometheus' history and goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf, isfinite, log
from typing import Final

from modelslo.judge.arms import Arms, seen
from modelslo.judge.budget import Health, health_of
from modelslo.judge.cause import Cause, Explanation, explain
from modelslo.judge.comparison import Compared, Comparison, compared, remembered, says
from modelslo.judge.drifting import Drifting, drifting_of
from modelslo.judge.invalid import InvalidLosses, add_invalid
from modelslo.judge.parameters import Parameters
from modelslo.judge.problem import Problem, problem_of
from modelslo.judge.scene import Scene, settled
from modelslo.judge.shadow import hidden
from modelslo.judge.upstream import vetoes_of
from modelslo.judge.verdict import HARM, GateVerdict
from modelslo.judge.vetoed import Standing, Vetoed, standing, unknown, vetoed
from modelslo.observe.evidence import Evidence, Increment, SliceTable


class Verdict(StrEnum):
    UNDECIDED = "Undecided"
    IMMATURE = "Immature"  # the label delay has not passed for both arms
    WORSE = "Worse"
    INVALID_LOSSES = "InvalidLosses"
    NOT_WORSE = "NotWorse"
    INCIDENT = "Incident"  # stable's own loss has jumped: nothing can be said of the canary


@dataclass(frozen=True, slots=True)
class CanaryJudgement:
    verdict: Verdict
    compared: Compared
    invalid: InvalidLosses
    harm: bool  # evidence of harm that forbids promotion and advance
    mature: bool
    canary_nan: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence means at time ``at``. ``problem`` set: nothing may be decided from it.

    ``standing`` are the user's vetoes that stand, ``unknown_vetoes`` the names of those that could not be read: with
    either nothing is begun. ``vetoed_at`` is when one stood last, ``stood`` who did in this evidence.
    """

    at: float
    health: Health | None
    stable_health: Health | None
    arms: Arms
    canary: CanaryJudgement | None
    cause: Cause
    explanations: tuple[Explanation, ...]
    problem: Problem | None
    drifting: Drifting | None = None
    standing: tuple[Standing, ...] = ()
    unknown_vetoes: tuple[str, ...] = ()
    vetoed_at: float | None = None
    stood: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """What is kept between two evaluations. Start, also after a restart: ``Memory()``, then replay."""

    comparison: Comparison = field(default_factory=Comparison)
    invalid: InvalidLosses = field(default_factory=InvalidLosses)
    arms: Arms = field(default_factory=Arms)
    judged_since: float | None = None
    versions: tuple[str | None, str | None] = (None, None)
    table: SliceTable | None = None
    health: Health | None = None
    stable_health: Health | None = None
    drifting: Drifting | None = None
    nan: Mapping[str, bool] = field(default_factory=dict)
    vetoed: float | None = None  # when a veto stood last


def judge(parameters: Parameters, memory: Memory, evidence: Evidence, scene: Scene) -> tuple[Judgement, Memory]:
    """Judges one evaluation. ``evidence.since`` must be the ``at`` of the last one, or ``scene.judged_since`` on a
    replay.

    A scene with another ``judged_since`` or other versions starts the comparison afresh (E = 1).
    """
    memory = _fresh_if_changed(memory, scene)
    memory = _take_slices(parameters, memory, evidence, scene)
    if evidence.gap is None:
        ends = vetoed(evidence, memory.vetoed)
        for group in _by_time(evidence.increments):
            memory = _take(parameters, memory, group, evidence, scene, ends)
        if ends.ends:
            memory = replace(memory, vetoed=ends.ends[-1])
    problem = problem_of(parameters, memory.arms, memory.nan, evidence, scene)
    canary = _canary(parameters, memory, scene, evidence.at) if scene.canary_version is not None else None
    stands, silent = standing(evidence), unknown(evidence, parameters.vetoes)
    cause, explanations = explain(
        parameters,
        memory.arms,
        memory.stable_health,
        memory.drifting,
        canary.compared if canary is not None else None,
        canary_worse=_worse(canary) and not stands,  # whose data are broken may well be worse
        jumped=memory.comparison.gate.watch.frozen,
        vetoes=vetoes_of(stands, parameters.vetoes, silent),
    )
    return (
        Judgement(
            at=evidence.at,
            health=memory.health,
            stable_health=memory.stable_health,
            arms=memory.arms,
            canary=canary,
            cause=cause,
            explanations=explanations,
            problem=problem,
            drifting=memory.drifting,
            standing=stands,
            unknown_vetoes=silent,
            vetoed_at=memory.vetoed,
            stood=tuple(one.name for one in evidence.vetoes if one.stood),
        ),
        memory,
    )


def _fresh_if_changed(memory: Memory, scene: Scene) -> Memory:
    versions = (scene.stable_version, scene.canary_version)
    if (memory.judged_since, memory.versions) == (scene.judged_since, versions):
        return memory
    if memory.versions[0] != scene.stable_version:
        memory = replace(memory, table=None, stable_health=None, drifting=None)
    return replace(
        memory,
        comparison=Comparison(),
        invalid=InvalidLosses(),
        judged_since=scene.judged_since,
        versions=versions,
    )


def _take_slices(parameters: Parameters, memory: Memory, evidence: Evidence, scene: Scene) -> Memory:
    table = evidence.slices
    if table is None or table is memory.table:
        return memory
    stable = scene.stable_version
    return replace(
        memory,
        table=table,
        health=health_of(table, parameters, before=memory.health, shadows=scene.shadows),
        stable_health=health_of(table, parameters, frozenset({stable}), memory.stable_health)
        if stable is not None
        else None,
        drifting=drifting_of(table, parameters, stable, memory.drifting, _sound_since(parameters, scene))
        if stable is not None and parameters.drift
        else None,
    )


def _sound_since(parameters: Parameters, scene: Scene) -> float:
    """From when on labels are of predictions that no veto was on."""
    return -inf if scene.lifted_at is None else scene.lifted_at + parameters.timing.delay


def _by_time(increments: tuple[Increment, ...]) -> list[tuple[Increment, ...]]:
    """Increments of one grid cell together, in their order."""
    cells: dict[float, list[Increment]] = {}
    for one in increments:
        cells.setdefault(one.end, []).append(one)
    return [tuple(cells[end]) for end in sorted(cells)]


def _take(
    parameters: Parameters,
    memory: Memory,
    cell: tuple[Increment, ...],
    evidence: Evidence,
    scene: Scene,
    ends: Vetoed,
) -> Memory:
    """Takes the increments of one grid cell of `evidence`."""
    nan = dict(memory.nan)
    for version in {one.version for one in cell}:
        nan[version] = any(not isfinite(one.losses.total) for one in cell if one.version == version)
    unseen = hidden(scene.shadows, cell[0].start, cell[0].end)
    memory = replace(memory, nan=nan, arms=seen(memory.arms, cell, parameters, evidence.delay_edges, unseen))
    stable, canary = scene.stable_version, scene.canary_version
    if stable is None or canary is None or nan.get(stable, False):
        return memory
    start = cell[0].start
    clear = ends.since(start, cell[0].end)
    # Labels come up to the delay after what they are of.
    sound = clear >= parameters.timing.delay
    if not _begun(scene, start):
        return replace(memory, comparison=remembered(memory.comparison, cell, stable)) if sound else memory
    # Until its pods were there the version's losses may be those of a template that is gone.
    there = not scene.transitions or (scene.transitions[0].end is not None and start >= scene.transitions[0].end)
    memory = _take_invalid(memory, cell, stable, canary) if sound and there else memory
    comparison = compared(
        memory.comparison,
        parameters,
        cell,
        evidence.edges,
        stable,
        canary,
        delay_edges=evidence.delay_edges,
        settled=min(clear, settled(scene, start, parameters.timing.warmup)),
        vetoed=clear < 0,
    )
    return replace(memory, comparison=comparison)


def _begun(scene: Scene, start: float) -> bool:
    return scene.judged_since is not None and start >= scene.judged_since


def _take_invalid(memory: Memory, cell: tuple[Increment, ...], stable: str, canary: str) -> Memory:
    """A NaN needs no label delay to be one: a counted invalid loss is evidence at once."""

    def totals(version: str) -> tuple[float, float]:
        mine = [one for one in cell if one.version == version]
        invalid = sum(one.invalid for one in mine)
        return invalid, invalid + sum(one.losses.count for one in mine)

    (bad_stable, all_stable), (bad_canary, all_canary) = totals(stable), totals(canary)
    return replace(
        memory,
        invalid=add_invalid(
            memory.invalid,
            invalid_stable=bad_stable,
            scored_stable=all_stable,
            invalid_canary=bad_canary,
            scored_canary=all_canary,
        ),
    )


_VERDICTS: Final = {
    GateVerdict.IMMATURE: Verdict.IMMATURE,
    GateVerdict.INCIDENT: Verdict.INCIDENT,
    GateVerdict.ROLLBACK: Verdict.WORSE,
}


def _canary(parameters: Parameters, memory: Memory, scene: Scene, at: float) -> CanaryJudgement:
    gate, invalid = parameters.gate, memory.invalid
    found = says(memory.comparison, gate, at)
    canary_nan = memory.nan.get(scene.canary_version or "", False)
    harm = found.harm or invalid.log_e >= log(HARM)
    mature = found.ripe or found.blocks > 0
    verdict = _VERDICTS.get(found.verdict, Verdict.UNDECIDED if mature else Verdict.IMMATURE)
    if invalid.log_e >= log(1 / gate.alpha):
        verdict = Verdict.INVALID_LOSSES
    elif found.verdict is GateVerdict.PROMOTE and found.canary >= gate.min_samples and not harm and not canary_nan:
        verdict = Verdict.NOT_WORSE
    return CanaryJudgement(verdict, found, invalid, harm, mature, canary_nan)


def _worse(canary: CanaryJudgement | None) -> bool:
    return canary is not None and canary.verdict in (Verdict.WORSE, Verdict.INVALID_LOSSES)
