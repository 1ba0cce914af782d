"""The promises of one ModelSLO as numbers, times scaled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import ceil

from modelslo.api.quantity import ratio, seconds
from modelslo.api.spec import Indicator, ModelSLOSpec, NoData, Objective, Severity, Trigger
from modelslo.judge.timing import Timing

# SRE workbook, table 5-8, at 28 days: (share of the window, budget spent in it). One hour 2 %, six hours 5 %.
_FAST, _SLOW = (1 / 672, 0.02), (1 / 112, 0.05)
# A burn rate that needs more than this share of bad slices cannot be told from "all bad".
_HIGHEST_ERROR_RATE = 0.9
# Of the judge: another one cannot go on where this one was.
_SCHEMA = 12


@dataclass(frozen=True, slots=True)
class BurnRule:
    """Burns when the burn rates of both windows (in slices) are at or above ``factor``."""

    severity: Severity
    long: int
    short: int
    factor: float


@dataclass(frozen=True, slots=True)
class GateParameters:
    """``margin`` is relative; ``alpha`` bounds false rollbacks and ``beta`` false promotions, each over all looks."""

    margin: float
    alpha: float
    beta: float
    min_samples: int

    @property
    def tolerated_ratio(self) -> float:
        """Canary's mean loss over stable's that is just acceptable."""
        return 1 + self.margin


@dataclass(frozen=True, slots=True)
class Parameters:
    timing: Timing
    target: float
    budget: float  # 1 - goal, share of slices that may be bad
    no_data: NoData
    min_slice_samples: int
    window_slices: int
    burn_rules: tuple[BurnRule, ...]
    gate: GateParameters
    min_coverage: float
    trigger: Severity | None
    drift: bool = False  # the e-detector triggers a retrain, not the burn rate
    delays: bool = False  # a histogram tells the label delays
    vetoes: tuple[str, ...] = ()  # names of those that must be known before anything is decided
    ages: bool = False  # a label tells how old each label is
    series: str = ""  # which losses are read, by metric and labels

    def gate_digest(self) -> str:
        """Changes whenever judging of a canary must start afresh (E = 1).

        Vetoes are not in it: with another one the history is replayed, and what came while it stood is left out.
        """
        times = (self.timing.interval, self.timing.delay, self.timing.warmup, self.timing.settle, self.timing.tempo)
        frozen = (_SCHEMA, self.gate, self.delays, self.series, *times, *(["ages"] if self.ages else []))
        return hashlib.sha256(repr(frozen).encode()).hexdigest()[:16]


def parameters_of(spec: ModelSLOSpec, timing: Timing) -> Parameters:
    objective, gate = spec.objective, spec.rollout.gate if spec.rollout else None
    return Parameters(
        timing=timing,
        target=objective.target.value,
        budget=1 - ratio(objective.goal),
        no_data=objective.no_data,
        min_slice_samples=objective.min_samples,
        window_slices=round(seconds(objective.window) / seconds(objective.slice)),
        burn_rules=burn_rules_of(objective),
        gate=GateParameters(
            margin=ratio(gate.margin) if gate else 0.1,
            alpha=ratio(gate.false_rollback) if gate else 0.05,
            beta=ratio(gate.false_promote) if gate else 0.05,
            min_samples=gate.min_samples if gate else 100,
        ),
        min_coverage=ratio(spec.indicator.labels.min_coverage) if spec.indicator.labels.min_coverage else 0.0,
        trigger=spec.retrain.trigger.burn_rate if spec.retrain else None,
        drift=spec.retrain is not None and spec.retrain.trigger.type is Trigger.DRIFT,
        delays=spec.indicator.labels.delay_metric is not None,
        vetoes=tuple(one.name for one in spec.guardrails.vetoes or ()),
        ages=spec.indicator.labels.age_label is not None,
        series=_series(spec.indicator),
    )


def _series(indicator: Indicator) -> str:
    """What is meant by the losses of this model. Another Prometheus is the same data, and is not in it."""
    loss, labels, segments = indicator.loss, indicator.labels, indicator.segments
    names = (loss.metric, loss.version_label, loss.namespace_label, segments.label if segments else None)
    return repr((names, sorted(loss.match_labels.items()), labels.delay_metric, labels.age_label, labels.invalid))


def burn_rules_of(objective: Objective) -> tuple[BurnRule, ...]:
    """The user's burn-rate rules in slices, or the SRE workbook's scaled to the window.

    Where slices are too coarse for the workbook's windows these grow to 12 (fast) and 36 (slow) slices, at most a
    quarter and half of the window; the factor is p * W / L, at least 1, and never asks for more than 90 % bad slices.
    """
    one = seconds(objective.slice)
    if objective.burn_rates is not None:
        return tuple(
            BurnRule(
                rule.severity,
                max(1, round(seconds(rule.long) / one)),
                max(1, round(seconds(rule.short) / one)),
                rule.factor,
            )
            for rule in objective.burn_rates
        )
    slices = round(seconds(objective.window) / one)
    most = _HIGHEST_ERROR_RATE / (1 - ratio(objective.goal))
    rules = []
    for severity, (share, spent), least, portion in (
        (Severity.FAST, _FAST, 12, 4),
        (Severity.SLOW, _SLOW, 36, 2),
    ):
        long = max(1, min(max(ceil(slices * share), least), slices // portion))
        factor = min(max(spent * slices / long, 1.0), most)
        rules.append(BurnRule(severity, long, max(1, round(long / 12)), factor))
    return tuple(rules)
