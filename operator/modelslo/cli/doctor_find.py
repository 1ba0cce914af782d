"""What is wrong, in plain words, and what mends it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from modelslo.api.quantity import ratio, seconds
from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.doctor_look import AHEAD, DELAY_METRIC, Absence, Look
from modelslo.judge.arms import Arms, seen
from modelslo.judge.parameters import Parameters
from modelslo.observe.evidence import NO_AGE, Increment
from modelslo.observe.gather import age_of, is_age

_BEYOND: Final = 0.05
_OLDER: Final = 0.1
_LEAST_EDGES: Final = 10
_SKEW: Final = 5.0
_INVALID: Final = 0.01


@dataclass(frozen=True, slots=True)
class Finding:
    """``wrong``: the model cannot be judged like this; otherwise a remark."""

    wrong: bool
    what: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """A Deployment as far as versions go. ``there`` is False when it does not exist."""

    name: str
    deployment: str
    there: bool
    version: str | None
    replicas: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one version did in the time that was read. ``share`` and ``coverage`` are None without predictions."""

    version: str
    predictions: float
    labels: float
    invalid: float
    loss: float | None
    share: float | None
    coverage: float | None


def shares(look: Look, parameters: Parameters) -> tuple[Share, ...]:
    """Per version, over (since, until] of the ask, as the judge sees it."""
    arms, cells = Arms(), dict[float, list[Increment]]()
    for one in look.evidence.increments:
        cells.setdefault(one.end, []).append(one)
    for end in sorted(cells):
        arms = seen(arms, tuple(cells[end]), parameters)
    return tuple(
        Share(
            version,
            arm.predictions,
            arm.labels,
            sum(cell.invalid for cell in arm.cells),
            arm.loss,
            arms.share(version),
            arm.coverage(parameters.timing.delay),
        )
        for version, arm in sorted(arms.by_version.items())
    )


def findings(look: Look, spec: ModelSLOSpec, parameters: Parameters, roles: tuple[Role, ...]) -> list[Finding]:
    """Everything that is wrong or worth a remark, most fundamental first."""
    evidence = look.evidence
    if evidence.gap is not None and evidence.queries and evidence.queries[0].error:
        return [Finding(True, evidence.gap.message, _unreachable(look))]
    found = [*_vetoes(look), *_versions_named(spec, roles)]
    if look.absence is not None:
        return [*_absent(look, look.absence), *found]
    found += [
        *_age(look, parameters),
        *_sums(look),
        *_versions_seen(look, roles),
        *_shadow(look, spec, parameters, roles),
        *_predictions(look, spec, parameters),
        *_labels(look, spec, parameters),
        *_ages(look),
        *_buckets(look, parameters),
        *_scraping(look, parameters),
        *_slices(look, parameters),
    ]
    found += [Finding(True, f"An extra query failed: {failure}") for failure in look.failures]
    return found


def _vetoes(look: Look) -> Iterator[Finding]:
    for one in look.vetoes:
        if one.failure:
            yield Finding(True, one.failure)
        elif one.value is not None:
            nought = one.value == 0
            yield Finding(
                False,
                f"The veto {one.veto.name!r} stands: nothing is decided, and a canary is not compared."
                + (" Its value is 0, and any value lets it stand." if nought else ""),
                "If it should not stand at 0, compare without bool: `x > 0` returns nothing where it is not so."
                if nought
                else "Mend what it tells of; it lifts by itself.",
            )


def _unreachable(look: Look) -> str:
    return (
        f"Is {look.ask.source.url} right as seen from here? Inside the cluster it may be, from outside use "
        "`kubectl port-forward` and --prometheus-url."
    )


