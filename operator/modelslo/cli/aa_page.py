"""The text and the JSON of `modelslo aa`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, Final

from modelslo.cli.plan_page import span
from modelslo.cli.text import NONE, number, percent, table
from modelslo.judge.aa import Fitness, Replica, Report
from modelslo.judge.aa_faults import Against
from modelslo.judge.evalues import e_value
from modelslo.judge.parameters import Parameters
from modelslo.observe.evidence import ModelKey

# Relative: coverage of a replica that is so far off that of all says that labels get lost on the way.
_COVERAGE_OFF: Final = 0.2
_LEAST_PREDICTIONS: Final = 200.0
# What stands against a replica, the worst first: in its row, and what it means.
_WORDS: Final = {
    Against.DIFFERS: (
        "differs",
        "the loss differs by more than the margin. Look for sticky or uneven routing, a broken replica, or metrics "
        "that count different things.",
    ),
    Against.NAN_LOSS: (
        "NaN",
        "the loss sum is not a finite number, so that nothing was compared; no canary is promoted so (NaNLoss). Keep "
        "NaN out of it, and restart the exporter.",
    ),
    Against.INVALID_LOSSES: (
        "invalid losses",
        "the share of losses that are no numbers is not that of the others; a canary with more is rolled back "
        "(CanaryInvalidLosses).",
    ),
    Against.COVERAGE_DIFFERS: (
        "coverage differs",
        "the share of predictions with labels is below half, or more than double, that of the others; a canary is held "
        "for it (CoverageDiffers). Does the joiner know the predictions of all replicas?",
    ),
    Against.SUSPECT: (
        "suspect",
        "something speaks against it, for which a canary would be held, and not enough to say so. Give a longer "
        "--range.",
    ),
    Against.STALE: ("ended", "nothing new comes of it. Was it taken down? Give a --range in which all were there."),
    Against.NO_TRAFFIC: ("no traffic", "it served nothing. Does the routing know it?"),
    Against.NOT_COMPARED: ("not compared", "there are too few labels of it to compare. Give a longer --range."),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Unix times: what was read begins at ``begins``; from ``since`` on it was compared, until ``at``."""

    model: ModelKey
    version: str
    by: str
    parameters: Parameters
    report: Report
    begins: float
    since: float
    at: float
    notes: tuple[str, ...] = ()


def page(case: Case) -> list[str]:
    """The lines that are printed."""
    report, gate = case.report, case.parameters.gate
    lines = [
        f"A/A check of ModelSLO {case.model}: replicas of version {case.version!r} by {case.by!r}",
        f"  margin {percent(gate.margin)}, falseRollback {percent(gate.alpha)}, falsePromote {percent(gate.beta)}",
        f"  compared for {span(case.at - case.since)}, after {span(case.since - case.begins)} of history",
        "",
        *table(
            [case.by.upper(), "LABELS", "COVERAGE", "LOSS TO OTHERS'", "INTERVAL", "E-VALUE", ""],
            [_row(one) for one in report.replicas],
            "  ",
        ),
        "",
        f"  a row differs from an e-value of {number(_differs_from(case))} on, earlier where several do",
        *(["  What differs was taken out before the others were compared with each other."] if _odd(case) else []),
        f"  all together: e-value {number(e_value(report.log_e), 3)} of {number(e_value(report.log_threshold), 3)}",
        f"  half against half: {_halves(case)}",
        "",
        f"{report.fitness.upper()}: {_conclusion(case)}",
    ]
    return lines + [f"  - {remark}" for remark in remarks(case)]


def _odd(case: Case) -> bool:
    return any(one.odd for one in case.report.replicas)


def _differs_from(case: Case) -> float:
    """e-BH names one replica from this e-value on, and k of them from a k-th of it."""
    played = [one for one in case.report.replicas if one.compared.ratio is not None]
    return e_value(case.report.log_threshold) * max(1, len(played))


def _row(one: Replica) -> list[str]:
    found = one.compared
    interval = NONE if found.low is None or found.high is None else f"{found.low:.3f} to {found.high:.3f}"
    return [
        one.name,
        f"{one.labels:,.0f}",
        NONE if one.coverage is None else percent(round(one.coverage, 3)),
        NONE if found.ratio is None else f"x {found.ratio:.3f}",
        interval,
        NONE if found.ratio is None else number(e_value(one.log_e), 3),
        ", ".join(words for what, (words, _) in _WORDS.items() if what in one.against),
    ]


def _halves(case: Case) -> str:
    found, report = case.report.halves, case.report
    if found.ratio is None:
        return "nothing was compared"
    ending = (
        "not promoted in that time"
        if report.promoted_after is None
        else f"promoted after {span(report.promoted_after)}"
    )
    return f"mean loss x {found.ratio:.3f}, clustering (phi) {number(found.phi, 3)}, {ending}"


