"""The text of `modelslo doctor`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from modelslo.api.address import shown
from modelslo.cli.doctor_finding import Finding, Role, shares
from modelslo.cli.doctor_look import QUANTILES, Look
from modelslo.cli.text import NONE, number, percent, table
from modelslo.judge.parameters import Parameters


def page(look: Look, parameters: Parameters, roles: Sequence[Role], found: Sequence[Finding]) -> list[str]:
    """The lines that are printed."""
    ask, timing = look.ask, parameters.timing
    lines = [
        f"ModelSLO {ask.model}",
        f"Prometheus {shown(ask.source.url)}, time-out {ask.source.timeout:g} s",
        f"Judged every {timing.interval:g} s, {timing.settle:g} s behind the scrapes; slices of {timing.slice:g} s",
        *_queries(look),
        *_vetoes(look),
        *_series(look),
        *_versions(look, parameters, roles),
        *_delays(look),
        *_ages(look),
        *_buckets(look),
        "",
    ]
    wrong = [one for one in found if one.wrong]
    lines += [line for one in found if not one.wrong for line in _finding("note ", one)]
    lines += [line for one in wrong for line in _finding("WRONG", one)]
    return [*lines, "Nothing is wrong." if not wrong else f"{len(wrong)} wrong."]


def _finding(word: str, finding: Finding) -> list[str]:
    mend = [f"       mend: {finding.mend}"] if finding.mend else []
    return [f"{word}  {finding.what}", *mend]


def _queries(look: Look) -> list[str]:
    lines = ["", "Queries"]
    for one in look.evidence.queries:
        end = (
            f"failed: {one.error}" if one.error else f"{one.series} series, {one.samples} samples, {one.seconds:.3f} s"
        )
        lines += [f"  {one.query}", f"    over {one.end - one.start:g} s up to {one.end:.3f}: {end}"]
    return lines


def _vetoes(look: Look) -> list[str]:
    if not look.vetoes:
        return []
    lines = ["", f"Vetoes at {look.ask.until:.3f}"]
    for one in look.vetoes:
        says = f"stands: {one.series} series, the first is {one.value:g}" if one.value is not None else "does not stand"
        lines += [f"  {one.veto.name}: {one.veto.query}", f"    {'not known' if one.failure else says}"]
    return lines


def _series(look: Look) -> list[str]:
    if not look.found:
        return []
    rows = [
        [
            one.metric,
            one.version or NONE,
            one.segment or NONE,
            str(one.series),
            f"{round(look.now - one.newest)}s" + ("" if one.finite else ", NaN"),
        ]
        for one in look.found
    ]
    return ["", "Series", *table(["METRIC", "VERSION", "SEGMENT", "SERIES", "AGE"], rows, "  ")]


def _versions(look: Look, parameters: Parameters, roles: Sequence[Role]) -> list[str]:
    named: dict[str, list[str]] = {}
    for role in roles:
        if role.version is not None:
            named.setdefault(role.version, []).append(role.name)
    measured = {one.version: one for one in shares(look, parameters)}
    rows = []
    for version in sorted(measured.keys() | named.keys()):
        one = measured.get(version)
        rows.append(
            [
                version or NONE,
                ", ".join(named.get(version, [])) or NONE,
                *(
                    [percent(one.share), number(one.predictions), number(one.labels), percent(one.coverage)]
                    if one
                    else [NONE] * 4
                ),
                number(one.loss) if one else NONE,
            ]
        )
    if not rows:
        return []
    head = ["VERSION", "ROLE", "SHARE", "PREDICTIONS", "LABELS", "COVERAGE", "LOSS"]
    return ["", f"Versions in the last {look.ask.until - look.ask.since:g} s", *table(head, rows, "  ")]


def _delays(look: Look) -> list[str]:
    if not look.delays:
        return []
    rows = [[version or NONE, *(f"{value:.3g}s" for value in values)] for version, values in look.delays.items()]
    return ["", "Label delay in the last hour", *table(["VERSION", *(f"P{q * 100:g}" for q in QUANTILES)], rows, "  ")]


def _ages(look: Look) -> list[str]:
    counts: dict[float, float] = {}
    for one in look.evidence.increments:
        counts[one.age] = counts.get(one.age, 0.0) + one.losses.count
    everything = sum(counts.values())
    if len(counts) < 2 or everything == 0:
        return []
    rows = [[f"<= {age:g}s" if isfinite(age) else "older", percent(counts[age] / everything)] for age in sorted(counts)]
    return ["", "Labels by age", *table(["AGE", "SHARE"], rows, "  ")]


def _buckets(look: Look) -> list[str]:
    edges = look.evidence.edges
    counted = [one.losses.buckets for one in look.evidence.increments if one.losses.buckets]
    everything = sum(map(sum, counted))
    if not edges or everything == 0:
        return []
    shown = [f"<= {edge:g}" for edge in edges] + [f"> {edges[-1]:g}"]
    rows = [[name, percent(sum(of) / everything)] for name, of in zip(shown, zip(*counted, strict=True), strict=True)]
    return ["", "Losses by bucket", *table(["LOSS", "SHARE"], rows, "  ")]
