"""The operator's own metrics, read from what it has in memory: the series of a ModelSLO vanish with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from modelslo.api.spec import Mode, ModelSLOSpec
from modelslo.api.status import ModelSLOStatus, OperationType, Role
from modelslo.decide.decision import Decision
from modelslo.judge.cause import Cause
from modelslo.judge.judgement import Judgement, Verdict
from modelslo.observe.evidence import ModelKey

LATENESS_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
QUERY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_VERDICTS: Final = {Verdict.NOT_WORSE: 1.0, Verdict.WORSE: -1.0, Verdict.INVALID_LOSSES: -1.0}
_OF_MODEL: Final = ("slo_namespace", "slo")


class Histogram:
    """A cumulative histogram without labels."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        place = next((i for i, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))
        self.counts[place] += 1
        self.total += value

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        below, buckets = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            below += count
            buckets.append((bound, below))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self.total)


@dataclass(slots=True)
class ModelMetrics:
    """What is shown of one ModelSLO. ``at`` is the time of its last evaluation."""

    decisions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    actions: Counter[tuple[str, str]] = field(default_factory=Counter)
    spec: ModelSLOSpec | None = None
    status: ModelSLOStatus | None = None
    judgement: Judgement | None = None
    at: float = 0.0


class Metrics(Collector):
    """Register with a ``CollectorRegistry``. All methods are called in the engine's event loop."""

    def __init__(self) -> None:
        self.lateness = Histogram(LATENESS_BUCKETS)
        self.query_seconds = Histogram(QUERY_BUCKETS)
        self.evaluations: Counter[str] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()
        self.query_errors: Counter[str] = Counter()
        self._models: dict[ModelKey, ModelMetrics] = {}

    # --- told by the engine

    def request(self, verb: str, outcome: str) -> None:
        self.requests[verb, outcome] += 1

    def query(self, outcome: str, seconds: float) -> None:
        """The observer tells of every query; the outcome is Ok or a reason."""
        self.query_seconds.observe(seconds)
        if outcome != "Ok":
            self.query_errors[outcome] += 1

    def evaluated(
        self, key: ModelKey, spec: ModelSLOSpec, status: ModelSLOStatus, judgement: Judgement, at: float, late: float
    ) -> None:
        self.evaluations["done"] += 1
        self.lateness.observe(max(0.0, late))
        model = self._models.setdefault(key, ModelMetrics())
        model.spec, model.status, model.judgement, model.at = spec, status, judgement, at

    def missed(self, count: int) -> None:
        """Evaluations that were due while the one before was still under way."""
        self.evaluations["missed"] += count

    def failed(self) -> None:
        self.evaluations["failed"] += 1

    def decided(self, key: ModelKey, decision: Decision, mode: Mode) -> None:
        shown = "dry_run" if mode is Mode.DRY_RUN else "enforce"
        model = self._models.setdefault(key, ModelMetrics())
        model.decisions[decision.action, decision.reason, shown] += 1

    def acted(self, key: ModelKey, action: OperationType, result: str) -> None:
        """`result` is Succeeded or the reason of the failure."""
        self._models.setdefault(key, ModelMetrics()).actions[action, result] += 1

    def forget(self, key: ModelKey) -> None:
        self._models.pop(key, None)

    # --- asked by Prometheus

    def collect(self) -> Iterator[Metric]:
        yield from self._of_operator()
        models = sorted(self._models.items())
        yield from _counters(models)
        yield from _gauges(models)

    def _of_operator(self) -> Iterator[Metric]:
        done = CounterMetricFamily("modelslo_evaluations", "Evaluations that were due.", labels=["outcome"])
        for outcome in ("done", "missed", "failed"):
            done.add_metric([outcome], self.evaluations[outcome])
        yield done
        yield self.lateness.family("modelslo_evaluation_lateness_seconds", "From the grid time to the judgement.")
        yield self.query_seconds.family("modelslo_query_duration_seconds", "Time of a Prometheus query.")
        errors = CounterMetricFamily("modelslo_query_errors", "Prometheus queries that failed.", labels=["reason"])
        for reason, count in sorted(self.query_errors.items()):
            errors.add_metric([reason], count)
        yield errors
        requests = CounterMetricFamily(
            "modelslo_api_requests", "Requests of the engine to the API server.", labels=["verb", "outcome"]
        )
        for (verb, outcome), count in sorted(self.requests.items()):
            requests.add_metric([verb, outcome], count)
        yield requests


def _counters(models: list[tuple[ModelKey, ModelMetrics]]) -> Iterator[Metric]:
    decisions = CounterMetricFamily(
        "modelslo_decisions", "Decisions, Hold included.", labels=[*_OF_MODEL, "action", "reason", "mode"]
    )
    actions = CounterMetricFamily("modelslo_actions", "Operations that ended.", labels=[*_OF_MODEL, "action", "result"])
    for key, model in models:
        for taken, count in sorted(model.decisions.items()):
            decisions.add_metric([key.namespace, key.name, *taken], count)
        for ended, count in sorted(model.actions.items()):
            actions.add_metric([key.namespace, key.name, *ended], count)
    yield decisions
    yield actions


