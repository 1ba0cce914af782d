"""Rules about spec.indicator: which labels and metrics go together."""

from __future__ import annotations

from typing import Final

from modelslo.api.expression import absent, first_of, literal, present, seconds, text, this
from modelslo.api.rule import Rule

# Labels that Prometheus itself gives a meaning to.
RESERVED_LABELS: Final = ("le", "quantile", "__name__")
HISTOGRAM_SUFFIXES: Final = ("_bucket", "_sum", "_count")


def _forbidden_match_label(name: str, label: str, *, given: str | None = None) -> Rule:
    """matchLabels does not contain the label that `label` names."""
    clash = this(label).within(this("loss.matchLabels"))
    return Rule(
        name=name,
        at="spec.indicator",
        field="loss.matchLabels",
        holds=~clash if given is None else absent(given) | ~clash,
        fault=text("contains ", this(label), f", which is {label}"),
        mend=f"the operator matches it itself: take it out, or name another label in {label}",
    )


def _different_labels(name: str, field: str, other: str, *, given: str | None = None) -> Rule:
    holds = this(field).differs(this(other))
    return Rule(
        name=name,
        at="spec.indicator",
        field=field,
        holds=holds if given is None else absent(given) | holds,
        fault=text(this(field), f" is {other} too"),
        mend="name two different labels",
    )


def _needs_delay(name: str, field: str, why: str) -> Rule:
    return Rule(
        name=name,
        at="spec.indicator.labels",
        field=field,
        holds=absent(field) | present("delay"),
        fault=text(this(field), " stands without labels.delay"),
        mend=f"state the delay too: {why}",
    )


INDICATOR: Final = (
    Rule(
        name="metric-without-suffix",
        at="spec.indicator.loss",
        field="metric",
        holds=~this("metric").matches(f"({'|'.join(HISTOGRAM_SUFFIXES)})$"),
        fault=text(this("metric"), " is one series of a histogram"),
        mend="write the histogram's name without _bucket, _sum or _count",
    ),
    Rule(
        name="no-reserved-match-label",
        at="spec.indicator.loss",
        field="matchLabels",
        holds=this("matchLabels").each(lambda key: ~key.matches(f"^({'|'.join(RESERVED_LABELS)})$")),
        fault=first_of(
            [(literal(label).within(this("matchLabels")), literal(f"contains {label}")) for label in RESERVED_LABELS]
        ),
        mend="Prometheus gives this label its own meaning: take it out",
    ),
    _forbidden_match_label("version-label-not-matched", "loss.versionLabel"),
    _forbidden_match_label("namespace-label-not-matched", "loss.namespaceLabel"),
    _forbidden_match_label("segment-label-not-matched", "segments.label", given="segments"),
    _different_labels("version-is-not-namespace", "loss.versionLabel", "loss.namespaceLabel"),
    _different_labels("segment-is-not-version", "segments.label", "loss.versionLabel", given="segments"),
    _different_labels("segment-is-not-namespace", "segments.label", "loss.namespaceLabel", given="segments"),
    Rule(
        name="no-reserved-age-label",
        at="spec.indicator.labels",
        field="ageLabel",
        holds=absent("ageLabel") | ~this("ageLabel").matches(f"^({'|'.join(RESERVED_LABELS)})$"),
        fault=text(this("ageLabel"), " has a meaning of its own in Prometheus"),
        mend="name a label that the exporter sets, such as age_bucket",
    ),
    _forbidden_match_label("age-label-not-matched", "labels.ageLabel", given="labels.ageLabel"),
    _different_labels("age-is-not-version", "labels.ageLabel", "loss.versionLabel", given="labels.ageLabel"),
    _different_labels("age-is-not-namespace", "labels.ageLabel", "loss.namespaceLabel", given="labels.ageLabel"),
    Rule(
        name="age-is-not-segment",
        at="spec.indicator",
        field="labels.ageLabel",
        holds=absent("labels.ageLabel") | absent("segments") | this("labels.ageLabel").differs(this("segments.label")),
        fault=text(this("labels.ageLabel"), " is segments.label"),
        mend="name two different labels",
    ),
    _needs_delay("age-label-needs-delay", "ageLabel", "labels above the last age are waited for"),
    Rule(
        name="max-age-beyond-delay",
        at="spec.indicator.labels",
        field="maxAge",
        holds=absent("maxAge") | absent("delay") | (seconds(this("maxAge")) > seconds(this("delay"))),
        fault=text(this("maxAge"), " is not longer than labels.delay (", this("delay"), ")"),
        mend="every label would be too old: raise maxAge above the delay, or leave it out",
    ),
    _needs_delay("delay-metric-needs-delay", "delayMetric", "slices close and coverage is counted by it"),
    Rule(
        name="delay-metric-is-not-the-loss",
        at="spec.indicator",
        field="labels.delayMetric",
        holds=absent("labels.delayMetric") | this("labels.delayMetric").differs(this("loss.metric")),
        fault=text(this("labels.delayMetric"), " is loss.metric"),
        mend="name the histogram of label delays, such as ml_label_delay_seconds",
    ),
)
