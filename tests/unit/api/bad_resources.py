"""ModelSLOs that must be refused, and the words of the refusal. One row per rule, and one per kind of bound.

The same table is held against the Python checks here and against a real API server in ``tests/integration``.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Mark(Enum):
    """Of a field that is not there."""

    GONE = "gone"


GONE: Final = Mark.GONE

POD: Final[dict[str, Any]] = {
    "restartPolicy": "Never",
    "containers": [{"name": "trainer", "image": "registry.example/trainer:1"}],
}
GOOD: Final[dict[str, Any]] = {
    "apiVersion": "modelslo.dev/v1alpha1",
    "kind": "ModelSLO",
    "metadata": {"name": "fraud", "namespace": "default"},
    "spec": {
        "interval": "1m",
        "indicator": {
            "prometheus": {"url": "http://prometheus:9090"},
            "loss": {
                "metric": "ml_huber_loss",
                "matchLabels": {"model_name": "fraud"},
                "versionLabel": "model_version",
                "namespaceLabel": "namespace",
            },
            "segments": {"label": "segment"},
            "labels": {"delay": "30m", "maxAge": "1h", "minCoverage": "80%"},
        },
        "objective": {
            "target": {"value": 0.35},
            "goal": "90%",
            "window": "28d",
            "slice": "5m",
            "burnRates": [
                {"severity": "Fast", "long": "1h", "short": "5m", "factor": 9},
                {"severity": "Slow", "long": "1d", "short": "2h", "factor": 2.5},
            ],
        },
        "rollout": {
            "stable": {"name": "fraud-stable"},
            "canary": {"name": "fraud-canary"},
            "versionFrom": {"env": "MODEL_VERSION"},
            "steps": ["10%", "50%"],
            "warmup": "5m",
            "gate": {"minDuration": "10m", "deadline": "1d"},
        },
        "retrain": {
            "trigger": {"burnRate": "Slow", "sustainedFor": "1h"},
            "template": {"spec": {"backoffLimit": 0, "template": {"spec": POD}}},
            "candidate": {"env": {"MODEL_URI": "uri"}},
            "limits": {"maxRuns": 2},
        },
    },
}


@dataclass(frozen=True, slots=True)
class Bad:
    """`changes` are made to the good resource; the refusal names `field` and holds every word of `says`."""

    name: str
    changes: dict[str, Any]
    field: str
    says: tuple[str, ...]

    def resource(self) -> dict[str, Any]:
        return changed(self.changes)


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The good resource with the values at these dotted paths; GONE takes the field out."""
    resource = deepcopy(GOOD)
    for path, value in changes.items():
        part = resource
        *way, last = path.split(".")
        for name in way:
            part = part.setdefault(name, {})
        if value is GONE:
            del part[last]
        else:
            part[last] = deepcopy(value)
    return resource


def _burn(**entry: Any) -> list[dict[str, Any]]:
    return [
        GOOD["spec"]["objective"]["burnRates"][1],
        {"severity": "Fast", "long": "1h", "short": "5m", "factor": 2} | entry,
    ]


_LOSS, _OBJECTIVE, _ROLLOUT, _RETRAIN = "spec.indicator.loss", "spec.objective", "spec.rollout", "spec.retrain"
_LABELS, _GATE, _JOB_POD = "spec.indicator.labels", f"{_ROLLOUT}.gate", f"{_RETRAIN}.template.spec.template.spec"