def _conclusion(case: Case) -> str:
    report = case.report
    match report.fitness:
        case Fitness.UNFIT if report.differ:
            return (
                "replicas of one version differ by more than the margin, so that verdicts on canaries cannot be "
                "trusted."
            )
        case Fitness.UNFIT:
            return "metrics are broken, so that verdicts on canaries cannot be trusted."
        case Fitness.FIT:
            return "a canary with stable's own model would have been promoted, and no replica differs."
        case Fitness.INCONCLUSIVE:
            return "nothing is known to be wrong, and not enough is known to say that it is right:"


def remarks(case: Case) -> list[str]:
    """Why it says so, and what else a person should know."""
    return [*case.notes, *_against(case), *_missing(case), *_coverages(case), *_invalid(case), *_clustered(case)]


def _against(case: Case) -> list[str]:
    """What stands against replicas, once for all of whom it is true."""
    named = {what: [one.name for one in case.report.replicas if what in one.against] for what in _WORDS}
    return [f"{', '.join(named[what])}: {words}" for what, (_, words) in _WORDS.items() if named[what]]


def _missing(case: Case) -> list[str]:
    """Without what it cannot be called fit."""
    report, found = case.report, []
    if report.left_out:
        found.append(
            f"Left out, because they were not there all the time: {', '.join(report.left_out)}. Give a --range in "
            "which all were there."
        )
    if report.coverage is not None:
        found.append(
            f"Only {percent(round(report.coverage, 3))} of the predictions have labels; "
            f"spec.indicator.labels.minCoverage asks for {percent(case.parameters.min_coverage)}."
        )
    if report.differ and not _odd(case):
        found.append("Together the replicas differ, and none of them can be named.")
    elif report.leans and not report.differ:
        found.append("Together the replicas lean to differing: as much evidence would hold a canary.")
    if report.halves.ratio is None:
        found.append("Half against half nothing was compared: too few labels, or sums that are no numbers.")
    elif report.promoted_after is None and report.fitness is Fitness.INCONCLUSIVE:
        found.append(
            "A canary with stable's own model would not have been promoted in that time. Give a longer --range; "
            "`modelslo plan` says how long a verdict takes."
        )
    return found


def _coverages(case: Case) -> list[str]:
    """Those that are off, and not so far that it is said of them already."""
    replicas, found = [one for one in case.report.replicas if Against.COVERAGE_DIFFERS not in one.against], []
    labels = sum(one.labels + one.invalid for one in replicas)
    predictions = sum(one.predictions for one in replicas)
    for one in replicas:
        if labels <= 0 or one.predictions < _LEAST_PREDICTIONS or one.coverage is None:
            continue
        if abs(one.coverage * predictions / labels - 1) > _COVERAGE_OFF:
            found.append(
                f"{percent(round(one.coverage, 3))} of the predictions of {one.name} have labels, "
                f"{percent(round(labels / predictions, 3))} of all: labels get lost, or come to another replica."
            )
    return found


def _invalid(case: Case) -> list[str]:
    """Losses that are no numbers, whoever has them."""
    some = [one for one in case.report.replicas if one.invalid > 0]
    shares = (f"{percent(round(one.invalid / (one.invalid + one.labels), 3))} of {one.name}'s" for one in some)
    return [f"Losses that are no numbers: {', '.join(shares)}."] if some else []


def _clustered(case: Case) -> list[str]:
    phi = case.report.halves.phi
    if phi <= 1.5:
        return []
    return [
        f"Labels are clustered (phi {number(phi, 3)}): a verdict needs that many times more of them. "
        "Randomise routing per request where you can."
    ]


def as_json(case: Case) -> dict[str, Any]:
    """The same for programs: times in seconds, e-values as numbers, ratios null where nothing was compared."""
    report, gate = case.report, case.parameters.gate
    return {
        "model": str(case.model),
        "version": case.version,
        "by": case.by,
        "fitness": report.fitness.value,
        "margin": gate.margin,
        "eValue": e_value(report.log_e),
        "threshold": e_value(log(1 / gate.alpha)),
        "differsFrom": _differs_from(case),
        "historySeconds": case.since - case.begins,
        "comparedSeconds": case.at - case.since,
        "promotedAfterSeconds": report.promoted_after,
        "phi": report.halves.phi,
        "halvesRatio": report.halves.ratio,
        "replicas": [
            {
                "name": one.name,
                "labels": one.labels,
                "predictions": one.predictions,
                "invalid": one.invalid,
                "coverage": one.coverage,
                "ratio": one.compared.ratio,
                "ratioLow": one.compared.low,
                "ratioHigh": one.compared.high,
                "eValue": e_value(one.log_e),
                "differs": one.odd,
                "against": [what.value for what in _WORDS if what in one.against],
            }
            for one in report.replicas
        ],
        "leftOut": list(report.left_out),
        "remarks": remarks(case),
    }
