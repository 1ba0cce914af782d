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

from modelslo.judge.arms import Arm, Arms, seen
from modelslo.judge.budget import Health, health_of
from modelslo.judge.cause import Cause, Explanation, explain
from modelslo.judge.comparison import Compared, Comparison, compared, remembered, says
from modelslo.judge.drifting import Drifting, drifting_of
from modelslo.judge.invalid import InvalidLosses, add_invalid
from modelslo.judge.parameters import Parameters
from modelslo.judge.shadow import Shadow, hidden
from modelslo.judge.upstream import vetoes_of
from modelslo.judge.verdict import HARM, GateVerdict
from modelslo.judge.vetoed import Standing, Vetoed, standing, unknown, vetoed
from modelslo.observe.evidence import Evidence, Increment, SliceTable


class Unknown(StrEnum):
    """Why nothing can be said. Each is also a reason of a Hold."""

    NO_DATA = "NoData"
    STALE = "Stale"
    QUERY_ERROR = "QueryError"
    QUERY_TIMEOUT = "QueryTimeout"
    QUERY_WARNING = "QueryWarning"
    HISTORY_SHORT = "HistoryShort"
    NAN_LOSS = "NaNLoss"
    LOW_COVERAGE = "LowCoverage"
    COVERAGE_DIFFERS = "CoverageDiffers"
    VERSION_NOT_SEEN = "VersionNotSeen"
    VETO_UNKNOWN = "VetoUnknown"


class Verdict(StrEnum):
    UNDECIDED = "Undecided"
    IMMATURE = "Immature"  # the label delay has not passed for both arms
    WORSE = "Worse"
    INVALID_LOSSES = "InvalidLosses"
    NOT_WORSE = "NotWorse"
    INCIDENT = "Incident"  # stable's own loss has jumped: nothing can be said of the canary


@dataclass(frozen=True, slots=True)
class Span:
    """(start, end]; an open end is still running."""

    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Scene:
    """Who plays which role, and since when the canary is judged.

    ``transitions`` are the stretches in which the canary's share changed (pods starting); they and the warm-up and the
    label delay behind them are not compared, because the canary's labels are younger than stable's then.
    ``shadows``: no user sees these; the canary may be one of them. ``lifted_at`` is when the last veto was lifted:
    slices from before are no evidence of drift.
    """

    stable_version: str | None
    canary_version: str | None = None
    judged_since: float | None = None
    transitions: tuple[Span, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    lifted_at: float | None = None

    @property
    def shadow(self) -> bool:
        """Whether the canary is one."""
        return any(one.version == self.canary_version and one.until is None for one in self.shadows)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing is decided, in words for a person."""

    reason: Unknown
    message: str


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
    problem = _problem(parameters, memory, evidence, scene)
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
    memory = _take_invalid(memory, cell, stable, canary) if sound else memory
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


def settled(scene: Scene, start: float, warmup: float) -> float:
    """Seconds at `start` since the last transition, behind the first one also the warm-up; -inf while there is one.

    Labels of predictions made in that time are of both arms, at the shares of now.
    """
    found = inf
    for number, span in enumerate(scene.transitions):
        if start >= span.start:
            behind = warmup if number == 0 else 0.0
            found = min(found, -inf if span.end is None else start - span.end - behind)
    return found


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


_OLDEST_INTERVALS: Final = 4
_MIRROR: Final = " Does the mirror copy requests to the shadow?"


def _problem(parameters: Parameters, memory: Memory, evidence: Evidence, scene: Scene) -> Problem | None:
    """The first reason for which nothing may be decided now, most fundamental first."""
    if evidence.gap is not None:
        return Problem(Unknown(evidence.gap.reason), evidence.gap.message)
    if evidence.slice_gap is not None:
        return Problem(Unknown(evidence.slice_gap.reason), evidence.slice_gap.message)
    timing, stable = parameters.timing, scene.stable_version
    fresh = evidence.at - _OLDEST_INTERVALS * timing.interval - timing.settle
    for role, version in (("stable", stable), ("canary", scene.canary_version)):
        if version is None:
            continue
        newest = evidence.newest.get(version)
        if newest is None:
            return Problem(
                Unknown.VERSION_NOT_SEEN,
                f"Prometheus has no series of the {role} version {version!r}. Does the exporter set that version?"
                f"{_MIRROR if role == 'canary' and scene.shadow else ''}",
            )
        if newest < fresh:
            return Problem(
                Unknown.STALE,
                f"The newest sample of the {role} version {version!r} is {evidence.at - newest:.0f} s old.",
            )
    if stable is not None and memory.nan.get(stable, False):
        return Problem(
            Unknown.NAN_LOSS,
            f"The loss sum of the stable version {stable!r} is not a finite number: the exporter let a NaN or an "
            "infinite loss into it. Nothing is decided until it is finite again (restart the exporter).",
        )
    silent = unknown(evidence, parameters.vetoes)
    if silent:  # what is missing never acts, however it came to be missing
        return Problem(Unknown.VETO_UNKNOWN, f"Not known whether a veto stands: {', '.join(silent)}.")
    return _label_problem(parameters, memory, evidence.at, scene)


def _label_problem(parameters: Parameters, memory: Memory, at: float, scene: Scene) -> Problem | None:
    stable = scene.stable_version
    arm = memory.arms.by_version.get(stable) if stable is not None else None
    if arm is None or arm.last_label is None:
        return Problem(Unknown.NO_DATA, f"No labelled prediction of the stable version {stable!r} was seen so far.")
    if at - arm.last_label > parameters.timing.max_age:
        return Problem(
            Unknown.STALE,
            f"The newest label of the stable version {stable!r} is {at - arm.last_label:.0f} s old; "
            f"spec.indicator.labels.maxAge allows {parameters.timing.max_age:.0f} s.",
        )
    coverage = arm.coverage(parameters.timing.delay)
    if parameters.min_coverage > 0 and coverage is not None and coverage < parameters.min_coverage:
        return Problem(
            Unknown.LOW_COVERAGE,
            f"Only {coverage:.0%} of the predictions have labels; spec.indicator.labels.minCoverage asks for "
            f"{parameters.min_coverage:.0%}.",
        )
    return _selected(parameters, arm, memory, scene)


# Predictions of each arm from which on their coverage is compared, and how far apart it may be.
_LEAST_DUE: Final = 50.0
_LEAST_OF_OTHER: Final = 0.5


def _selected(parameters: Parameters, stable: Arm, memory: Memory, scene: Scene) -> Problem | None:
    """Arms of which other shares have labels cannot be compared: what is missing may be the bad ones.

    Only since the last change of the shares: before it labels and predictions do not belong together.
    """
    canary = memory.arms.by_version.get(scene.canary_version or "")
    changes = [span.end for span in scene.transitions]
    if canary is None or None in changes:
        return None
    since, delay = max((end for end in changes if end is not None), default=-inf), parameters.timing.delay
    (of_stable, due_stable), (of_canary, due_canary) = stable.covered(delay, since), canary.covered(delay, since)
    if min(due_stable, due_canary) < _LEAST_DUE:
        return None
    shares = of_stable / due_stable, of_canary / due_canary
    if min(shares) >= _LEAST_OF_OTHER * max(shares):
        return None
    return Problem(
        Unknown.COVERAGE_DIFFERS,
        f"{shares[1]:.0%} of the canary's predictions have labels and {shares[0]:.0%} of stable's: what is missing may "
        "be its bad or its good ones. Does the joiner know the predictions of both? Do labels take longer than "
        "spec.indicator.labels.delay?",
    )
