"""Canary against stable on the evidence of the live operator: grid cells in, what the gate says of them out.

The gate itself (:mod:`modelslo.judge.gate`) knows scrapes of two arms with rows for segments. Here increments of any
number of series become such rows; segments and buckets are settled when the comparison begins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isfinite, log, sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import Array
from modelslo.judge.gate import Gate, advance
from modelslo.judge.increments import Delta, Step
from modelslo.judge.maturity import wait
from modelslo.judge.parameters import GateParameters, Parameters
from modelslo.judge.scale import SMALLEST_SEGMENT, Data, Rules
from modelslo.judge.trial import Trial
from modelslo.judge.verdict import GateVerdict, harmful, said_by, verdict_of
from modelslo.observe.evidence import NO_AGE, NO_SEGMENT, Increment

_SEGMENT_MARGINS: Final = 3.0


@dataclass(frozen=True, slots=True)
class SegmentVerdict:
    """e-values (natural logarithms) of one segment; ``guilty``: named by e-BH at the false-rollback rate."""

    name: str
    log_e_rollback: float
    log_e_promote: float
    guilty: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """What the comparison says at one look. Logarithms are natural; labels are those that were compared.

    The e-values of the whole are those that verdicts rest on; ``harm`` is evidence that forbids promotion and advance.

    ``ratio`` is the canary's mean loss over stable's, ``low`` to ``high`` its anytime-valid interval (Robbins' band,
    decision-statistics section 5). ``phi`` is the overdispersion of clustered labels, ``data`` what was judged by.
    ``delay`` (s) is what labels are waited for: as long as 98 % of them take, or what the user states; None: neither
    is known yet. ``young``: only quick labels may be compared now, which speak against a canary and not for it.
    """

    verdict: GateVerdict = GateVerdict.INSUFFICIENT_DATA
    data: Data | None = None
    log_e_rollback: float = 0.0
    log_e_promote: float = 0.0
    log_e_tail: float | None = None
    harm: bool = False
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    stable: float = 0.0
    canary: float = 0.0
    blocks: int = 0
    phi: float = 1.0
    ripe: bool = False
    young: bool = False
    delay: float | None = None
    segments: tuple[SegmentVerdict, ...] = ()

    @property
    def guilty(self) -> tuple[str, ...]:
        """Names of the segments that are worse."""
        return tuple(one.name for one in self.segments if one.guilty)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """State of the fold. Start, also after a restart: ``Comparison()``, then replay.

    ``history`` are the cells of stable before the rollout, until ``rules`` are settled with its first cell; with ages
    it is kept. ``apart``: the arms told ages by other edges, so that no age is gone by any more.
    """

    rules: Rules | None = None
    gate: Gate = field(default_factory=Gate)
    history: tuple[tuple[Increment, ...], ...] = ()
    apart: bool = False


def remembered(comparison: Comparison, cell: Sequence[Increment], stable: str) -> Comparison:
    """Takes a cell from before the rollout: stable's history."""
    mine = tuple(one for one in cell if one.version == stable)
    return replace(comparison, history=(*comparison.history, mine)) if mine else comparison


def compared(
    comparison: Comparison,
    parameters: Parameters,
    cell: Sequence[Increment],
    edges: tuple[float, ...],
    stable: str,
    canary: str,
    *,
    delay_edges: tuple[float, ...] = (),
    settled: float = inf,
    vetoed: bool = False,
) -> Comparison:
    """Takes a cell of the rollout. `settled`: seconds for which both arms have had their share of now. `vetoed`: a veto
    stands, and what stable loses is not what it usually does."""
    edges, delay_edges = _edges(comparison.rules, edges, delay_edges)
    rules = comparison.rules
    if rules is None or (rules.edges, rules.lag_edges) != (edges, delay_edges):
        # Buckets that change in the middle begin at E = 1: what was bet on other scores cannot be added up.
        comparison, rules = _begun(comparison, parameters, edges, delay_edges, cell, stable)
    if rules.ages and any(_ages(cell, version) not in (rules.ages, None) for version in (stable, canary)):
        # Cohorts of other edges are of other ages: all labels are waited for, as if none was told.
        comparison = replace(comparison, apart=True)
        comparison, rules = _begun(comparison, parameters, edges, delay_edges, cell, stable)
    delta_c = _delta(rules, [one for one in cell if one.version == canary])
    delta_s = None if vetoed else _delta(rules, [one for one in cell if one.version == stable])
    step = Step(cell[0].end, delta_s, delta_c, settled)
    return replace(comparison, gate=advance(comparison.gate, rules, step, True))


