"""What an operation needs next, from its record and what is seen. Pure; done again after a crash it says the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from modelslo.api.spec import ModelSLOSpec, Retrain
from modelslo.api.status import MESSAGE_LENGTH, OperationStatus, OperationType
from modelslo.decide.operation import RETREAT, Step, following
from modelslo.decide.reasons import Reason
from modelslo.decide.revision import carries, revision_of, version_of
from modelslo.decide.snapshot import JobState, Snapshot

ANNOTATION_OPERATION: Final = "modelslo.dev/operation"
# A Job that was created and is not seen: the watch is late, or somebody deleted it. Real time.
_JOB_SEEN_WITHIN: Final = 60.0


@dataclass(frozen=True, slots=True)
class Do:
    """Carry out the outside write of the record's step."""


@dataclass(frozen=True, slots=True)
class Wait:
    message: str


@dataclass(frozen=True, slots=True)
class Next:
    """The step's effect is seen. Persist `step`, then go on with it."""

    step: Step


@dataclass(frozen=True, slots=True)
class Fail:
    """The operation cannot go on. Persist the record of :func:`failed`, then go on with it."""

    reason: Reason
    message: str
    retreat: bool = False


Progress = Do | Wait | Next | Fail


@dataclass(frozen=True, slots=True)
class _Case:
    operation: OperationStatus
    spec: ModelSLOSpec
    snapshot: Snapshot
    now: datetime

    @property
    def next(self) -> Next:
        retreating = self.operation.type is OperationType.PROMOTE and bool(self.operation.failure)
        return Next(following(self.operation.type, Step(self.operation.step), retreating=retreating))


def progress(operation: OperationStatus, spec: ModelSLOSpec, snapshot: Snapshot, now: datetime) -> Progress:
    """What comes next. ``Step.FINISH`` always answers Do: ending the operation is the caller's last write."""
    step = Step(operation.step)
    if spec.rollout is None and operation.type is not OperationType.RETRAIN and step is not Step.FINISH:
        return Fail(
            Reason.ROLLOUT_REMOVED, "spec.rollout was taken out in the middle: the Deployments are the user's own."
        )
    return _STEPS[step](_Case(operation, spec, snapshot, now))


def failed(operation: OperationStatus, failure: Fail, now: datetime) -> OperationStatus:
    """The record of an operation that goes back (a retreat) or ends."""
    return operation.model_copy(
        update={
            "failure": str(failure.reason),
            "message": failure.message[:MESSAGE_LENGTH],
            "step": str(RETREAT[0] if failure.retreat else Step.FINISH),
            "step_started_at": now,
        }
    )


def stepped(operation: OperationStatus, step: Step, now: datetime) -> OperationStatus:
    return operation.model_copy(update={"step": str(step), "step_started_at": now})


def _scale_down(case: _Case) -> Progress:
    canary = case.snapshot.canary
    return case.next if canary is None or canary.replicas == 0 else Do()


def _canary_gone(case: _Case) -> Progress:
    canary = case.snapshot.canary
    if canary is None or (
        canary.replicas == 0 and canary.observed_generation >= canary.generation and canary.total == 0
    ):
        return case.next
    if canary.replicas > 0:
        return Next(Step.SCALE_CANARY_DOWN)  # somebody scaled it up again: it must not serve
    return Wait(f"{canary.total} pods of the canary are ending.")


def _copy(case: _Case) -> Progress:
    stable, canary, wanted = case.snapshot.stable, case.snapshot.canary, case.operation.revision
    if stable is None:
        return Fail(Reason.WORKLOAD_NOT_FOUND, "The stable Deployment is gone.")
    if revision_of(stable.template) == wanted:
        return case.next
    if canary is None or revision_of(canary.template) != wanted:
        return Fail(Reason.REVISION_CHANGED, "The canary's template changed before it was promoted.")
    return Do()


