"""Rebuilds the retrain ledger of a ModelSLO without status (backups leave it out) from its labelled Jobs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from modelslo.act.names import LABEL_OPERATION
from modelslo.api.status import (
    HISTORY_LENGTH,
    LastActions,
    ModelSLOStatus,
    OperationStatus,
    OperationType,
    RetrainResult,
    RetrainRun,
)
from modelslo.decide.operation import Step
from modelslo.decide.reasons import Reason
from modelslo.decide.snapshot import JobState, RetrainJob
from modelslo.engine.views import Body, Model, job_of

_RESULTS = {
    JobState.ACTIVE: RetrainResult.RUNNING,
    JobState.SUCCEEDED: RetrainResult.SUCCEEDED,
    JobState.FAILED: RetrainResult.FAILED,
}


def lost_status(model: Model) -> bool:
    """Whether this ModelSLO may have had a status that is gone; a new one looks the same."""
    status = model.status
    return model.spec is not None and model.spec.retrain is not None and status == ModelSLOStatus()


def rebuilt(status: ModelSLOStatus, jobs: Iterable[Body]) -> ModelSLOStatus:
    """`status` with the runs, the cooldown and, when one still runs, the operation that `jobs` bear witness to."""
    found = [(body, job) for body in jobs if (job := job_of(body)) is not None and job.operation]
    found.sort(key=lambda pair: (pair[0]["metadata"]["creationTimestamp"], pair[1].name))
    if not found:
        return status
    runs = [_run(body, job) for body, job in found]
    update: dict[str, object] = {
        "retrains": runs[-HISTORY_LENGTH:],
        "last_actions": LastActions(retrain=runs[-1].started_at),
    }
    body, newest = found[-1]
    if newest.state is JobState.ACTIVE:
        update["operation"] = _operation(body, newest)
    return status.model_copy(update=update)


def _run(body: Body, job: RetrainJob) -> RetrainRun:
    ended = (body.get("status") or {}).get("completionTime")
    return RetrainRun(
        id=job.operation,
        job=job.name,
        started_at=_created(body),
        finished_at=datetime.fromisoformat(ended) if ended else None,
        result=_RESULTS[job.state],
        message="Rebuilt from the Job: status was empty.",
    )


def _operation(body: Body, job: RetrainJob) -> OperationStatus:
    return OperationStatus(
        id=body["metadata"]["labels"][LABEL_OPERATION],
        type=OperationType.RETRAIN,
        step=Step.AWAIT_JOB,
        reason=Reason.DRIFT,
        message="Rebuilt from the running Job: status was empty.",
        started_at=_created(body),
        step_started_at=_created(body),
        job=job.name,
    )


def _created(body: Body) -> datetime:
    return datetime.fromisoformat(body["metadata"]["creationTimestamp"])
