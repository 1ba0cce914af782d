"""What a person sees in status: conditions and figures, computed from the judgement, the decision and the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelslo.api.spec import ModelSLOSpec, NoData
from modelslo.api.status import (
    MESSAGE_LENGTH,
    MOST_SEGMENTS,
    Budget,
    BurnRateStatus,
    Comparison,
    Condition,
    ConditionType,
    Diagnosis,
    Drift,
    Explanation,
    ModelSLOStatus,
    OperationType,
    Role,
    Sli,
)
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Reason
from modelslo.decide.revision import version_of
from modelslo.decide.snapshot import Snapshot
from modelslo.judge.budget import Health
from modelslo.judge.evalues import e_value
from modelslo.judge.judgement import Judgement
from modelslo.judge.parameters import Parameters

# Reasons that a person has to mend in the resource or the cluster: the operator cannot go on with this object.
STALLING: Final = frozenset(
    {
        Reason.WORKLOAD_NOT_FOUND,
        Reason.WORKLOAD_SHARED,
        Reason.HPA_CONFLICT,
        Reason.FIELD_CONFLICT,
        Reason.INVALID_SPEC,
        Reason.URL_NOT_ALLOWED,
    }
)
# Below this share of measured slices in the window the SLO's own state is not known (noData: Hold).
_LEAST_COVERED: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Said:
    """A condition before its time of transition is known."""

    type: ConditionType
    status: str
    reason: str
    message: str


def report(
    status: ModelSLOStatus,
    spec: ModelSLOSpec,
    parameters: Parameters,
    snapshot: Snapshot,
    judgement: Judgement,
    decision: Decision,
    generation: int,
    now: datetime,
) -> ModelSLOStatus:
    """Status with this evaluation's conditions and figures. Records (rollout, operation, ledgers) stay as they are."""
    said = [
        *_ready(decision),
        _slo_met(judgement, parameters),
        _data_sufficient(judgement),
        _canary(status, decision),
        _retrain(status),
        *_approval(decision),
    ]
    return with_conditions(status, said, generation, now).model_copy(
        update={
            "observed_generation": generation,
            "last_evaluation_time": now,
            **_figures(status, spec, parameters, snapshot, judgement),
        }
    )


def stalled(status: ModelSLOStatus, reason: Reason, message: str, generation: int, now: datetime) -> ModelSLOStatus:
    """Status of a resource that cannot be judged at all."""
    said = [
        _Said(ConditionType.READY, "False", reason, message),
        _Said(ConditionType.STALLED, "True", reason, message),
    ]
    return with_conditions(status, said, generation, now).model_copy(update={"observed_generation": generation})


