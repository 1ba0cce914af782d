"""What a user writes: the ``spec`` of a ModelSLO (DESIGN section 5).

The CRD in ``crds/`` is generated from these models, so that every description, default and bound stands once.
Rules across fields are in :mod:`modelslo.api.rules`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from modelslo.api.jobtemplate import JobTemplate
from modelslo.api.quantity import MEND, Duration, Percent

LABEL_PATTERN: Final = "^[a-zA-Z_][a-zA-Z0-9_]*$"
METRIC_PATTERN: Final = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"
OBJECT_PATTERN: Final = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
ENV_PATTERN: Final = "^[-._a-zA-Z][-._a-zA-Z0-9]*$"
VETO_PATTERN: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
KEY_PATTERN: Final = "^[-._a-zA-Z0-9]+$"
URL_PATTERN: Final = "^https?://[^\\s]+$"
QUERY_PATTERN: Final = "\\S"
# What to write, by the pattern of the field.
MENDS: Final = MEND | {
    LABEL_PATTERN: "the name of a label, such as model_name",
    METRIC_PATTERN: "the name of a metric, such as ml_huber_loss",
    OBJECT_PATTERN: "lower-case letters, digits, - and ., such as fraud-canary",
    ENV_PATTERN: "the name of a variable, such as MODEL_VERSION",
    VETO_PATTERN: "lower-case letters, digits and -, such as features-stale",
    KEY_PATTERN: "letters, digits, -, _ and ., such as version",
    URL_PATTERN: "http:// or https:// and an address, such as http://prometheus.monitoring.svc:9090",
    QUERY_PATTERN: "a PromQL expression, such as up == 0",
}
LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=LABEL_PATTERN)]
MetricName = Annotated[str, Field(min_length=1, max_length=120, pattern=METRIC_PATTERN)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=OBJECT_PATTERN)]
EnvName = Annotated[str, Field(min_length=1, max_length=128, pattern=ENV_PATTERN)]
# Where neither steps nor shadow are given. No default of the schema: the API server would write it beside a shadow.
STEPS: Final = ("10%", "25%", "50%")
VetoName = Annotated[str, Field(min_length=1, max_length=63, pattern=VETO_PATTERN)]
ResultKey = Annotated[str, Field(min_length=1, max_length=63, pattern=KEY_PATTERN)]


class Part(BaseModel):
    """A part of the resource: camelCase outside, immutable, no unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Mode(StrEnum):
    ENFORCE = "Enforce"
    DRY_RUN = "DryRun"


class PrometheusSource(Part):
    """The Prometheus that holds the losses."""

    url: str | None = Field(
        None,
        max_length=512,
        pattern=URL_PATTERN,
        description="Base URL. Default: the operator's own setting. Must be on the operator's allow list.",
    )
    timeout: Duration = Field("10s", description="Longest wait for one answer; after it the evaluation is Unknown.")


class LossMetric(Part):
    """A Prometheus histogram of per-sample loss (`<metric>_sum`, `_count`, `_bucket`)."""

    metric: MetricName = Field(description="Name of the histogram without suffix, such as ml_huber_loss.")
    match_labels: dict[LabelName, Annotated[str, Field(max_length=256)]] = Field(
        min_length=1,
        max_length=16,
        description="Labels that select this model's series, such as model_name: fraud. Equality only.",
    )
    version_label: LabelName = Field("model_version", description="Label that carries the version that predicted.")
    namespace_label: LabelName = Field(
        "namespace",
        description="Label matched with the ModelSLO's own namespace: equal names in two namespaces stay apart.",
    )


class Statistic(StrEnum):
    MEAN = "Mean"


class Segments(Part):
    """Disjoint cohorts of the traffic; the arms are compared within each."""

    label: LabelName = Field("segment", description="Label that carries the segment.")


class Labels(Part):
    """How ground truth arrives (label lag and coverage)."""

    delay: Duration | None = Field(
        None,
        description="Time within which nearly all labels arrive after the prediction. No verdict on a canary before it "
        "has passed for both arms. Leave out when labels come with the prediction.",
    )
    delay_metric: MetricName | None = Field(
        None,
        description="Histogram of label delays in seconds without suffix, such as ml_label_delay_seconds. With it the "
        "arms are compared as soon as 98% of stable's labels are of predictions that both could make; without, the "
        "whole delay is waited for.",
    )
    age_label: LabelName | None = Field(
        None,
        description="Label on the loss that says how old each label is: the upper edge of the time from prediction to "
        "label in seconds, +Inf for the rest, such as age_bucket. With it labels of each age are compared with their "
        "like as soon as both arms can have them, and the whole delay is not waited for.",
    )
    predictions: MetricName = Field("ml_predictions_total", description="Counter of predictions served.")
    invalid: MetricName = Field(
        "ml_loss_invalid_total", description="Counter of losses that were NaN, infinite or negative."
    )
    max_age: Duration | None = Field(
        None,
        description="Labels older than this make the data insufficient. Default: 4 intervals plus the delay.",
    )
    min_coverage: Percent | None = Field(
        None, description="Least share of predictions that have labels; below it nothing is decided."
    )


