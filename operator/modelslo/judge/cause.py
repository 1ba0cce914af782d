"""Three ways to get worse, three answers (DESIGN section 1): bad version, drift, broken data.

Holding for an incident needs positive evidence (volume, labels, coverage, delay, veto), not just a high loss. All
explanations are kept with their evidence, so that a person can disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from modelslo.judge.arms import Arms
from modelslo.judge.budget import Health
from modelslo.judge.comparison import Compared
from modelslo.judge.drift import Health as Stability
from modelslo.judge.drifting import Drifting
from modelslo.judge.evalues import e_value
from modelslo.judge.parameters import Parameters
from modelslo.judge.upstream import Sign, signs_of


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
    compared: Compared | None = None,
    *,
    canary_worse: bool,
    jumped: bool = False,
    vetoes: tuple[Sign, ...] = (),
) -> tuple[Cause, tuple[Explanation, ...]]:
    """The probable cause, and every explanation that was weighed.

    `compared` is what is known of a canary, `jumped` that stable's own loss stands out while there is one, `vetoes`
    what the user's own queries say of the data upstream.
    """
    found = (
        _version(compared, canary_worse),
        _incident(parameters, arms, vetoes, jumped),
        _detected(drifting) if parameters.drift else _burnt(parameters, stable_health),
    )
    cause = next((one.cause for one in found if one.supported), Cause.NONE)
    return cause, found


def _version(compared: Compared | None, worse: bool) -> Explanation:
    if compared is None:
        return Explanation(Cause.BAD_VERSION, worse, "there is no canary")
    if compared.ratio is None:
        return Explanation(Cause.BAD_VERSION, worse, "nothing of the canary was compared so far")
    evidence = f"the canary's mean loss is {compared.ratio:.3f} times stable's on the same traffic"
    if compared.guilty:
        evidence = f"{evidence}; worse in {', '.join(compared.guilty)}"
    return Explanation(Cause.BAD_VERSION, worse, evidence)


def _incident(parameters: Parameters, arms: Arms, vetoes: tuple[Sign, ...], jumped: bool) -> Explanation:
    signs = (*vetoes, *signs_of(arms, parameters))
    words = [one.words for one in signs if one.broken]
    if jumped:
        words.append("stable's own loss has jumped")
    if words:
        return Explanation(Cause.DATA_INCIDENT, True, "; ".join(words))
    if not signs:
        return Explanation(Cause.DATA_INCIDENT, False, "too little was seen of the traffic to tell")
    return Explanation(Cause.DATA_INCIDENT, False, "; ".join(one.words for one in signs))


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
