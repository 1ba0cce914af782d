"""Findings about predictions and their labels: coverage, delays, ages. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from modelslo.api.quantity import ratio, seconds
from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.doctor_finding import Finding, listed, shares
from modelslo.cli.doctor_look import DELAY_METRIC, Look
from modelslo.judge.parameters import Parameters
from modelslo.observe.evidence import NO_AGE
from modelslo.observe.gather import age_of, is_age

_INVALID: Final = 0.01
_OLDER: Final = 0.1


def predictions(look: Look, spec: ModelSLOSpec, parameters: Parameters) -> Iterator[Finding]:
    """Whether predictions are counted, and losses that were no valid numbers."""
    names = {one.metric for one in look.found}
    labels = spec.indicator.labels
    if labels.predictions not in names:
        yield Finding(
            labels.min_coverage is not None,
            f"There is no counter {labels.predictions}: share and coverage are unknown.",
            "Export it, or set spec.indicator.labels.predictions.",
        )
    for one in shares(look, parameters):
        if one.labels + one.invalid > 0 and one.invalid > _INVALID * (one.labels + one.invalid):
            yield Finding(False, f"{one.invalid:.0f} losses of version {one.version!r} were no valid numbers.")


def labels(look: Look, spec: ModelSLOSpec, parameters: Parameters) -> Iterator[Finding]:
    """Whether labels come, how many of them, and how late."""
    if not any(one.labels > 0 for one in shares(look, parameters)):
        yield Finding(
            True,
            f"No labelled prediction in the last {look.ask.until - look.ask.since:.0f} s.",
            "Is there traffic, and do labels arrive? ml_labels_dropped_total says why labels are lost.",
        )
    least = ratio(spec.indicator.labels.min_coverage) if spec.indicator.labels.min_coverage else 0.0
    delay = parameters.timing.delay
    for one in shares(look, parameters):
        if one.coverage is not None and one.coverage < least:
            yield Finding(
                True,
                f"{one.coverage:.0%} of what {one.version!r} predicted has labels; minCoverage asks for {least:.0%}.",
                "Wait for late labels, mend the joiner, or lower spec.indicator.labels.minCoverage.",
            )
    metric = look.ask.selector.delays
    if metric is not None and not look.evidence.delay_edges:
        yield Finding(
            False,
            f"There is no histogram {metric} (spec.indicator.labels.delayMetric): a canary waits {delay:.3g} s for its "
            "labels, however fast they are.",
            "Export it with the labels of the loss but the segment, or take delayMetric out.",
        )
    for version, (_, most, _) in look.delays.items():
        if most > delay and most - delay > 0.1 * most:
            stated = f"{seconds(spec.indicator.labels.delay):.0f} s" if spec.indicator.labels.delay else "not set"
            yield Finding(
                False,
                f"A tenth of the labels of {version!r} come {most:.3g} s or more after it predicted "
                f"({metric or DELAY_METRIC}), but spec.indicator.labels.delay is {stated} ({delay:.3g} s here).",
                "Set labels.delay to at least that: early labels flatter a young canary.",
            )


def ages(look: Look) -> Iterator[Finding]:
    """Of the label for the age of labels, where the spec names one."""
    label = look.ask.selector.age_label
    if label is None or not look.ages:
        return
    if all(values == ("",) for values in look.ages.values()):
        yield Finding(
            False,
            f"No loss carries the label {label} (spec.indicator.labels.ageLabel): all labels are waited for.",
            "Give modelslo.exporter `ages` (--ages of the joiner), or take ageLabel out.",
        )
        return
    edges = {version: frozenset(age_of(value) for value in values) for version, values in look.ages.items()}
    for version, values in look.ages.items():
        odd = tuple(value for value in values if not is_age(value))
        if odd:
            yield Finding(
                False,
                f"Of version {version!r}, {label} has values that are no age: {listed(odd)}. They count as +Inf.",
                "Set it to the upper edge in seconds of the time from prediction to label, such as 600, and +Inf.",
            )
        if NO_AGE not in edges[version]:
            yield Finding(
                False,
                f"Of version {version!r}, {label} has no value +Inf: are labels above {max(edges[version]):g} s lost?",
                "Count them at +Inf.",
            )
    if len(set(edges.values())) > 1:
        told = "; ".join(f"{version!r}: {listed(values)}" for version, values in look.ages.items())
        yield Finding(
            False,
            f"Versions tell the age of labels by other edges ({label}): {told}. Between them ages are not gone by.",
            "Give all exporters the same edges, and have all series there from the first label on.",
        )
    older, labels = _beyond_ages(look)
    if labels > 0 and older > _OLDER * labels:
        yield Finding(
            False,
            f"{older / labels:.0%} of the labels are older than the last edge of {label}: these are waited for.",
            "Add an edge by which nearly all labels are there.",
        )


def _beyond_ages(look: Look) -> tuple[float, float]:
    """Labels without an upper edge, and all."""
    counted = [(one.age, one.losses.count) for one in look.evidence.increments]
    return sum(count for age, count in counted if age == NO_AGE), sum(count for _, count in counted)
