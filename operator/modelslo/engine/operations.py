"""Carries operations out: one step after the other, each recorded in status before it is done (DESIGN section 10).

Killed at any point and started again, it reads the record and does the recorded step again, which then changes nothing
or what was left to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from modelslo.act.events import Events, EventType, Notice, Subject
from modelslo.act.kube import InvalidError
from modelslo.act.steps import Tools, perform
from modelslo.act.target import ActError, Done, NoResultError, Target
from modelslo.api.spec import Mode, ModelSLOSpec
from modelslo.api.status import OperationStatus, OperationType
from modelslo.decide.operation import Step
from modelslo.decide.progress import Do, Fail, Next, Wait, failed, progress, stepped
from modelslo.decide.reasons import Reason
from modelslo.decide.transition import finish
from modelslo.engine.clock import Clock
from modelslo.engine.failpoint import Failpoint, When
from modelslo.engine.fights import Fights
from modelslo.engine.registry import Registry
from modelslo.engine.status import StatusWriter
from modelslo.engine.views import Model, Ref
from modelslo.observe.evidence import ModelKey

log = logging.getLogger(__name__)

# More turns than any operation has steps: a step whose write has no effect must not spin.
_MOST_TURNS: Final = 24
_DONE: Final = {
    OperationType.PROMOTE: "Promoted",
    OperationType.ROLLBACK: "RolledBack",
    OperationType.RETRAIN: "Retrained",
}


class BlockedError(Exception):
    """The step is refused, and only a person can mend it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An operation that is over. ``failure`` is empty or a reason."""

    operation: OperationStatus
    failure: str


class Driver:
    """Drives the operation of one model at a time; the caller holds the model's lock."""

    def __init__(
        self,
        registry: Registry,
        writer: StatusWriter,
        tools: Tools,
        events: Events,
        clock: Clock,
        failpoint: Failpoint,
        fights: Fights,
        ended: Callable[[ModelKey, Ended], None],
    ) -> None:
        self._registry, self._writer, self._tools, self._events = registry, writer, tools, events
        self._clock, self._failpoint, self._fights, self._ended = clock, failpoint, fights, ended

    async def drive(self, key: ModelKey) -> None:
        """Go on until there is something to wait for.

        Raises BlockedError, FightError, KubeError (try again later) or OutdatedError (look again).
        """
        performed: Step | None = None
        for _ in range(_MOST_TURNS):
            model = self._registry.model(key)
            if model is None or model.spec is None or not _may_act(model, model.spec):
                return
            operation = model.status.operation
            if operation is None:
                return
            await self._events.post(subject_of(model), _begun(operation))
            step = Step(operation.step)
            self._failpoint.reach(operation.type, step, When.BEFORE)
            match progress(operation, model.spec, self._registry.snapshot(model), self._now()):
                case Wait():
                    return
                case Do() if step is Step.FINISH:
                    await self._finish(model, operation)
                    return
                case Do() if step is performed:
                    return  # done, and its effect is not seen yet
                case Do():
                    performed = step
                    await self._do(model, model.spec, operation, step)
                case Next(following):
                    await self._next(model, operation, step, following, performed)
                case Fail() as failure:
                    await self._record(model, failed(operation, failure, self._now()))

    async def _do(self, model: Model, spec: ModelSLOSpec, operation: OperationStatus, step: Step) -> None:
        target = Target(model.key.namespace, model.key.name, model.uid, spec)
        if step is Step.SCALE_CANARY_DOWN:
            await self._keep_the_peace(model, target)
        try:
            done = await perform(step, operation, target, self._registry.snapshot(model), self._tools)
        except (ActError, InvalidError) as error:
            await self._refused(model, operation, step, error)
            return
        self._failpoint.reach(operation.type, step, When.AFTER)
        if step is Step.SCALE_CANARY_DOWN:
            self._fights.wrote(Ref(target.namespace, target.rollout.canary.name), 0)
        log.info("Step done", extra={"model": str(model.key), "decision": operation.id, "step": step})
        self._see(done)
        if done.fields:
            await self._record(model, operation.model_copy(update=done.fields))

    async def _keep_the_peace(self, model: Model, target: Target) -> None:
        canary = self._registry.snapshot(model).canary
        if canary is not None:
            ref = Ref(target.namespace, canary.name)
            await self._fights.avoid(self._tools.kube, ref, 0, canary.replicas, self._clock.now())

    async def _next(
        self, model: Model, operation: OperationStatus, step: Step, following: Step, performed: Step | None
    ) -> None:
        if step is not performed:
            self._failpoint.reach(operation.type, step, When.AFTER)
        await self._record(model, stepped(operation, following, self._now()))

    async def _refused(self, model: Model, operation: OperationStatus, step: Step, error: Exception) -> None:
        """A retrain ends there; a promotion that has changed nothing too; the rest waits for a person."""
        log.warning("Step refused: %s", error, extra={"model": str(model.key), "decision": operation.id, "step": step})
        if operation.type is OperationType.RETRAIN:
            reason = Reason.RETRAIN_NO_RESULT if isinstance(error, NoResultError) else Reason.RETRAIN_FAILED
        elif step is Step.COPY_TEMPLATE:
            reason = Reason.PROMOTION_FAILED
        else:
            raise BlockedError(f"{operation.type} cannot go on at {step}: {error}") from error
        await self._record(model, failed(operation, Fail(reason, str(error)), self._now()))

    async def _finish(self, model: Model, operation: OperationStatus) -> None:
        await self._events.post(subject_of(model), _over(operation))
        await self._writer.record(model, finish(model.status, self._now()))
        self._failpoint.reach(operation.type, Step.FINISH, When.AFTER)
        self._ended(model.key, Ended(operation, operation.failure))
        log.info(
            "Operation ended",
            extra={"model": str(model.key), "decision": operation.id, "failure": operation.failure},
        )

    async def _record(self, model: Model, operation: OperationStatus) -> None:
        await self._writer.record(model, model.status.model_copy(update={"operation": operation}))

    def _see(self, done: Done) -> None:
        for body in done.deployments:
            self._registry.put_deployment(body)
        for body in done.jobs:
            self._registry.put_job(body)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


def subject_of(model: Model) -> Subject:
    return Subject(model.key.namespace, model.key.name, model.uid)


def _may_act(model: Model, spec: ModelSLOSpec) -> bool:
    """Suspend stops before the next step; DryRun writes nothing but status; what is being deleted is left alone."""
    return not (spec.suspend or spec.mode is Mode.DRY_RUN or model.deleting)


def _begun(operation: OperationStatus) -> Notice:
    kind = EventType.NORMAL if operation.type is OperationType.PROMOTE else EventType.WARNING
    note = f"{operation.type} {operation.version}: {operation.message}"
    return Notice(kind, operation.reason, operation.type, note, key=f"{operation.id}/begun")


def _over(operation: OperationStatus) -> Notice:
    key = f"{operation.id}/over"
    version = operation.result.get("version", operation.version)
    if operation.failure:
        note = f"{operation.type} of {version} failed: {operation.message}"
        return Notice(EventType.WARNING, operation.failure, operation.type, note, key)
    return Notice(EventType.NORMAL, _DONE[operation.type], operation.type, f"{operation.type} {version} is done.", key)
