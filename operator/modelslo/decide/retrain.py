"""When stable drifts for long enough, a retrain is wanted."""

from __future__ import annotations

from datetime import datetime

from modelslo.api.spec import Severity
from modelslo.api.status import ModelSLOStatus
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.veto import stained_until
from modelslo.judge.cause import Cause
from modelslo.judge.drift import Health
from modelslo.judge.judgement import Judgement
from modelslo.judge.parameters import Parameters


def with_breach(status: ModelSLOStatus, parameters: Parameters, judgement: Judgement, now: datetime) -> ModelSLOStatus:
    """Keeps since when the trigger is met. Unknown neither starts nor ends a breach; a canary, an operation or an
    upstream veto does: what was lost while the data were broken is no drift."""
    if parameters.trigger is None or status.rollout is not None or status.operation is not None or judgement.standing:
        return status.model_copy(update={"breach_since": None})
    known = judgement.problem is None and stained_until(status, parameters, now) is None
    burning = _breached(parameters, parameters.trigger, judgement) if known else None
    if burning is None or (burning and status.breach_since is not None):
        return status
    return status.model_copy(update={"breach_since": now if burning else None})


def _breached(parameters: Parameters, trigger: Severity, judgement: Judgement) -> bool | None:
    """Whether the trigger says so now; None when that is not known."""
    if not parameters.drift:
        return judgement.stable_health.burning(trigger) if judgement.stable_health is not None else None
    if judgement.drifting is None or judgement.drifting.health is Health.INSUFFICIENT:
        return None
    return judgement.drifting.health is Health.DRIFT


def wanted_retrain(
    parameters: Parameters, status: ModelSLOStatus, judgement: Judgement, now: datetime
) -> tuple[Action, Reason, str] | None:
    """Retrain, or the Hold that says why not although the budget burns; None when all is well."""
    drift = next((one for one in judgement.explanations if one.cause is Cause.DRIFT), None)
    if drift is None or not drift.supported:
        return None
    stained = stained_until(status, parameters, now)
    if stained is not None and status.vetoed is not None:
        names = ", ".join(status.vetoed.names)
        return (
            Action.HOLD,
            Reason.DATA_INCIDENT,
            f"The budget burns, but slices from before the veto ({names}) was lifted count until {stained:%FT%TZ}.",
        )
    if status.breach_since is None:
        return None
    if judgement.cause is Cause.DATA_INCIDENT:
        why = next(one.evidence for one in judgement.explanations if one.cause is Cause.DATA_INCIDENT)
        return Action.HOLD, Reason.DATA_INCIDENT, f"The budget burns, but the data look broken: {why}."
    if judgement.cause is not Cause.DRIFT:
        return None
    lasted = (now - status.breach_since).total_seconds()
    # The detector does not alarm before that many slices were bad.
    if not parameters.drift and lasted < parameters.timing.sustained_for:
        return (
            Action.HOLD,
            Reason.BREACH_NOT_SUSTAINED,
            f"Stable burns its budget since {lasted:.0f} s of {parameters.timing.sustained_for:.0f} s: "
            f"{drift.evidence}.",
        )
    return Action.RETRAIN, Reason.DRIFT, f"Stable drifts: {drift.evidence}."