class Indicator(Part):
    """How loss is measured."""

    prometheus: PrometheusSource = Field(default_factory=PrometheusSource)
    loss: LossMetric
    statistic: Statistic = Field(Statistic.MEAN, description="What the slices of the window are held against.")
    segments: Segments | None = None
    labels: Labels = Field(default_factory=Labels)


class Target(Part):
    """What a slice is held against."""

    value: float = Field(gt=0, allow_inf_nan=False, description="The statistic of a slice must not exceed this value.")


class Budgeting(StrEnum):
    TIMESLICES = "Timeslices"


class NoData(StrEnum):
    HOLD = "Hold"
    BAD = "Bad"
    EXCLUDE = "Exclude"


class Severity(StrEnum):
    FAST = "Fast"
    SLOW = "Slow"


class BurnRate(Part):
    """A multiwindow burn-rate rule: it burns when both windows are at or above the factor (SRE workbook, chapter 5)."""

    severity: Severity = Field(description="What the rule is for: retrain.trigger.burnRate names it.")
    long: Duration = Field(description="Long window: enough of the budget is spent to matter.")
    short: Duration = Field(description="Short window: it is still being spent.")
    factor: float = Field(gt=0, le=1000, description="Burn rate that both windows must reach.")


class Objective(Part):
    """What is promised: the statistic stays within the target in `goal` of the slices of the window."""

    target: Target
    goal: Percent = Field("99%", description="Share of the slices that must meet the target.")
    window: Duration = Field("28d", description="Rolling window of the promise.")
    slice: Duration = Field("5m", description="Length of a slice, on UTC's grid.")
    budgeting: Budgeting = Field(Budgeting.TIMESLICES, description="How the error budget is counted.")
    no_data: NoData = Field(
        NoData.HOLD,
        description="What a slice without enough samples counts as. Hold: neither good nor bad, and nothing is "
        "decided when too many are missing. Exclude: left out. Bad: spends budget.",
    )
    min_samples: int = Field(20, ge=1, le=1_000_000, description="Labelled samples that a slice needs to count.")
    burn_rates: list[BurnRate] | None = Field(
        None, min_length=1, max_length=4, description="Default: computed from window, slice and goal."
    )


class WorkloadRef(Part):
    """A Deployment in the ModelSLO's own namespace."""

    kind: Literal["Deployment"] = Field("Deployment", description="Kind of the workload.")
    name: ObjectName = Field(description="Name of the Deployment.")


class VersionFrom(Part):
    """Where a pod template says which version it serves."""

    env: EnvName = Field(
        "MODEL_VERSION",
        description="Environment variable of the first container, given as a plain value.",
    )


class OnDeadline(StrEnum):
    HOLD = "Hold"
    ROLLBACK = "Rollback"


class Gate(Part):
    """When a canary is good or bad: an anytime-valid test with the error rates that you state."""

    margin: Percent = Field("10%", description="How much worse than stable, relative, is still acceptable.")
    false_rollback: Percent = Field("5%", description="Accepted rate of rollbacks of a version inside the margin.")
    false_promote: Percent = Field("5%", description="Accepted rate of promotions of a version beyond the margin.")
    min_samples: int = Field(100, ge=1, le=10_000_000, description="Labelled canary samples before any promotion.")
    min_duration: Duration = Field("10m", description="Least time of judging before a promotion.")
    deadline: Duration = Field("24h", description="After this time without a verdict onDeadline applies.")
    on_deadline: OnDeadline = Field(
        OnDeadline.HOLD,
        description="Rollback applies only while data are sufficient. There is no promotion by time-out.",
    )


class Promotion(StrEnum):
    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class Shadow(Part):
    """A canary that gets copies of requests from a mirror and answers no user. The mirror is the user's own."""

    replicas: int = Field(1, ge=1, le=1000, description="Pods of the shadow: enough to answer every copy.")