def _absent(look: Look, absence: Absence) -> Iterator[Finding]:
    metric, selector = f"{look.ask.selector.metric}_count", look.ask.selector
    if absence.last_seen is not None:
        yield Finding(
            True,
            f"The series of this model ended {look.now - absence.last_seen:.0f} s ago (to 300 s).",
            "Is the exporter (or joiner) running, and does Prometheus scrape it? See its targets page.",
        )
        return
    if absence.total == 0:
        near = f" Names like it: {', '.join(absence.similar)}." if absence.similar else ""
        yield Finding(
            True,
            f"Prometheus has no series {metric} at all.{near}",
            "Set spec.indicator.loss.metric to the histogram's name without suffix, or have the exporter scraped "
            "(PodMonitor, scrape config).",
        )
        return
    blamed = [one for one in absence.matchers if one.values and one.wanted not in one.values]
    for one in blamed:
        if one.label == selector.namespace_label and absence.exported:
            yield Finding(
                True,
                f"The model's namespace stands in the label exported_{one.label}: the scrape's own {one.label} "
                f"({_listed(one.values)}) won over the exporter's.",
                f"Set spec.indicator.loss.namespaceLabel: exported_{one.label}, or honorLabels: true in the scrape.",
            )
            continue
        field = (
            "spec.indicator.loss.namespaceLabel (or the ModelSLO's namespace)"
            if one.label == selector.namespace_label
            else f"spec.indicator.loss.matchLabels.{one.label}"
        )
        without = "the label is not there" if one.values == ("",) else f"Prometheus has {_listed(one.values)}"
        yield Finding(True, f"{one.label}={one.wanted!r} excludes all series: {without}.", f"Correct {field}.")
    if not blamed:
        yield Finding(
            True,
            f"Prometheus has {absence.total} series {metric}, but two or more of the matchers exclude them all.",
            f"Compare spec.indicator.loss.matchLabels with `{metric}` in Prometheus.",
        )


def _listed(values: tuple[str, ...]) -> str:
    return ", ".join(repr(value) for value in values)


def _versions_named(spec: ModelSLOSpec, roles: tuple[Role, ...]) -> Iterator[Finding]:
    variable = spec.rollout.version_from.env if spec.rollout else ""
    for role in roles:
        if not role.there:
            yield Finding(
                True,
                f"There is no Deployment {role.deployment!r} ({role.name}).",
                f"Create it, or correct spec.rollout.{role.name}.name.",
            )
        elif role.version is None:
            yield Finding(
                True,
                f"Deployment {role.deployment!r} ({role.name}) names no version: its first container has no plain "
                f"environment variable {variable}.",
                f"Set {variable}, or spec.rollout.versionFrom.env to the variable that holds the version.",
            )


def _versions_seen(look: Look, roles: tuple[Role, ...]) -> Iterator[Finding]:
    there = tuple(dict.fromkeys(one.version for one in look.found if one.metric.endswith("_count")))
    label = look.ask.selector.version_label
    if "" in there:
        yield Finding(
            True,
            f"Series of this model have no label {label}.",
            "Set spec.indicator.loss.versionLabel to the label that holds the version.",
        )
    versions = {role.version for role in roles}
    for role in roles:
        if role.version is None or role.version in there:
            continue
        idle = role.name == "canary" and role.replicas == 0
        yield Finding(
            not idle,
            f"Version {role.version!r} of {role.name} is not seen in Prometheus"
            + (", and has no pods." if idle else f"; it has {_listed(there)}."),
            "" if idle else f"Does the exporter set {label} to the version that predicted?",
        )
    if len(roles) == 2 and len(versions) == 1 and None not in versions:
        yield Finding(
            False, f"Stable and canary name the same version {roles[0].version!r}: there is no canary to judge."
        )
    for version in there:
        if roles and version and version not in versions:
            yield Finding(False, f"Prometheus also has version {version!r}, which no Deployment serves now.")


def _shadow(look: Look, spec: ModelSLOSpec, parameters: Parameters, roles: tuple[Role, ...]) -> Iterator[Finding]:
    """Of a shadow: whether the mirror reaches it. That is the user's own, and nothing else tells of it."""
    if spec.rollout is None or spec.rollout.shadow is None or len(roles) < 2:
        return
    stable, shadow = roles
    served = {one.version: one.predictions for one in shares(look, parameters)}
    of_stable, copied = served.get(stable.version or "", 0.0), served.get(shadow.version or "", 0.0)
    if shadow.replicas == 0 or stable.version == shadow.version or of_stable == 0:
        return
    if copied == 0:
        yield Finding(
            True,
            f"The shadow {shadow.version!r} has pods and predicted nothing, while stable did.",
            "Have the mirror copy requests to a Service of the shadow's pods alone.",
        )
        return
    yield Finding(
        False,
        f"The canary is a shadow: it answered copies of {copied / of_stable:.0%} of stable's requests. That no user "
        "sees them is for the Service and the mirror to keep.",
    )


def _age(look: Look, parameters: Parameters) -> Iterator[Finding]:
    newest = max(one.newest for one in look.found if one.metric.endswith("_count"))
    ahead = newest - look.now
    if ahead > _SKEW:
        more = " or more" if ahead > AHEAD - _SKEW else ""
        yield Finding(
            True,
            f"The newest sample is {ahead:.0f} s{more} in the future: Prometheus' clock and the one here disagree.",
            "Set both clocks by NTP.",
        )
    allowed = 4 * parameters.timing.interval + parameters.timing.settle
    if -ahead > allowed:
        yield Finding(
            True,
            f"The newest sample is {-ahead:.0f} s old; {allowed:.0f} s are allowed.",
            "Is the exporter up and scraped? If every model is late, compare the clocks.",
        )