def _stable_ready(case: _Case) -> Progress:
    stable = case.snapshot.stable
    if stable is None:
        return Fail(Reason.WORKLOAD_NOT_FOUND, "The stable Deployment is gone.")
    if revision_of(stable.template) != case.operation.revision:
        return Fail(Reason.STABLE_CHANGED, "Somebody else changed stable's template during the promotion.")
    if stable.settled:
        return case.next
    if stable.observed_generation >= stable.generation and stable.deadline_exceeded:
        why = f"Stable's pods did not become available in time. {stable.failure}".strip()
        return Fail(Reason.PROMOTION_FAILED, why, retreat=True)
    return Wait(f"Stable has {stable.updated} new and {stable.available} available of {stable.replicas} pods.")


def _restore(case: _Case) -> Progress:
    stable = case.snapshot.stable
    if stable is None or revision_of(stable.template) != case.operation.revision:
        return case.next
    return Do()


def _restored(case: _Case) -> Progress:
    stable = case.snapshot.stable
    if stable is None or stable.settled:
        return case.next
    return Wait(f"Stable goes back: {stable.available} available of {stable.replicas} pods.")


def _create_job(case: _Case) -> Progress:
    ours = any(one.name == case.operation.job and one.operation == case.operation.id for one in case.snapshot.jobs)
    return case.next if ours else Do()


def _job_done(case: _Case) -> Progress:
    job = next((one for one in case.snapshot.jobs if one.name == case.operation.job), None)
    if job is None:
        if (case.now - case.operation.step_started_at).total_seconds() < _JOB_SEEN_WITHIN:
            return Wait("The Job is not seen yet.")
        return Fail(Reason.RETRAIN_FAILED, f"Job {case.operation.job} is gone and nobody knows how it ended.")
    if job.state is JobState.FAILED:
        return Fail(Reason.RETRAIN_FAILED, f"Job {job.name} failed: {job.reason} {job.message}".strip())
    return case.next if job.state is JobState.SUCCEEDED else Wait(f"Job {job.name} is running.")


def _read_result(case: _Case) -> Progress:
    return case.next if case.operation.result else Do()


def _apply_candidate(case: _Case) -> Progress:
    canary, retrain = case.snapshot.canary, case.spec.retrain
    if canary is None or retrain is None or case.spec.rollout is None:
        return Fail(Reason.RETRAIN_FAILED, "There is no canary Deployment to put the candidate into.")
    env, image = candidate_of(retrain, case.spec.rollout.version_from.env, case.operation.result)
    if carries(canary.template, env, image):
        return case.next
    if case.operation.revision and revision_of(canary.template) != case.operation.revision:
        version = version_of(canary.template, case.spec.rollout.version_from.env)
        return Fail(
            Reason.RETRAIN_FAILED,
            f"The canary got another template while the Job ran, of version {version!r}: that goes first. "
            f"The candidate {case.operation.result.get('version')!r} was not put in its place.",
        )
    return Do()


def candidate_of(retrain: Retrain, version_env: str, result: dict[str, str]) -> tuple[dict[str, str], str | None]:
    """Variables and image of the canary's first container for a Job's result (``version`` is required in it)."""
    env = {name: result[key] for name, key in retrain.candidate.env.items() if key in result}
    image = result.get(retrain.candidate.image) if retrain.candidate.image else None
    return {version_env: result["version"], **env}, image


def _finish(case: _Case) -> Progress:
    return Do()


_STEPS: Final[dict[Step, Callable[[_Case], Progress]]] = {
    Step.SCALE_CANARY_DOWN: _scale_down,
    Step.AWAIT_CANARY_GONE: _canary_gone,
    Step.COPY_TEMPLATE: _copy,
    Step.AWAIT_STABLE: _stable_ready,
    Step.RESTORE_TEMPLATE: _restore,
    Step.AWAIT_RESTORED: _restored,
    Step.CREATE_JOB: _create_job,
    Step.AWAIT_JOB: _job_done,
    Step.READ_RESULT: _read_result,
    Step.APPLY_CANDIDATE: _apply_candidate,
    Step.FINISH: _finish,
}