# By the names of modelslo.api.rules.RULES.
RULE_ROWS: Final = (
    Bad(
        "metric-without-suffix",
        {f"{_LOSS}.metric": "ml_huber_loss_sum"},
        f"{_LOSS}.metric",
        ("ml_huber_loss_sum", "without _bucket, _sum or _count"),
    ),
    Bad(
        "no-reserved-match-label",
        {f"{_LOSS}.matchLabels": {"model_name": "fraud", "le": "1"}},
        f"{_LOSS}.matchLabels",
        ("contains le", "take it out"),
    ),
    Bad(
        "version-label-not-matched",
        {f"{_LOSS}.matchLabels": {"model_name": "fraud", "model_version": "7"}},
        f"{_LOSS}.matchLabels",
        ("contains model_version", "loss.versionLabel", "take it out"),
    ),
    Bad(
        "namespace-label-not-matched",
        {f"{_LOSS}.matchLabels": {"model_name": "fraud", "namespace": "x"}},
        f"{_LOSS}.matchLabels",
        ("contains namespace", "loss.namespaceLabel", "take it out"),
    ),
    Bad(
        "segment-label-not-matched",
        {f"{_LOSS}.matchLabels": {"model_name": "fraud", "segment": "x"}},
        f"{_LOSS}.matchLabels",
        ("contains segment", "segments.label", "take it out"),
    ),
    Bad(
        "version-is-not-namespace",
        {f"{_LOSS}.versionLabel": "namespace"},
        f"{_LOSS}.versionLabel",
        ("namespace", "loss.namespaceLabel", "name two different labels"),
    ),
    Bad(
        "segment-is-not-version",
        {"spec.indicator.segments.label": "model_version"},
        "spec.indicator.segments.label",
        ("model_version", "loss.versionLabel", "name two different labels"),
    ),
    Bad(
        "segment-is-not-namespace",
        {"spec.indicator.segments.label": "namespace"},
        "spec.indicator.segments.label",
        ("namespace", "loss.namespaceLabel", "name two different labels"),
    ),
    Bad(
        "no-reserved-age-label",
        {f"{_LABELS}.ageLabel": "le"},
        f"{_LABELS}.ageLabel",
        ("le has a meaning of its own", "such as age_bucket"),
    ),
    Bad(
        "age-label-not-matched",
        {f"{_LABELS}.ageLabel": "model_name"},
        "spec.indicator.loss.matchLabels",
        ("contains model_name", "labels.ageLabel", "take it out"),
    ),
    Bad(
        "age-is-not-version",
        {f"{_LABELS}.ageLabel": "model_version"},
        f"{_LABELS}.ageLabel",
        ("model_version", "loss.versionLabel", "name two different labels"),
    ),
    Bad(
        "age-is-not-namespace",
        {f"{_LABELS}.ageLabel": "namespace"},
        f"{_LABELS}.ageLabel",
        ("namespace", "loss.namespaceLabel", "name two different labels"),
    ),
    Bad(
        "age-is-not-segment",
        {f"{_LABELS}.ageLabel": "segment"},
        f"{_LABELS}.ageLabel",
        ("segment", "segments.label", "name two different labels"),
    ),
    Bad(
        "age-label-needs-delay",
        {f"{_LABELS}.delay": GONE, f"{_LABELS}.ageLabel": "age_bucket"},
        f"{_LABELS}.ageLabel",
        ("age_bucket stands without labels.delay", "state the delay too"),
    ),
    Bad(
        "max-age-beyond-delay",
        {f"{_LABELS}.maxAge": "30m"},
        f"{_LABELS}.maxAge",
        ("30m", "labels.delay (30m)", "raise maxAge"),
    ),
    Bad(
        "delay-metric-needs-delay",
        {f"{_LABELS}.delay": GONE, f"{_LABELS}.delayMetric": "ml_label_delay_seconds"},
        f"{_LABELS}.delayMetric",
        ("ml_label_delay_seconds stands without labels.delay", "state the delay too"),
    ),
    Bad(
        "delay-metric-is-not-the-loss",
        {f"{_LABELS}.delayMetric": "ml_huber_loss"},
        f"{_LABELS}.delayMetric",
        ("ml_huber_loss is loss.metric", "name the histogram of label delays"),
    ),
    Bad(
        "slice-within-window",
        {f"{_OBJECTIVE}.slice": "60d"},
        f"{_OBJECTIVE}.slice",
        ("60d is longer than window (28d)", "divides the window"),
    ),
    Bad(
        "window-in-whole-slices",
        {f"{_OBJECTIVE}.slice": "11m"},
        f"{_OBJECTIVE}.window",
        ("28d is not a whole multiple of the slice (11m)", "choose a window"),
    ),
    Bad(
        "not-too-many-slices",
        {f"{_OBJECTIVE}.slice": "2m", "spec.interval": "1m"},
        f"{_OBJECTIVE}.slice",
        ("2m cuts the window (28d) into more than 20000 slices", "longer slice"),
    ),
    Bad(
        "goal-leaves-a-budget", {f"{_OBJECTIVE}.goal": "100%"}, f"{_OBJECTIVE}.goal", ("100% leaves no", "such as 99%")
    ),
    Bad(
        "short-below-long",
        {f"{_OBJECTIVE}.burnRates": _burn(short="1h")},
        f"{_OBJECTIVE}.burnRates",
        ("index 1", "short (1h) is not below long (1h)", "a twelfth"),
    ),
    Bad(
        "long-within-window",
        {f"{_OBJECTIVE}.burnRates": _burn(long="29d")},
        f"{_OBJECTIVE}.burnRates",
        ("index 1", "long (29d) is longer than the window (28d)", "at most the objective's window"),
    ),
    Bad(
        "burn-windows-in-whole-slices",
        {f"{_OBJECTIVE}.burnRates": _burn(short="3m")},
        f"{_OBJECTIVE}.burnRates",
        ("index 1", "short (3m)", "the slice (5m)", "choose windows that the slice divides"),
    ),
    Bad(
        "burn-rate-reachable",
        {f"{_OBJECTIVE}.burnRates": _burn(factor=14.4)},
        f"{_OBJECTIVE}.burnRates",
        ("index 1", "the factor of Fast over 1h can never be reached with a goal of 90%", "1 / (1 - goal)"),
    ),
    Bad(
        "two-deployments",
        {f"{_ROLLOUT}.canary.name": "fraud-stable"},
        f"{_ROLLOUT}.canary.name",
        ("fraud-stable", "second Deployment"),
    ),
    Bad(
        "a-shadow-has-no-steps",
        {f"{_ROLLOUT}.shadow": {"replicas": 2}},
        f"{_ROLLOUT}.steps",
        ("10%, 50% stands beside shadow", "take steps out"),
    ),
    Bad(
        "steps-in-range",
        {f"{_ROLLOUT}.steps": ["10%", "100%"]},
        f"{_ROLLOUT}.steps",
        ("10%, 100%", "below 100%", "promotion follows"),
    ),
    Bad(
        "steps-ascend",
        {f"{_ROLLOUT}.steps": ["10%", "50%", "50.0%"]},
        f"{_ROLLOUT}.steps",
        ("10%, 50%, 50.0% does not ascend", "larger than the one before"),
    ),
    Bad("margin-in-range", {f"{_GATE}.margin": "0%"}, f"{_GATE}.margin", ("0%", "such as 10%")),
    Bad("falseRollback-in-range", {f"{_GATE}.falseRollback": "51%"}, f"{_GATE}.falseRollback", ("51%", "at most 50%")),
    Bad("falsePromote-in-range", {f"{_GATE}.falsePromote": "0.0%"}, f"{_GATE}.falsePromote", ("0.0%", "such as 5%")),
    Bad(
        "minDuration-within-deadline",
        {f"{_GATE}.minDuration": "2d"},
        f"{_GATE}.minDuration",
        ("2d is longer than deadline (1d)", "raise the deadline"),
    ),
    Bad(
        "warmup-within-deadline",
        {f"{_ROLLOUT}.warmup": "2d"},
        f"{_ROLLOUT}.warmup",
        ("2d is longer than gate.deadline (1d)", "raise the deadline"),
    ),
    Bad(
        "interval-within-slice",
        {"spec.interval": "6m"},
        "spec.interval",
        ("6m is longer than objective.slice (5m)", "shorter interval"),
    ),
    Bad(
        "delay-before-deadline",
        {f"{_LABELS}.delay": "1d", f"{_LABELS}.maxAge": "2d"},
        f"{_GATE}.deadline",
        ("1d is not longer than indicator.labels.delay (1d)", "raise the deadline"),
    ),
    Bad(
        "max-age-beyond-interval",
        {f"{_LABELS}.delay": GONE, f"{_LABELS}.maxAge": "60s"},
        f"{_LABELS}.maxAge",
        ("60s is not longer than the interval (1m)", "raise maxAge"),
    ),
    Bad("retrain-needs-rollout", {_ROLLOUT: GONE}, _RETRAIN, ("without rollout", "add rollout")),
    Bad(
        "version-variable-is-ours",
        {f"{_RETRAIN}.candidate.env": {"MODEL_VERSION": "version"}},
        f"{_RETRAIN}.candidate.env",
        ("contains MODEL_VERSION", "take it out"),
    ),
    Bad(
        "trigger-is-a-burn-rate",
        {f"{_OBJECTIVE}.burnRates": [GOOD["spec"]["objective"]["burnRates"][0]]},
        f"{_RETRAIN}.trigger.burnRate",
        ("Slow is no severity", "add a burn rate"),
    ),
    Bad(
        "sustained-within-window",
        {f"{_RETRAIN}.trigger.sustainedFor": "5w"},
        f"{_RETRAIN}.trigger.sustainedFor",
        ("5w is longer than objective.window (28d)", "shorter time"),
    ),
    Bad(
        "drift-needs-history",
        {f"{_RETRAIN}.trigger.type": "Drift", f"{_RETRAIN}.trigger.sustainedFor": "8d"},
        f"{_RETRAIN}.trigger.sustainedFor",
        ("8d is longer than a quarter of objective.window (28d)", "choose a shorter time or a longer window"),
    ),
    Bad(
        "false-alarms-are-rare",
        {f"{_RETRAIN}.trigger.falseAlarmInterval": "1h"},
        f"{_RETRAIN}.trigger.falseAlarmInterval",
        ("1h is not longer than trigger.sustainedFor (1h)", "such as 90d"),
    ),
    Bad(
        "vetoes-named-apart",
        {"spec.guardrails": {"vetoes": [{"name": "late", "query": "a > 1"}, {"name": "late", "query": "b > 1"}]}},
        "spec.guardrails.vetoes",
        ("late is there twice", "give each its own"),
    ),
)