def _edges(
    rules: Rules | None, edges: tuple[float, ...], delay_edges: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Those of now; where nothing was counted the ones before still hold."""
    return (edges, delay_edges) if rules is None else (edges or rules.edges, delay_edges or rules.lag_edges)


def _begun(
    comparison: Comparison,
    parameters: Parameters,
    edges: tuple[float, ...],
    delay_edges: tuple[float, ...],
    cell: Sequence[Increment],
    stable: str,
) -> tuple[Comparison, Rules]:
    """Settles what is judged by, from stable's history; without one the first cell tells the segments and ages."""
    share = _shares(comparison.history) or _shares([cell])
    named = tuple(sorted(name for name, part in share.items() if part >= SMALLEST_SEGMENT))
    segments = (*named, NO_SEGMENT) if named and named != (NO_SEGMENT,) and NO_SEGMENT not in named else named
    segments = () if segments == (NO_SEGMENT,) else segments
    smallest = min((share[name] for name in named), default=1.0)
    told = (_ages(one, stable) for one in (cell, *reversed(comparison.history)))
    ages = () if comparison.apart else next((one for one in told if one is not None), ())
    rules = rules_of(parameters, edges, segments, smallest, comparison.history, delay_edges, ages)
    kept = comparison.history if ages else ()
    return Comparison(rules, before(rules, comparison.history), kept, comparison.apart), rules


def _ages(cell: Sequence[Increment], version: str) -> tuple[float, ...] | None:
    """Ages by which the labels of a version are told apart, empty where they are not; None: there are no labels."""
    mine = [one for one in cell if one.version == version]
    if not any(one.losses.count > 0 for one in mine):
        return None
    found = sorted({NO_AGE, *(one.age for one in mine)})
    return tuple(found) if len(found) > 1 else ()


def before(rules: Rules, cells: Iterable[Sequence[Increment]]) -> Gate:
    """The gate that has seen these cells of stable, before any rollout."""
    gate = Gate()
    for cell in cells:
        gate = advance(gate, rules, Step(cell[0].end, _delta(rules, cell), None), False)
    return gate


def rules_of(
    parameters: Parameters,
    edges: tuple[float, ...],
    segments: tuple[str, ...],
    smallest: float,
    history: Iterable[Sequence[Increment]] = (),
    delay_edges: tuple[float, ...] = (),
    ages: tuple[float, ...] = (),
) -> Rules:
    """Rules of the gate; `smallest` is the traffic share of the smallest segment (decision-statistics section 10)."""
    gate, timing = parameters.gate, parameters.timing
    # What stands for delays or predictions alone has no losses, and no squares of them.
    squares = all(one.losses.squares is not None for cell in history for one in cell if one.losses.count > 0)
    return Rules(
        edges=edges,
        lag_edges=delay_edges,
        margin=gate.margin,
        segment_margin=max(_SEGMENT_MARGINS * gate.margin, gate.margin / sqrt(smallest)),
        alpha=gate.alpha,
        beta=gate.beta,
        warmup=timing.warmup,
        segments=segments,
        has_squares=squares,
        delay=timing.delay,
        tempo=replace(timing.tempo, least_age=timing.min_duration),  # the user's own word
        ages=ages,
    )


def _shares(cells: Iterable[Sequence[Increment]]) -> dict[str, float]:
    labels: dict[str, float] = {}
    for cell in cells:
        for one in cell:
            labels[one.segment] = labels.get(one.segment, 0.0) + one.losses.count
    total = sum(labels.values())
    return {name: count / total for name, count in labels.items()} if total > 0 else {}


def _delta(rules: Rules, cell: Sequence[Increment]) -> Delta | None:
    """Rows: the whole arm, then the segments, each at all ages; None: no series.

    Segments that were not known before go with the rest, and ages with the next above.
    """
    if not cell:
        return None
    ages = rules.ages or (NO_AGE,)
    place = {name: 1 + number * len(ages) for number, name in enumerate(rules.segments)}
    rest = place.get(NO_SEGMENT, 0 if rules.segments or not rules.ages else 1)
    width = len(rules.edges) + 1 if rules.edges else 0
    rows = 1 + (rules.number_of_strata if rules.segments or rules.ages else 0)
    count, total, squares = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    buckets = np.zeros((rows, width))
    for one in cell:
        if width and len(one.losses.buckets) != width:
            continue  # without buckets among others with them it cannot be scored
        first = place.get(one.segment, rest)
        for row in {0, first + bisect_left(ages, one.age) if first else 0}:
            count[row] += one.losses.count
            total[row] += one.losses.total
            if one.losses.count > 0:
                squares[row] += np.nan if one.losses.squares is None else one.losses.squares
            if width:
                buckets[row] += one.losses.buckets
    return Delta(
        count=count,
        total=total,
        squares=squares if rules.has_squares else None,
        buckets=buckets,
        predictions=sum(one.predictions for one in cell),
        lags=_delays(rules, cell),
    )


def _delays(rules: Rules, cell: Sequence[Increment]) -> Array | None:
    """Labels of each delay; None where they are not told."""
    told = [one.delays for one in cell if one.delays and len(one.delays) == len(rules.lag_edges) + 1]
    return np.sum(told, axis=0) if told else None


def says(comparison: Comparison, gate: GateParameters, at: float) -> Compared:
    """What may be said at time `at`."""
    trial, rules = comparison.gate.trial, comparison.rules
    if trial is None or rules is None:
        return Compared()
    said, contrast = said_by(trial), trial.contrast
    low, high = _band(trial, gate)
    return Compared(
        verdict=verdict_of(comparison.gate, rules, at, said),
        data=trial.scale.data,
        log_e_rollback=said.rollback,
        log_e_promote=said.promote,
        log_e_tail=trial.e.tail,
        harm=harmful(trial),
        ratio=contrast.ratio,
        low=low,
        high=high,
        stable=contrast.stable,
        canary=contrast.canary,
        blocks=contrast.blocks,
        phi=trial.tempering.phi,
        ripe=trial.ripe,
        young=trial.young,
        delay=_waited(comparison.gate, rules),
        segments=_segments(trial, rules),
    )


def _waited(gate: Gate, rules: Rules) -> float | None:
    if not rules.lag_edges:
        return rules.delay
    found = wait(gate.delays, rules.lag_edges)
    return found if isfinite(found) else None


def _band(trial: Trial, gate: GateParameters) -> tuple[float | None, float | None]:
    """Robbins' band |S - E S| <= sqrt((V + rho)(2 ln(1/alpha) + ln(1 + V/rho))) on the ratio of mean losses.

    V is that of independent labels times phi; rho makes the band tightest where one margin is decided.
    """
    contrast, mean = trial.contrast, trial.forecast.overall
    if contrast.ratio is None or not mean > 0:
        return None, None
    cv2 = trial.cv2
    variance = max(trial.canary_spread.variance(cv2), trial.scale.r**2 * cv2) * mean * mean
    v, evidence = contrast.weight * variance * trial.tempering.phi, 2 * log(1 / gate.alpha)
    rho = evidence * (variance / (gate.margin * mean)) ** 2 / (evidence + log(1 + evidence))
    half = sqrt((v + rho) * (evidence + log(1 + v / rho))) / contrast.of_stable if rho > 0 else 0.0
    return contrast.ratio - half, contrast.ratio + half


def _segments(trial: Trial, rules: Rules) -> tuple[SegmentVerdict, ...]:
    e = trial.e
    if len(e.segments_rollback) != len(rules.segments):  # small ones were pooled
        return ()
    guilty = e_bh(e.segments_rollback, rules.alpha)
    return tuple(
        SegmentVerdict(name or "others", back, forth, number in guilty)
        for number, (name, back, forth) in enumerate(
            zip(rules.segments, e.segments_rollback, e.segments_promote, strict=True)
        )
    )


def e_bh(log_e: Sequence[float], alpha: float) -> frozenset[int]:
    """Indices that e-BH rejects at false discovery rate `alpha`: the k largest with E >= G / (alpha k) (Wang & Ramdas
    2022)."""
    order = sorted(range(len(log_e)), key=lambda index: -log_e[index])
    fit = [k for k, index in enumerate(order, 1) if log_e[index] >= log(len(log_e) / (alpha * k))]
    return frozenset(order[: max(fit, default=0)])
