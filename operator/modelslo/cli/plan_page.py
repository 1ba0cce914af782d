"""The text and the JSON of `modelslo plan`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, isfinite, sqrt
from typing import Any, Final

from modelslo.cli.plan_case import Case
from modelslo.cli.text import NONE, number, percent, table
from modelslo.judge.planning import (
    Course,
    Forecast,
    Luck,
    Outcome,
    Promise,
    forecast,
    labels_needed,
    least_labels,
    smallest_margin,
)

_TIMES: Final = (1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0)
_MARGINS: Final = (0.02, 0.03, 0.05, 0.1, 0.15, 0.2, 0.3)
_LONGEST: Final = 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Row:
    """A canary of this true ratio: when half and when nine of ten verdicts are there; None at the margin."""

    ratio: float
    typical: Forecast | None
    nine: Forecast | None


def effects(case: Case) -> list[Row]:
    """True ratios worth a look, ascending."""
    margin = case.promise.margin
    ratios = {0.8, 0.9, 1.0, *(round(1 + times * margin, 9) for times in (0.5, 1, 1.5, 2, 3))}
    ratios |= {ratio for ratio in (1.5, 2.0) if ratio > case.promise.r}
    return [row_of(case, case.course, ratio) for ratio in sorted(ratios)]


def row_of(case: Case, course: Course, ratio: float, promise: Promise | None = None) -> Row:
    promise = promise or case.promise
    return Row(
        ratio,
        forecast(promise, case.traffic, course, ratio),
        forecast(promise, case.traffic, course, ratio, Luck.NINE_OF_TEN),
    )


def margins(case: Case) -> list[Promise]:
    """The promise with other margins, its own among them."""
    wanted = {*_MARGINS, case.promise.margin}
    return [replace(case.promise, margin=margin) for margin in sorted(wanted)]


def times(case: Case) -> list[float]:
    if case.within:
        return sorted(set(case.within))
    return sorted({*_TIMES, *([case.deadline] if case.deadline else [])})


def page(case: Case) -> list[str]:
    """The lines that are printed."""
    shares = [] if case.mirror is not None else [*_shares(case), ""]
    lines = [*_head(case), "", *_effects(case), "", *shares, *_margins(case), "", *_times(case), ""]
    lines += [
        "TYPICAL: about half of such rollouts have their verdict by then. NINE OF TEN: nine of ten have, or sooner.",
        "LEAST LABELS: fewer no test can do with, on average, where effects are small.",
    ]
    if case.deadline is not None and any("*" in line for line in lines):
        lines.append(f"*: after spec.rollout.gate.deadline ({span(case.deadline)}), when onDeadline applies.")
    return lines


def _head(case: Case) -> list[str]:
    promise, traffic, course = case.promise, case.traffic, case.course
    steps = ", ".join(percent(share) for share in course.shares)
    each = f" ({span(course.step_duration)} each)" if len(course.shares) > 1 else ""
    canary = f"canary at {steps}{each}"
    if case.mirror is not None:
        canary = f"shadow with copies of {percent(case.mirror)} of the requests ({steps} of the predictions)"
    return [
        f"Plan for {case.title}",
        f"  margin {percent(promise.margin)}, falseRollback {percent(promise.alpha)}, "
        f"falsePromote {percent(promise.beta)}",
        f"  {number(traffic.rate)} labels/s of both arms, CV {number(sqrt(traffic.cv2), 3)}, "
        f"clustering (phi) {number(traffic.phi, 3)}, losses told apart up to {number(traffic.top, 3)} times the mean",
        f"  {canary}, warm-up {span(course.warmup)}, label delay {span(course.delay)}, "
        f"at least {span(course.least_age)} and {course.least_labels:.0f} labels before a promotion",
        *(f"  {remark}" for remark in case.remarks),
    ]


def _effects(case: Case) -> list[str]:
    rows = [
        [
            _effect(row.ratio),
            _verdict(row.typical),
            _labels(row.typical),
            _time(case, row.typical),
            _time(case, row.nine),
        ]
        for row in effects(case)
    ]
    head = ["TRUE LOSS", "VERDICT", "CANARY LABELS", "TYPICAL", "NINE OF TEN"]
    title = "Time to the verdict" if case.mirror is not None else "Time to the verdict, as the steps go"
    return [title, *table(head, rows, "  ")]


def _shares(case: Case) -> list[str]:
    rows = []
    for share in case.course.shares:
        for ratio in _two(case.promise):
            row = row_of(case, case.course.at(share), ratio)
            rows.append(
                [
                    percent(share),
                    _effect(ratio),
                    _verdict(row.typical),
                    _count(labels_needed(case.promise, case.traffic, share, ratio)),
                    _count(least_labels(case.promise, case.traffic, share, ratio)),
                    _time(case, row.typical),
                    _time(case, row.nine),
                ]
            )
    head = ["SHARE", "TRUE LOSS", "VERDICT", "PLANNED LABELS", "LEAST LABELS", "TYPICAL", "NINE OF TEN"]
    return ["If the canary stayed at one share", *table(head, rows, "  ")]


def _margins(case: Case) -> list[str]:
    rows = []
    for promise in margins(case):
        same, twice = (row_of(case, case.course, ratio, promise) for ratio in _two(promise))
        mark = " <" if promise == case.promise else ""
        cells = [_time(case, one) for one in (same.typical, same.nine, twice.typical, twice.nine)]
        rows.append([percent(promise.margin) + mark, *cells])
    head = ["MARGIN", "NO CHANGE: TYPICAL", "NINE OF TEN", "WORSE BY TWICE THE MARGIN: TYPICAL", "NINE OF TEN"]
    return ["Other margins", *table(head, rows, "  ")]


def _times(case: Case) -> list[str]:
    rows = []
    for within in times(case):
        found = [smallest_margin(case.promise, case.traffic, case.course, within, luck) for luck in Luck]
        rows.append([span(within), *(NONE if one is None else _rounded(one) for one in found)])
    head = ["WITHIN", "TYPICAL", "NINE OF TEN"]
    none = ["  -: the waits alone, or a margin of 100%, take longer."] if any(NONE in row for row in rows) else []
    return ["Smallest margin at which an unchanged canary is promoted within a time", *table(head, rows, "  "), *none]


def _two(promise: Promise) -> tuple[float, float]:
    """No change, and worse by twice the margin."""
    return 1.0, 1 + 2 * promise.margin


def _effect(ratio: float) -> str:
    return "no change" if ratio == 1 else f"{(ratio - 1) * 100:+.3g}%"


def _verdict(found: Forecast | None) -> str:
    return "hold" if found is None else found.outcome.lower()


def _labels(found: Forecast | None) -> str:
    return NONE if found is None else _count(found.labels)


def _count(value: float) -> str:
    return f"{ceil(value):,}" if isfinite(value) else NONE


def _time(case: Case, found: Forecast | None) -> str:
    if found is None:
        return "never: this is the margin"
    late = case.deadline is not None and found.seconds > case.deadline
    return span(found.seconds) + ("*" if late else "")


def _rounded(margin: float) -> str:
    """Up, so that the time is kept."""
    digits = 1 if margin < 0.1 else 0
    return f"{ceil(margin * 100 * 10**digits - 1e-6) / 10**digits:g}%"


def span(seconds: float) -> str:
    """A time for people, rounded up: 45s, 12m, 3h20m, 2d4h."""
    if seconds > _LONGEST:
        return "over a year"
    if seconds < 120:
        return f"{ceil(seconds - 1e-6)}s" if seconds % 60 or not seconds else f"{seconds / 60:.0f}m"
    minutes = ceil(seconds / 60 - 1e-6)
    if minutes < 120 and minutes != 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48 and hours != 24:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(hours + (minutes > 0), 24)
    return f"{days}d{hours}h" if hours else f"{days}d"


def as_json(case: Case) -> dict[str, Any]:
    """The same for programs: times in seconds, ratios as numbers; null: never."""
    promise, traffic, course = case.promise, case.traffic, case.course
    return {
        "plan": case.title,
        "promise": {"margin": promise.margin, "falseRollback": promise.alpha, "falsePromote": promise.beta},
        "traffic": {"labelsPerSecond": traffic.rate, "cv2": traffic.cv2, "phi": traffic.phi, "top": traffic.top},
        "rollout": {
            "shares": list(course.shares),
            "mirror": case.mirror,
            "stepDuration": course.step_duration,
            "warmup": course.warmup,
            "labelDelay": course.delay,
            "deadline": case.deadline,
        },
        "remarks": list(case.remarks),
        "effects": [_row(row) for row in effects(case)],
        "shares": [
            {
                "share": share,
                **_row(row_of(case, course.at(share), ratio)),
                "plannedLabels": labels_needed(promise, traffic, share, ratio),
                "leastLabels": least_labels(promise, traffic, share, ratio),
            }
            for share in course.shares
            for ratio in _two(promise)
        ],
        "margins": [
            {"margin": other.margin, "verdicts": _verdicts(case, other, _two(other))} for other in margins(case)
        ],
        "times": [
            {
                "within": within,
                **{luck.value: smallest_margin(promise, traffic, course, within, luck) for luck in Luck},
            }
            for within in times(case)
        ],
    }


def _verdicts(case: Case, promise: Promise, ratios: Sequence[float]) -> list[dict[str, Any]]:
    return [_row(row_of(case, case.course, ratio, promise)) for ratio in ratios]


def _row(row: Row) -> dict[str, Any]:
    verdict = row.typical.outcome if row.typical else None
    return {
        "ratio": row.ratio,
        "verdict": verdict.value if isinstance(verdict, Outcome) else "Hold",
        "labels": row.typical.labels if row.typical else None,
        "typical": row.typical.seconds if row.typical else None,
        "nineOfTen": row.nine.seconds if row.nine else None,
    }
