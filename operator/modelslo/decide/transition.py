"""How a decision, and the end of an operation, change the recorded state. Pure: status in, status out."""

from __future__ import annotations

from datetime import datetime

from modelslo.api.status import (
    HISTORY_LENGTH,
    MESSAGE_LENGTH,
    DecisionStatus,
    ModelSLOStatus,
    OperationStatus,
    OperationType,
    RejectedRevision,
    RetrainResult,
    RetrainRun,
    RolloutStatus,
    Transition,
)
from modelslo.decide.decision import Decision
from modelslo.decide.operation import STEPS
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.reverts import with_promotion
from modelslo.decide.shadow import with_shadow, with_users
from modelslo.judge.parameters import Parameters

_OPERATIONS = {
    Action.PROMOTE: OperationType.PROMOTE,
    Action.ROLLBACK: OperationType.ROLLBACK,
    Action.RETRAIN: OperationType.RETRAIN,
}

# Why a promotion ended that says nothing against what was to be promoted.
_NO_FAULT_OF_ITS_OWN = frozenset(
    {Reason.STABLE_CHANGED, Reason.REVISION_CHANGED, Reason.WORKLOAD_NOT_FOUND, Reason.ROLLOUT_REMOVED}
)
_ENDS = frozenset({Action.PROMOTE, Action.ROLLBACK})


def apply_decision(
    status: ModelSLOStatus,
    decision: Decision,
    parameters: Parameters,
    now: datetime,
    *,
    operation_id: str,
    stable_version: str = "",
    job: str = "",
    previous_replica_set: str = "",
    mode: str = "Enforce",
    evidence: str = "",
) -> ModelSLOStatus:
    """Records the decision. For Promote, Rollback and Retrain that is the intent, written before anything is done.

    A Hold changes nothing unless a guardrail stopped an action: that veto is recorded once. ``job`` is the name of the
    Job of a Retrain, ``previous_replica_set`` the ReplicaSet that a failed promotion returns to.
    """
    if decision.action is Action.HOLD:
        return _with_veto(status, decision, now, operation_id, mode, evidence)
    status = _with_history(status, decision, now, operation_id, mode, evidence)
    match decision.action:
        case Action.START:
            return _started(status, decision, parameters, now, stable_version)
        case Action.ADVANCE:
            return _advanced(status, now)
        case Action.ABANDON:
            return status.model_copy(update={"rollout": None, "comparison": None, "canary": None})
    kind = _OPERATIONS[decision.action]
    operation = OperationStatus(
        id=operation_id,
        type=kind,
        step=STEPS[kind][0],
        reason=decision.reason,
        message=decision.message[:MESSAGE_LENGTH],
        started_at=now,
        step_started_at=now,
        revision=decision.revision,
        version=decision.version,
        previous_replica_set=previous_replica_set,
        replaces=decision.replaces,
        job=job,
    )
    last = status.last_actions.model_copy(update={kind.value.lower(): now})
    update: dict[str, object] = {"operation": operation, "last_actions": last}
    if kind is OperationType.RETRAIN:
        run = RetrainRun(id=operation_id, job=job, started_at=now)
        update["retrains"] = [*status.retrains, run][-HISTORY_LENGTH:]
    return status.model_copy(update=update)


def _started(
    status: ModelSLOStatus, decision: Decision, parameters: Parameters, now: datetime, stable_version: str
) -> ModelSLOStatus:
    rollout = RolloutStatus(
        revision=decision.revision,
        version=decision.version,
        stable_version=stable_version,
        shadow=decision.shadow,
        started_at=now,
        transitions=[Transition(started_at=now)],
        judged_since=now,
        parameters=parameters.gate_digest(),
    )
    status = (with_shadow if decision.shadow else with_users)(status, decision.version, now)
    return status.model_copy(update={"rollout": rollout, "comparison": None, "breach_since": None})


def _advanced(status: ModelSLOStatus, now: datetime) -> ModelSLOStatus:
    assert status.rollout is not None
    rollout = status.rollout.model_copy(
        update={
            "step": status.rollout.step + 1,
            "transitions": [*status.rollout.transitions, Transition(started_at=now)],
        }
    )
    return status.model_copy(update={"rollout": rollout})


def with_parameters(status: ModelSLOStatus, parameters: Parameters, now: datetime) -> ModelSLOStatus:
    """Other parameters of the gate in the middle of a rollout: judging starts afresh at E = 1, which is valid."""
    rollout = status.rollout
    if rollout is None or rollout.parameters == parameters.gate_digest():
        return status
    fresh = rollout.model_copy(update={"parameters": parameters.gate_digest(), "judged_since": now})
    return status.model_copy(update={"rollout": fresh, "comparison": None})


def finish(status: ModelSLOStatus, now: datetime) -> ModelSLOStatus:
    """The operation in status is over: the ledgers say how, and the operation goes."""
    operation = status.operation
    assert operation is not None
    update: dict[str, object] = {"operation": None}
    if operation.type is OperationType.RETRAIN:
        update["retrains"] = [_ended(run, operation, now) if run.id == operation.id else run for run in status.retrains]
        update["breach_since"] = None
    else:
        update |= {"rollout": None, "comparison": None, "canary": None, "breach_since": None}
        promoted = operation.type is OperationType.PROMOTE and not operation.failure
        if promoted:
            update["stable_since"] = now
        elif operation.type is OperationType.ROLLBACK or operation.failure not in _NO_FAULT_OF_ITS_OWN:
            rejected = RejectedRevision(
                revision=operation.revision,
                version=operation.version,
                reason=operation.reason if operation.type is OperationType.ROLLBACK else operation.failure,
                at=now,
            )
            others = [one for one in status.rejected_revisions if one.revision != operation.revision]
            update["rejected_revisions"] = [*others, rejected][-HISTORY_LENGTH:]
    return with_promotion(status.model_copy(update=update), operation, now)


def _ended(run: RetrainRun, operation: OperationStatus, now: datetime) -> RetrainRun:
    results = {"": RetrainResult.SUCCEEDED, Reason.RETRAIN_NO_RESULT: RetrainResult.NO_RESULT}
    return run.model_copy(
        update={
            "finished_at": now,
            "result": results.get(operation.failure, RetrainResult.FAILED),
            "version": operation.result.get("version", ""),
            "message": operation.message[:MESSAGE_LENGTH] if operation.failure else "",
        }
    )


def _with_veto(
    status: ModelSLOStatus, decision: Decision, now: datetime, identifier: str, mode: str, evidence: str
) -> ModelSLOStatus:
    last = status.last_decision
    known = last is not None and (last.action, last.reason, last.version) == (
        decision.action,
        decision.reason,
        decision.version,
    )
    # A guardrail may stop several actions after each other. The id of the ends of a rollout stays the same while they
    # are wanted.
    other = decision.vetoed in _ENDS and last is not None and last.id != identifier
    if decision.vetoed is None or (known and not other):
        return status
    return _with_history(status, decision, now, identifier, mode, evidence)


def _with_history(
    status: ModelSLOStatus, decision: Decision, now: datetime, identifier: str, mode: str, evidence: str
) -> ModelSLOStatus:
    entry = DecisionStatus(
        id=identifier,
        action=decision.action,
        reason=decision.reason,
        message=decision.message[:MESSAGE_LENGTH],
        at=now,
        version=decision.version,
        mode=mode,
        evidence=evidence,
    )
    return status.model_copy(update={"last_decision": entry, "history": [*status.history, entry][-HISTORY_LENGTH:]})