@dataclass(frozen=True, slots=True)
class _Sample:
    metric: str
    value: float | None
    labels: tuple[str, ...] = ()


_GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "modelslo_objective": ("Target of the statistic.", ()),
    "modelslo_sli_value": ("Mean loss: of the newest slice (union) or lately (roles).", ("version_role",)),
    "modelslo_samples": ("Labelled samples behind modelslo_sli_value.", ("version_role",)),
    "modelslo_error_budget_remaining_ratio": ("Share of the error budget that is left; negative: overdrawn.", ()),
    "modelslo_burn_rate": ("Burn rate: 1 spends the budget in exactly one window.", ("severity", "window")),
    "modelslo_drift_e_value": ("Evidence that stable drifts; an alarm at modelslo_drift_threshold.", ()),
    "modelslo_drift_threshold": ("Slices between two false alarms, on average at least.", ()),
    "modelslo_probable_cause": ("1 for the probable cause of a high loss; absent without one.", ("cause",)),
    "modelslo_veto_standing": ("1 for each upstream veto that stands; absent otherwise.", ("veto",)),
    "modelslo_canary_verdict": ("1 good, 0 unknown, -1 bad; absent without a canary.", ()),
    "modelslo_canary_weight_ratio": ("Measured share of the canary in the users' traffic; 0 for a shadow.", ()),
    "modelslo_no_data": ("1 for the reason for which nothing is decided.", ("reason",)),
    "modelslo_operation_in_progress": ("1 while an operation is carried out.", ("action", "step")),
    "modelslo_last_evaluation_timestamp_seconds": ("When the model was last judged.", ()),
    "modelslo_stalled": ("1 while a person has to mend something.", ("reason",)),
}


def _gauges(models: list[tuple[ModelKey, ModelMetrics]]) -> Iterator[Metric]:
    families = {
        name: GaugeMetricFamily(name, text, labels=[*_OF_MODEL, *labels]) for name, (text, labels) in _GAUGES.items()
    }
    for key, model in models:
        for sample in _samples(model):
            if sample.value is not None:
                families[sample.metric].add_metric([key.namespace, key.name, *sample.labels], sample.value)
    yield from families.values()


def _stability(status: ModelSLOStatus) -> Iterator[_Sample]:
    """What a retrain may be triggered by, and what a high loss comes from."""
    for burn in status.burn_rates:
        yield _Sample("modelslo_burn_rate", burn.long, (burn.severity.lower(), "long"))
        yield _Sample("modelslo_burn_rate", burn.short, (burn.severity.lower(), "short"))
    if status.drift is not None:
        yield _Sample("modelslo_drift_e_value", status.drift.e_value)
        yield _Sample("modelslo_drift_threshold", status.drift.threshold)
    if status.diagnosis is not None and status.diagnosis.cause != Cause.NONE:
        yield _Sample("modelslo_probable_cause", 1, (status.diagnosis.cause,))


def _samples(model: ModelMetrics) -> Iterator[_Sample]:
    status, spec, judgement = model.status, model.spec, model.judgement
    if status is None or spec is None:
        return
    yield _Sample("modelslo_objective", spec.objective.target.value)
    yield _Sample("modelslo_last_evaluation_timestamp_seconds", model.at)
    if status.sli is not None:
        yield _Sample("modelslo_sli_value", status.sli.value, ("union",))
        yield _Sample("modelslo_samples", status.sli.samples, ("union",))
    for name, role in (("stable", status.stable), ("canary", status.canary)):
        yield from _role(name, role)
    if status.rollout is not None and status.canary is not None:
        share = 0.0 if status.rollout.shadow else status.canary.traffic_share
        yield _Sample("modelslo_canary_weight_ratio", share)
    if status.budget is not None:
        yield _Sample("modelslo_error_budget_remaining_ratio", status.budget.remaining)
    yield from _stability(status)
    if judgement is not None:
        yield from _judged(judgement)
    if status.operation is not None:
        yield _Sample("modelslo_operation_in_progress", 1, (status.operation.type, status.operation.step))
    for condition in status.conditions:
        if condition.type == "Stalled" and condition.status == "True":
            yield _Sample("modelslo_stalled", 1, (condition.reason,))


def _role(name: str, role: Role | None) -> Iterator[_Sample]:
    if role is None:
        return
    yield _Sample("modelslo_sli_value", role.loss, (name,))
    yield _Sample("modelslo_samples", role.samples, (name,))


def _judged(judgement: Judgement) -> Iterator[_Sample]:
    if judgement.problem is not None:
        yield _Sample("modelslo_no_data", 1, (judgement.problem.reason,))
    for veto in judgement.standing:
        yield _Sample("modelslo_veto_standing", 1, (veto.name,))
    if judgement.canary is not None:
        known = judgement.problem is None and not judgement.standing
        yield _Sample("modelslo_canary_verdict", _VERDICTS.get(judgement.canary.verdict, 0.0) if known else 0.0)
