"""The text and the JSON of `modelslo aa`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any, Final

from modelslo.cli.plan_page import span
from modelslo.cli.text import NONE, number, percent, table
from modelslo.judge.aa import Fitness, Replica, Report
from modelslo.judge.evalues import e_value
from modelslo.judge.parameters import Parameters
from modelslo.observe.evidence import ModelKey

# Relative: coverage of a replica that is so far off that of all says that labels get lost on the way.
_COVERAGE_OFF: Final = 0.2
_LEAST_PREDICTIONS: Final = 200.0


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
        *(["  What differs was taken out before the others were compared with each other.", ""] if _odd(case) else []),
        f"  all together: e-value {number(e_value(report.log_e), 3)} of {number(e_value(report.log_threshold), 3)}",
        f"  half against half: {_halves(case)}",
        "",
        f"{report.fitness.upper()}: {_conclusion(case)}",
    ]
    return lines + [f"  - {remark}" for remark in remarks(case)]


def _odd(case: Case) -> bool:
    return any(one.odd for one in case.report.replicas)


def _row(one: Replica) -> list[str]:
    found = one.compared
    interval = NONE if found.low is None or found.high is None else f"{found.low:.3f} to {found.high:.3f}"
    return [
        one.name,
        f"{one.labels:,.0f}",
        NONE if one.coverage is None else percent(round(one.coverage, 3)),
        NONE if found.ratio is None else f"x {found.ratio:.3f}",
        interval,
        number(e_value(one.log_e), 3),
        "differs" if one.odd else "",
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
    match case.report.fitness:
        case Fitness.UNFIT:
            return (
                "replicas of one version differ by more than the margin, so that verdicts on canaries cannot be "
                "trusted. Look for sticky or uneven routing, a broken replica, or metrics that count different things."
            )
        case Fitness.FIT:
            return "a canary with stable's own model would have been promoted, and no replica differs."
        case Fitness.INCONCLUSIVE:
            return (
                "nothing speaks against it, but a canary with stable's own model would not have been promoted in that "
                "time either. Give a longer --range; `modelslo plan` says how long a verdict takes."
            )


def remarks(case: Case) -> list[str]:
    """What else a person should know."""
    report, found = case.report, list(case.notes)
    labels = sum(one.labels for one in report.replicas)
    predictions = sum(one.predictions for one in report.replicas)
    for one in report.replicas:
        if predictions <= 0 or one.predictions < _LEAST_PREDICTIONS or one.coverage is None:
            continue
        if abs(one.coverage * predictions / labels - 1) > _COVERAGE_OFF:
            found.append(
                f"{percent(round(one.coverage, 3))} of the predictions of {one.name} have labels, "
                f"{percent(round(labels / predictions, 3))} of all: labels get lost, or come to another replica."
            )
    if report.left_out:
        found.append(f"Left out, because they were not there all the time: {', '.join(report.left_out)}.")
    if report.halves.phi > 1.5:
        found.append(
            f"Labels are clustered (phi {number(report.halves.phi, 3)}): a verdict needs that many times more of them. "
            "Randomise routing per request where you can."
        )
    return found


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
        "historySeconds": case.since - case.begins,
        "comparedSeconds": case.at - case.since,
        "promotedAfterSeconds": report.promoted_after,
        "phi": report.halves.phi,
        "replicas": [
            {
                "name": one.name,
                "labels": one.labels,
                "predictions": one.predictions,
                "coverage": one.coverage,
                "ratio": one.compared.ratio,
                "ratioLow": one.compared.low,
                "ratioHigh": one.compared.high,
                "eValue": e_value(one.log_e),
                "differs": one.odd,
            }
            for one in report.replicas
        ],
        "leftOut": list(report.left_out),
        "remarks": remarks(case),
    }
