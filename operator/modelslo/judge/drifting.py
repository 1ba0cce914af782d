"""The e-detector on the closed slices of the live operator: does stable drift? Pure.

Slices are what Prometheus is read for anyway, and read again after a restart. So there is no state to be kept: what is
said follows from the table, and from when it is sound again, which status keeps. The fold begins at a whole multiple of
a day (less where the window is short), one to two of them ago, and not before a veto on the data upstream was lifted.
That only makes alarms rarer: the wealth M is at least 0 wherever it begins. What lies before is the baseline: variance
and season.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Final

import numpy as np

from modelslo.judge.drift import Block, Detector, DriftRules, Health, began, closed, health_of
from modelslo.judge.history import History
from modelslo.judge.parameters import Parameters
from modelslo.judge.scale import Rules
from modelslo.observe.evidence import Slice, SliceTable

# The fold covers one to two such parts of the window, the baseline at least one.
PARTS: Final = 4
_FEW: Final = 300


@dataclass(frozen=True, slots=True, eq=False)
class Drifting:
    """At the end of slice ``last``. ``log_e`` is the detector's mixture, an alarm from ``log_threshold`` on (nats).

    ``level`` is the mean loss that the SLO allows, ``false_interval`` (s) the mean time between false alarms at least.
    """

    health: Health
    log_e: float
    log_threshold: float
    level: float
    false_interval: float
    version: str
    start: int
    last: int
    detector: Detector = field(repr=False)
    sound: float = -inf  # slices that begin before are left out (Unix s)


def drifting_of(
    table: SliceTable,
    parameters: Parameters,
    version: str,
    before: Drifting | None = None,
    sound: float = -inf,
) -> Drifting:
    """What the slices of `version` that begin at `sound` or later say; `before` is what they said up to an earlier
    slice, and saves time only."""
    rules = _rules(parameters)
    drift = DriftRules(
        parameters.target, parameters.timing.false_alarm_interval, parameters.timing.sustained_for, table.length
    )
    span = span_of(parameters, drift.blocks)
    start = max(table.first, (table.last + 1) // span * span - span)
    known = None if before is None else (before.version, before.start, before.sound)
    if before is not None and known == (version, start, sound) and before.last <= table.last:
        detector, after = before.detector, before.last
    else:
        detector, after = _baseline(table, parameters, rules, drift, start + 2 * span, start, version), start - 1
    for one in _between(table, after + 1, table.last):
        total, labels = one.by_version.get(version, (0.0, 0.0))
        if labels > 0 and one.index * table.length >= sound:
            detector = closed(detector, rules, drift, Block(one.index, labels, total))
            detector = replace(detector, last_label=(one.index + 1) * table.length, gap=table.length)
    at = (table.last + 1) * table.length
    health = health_of(detector, drift, at, parameters.timing.tempo.quiet)
    return Drifting(
        health,
        detector.log_e,
        drift.log_a,
        parameters.target,
        drift.false_interval,
        version,
        start,
        table.last,
        detector,
        sound,
    )


def span_of(parameters: Parameters, blocks: int) -> int:
    """Slices of one part of the fold: a day, or as many as the window allows; never fewer than an alarm needs."""
    timing = parameters.timing
    return max(blocks, 1, min(round(timing.tempo.day / timing.slice), parameters.window_slices // PARTS))


def _rules(parameters: Parameters) -> Rules:
    """Slices have sums and counts alone."""
    gate = parameters.gate
    return Rules(
        edges=(),
        lag_edges=(),
        margin=gate.margin,
        segment_margin=gate.margin,
        alpha=gate.alpha,
        beta=gate.beta,
        warmup=0.0,
        has_squares=False,
        tempo=parameters.timing.tempo,
    )


def _baseline(
    table: SliceTable, parameters: Parameters, rules: Rules, drift: DriftRules, end: int, start: int, version: str
) -> Detector:
    """From slices that stay in the window until the fold ends: what a restarted operator reads is the same."""
    past, labels = [], 0.0
    for one in _between(table, max(table.first, end - parameters.window_slices), start - 1):
        total, count = one.by_version.get(version, (0.0, 0.0))
        if count > 0:
            past.append(((one.index + 0.5) * table.length, count, nan, total / count))
            labels += count
    return began(Detector(past=tuple(past)), rules, drift, History(count=np.array([labels])))


def _between(table: SliceTable, first: int, last: int) -> Iterable[Slice]:
    slices = table.slices
    position = bisect_left(slices, first, key=lambda one: one.index)
    # Packed slices are unpacked one by one, or all of them in a third of the time.
    few = len(slices) - position <= _FEW
    found = (slices[at] for at in range(position, len(slices))) if few else iter(slices)
    return (one for one in found if first <= one.index <= last)