# What the schema alone refuses. The words are those that both the API server and Python say.
SCHEMA_ROWS: Final = (
    Bad("no target", {f"{_OBJECTIVE}.target": GONE}, f"{_OBJECTIVE}.target", ("equired",)),
    Bad("no metric", {f"{_LOSS}.metric": GONE}, f"{_LOSS}.metric", ("equired",)),
    Bad("no labels", {f"{_LOSS}.matchLabels": {}}, f"{_LOSS}.matchLabels", ("at least 1",)),
    Bad("no spec", {"spec": GONE}, "spec", ("equired",)),
    Bad(
        "metric with a dash",
        {f"{_LOSS}.metric": "ml-loss"},
        f"{_LOSS}.metric",
        ("ml-loss", "^[a-zA-Z_:][a-zA-Z0-9_:]*$"),
    ),
    Bad("label name", {f"{_LOSS}.versionLabel": "a-b"}, f"{_LOSS}.versionLabel", ("a-b", "^[a-zA-Z_][a-zA-Z0-9_]*$")),
    Bad(
        "match label name",
        {f"{_LOSS}.matchLabels": {"a-b": "x"}},
        f"{_LOSS}.matchLabels",
        ("^[a-zA-Z_][a-zA-Z0-9_]*$",),
    ),
    Bad(
        "url",
        {"spec.indicator.prometheus.url": "prometheus:9090"},
        "spec.indicator.prometheus.url",
        ("prometheus:9090",),
    ),
    Bad("duration without unit", {"spec.interval": "60"}, "spec.interval", ("60",)),
    Bad("duration of go", {f"{_OBJECTIVE}.window": "1h30m"}, f"{_OBJECTIVE}.window", ("1h30m",)),
    Bad("duration as number", {f"{_OBJECTIVE}.slice": 300}, f"{_OBJECTIVE}.slice", ("string",)),
    Bad("percentage above 100", {f"{_GATE}.margin": "100.5%"}, f"{_GATE}.margin", ("100.5%",)),
    Bad("percentage without sign", {f"{_OBJECTIVE}.goal": "99"}, f"{_OBJECTIVE}.goal", ("99",)),
    Bad("target of zero", {f"{_OBJECTIVE}.target.value": 0}, f"{_OBJECTIVE}.target.value", ("0", "greater than 0")),
    Bad("target as text", {f"{_OBJECTIVE}.target.value": "0.35"}, f"{_OBJECTIVE}.target.value", ("number",)),
    Bad("mode", {"spec.mode": "Dry"}, "spec.mode", ("Dry", "Enforce", "DryRun")),
    Bad(
        "kind of workload",
        {f"{_ROLLOUT}.stable.kind": "StatefulSet"},
        f"{_ROLLOUT}.stable.kind",
        ("StatefulSet", "Deployment"),
    ),
    Bad("promotion", {f"{_ROLLOUT}.promotion": "Yes"}, f"{_ROLLOUT}.promotion", ("Yes", "Automatic", "Manual")),
    Bad("suspend as text", {"spec.suspend": "yes"}, "spec.suspend", ("boolean",)),
    Bad("samples of zero", {f"{_GATE}.minSamples": 0}, f"{_GATE}.minSamples", ("0", "greater than or equal to 1")),
    Bad(
        "too many runs",
        {f"{_RETRAIN}.limits.maxRuns": 11},
        f"{_RETRAIN}.limits.maxRuns",
        ("11", "less than or equal to 10"),
    ),
    Bad(
        "name of a veto",
        {"spec.guardrails": {"vetoes": [{"name": "Feature Lag", "query": "a > 1"}]}},
        "spec.guardrails.vetoes[0].name",
        ("Feature Lag", "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
    ),
    Bad(
        "veto without a query",
        {"spec.guardrails": {"vetoes": [{"name": "late", "query": " "}]}},
        "spec.guardrails.vetoes[0].query",
        ("\\S",),
    ),
    Bad(
        "too many vetoes",
        {"spec.guardrails": {"vetoes": [{"name": f"v{number}", "query": "a"} for number in range(9)]}},
        "spec.guardrails.vetoes",
        ("8",),
    ),
    Bad("no steps", {f"{_ROLLOUT}.steps": []}, f"{_ROLLOUT}.steps", ("at least 1",)),
    Bad(
        "restart policy",
        {f"{_JOB_POD}.restartPolicy": "Always"},
        f"{_JOB_POD}.restartPolicy",
        ("Always", "Never", "OnFailure"),
    ),
    Bad("no containers", {f"{_JOB_POD}.containers": []}, f"{_JOB_POD}.containers", ("at least 1",)),
    Bad(
        "Job that vanishes",
        {f"{_RETRAIN}.template.spec.ttlSecondsAfterFinished": 0},
        f"{_RETRAIN}.template.spec.ttlSecondsAfterFinished",
        ("0", "greater than or equal to 3600"),
    ),
    Bad(
        "environment variable",
        {f"{_RETRAIN}.candidate.env": {"A=B": "x"}},
        f"{_RETRAIN}.candidate.env",
        ("^[-._a-zA-Z][-._a-zA-Z0-9]*$",),
    ),
)