def with_conditions(status: ModelSLOStatus, said: list[_Said], generation: int, now: datetime) -> ModelSLOStatus:
    """Keeps the time of transition of a condition whose status stays."""
    before = {one.type: one for one in status.conditions}
    conditions = []
    for one in said:
        old = before.get(one.type)
        since = old.last_transition_time if old is not None and old.status == one.status else now
        conditions.append(
            Condition(
                type=one.type,
                status=one.status,
                reason=one.reason,
                message=one.message[:MESSAGE_LENGTH],
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return status.model_copy(update={"conditions": conditions})


def _ready(decision: Decision) -> list[_Said]:
    """Ready means that the controller works for this object; a missed SLO or a long canary never clears it."""
    if decision.reason in STALLING:
        return [
            _Said(ConditionType.READY, "False", decision.reason, decision.message),
            _Said(ConditionType.STALLED, "True", decision.reason, decision.message),
        ]
    # Stalled is abnormal-true: it is there only while it is true (kstatus).
    return [_Said(ConditionType.READY, "True", "Judging", "The model is judged.")]


def _slo_met(judgement: Judgement, parameters: Parameters) -> _Said:
    health = judgement.health
    if health is None or health.remaining is None:
        return _Said(ConditionType.SLO_MET, "Unknown", "NoData", "No slice was measured so far.")
    covered = (health.good + health.bad) / parameters.window_slices
    message = (
        f"{health.remaining:.1%} of the error budget is left: {health.bad} bad, {health.good} good, "
        f"{health.missing} missing of {parameters.window_slices} slices."
    )
    if health.remaining <= 0:
        return _Said(ConditionType.SLO_MET, "False", "BudgetExhausted", message)
    if any(burn.burning for burn in health.burns):
        return _Said(ConditionType.SLO_MET, "False", "BurnRateHigh", message)
    if parameters.no_data is NoData.HOLD and covered < _LEAST_COVERED:
        return _Said(ConditionType.SLO_MET, "True", "HistoryShort", message)
    return _Said(ConditionType.SLO_MET, "True", "WithinBudget", message)


def _data_sufficient(judgement: Judgement) -> _Said:
    if judgement.problem is not None:
        return _Said(ConditionType.DATA_SUFFICIENT, "False", judgement.problem.reason, judgement.problem.message)
    return _Said(ConditionType.DATA_SUFFICIENT, "True", "Measured", "Losses and labels arrive.")


def _canary(status: ModelSLOStatus, decision: Decision) -> _Said:
    operation, rollout = status.operation, status.rollout
    if operation is not None and operation.type is not OperationType.RETRAIN:
        reason = "Promoting" if operation.type is OperationType.PROMOTE else "RollingBack"
        return _Said(ConditionType.CANARY_IN_PROGRESS, "True", reason, f"{operation.version}: {operation.message}")
    if rollout is None:
        return _Said(ConditionType.CANARY_IN_PROGRESS, "False", decision.reason, decision.message)
    stage = "shadow" if rollout.shadow else f"step {rollout.step + 1}"
    message = f"{rollout.version}, {stage}: {decision.message}"
    return _Said(ConditionType.CANARY_IN_PROGRESS, "True", decision.reason, message)


def _retrain(status: ModelSLOStatus) -> _Said:
    operation = status.operation
    if operation is not None and operation.type is OperationType.RETRAIN:
        return _Said(ConditionType.RETRAIN_IN_PROGRESS, "True", operation.step, f"Job {operation.job}")
    last = status.retrains[-1] if status.retrains else None
    if last is None:
        return _Said(ConditionType.RETRAIN_IN_PROGRESS, "False", "None", "No retrain so far.")
    return _Said(
        ConditionType.RETRAIN_IN_PROGRESS, "False", last.result, f"Last: Job {last.job} {last.version}".strip()
    )


def _approval(decision: Decision) -> list[_Said]:
    if decision.reason is not Reason.AWAITING_APPROVAL:
        return []
    return [_Said(ConditionType.APPROVAL_REQUIRED, "True", decision.reason, decision.message)]


def _figures(
    status: ModelSLOStatus, spec: ModelSLOSpec, parameters: Parameters, snapshot: Snapshot, judgement: Judgement
) -> dict[str, object]:
    env = spec.rollout.version_from.env if spec.rollout else ""
    stable = version_of(snapshot.stable.template, env) if snapshot.stable else None
    figures: dict[str, object] = {
        "stable": _role(judgement, stable, snapshot.stable.ready if snapshot.stable else 0),
        "canary": None,
        "comparison": None,
        "drift": _drift(judgement),
        "diagnosis": Diagnosis(
            cause=judgement.cause,
            explanations=[
                Explanation(cause=one.cause, supported=one.supported, evidence=one.evidence)
                for one in judgement.explanations
            ],
        ),
    }
    rollout = status.rollout
    if rollout is not None:
        figures["canary"] = _role(judgement, rollout.version, snapshot.canary.ready if snapshot.canary else 0)
        figures["comparison"] = status.comparison if _unread(judgement) else _comparison(judgement)
    if judgement.health is not None:
        figures |= _health(judgement.health, parameters)
    return figures


def _role(judgement: Judgement, version: str | None, ready: int) -> Role:
    arm = judgement.arms.by_version.get(version or "")
    return Role(
        version=version,
        replicas=ready,
        loss=_rounded(arm.loss) if arm else None,
        samples=round(arm.labels) if arm else 0,
        traffic_share=_rounded(judgement.arms.share(version)) if version else None,
    )


def _drift(judgement: Judgement) -> Drift | None:
    found = judgement.drifting
    if found is None:
        return None
    value, threshold = (float(f"{e_value(one):.2g}") for one in (found.log_e, found.log_threshold))
    return Drift(state=found.health, e_value=value, threshold=threshold)


def _unread(judgement: Judgement) -> bool:
    """A restarted operator that cannot read the history yet: what was said before stays said."""
    return judgement.problem is not None and judgement.canary is not None and judgement.canary.compared.blocks == 0


def _comparison(judgement: Judgement) -> Comparison | None:
    if judgement.canary is None:
        return None
    found = judgement.canary.compared
    return Comparison(
        ratio=_rounded(found.ratio),
        ratio_low=_rounded(found.low),
        ratio_high=_rounded(found.high),
        e_rollback=float(f"{e_value(found.log_e_rollback):.3g}"),
        e_promote=float(f"{e_value(found.log_e_promote):.3g}"),
        stable_samples=round(found.stable),
        canary_samples=round(found.canary),
        data=found.data,
        guilty_segments=[name[:64] for name in found.guilty[:MOST_SEGMENTS]] or None,
    )


def _health(health: Health, parameters: Parameters) -> dict[str, object]:
    return {
        "sli": Sli(
            value=_rounded(health.sli.value),
            target=parameters.target,
            samples=health.sli.samples,
            slice_end=health.slice_end,
        ),
        "budget": Budget(
            remaining=_rounded(health.remaining), good=health.good, bad=health.bad, missing=health.missing
        ),
        "burn_rates": [
            BurnRateStatus(
                severity=burn.rule.severity,
                long=_rounded(burn.long),
                short=_rounded(burn.short),
                factor=_rounded(burn.rule.factor) or 0.0,
                burning=burn.burning is True,
            )
            for burn in health.burns
        ],
    }


def _rounded(value: float | None) -> float | None:
    """Four significant digits: enough for people, and no write for noise behind them."""
    return None if value is None else float(f"{value:.4g}")