class Rollout(Part):
    """The canary: a second Deployment behind the same Service, or a shadow behind a mirror."""

    stable: WorkloadRef
    canary: WorkloadRef
    version_from: VersionFrom = Field(default_factory=VersionFrom)
    shadow: Shadow | None = Field(
        None,
        description="The canary is a shadow: a mirror that you set up sends it copies of requests, and no user sees "
        "its answers. It has no steps, and its losses are not in the SLI. Keep its pods out of the users' Service.",
    )
    steps: list[Percent] | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="Shares of the traffic that the canary gets, one after the other, below 100%. "
        f"Default: {', '.join(STEPS)}; none for a shadow.",
    )
    step_duration: Duration = Field("10m", description="Least time on a step before the next.")
    warmup: Duration = Field("5m", description="Labels of predictions from this first stretch are not judged.")
    gate: Gate = Field(default_factory=Gate)
    promotion: Promotion = Field(
        Promotion.AUTOMATIC,
        description="Manual: a good canary waits for the annotation modelslo.dev/approve with its version.",
    )


class Trigger(StrEnum):
    BURN_RATE = "BurnRate"
    DRIFT = "Drift"


class RetrainTrigger(Part):
    """When stable needs a new model."""

    type: Trigger = Field(
        Trigger.BURN_RATE,
        description="BurnRate: stable burns its error budget too fast. Drift: an e-detector finds stable's mean loss "
        "above the target; it has a stated mean time between false alarms and knows the time of day.",
    )
    burn_rate: Severity = Field(Severity.SLOW, description="Burn rate of stable that counts as a breach (BurnRate).")
    sustained_for: Duration = Field("1h", description="How long the breach must last.")
    false_alarm_interval: Duration = Field(
        "90d", description="Mean time between two false alarms, at least (Drift). Longer: slower."
    )


class Candidate(Part):
    """How the result of a retrain Job gets into the canary's pod template, which is otherwise stable's.

    The Job's last succeeded pod writes one JSON object as its termination message; its key `version` is required.
    """

    env: dict[EnvName, ResultKey] = Field(
        default_factory=dict,
        max_length=16,
        description="Environment variables of the first container, each with the key of the result that it takes. "
        "The version variable is set by itself.",
    )
    image: ResultKey | None = Field(None, description="Key of the result that holds the image of the first container.")


class RetrainLimits(Part):
    """How often and how long may be retrained."""

    # At most what status.retrains remembers.
    max_runs: int = Field(3, ge=1, le=10, description="Most runs within `per`, failed ones included.")
    per: Duration = Field("7d", description="Window of maxRuns.")
    timeout: Duration = Field("6h", description="Longest run of one Job (real time).")


class Retrain(Part):
    """The retrain Job, launched when stable burns its budget too fast for too long."""

    trigger: RetrainTrigger = Field(default_factory=RetrainTrigger)
    template: JobTemplate = Field(
        description="A batch/v1 JobTemplateSpec ({metadata, spec}). The operator sets name, owner and three "
        "environment variables: MODELSLO_OPERATION_ID, MODELSLO_MODEL, MODELSLO_STABLE_VERSION.",
    )
    candidate: Candidate = Field(default_factory=Candidate)
    limits: RetrainLimits = Field(default_factory=RetrainLimits)


class Cooldown(Part):
    """Least time between two actions of a kind."""

    rollback: Duration = Field("1m", description="After a rollback, before the next one.")
    promote: Duration = Field("10m", description="After a promotion, before the next one.")
    retrain: Duration = Field("1d", description="After the start of a retrain, before the next one.")


class Veto(Part):
    """A sign that data upstream are broken. It stands while its query returns anything, like an alert without `for`."""

    name: VetoName = Field(description="What people are told, such as features-stale.")
    query: str = Field(
        min_length=1,
        max_length=2048,
        pattern=QUERY_PATTERN,
        description="PromQL, as the expression of an alerting rule. The veto stands while it returns any sample, "
        "whatever its value, 0 and NaN included: compare without bool, such as time() - "
        "max(features_updated_seconds) > 3600. Sent as it is, to the Prometheus of the losses.",
    )


class Guardrails(Part):
    """What may stop or delay a decision."""

    cooldown: Cooldown = Field(default_factory=Cooldown)
    vetoes: list[Veto] | None = Field(
        None,
        max_length=8,
        description="While one of them stands, or cannot be read, nothing is started, advanced, promoted, rolled back "
        "or retrained, and a canary is not compared. A canary whose pods never become available is rolled back all "
        "the same.",
    )


class ModelSLOSpec(Part):
    """The promise for one served model, and what may be done to keep it."""

    suspend: bool = Field(False, description="Stop before the next step of anything. Judging goes on.")
    mode: Mode = Field(Mode.ENFORCE, description="DryRun decides and reports but writes nothing but status.")
    interval: Duration = Field("1m", description="How often the model is judged.")
    indicator: Indicator
    objective: Objective
    rollout: Rollout | None = None
    retrain: Retrain | None = None
    guardrails: Guardrails = Field(default_factory=Guardrails)
