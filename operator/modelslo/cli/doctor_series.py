"""Findings about the series of the loss: whether they are there, their age, sums, buckets, scrapes and slices. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, sqrt
from typing import Final

from modelslo.cli.doctor_finding import Finding, listed
from modelslo.cli.doctor_look import AHEAD, Absence, Look
from modelslo.judge.parameters import Parameters
from modelslo.judge.scale import NARROW, too_wide

_BEYOND: Final = 0.05
_LEAST_EDGES: Final = 10
_SKEW: Final = 5.0


def absent(look: Look, absence: Absence) -> Iterator[Finding]:
    """None of the series of the loss is there: since when, or which matcher excludes them."""
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
                f"({listed(one.values)}) won over the exporter's.",
                f"Set spec.indicator.loss.namespaceLabel: exported_{one.label}, or honorLabels: true in the scrape.",
            )
            continue
        field = (
            "spec.indicator.loss.namespaceLabel (or the ModelSLO's namespace)"
            if one.label == selector.namespace_label
            else f"spec.indicator.loss.matchLabels.{one.label}"
        )
        without = "the label is not there" if one.values == ("",) else f"Prometheus has {listed(one.values)}"
        yield Finding(True, f"{one.label}={one.wanted!r} excludes all series: {without}.", f"Correct {field}.")
    if not blamed:
        yield Finding(
            True,
            f"Prometheus has {absence.total} series {metric}, but two or more of the matchers exclude them all.",
            f"Compare spec.indicator.loss.matchLabels with `{metric}` in Prometheus.",
        )


def of_age(look: Look, parameters: Parameters) -> Iterator[Finding]:
    """How old the newest sample is, by the clock here."""
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


def sums(look: Look) -> Iterator[Finding]:
    """Sums that are no numbers, and losses that are there twice."""
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
            f"Some losses of {listed(look.twins)} are there twice with equal values: is one exporter scraped twice?",
            "Keep one scrape job; every sample counts double otherwise.",
        )


def buckets(look: Look, parameters: Parameters) -> Iterator[Finding]:
    """Whether the buckets fit the losses and the target."""
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
    yield from _wide(look, parameters)


def _wide(look: Look, parameters: Parameters) -> Iterator[Finding]:
    """Whether losses vary by so much less than their buckets are wide that the judge does not go by buckets."""
    edges = look.evidence.edges
    losses = [one.losses for one in look.evidence.increments if one.losses.buckets and isfinite(one.losses.total)]
    count = sum(one.count for one in losses)
    squares = [one.squares for one in losses if one.squares is not None]
    if not count or len(squares) < len(losses):
        return
    mean = sum(one.total for one in losses) / count
    spread = sqrt(max(0.0, sum(squares) / count - mean * mean))
    counts = [sum(of_bucket) for of_bucket in zip(*(one.buckets for one in losses), strict=True)]
    place = too_wide(edges, counts, mean, spread, parameters.gate.tolerated_ratio)
    if place is not None:
        low = edges[place - 1] if place else 0.0
        yield Finding(
            False,
            f"Losses vary by {spread:.3g} around {mean:.3g}, and the bucket there, {low:.3g} to {edges[place]:.3g}, "
            f"is {edges[place] - low:.3g} wide: versions are compared by sums and squares, not by buckets.",
            f"Make buckets no wider than {spread / NARROW:.3g} there: one loss, however large, decides less by them.",
        )


def scraping(look: Look, parameters: Parameters) -> Iterator[Finding]:
    """Whether samples come as often as they are asked for."""
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


def slices(look: Look, parameters: Parameters) -> Iterator[Finding]:
    """Whether the window of the budget has slices."""
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
