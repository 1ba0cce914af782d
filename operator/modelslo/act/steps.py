"""The outside write of each step, one small function each. Every one may be done again: it then changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from modelslo.act.candidate import apply_candidate, missing_keys
from modelslo.act.deployments import copy_template, restore_template, scale
from modelslo.act.jobs import build_job, create_job, read_result, require_pod_security
from modelslo.act.kube import DEPLOYMENTS, Kube
from modelslo.act.target import ActError, Done, NoResultError, Target
from modelslo.api.status import OperationStatus
from modelslo.decide.operation import Step
from modelslo.decide.revision import revision_of, version_of
from modelslo.decide.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with. ``accounts`` are the service accounts that a retrain Job may name."""

    kube: Kube
    accounts: frozenset[str] = frozenset()
    pod_security: bool = True


@dataclass(frozen=True, slots=True)
class Task:
    """One step to be done."""

    operation: OperationStatus
    target: Target
    snapshot: Snapshot
    tools: Tools


async def perform(step: Step, operation: OperationStatus, target: Target, snapshot: Snapshot, tools: Tools) -> Done:
    """Do the outside write of `step`. Steps that only wait have none. Raises KubeError or ActError."""
    act = ACTS.get(step)
    return Done() if act is None else await act(Task(operation, target, snapshot, tools))


async def _scale_canary_down(task: Task) -> Done:
    canary = task.target.rollout.canary.name
    return Done(deployments=(await scale(task.tools.kube, task.target.namespace, canary, 0, task.operation.id),))


async def _copy_template(task: Task) -> Done:
    kube, namespace, rollout = task.tools.kube, task.target.namespace, task.target.rollout
    canary = await kube.get(DEPLOYMENTS, namespace, rollout.canary.name)
    if revision_of(canary["spec"]["template"]) != task.operation.revision:
        # Changed since it was judged. Show it, and the operation ends by itself.
        return Done(deployments=(canary,))
    stable = await copy_template(kube, namespace, rollout.canary.name, rollout.stable.name, task.operation.id)
    return Done(deployments=(stable,))


async def _restore_template(task: Task) -> Done:
    kube, target, operation = task.tools.kube, task.target, task.operation
    name = target.rollout.stable.name
    body = await restore_template(kube, target.namespace, name, operation.previous_replica_set, operation.id)
    return Done(deployments=(body,))


async def _create_job(task: Task) -> Done:
    tools, target, operation = task.tools, task.target, task.operation
    if tools.pod_security:
        await require_pod_security(tools.kube, target.namespace)
    stable = task.snapshot.stable
    version = version_of(stable.template, target.rollout.version_from.env) if stable else None
    job = build_job(target, operation.id, operation.job, version or "", tools.accounts)
    return Done(jobs=(await create_job(tools.kube, job),))


async def _read_result(task: Task) -> Done:
    retrain = task.target.spec.retrain
    if retrain is None:
        raise ActError("spec.retrain is gone: nothing says what the result is for.")
    result = await read_result(task.tools.kube, task.target.namespace, task.operation.job)
    missing = missing_keys(retrain, result)
    if missing:
        raise NoResultError(f"The result of Job {task.operation.job!r} lacks {', '.join(map(repr, missing))}.")
    return Done(fields={"result": result})


async def _apply_candidate(task: Task) -> Done:
    operation = task.operation
    canary = await apply_candidate(task.tools.kube, task.target, dict(operation.result), operation.id)
    return Done(deployments=(canary,))


ACTS: Final[dict[Step, Callable[[Task], Awaitable[Done]]]] = {
    Step.SCALE_CANARY_DOWN: _scale_canary_down,
    Step.COPY_TEMPLATE: _copy_template,
    Step.RESTORE_TEMPLATE: _restore_template,
    Step.CREATE_JOB: _create_job,
    Step.READ_RESULT: _read_result,
    Step.APPLY_CANDIDATE: _apply_candidate,
}
