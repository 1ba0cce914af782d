"""Three ways to get worse, three answers (DESIGN section 1): bad version, drift, broken data.

Holding for an incident needs positive evidence (coverage, volume), not just a high loss. All explanations are kept with
their evidence, so that a person can disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from modelslo.judge.arms import Arms
from modelslo.judge.budget import Health
from modelslo.judge.drift import Health as Stability
from modelslo.judge.drifting import Drifting
from modelslo.judge.evalues import e_value
from modelslo.judge.parameters import Parameters

# Labels come at less than a fifth, or more than five times, of their pace before: something upstream broke.
_PACE_LOW: Final = 0.2
_PACE_HIGH: Final = 5.0


class Cause(StrEnum):
    NONE = "None"
    BAD_VERSION = "BadVersion"
    DRIFT = "Drift"
    DATA_INCIDENT = "DataIncident"


@dataclass(frozen=True, slots=True)
class Explanation:
    cause: Cause
    supported: bool
    evidence: str


def explain(
    parameters: Parameters,
    arms: Arms,
    stable_health: Health | None,
    drifting: Drifting | None = None,
    *,
    canary_worse: bool,
    at: float,
) -> tuple[Cause, tuple[Explanation, ...]]:
    """The probable cause, and every explanation that was weighed."""
    found = (
        Explanation(
            Cause.BAD_VERSION,
            canary_worse,
            "the canary is worse than stable on the same traffic" if canary_worse else "no evidence against a canary",
        ),
        _incident(arms),
        _detected(drifting) if parameters.drift else _burnt(parameters, stable_health),
    )
    cause = next((one.cause for one in found if one.supported), Cause.NONE)
    return cause, found


def _incident(arms: Arms) -> Explanation:
    for version, arm in sorted(arms.by_version.items()):
        pace = arm.pace()
        # A version that comes or goes changes its own pace; only one that serves on tells of the data.
        if pace is not None and len(arms.by_version) == 1 and not _PACE_LOW <= pace <= _PACE_HIGH:
            return Explanation(
                Cause.DATA_INCIDENT, True, f"labels of version {version!r} arrive at {pace:.2f} times their pace before"
            )
    return Explanation(Cause.DATA_INCIDENT, False, "labels arrive at their usual pace")


def _burnt(parameters: Parameters, stable_health: Health | None) -> Explanation:
    if parameters.trigger is None or stable_health is None:
        return Explanation(Cause.DRIFT, False, "drift is not watched: the ModelSLO has no spec.retrain")
    burning = stable_health.burning(parameters.trigger)
    rates = ", ".join(
        f"{burn.rule.severity} {_number(burn.long)}/{_number(burn.short)} of {burn.rule.factor:g}"
        for burn in stable_health.burns
    )
    return Explanation(Cause.DRIFT, burning is True, f"burn rates of stable (long/short of factor): {rates}")


def _detected(drifting: Drifting | None) -> Explanation:
    if drifting is None:
        return Explanation(Cause.DRIFT, False, "drift is not watched: nothing is known of stable's slices")
    days = drifting.false_interval / 86_400
    evidence = (
        f"e-detector of a mean loss above {drifting.level:g}: {e_value(drifting.log_e):.3g} of "
        f"{e_value(drifting.log_threshold):.3g}, which comes once in {days:.3g} days by chance"
    )
    if drifting.health is Stability.INSUFFICIENT:
        evidence = f"{evidence}; too few labels to tell"
    return Explanation(Cause.DRIFT, drifting.health is Stability.DRIFT, evidence)


def _number(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.2f}"