def _sums(look: Look) -> Iterator[Finding]:
    for one in look.found:
        if one.metric == f"{look.ask.selector.metric}_sum" and not one.finite:
            yield Finding(
                True,
                f"The loss sum of version {one.version!r} is NaN or infinite: a loss that was no number got into it.",
                "Restart the exporter, and have it reject such losses and count them in "
                f"{look.ask.selector.invalid} (modelslo.exporter does).",
            )
    if look.twins:
        yield Finding(
            False,
            f"Some losses of {_listed(look.twins)} are there twice with equal values: is one exporter scraped twice?",
            "Keep one scrape job; every sample counts double otherwise.",
        )


def _predictions(look: Look, spec: ModelSLOSpec, parameters: Parameters) -> Iterator[Finding]:
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


def _labels(look: Look, spec: ModelSLOSpec, parameters: Parameters) -> Iterator[Finding]:
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


def _ages(look: Look) -> Iterator[Finding]:
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
                f"Of version {version!r}, {label} has values that are no age: {_listed(odd)}. They count as +Inf.",
                "Set it to the upper edge in seconds of the time from prediction to label, such as 600, and +Inf.",
            )
        if NO_AGE not in edges[version]:
            yield Finding(
                False,
                f"Of version {version!r}, {label} has no value +Inf: are labels above {max(edges[version]):g} s lost?",
                "Count them at +Inf.",
            )
    if len(set(edges.values())) > 1:
        told = "; ".join(f"{version!r}: {_listed(values)}" for version, values in look.ages.items())
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


def _buckets(look: Look, parameters: Parameters) -> Iterator[Finding]:
    yield from (Finding(False, note) for note in look.evidence.notes if "edges" in note or "buckets" in note)
    edges = look.evidence.edges
    counted = [one.losses.buckets for one in look.evidence.increments if one.losses.buckets]
    if not edges:
        yield Finding(
            False,
            "There are no usable buckets: the comparison stands on sums and squares, and one outlier weighs much.",
            f"Export {look.ask.selector.metric} as a histogram with ten edges or more.",
        )
        return
    everything = sum(map(sum, counted))
    beyond = sum(buckets[-1] for buckets in counted) / everything if everything else 0.0
    if beyond > _BEYOND:
        yield Finding(
            False,
            f"{beyond:.0%} of the losses lie above the highest bucket edge {edges[-1]:g}: how far, nobody sees.",
            f"Add edges up to ten times the target ({10 * parameters.target:g}).",
        )
    if len(edges) < _LEAST_EDGES or edges[-1] < 10 * parameters.target:
        yield Finding(
            False,
            f"{len(edges)} bucket edges from {edges[0]:g} to {edges[-1]:g} are coarse for a target of "
            f"{parameters.target:g}.",
            "Ten or more, at most a factor of two apart, up to ten times the target: "
            "modelslo.exporter.geometric_buckets makes them.",
        )


def _scraping(look: Look, parameters: Parameters) -> Iterator[Finding]:
    interval, scrape = parameters.timing.interval, look.scrape_interval
    if scrape is None:
        return
    if scrape > interval:
        yield Finding(
            False,
            f"Scraped every {scrape:g} s but judged every {interval:g} s.",
            "Scrape more often, or set spec.interval to a multiple of the scrape interval.",
        )
    if parameters.timing.slice < 2 * scrape:
        yield Finding(
            True,
            f"A slice of {parameters.timing.slice:g} s holds fewer than two scrapes ({scrape:g} s apart).",
            "Set spec.objective.slice to five scrape intervals or more.",
        )


def _slices(look: Look, parameters: Parameters) -> Iterator[Finding]:
    if look.evidence.slice_gap is not None:
        yield Finding(True, f"The slices cannot be read: {look.evidence.slice_gap.message}")
        return
    table = look.evidence.slices
    if table is None:
        return
    least = parameters.min_slice_samples
    measured = sum(sum(count for _, count in one.by_version.values()) >= least for one in table.slices)
    if measured < parameters.window_slices / 2:
        yield Finding(
            False,
            f"{measured} of {parameters.window_slices} slices of the window have {least} samples or more.",
            "New models fill up with time; else lower objective.minSamples, take longer slices, or see how long "
            "Prometheus keeps its data.",
        )
