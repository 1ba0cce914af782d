"""Each status against its own known value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from math import isclose
from typing import Any

from tests.bench.fleet import CANARY, CANARY_LOSS, CANARY_SHARE, STABLE, STABLE_PODS, Kind, Served

Status = Mapping[str, Any]
# Figures have four significant digits.
_ROUNDING = 6e-4


def wrong(model: Served, status: Status) -> Iterator[str]:
    """What is not as it must be once the model's window is full, in words."""
    yield from _conditions(model, status)
    yield from _sli(model, status)
    yield from _budget(model, status)
    yield from _roles(model, status)


def _differs(what: str, found: float | None, known: float, rounding: float = _ROUNDING) -> Iterator[str]:
    if found is None or not isclose(found, known, rel_tol=rounding, abs_tol=1e-9):
        yield f"{what} is {found}, known {known:.6g}"


def _conditions(model: Served, status: Status) -> Iterator[str]:
    found = {one["type"]: (one["status"], one["reason"]) for one in status.get("conditions", ())}
    met = ("True", "WithinBudget")
    if model.remaining() <= 0:
        met = ("False", "BudgetExhausted")
    elif model.kind is Kind.BAD:
        met = ("False", "BurnRateHigh")
    known = {"Ready": ("True", "Judging"), "DataSufficient": ("True", "Measured")}
    if model.kind is not Kind.WAVY:  # whether a rule burns depends on the slice
        known["SLOMet"] = met
    for name, wanted in known.items():
        if found.get(name) != wanted:
            yield f"condition {name} is {found.get(name)}, known {wanted}"
    running = found.get("CanaryInProgress", ("", ""))[0]
    if running != ("True" if model.kind is Kind.CANARY else "False"):
        yield f"condition CanaryInProgress is {running!r}"


def _sli(model: Served, status: Status) -> Iterator[str]:
    sli = status.get("sli") or {}
    yield from _differs("sli.target", sli.get("target"), model.target)
    if "sliceEnd" not in sli:
        yield "sli has no sliceEnd"
        return
    index = round(datetime.fromisoformat(sli["sliceEnd"]).timestamp() / model.shape.slice) - 1
    yield from _differs(f"sli.value of slice {index}", sli.get("value"), model.sli(index))


def _budget(model: Served, status: Status) -> Iterator[str]:
    budget = status.get("budget") or {}
    slices = model.window // model.shape.slice
    bad = model.bad_slices()
    found = tuple(budget.get(name, 0) for name in ("good", "bad", "missing"))
    if found != (slices - bad, bad, 0):
        yield f"good, bad, missing are {found}, known {(slices - bad, bad, 0)}"
    yield from _differs("budget.remaining", budget.get("remaining"), model.remaining())


def _roles(model: Served, status: Status) -> Iterator[str]:
    stable, canary = status.get("stable") or {}, status.get("canary")
    if (stable.get("version"), stable.get("replicas")) != (STABLE, STABLE_PODS):
        yield f"stable is {stable.get('version')} with {stable.get('replicas')} pods"
    if model.kind is Kind.NOISY:
        yield from _differs("stable.loss", stable.get("loss"), model.loss, rounding=0.06)
    elif model.kind is not Kind.WAVY:
        yield from _differs("stable.loss", stable.get("loss"), model.loss)
    if model.kind is not Kind.CANARY:
        if canary is not None:
            yield f"there is a canary: {canary}"
        return
    canary = canary or {}
    if canary.get("version") != CANARY:
        yield f"canary is {canary.get('version')}"
    yield from _differs("canary.loss", canary.get("loss"), model.loss * CANARY_LOSS)
    yield from _differs("canary.trafficShare", canary.get("trafficShare"), CANARY_SHARE)
