"""What is done for one model: conclude an evaluation, go on with an operation, keep the canary's pods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Final

from modelslo.act.deployments import current_replica_set, scale
from modelslo.act.events import Events, Notice
from modelslo.act.jobs import job_name
from modelslo.act.kube import DEPLOYMENTS, JOBS, ConflictError, Kube, KubeError, NotFoundError
from modelslo.act.names import LABEL_MODEL, label_value
from modelslo.act.target import ActError
from modelslo.api.spec import Mode, ModelSLOSpec
from modelslo.api.status import ModelSLOStatus, OperationType
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.report import stalled
from modelslo.decide.rollout import desired_canary_replicas, with_share
from modelslo.decide.snapshot import Snapshot
from modelslo.decide.transition import apply_decision
from modelslo.engine.afresh import lost_history, restarted_comparison
from modelslo.engine.clock import Clock
from modelslo.engine.evaluate import Evaluation, evaluate, prepared, reported, stable_version
from modelslo.engine.failpoint import INTENT, Failpoint, When
from modelslo.engine.fights import FightError, Fights
from modelslo.engine.ids import decision_id
from modelslo.engine.metrics import Metrics
from modelslo.engine.notices import notice_of
from modelslo.engine.operations import BlockedError, Driver, Ended, subject_of
from modelslo.engine.plan import Plan
from modelslo.engine.rebuild import lost_status, rebuilt
from modelslo.engine.record import Recorder, digest_of, record_line
from modelslo.engine.registry import Registry
from modelslo.engine.state import ModelState, States
from modelslo.engine.status import OutdatedError, StatusWriter
from modelslo.engine.trouble import Trouble, TroubleReason, with_trouble
from modelslo.engine.views import Model, Ref
from modelslo.observe.evidence import Evidence, ModelKey

log = logging.getLogger(__name__)

# Increments that are judged at once.
_LONG: Final = 2000
_OPERATIONS = {
    Action.PROMOTE: OperationType.PROMOTE,
    Action.ROLLBACK: OperationType.ROLLBACK,
    Action.RETRAIN: OperationType.RETRAIN,
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker works with."""

    registry: Registry
    kube: Kube
    writer: StatusWriter
    events: Events
    driver: Driver
    failpoint: Failpoint
    metrics: Metrics
    clock: Clock
    fights: Fights
    recorder: Recorder = field(default_factory=Recorder)


class Worker:
    """Never raises for what goes wrong with one model: it logs, shows it, and asks to be called again later."""

    def __init__(self, parts: Parts, states: States, again: Callable[[ModelKey, float], None]) -> None:
        self._parts, self._states, self._again = parts, states, again

    async def conclude(self, key: ModelKey, evidence: Evidence, tick: float, era: object) -> None:
        """Judge and decide on `evidence`, write down what came of it, and act. `era` is that of the state when it was
        asked for: in another one it is a piece out of the middle, and the history is asked for again."""

        async def work(model: Model, state: ModelState) -> None:
            if isinstance(state.plan, Plan) and model.spec is not None and state.era is era:
                await self._conclude(model, model.spec, state, state.plan, evidence, tick)
            await self._go_on(key, state)

        await self._guarded("conclude", key, work)

    async def progress(self, key: ModelKey) -> None:
        """Something changed in the cluster: go on with what is under way. Asks Prometheus nothing."""

        async def work(model: Model, state: ModelState) -> None:
            if isinstance(state.plan, Plan) and model.spec is not None:
                await self._ready(model, model.spec, state.plan)
                await self._go_on(key, state)

        await self._guarded("progress", key, work)

    async def refuse(self, key: ModelKey) -> None:
        """The model cannot be judged before its spec is mended: say so."""

        async def work(model: Model, state: ModelState) -> None:
            if not isinstance(state.plan, Plan):
                status = stalled(model.status, state.plan.reason, state.plan.message, model.generation, self._now())
                await self._parts.writer.show(model, status)

        await self._guarded("refuse", key, work)

    async def prepare(self, key: ModelKey) -> bool:
        """Fetch what is not known yet; false when that failed."""

        async def work(model: Model, state: ModelState) -> None:
            await self._fetch(key)
            if not state.restored:
                await self._restore(model)
                state.restored = True

        return await self._guarded("prepare", key, work)

    # --- the steps of the above

    async def _conclude(
        self,
        model: Model,
        spec: ModelSLOSpec,
        state: ModelState,
        plan: Plan,
        evidence: Evidence,
        tick: float,
    ) -> None:
        if state.judged_at is not None and evidence.since < state.judged_at:
            return  # two passes met, and the other one was first
        now = datetime.fromtimestamp(tick, UTC)
        snapshot = self._parts.registry.snapshot(model)
        before = prepared(model.status, spec, plan.parameters, snapshot, now)
        era = state.era
        judging = partial(evaluate, spec, plan.parameters, before, snapshot, state.memory, evidence, now)
        # A long history is judged beside the event loop, which has a Lease to renew: half a second a thousand cells.
        result = judging() if len(evidence.increments) < _LONG else await asyncio.to_thread(judging)
        if state.era is not era:
            return  # the spec was changed meanwhile
        again = restarted_comparison(model.status, before)
        if state.replaying and result.judgement.problem is None:
            again, state.replaying = again or lost_history(before, result.judgement), False
        state.memory, state.evaluated = result.memory, True
        if evidence.gap is None:
            state.judged_at = evidence.at
        result, status, identifier = await self._decided(model, spec, plan, snapshot, result, evidence, now)
        status = reported(result, status, spec, plan.parameters, snapshot, model.generation, now)
        status = with_trouble(status, state.trouble, model.generation, now)
        self._measure(model, spec, result, status, tick)
        if status.last_decision == model.status.last_decision:
            await self._parts.writer.show(model, status)
        else:
            line = record_line(evidence, result.decision, spec, before, identifier, now)
            await self._record(model, spec, result.decision, status, identifier, line)
        if again is not None:
            await self._begins_again(model, spec, again)

    async def _begins_again(self, model: Model, spec: ModelSLOSpec, notice: Notice) -> None:
        log.warning("%s", notice.note, extra={"model": str(model.key), "reason": notice.reason})
        if spec.mode is not Mode.DRY_RUN:
            await self._parts.events.post(subject_of(model), notice)

    async def _decided(
        self,
        model: Model,
        spec: ModelSLOSpec,
        plan: Plan,
        snapshot: Snapshot,
        result: Evaluation,
        evidence: Evidence,
        now: datetime,
    ) -> tuple[Evaluation, ModelSLOStatus, str]:
        """The decision applied to status, and its id. A promotion without a way back is not begun."""
        decision, previous = result.decision, ""
        if decision.action is Action.PROMOTE and snapshot.stable is not None:
            try:
                previous = await current_replica_set(self._parts.kube, model.key.namespace, snapshot.stable.name)
            except ActError as error:
                decision = Decision(Action.HOLD, Reason.WAITING_FOR_PODS, str(error), decision.version)
        identifier = decision_id(model.uid, result.status, decision, now)
        # The evidence is long: its digest is taken only for what may be recorded.
        acts = decision.action is not Action.HOLD or decision.vetoed is not None
        status = apply_decision(
            result.status,
            decision,
            plan.parameters,
            now,
            operation_id=identifier,
            stable_version=stable_version(spec, snapshot) or "",
            job=job_name(model.key.name, identifier) if decision.action is Action.RETRAIN else "",
            previous_replica_set=previous,
            mode=spec.mode,
            evidence=digest_of(evidence) if acts else "",
        )
        return Evaluation(result.judgement, result.memory, decision, result.status), status, identifier

    async def _record(
        self,
        model: Model,
        spec: ModelSLOSpec,
        decision: Decision,
        status: ModelSLOStatus,
        identifier: str,
        line: str,
    ) -> None:
        """Persist the decision: for an operation this is the intent. Only then is it told.

        Its evidence comes first: a kill between the two may leave a line that nothing came of, and never a decision
        without its evidence.
        """
        operation = _OPERATIONS.get(decision.action)
        if operation is not None:
            self._parts.failpoint.reach(operation, INTENT, When.BEFORE)
        self._parts.recorder.write(line)
        written = await self._parts.writer.record(model, status)
        if operation is not None:
            self._parts.failpoint.reach(operation, INTENT, When.AFTER)
        log.info(
            "%s: %s",
            decision.action if decision.vetoed is None else f"{decision.vetoed} vetoed",
            decision.message,
            extra={"model": str(model.key), "decision": identifier, "reason": decision.reason},
        )
        if operation is None and spec.mode is not Mode.DRY_RUN:  # a dry run writes status and nothing else
            await self._parts.events.post(subject_of(written), notice_of(decision, identifier))

    async def _ready(self, model: Model, spec: ModelSLOSpec, plan: Plan) -> None:
        """Write down that the pods of the step are available."""
        status = prepared(model.status, spec, plan.parameters, self._parts.registry.snapshot(model), self._now())
        if status != model.status:
            await self._parts.writer.record(model, status)
            again = restarted_comparison(model.status, status)
            if again is not None:
                await self._begins_again(model, spec, again)

    async def _go_on(self, key: ModelKey, state: ModelState) -> None:
        await self._parts.driver.drive(key)
        model = self._parts.registry.model(key)
        if model is not None and model.spec is not None and state.evaluated and not model.deleting:
            await self._tend(model, model.spec)

    async def _tend(self, model: Model, spec: ModelSLOSpec) -> None:
        """Give the canary the pods that the rollout's step asks for. An operation sees to them itself."""
        operation, snapshot = model.status.operation, self._parts.registry.snapshot(model)
        if operation is not None and operation.type is not OperationType.RETRAIN:
            return
        wanted = desired_canary_replicas(spec, model.status, snapshot)
        if wanted is None or snapshot.canary is None or snapshot.canary.replicas == wanted:
            return
        asked = with_share(model.status, spec, snapshot, self._now())
        if asked != model.status:  # before its pods come, so that none of their labels is compared too early
            await self._parts.writer.record(model, asked)
        ref, kube = Ref(model.key.namespace, snapshot.canary.name), self._parts.kube
        await self._parts.fights.avoid(kube, ref, wanted, snapshot.canary.replicas, self._parts.clock.now())
        mark = model.status.rollout.revision if model.status.rollout else ""
        self._parts.registry.put_deployment(await scale(kube, ref.namespace, ref.name, wanted, mark))
        self._parts.fights.wrote(ref, wanted)
        log.info("Canary scaled to %d", wanted, extra={"model": str(model.key)})

    async def _fetch(self, key: ModelKey) -> None:
        for ref in self._parts.registry.unknown(key):
            try:
                self._parts.registry.put_deployment(await self._parts.kube.get(DEPLOYMENTS, ref.namespace, ref.name))
            except NotFoundError:
                self._parts.registry.drop_deployment(ref.namespace, ref.name)

    async def _restore(self, model: Model) -> None:
        if not lost_status(model):
            return
        jobs = await self._parts.kube.list(JOBS, model.key.namespace, {LABEL_MODEL: label_value(model.key.name)})
        status = rebuilt(model.status, jobs)
        if status != model.status:
            log.warning("Status was empty; ledger rebuilt from Jobs", extra={"model": str(model.key)})
            await self._parts.writer.record(model, status)

    def _measure(
        self, model: Model, spec: ModelSLOSpec, result: Evaluation, status: ModelSLOStatus, tick: float
    ) -> None:
        now, metrics = self._parts.clock.now(), self._parts.metrics
        metrics.evaluated(model.key, spec, status, result.judgement, now, now - tick)
        metrics.decided(model.key, result.decision, spec.mode)

    def ended(self, key: ModelKey, ended: Ended) -> None:
        """An operation is over."""
        self._parts.metrics.acted(key, ended.operation.type, ended.failure or "Succeeded")

    # --- what goes wrong

    async def _guarded(self, name: str, key: ModelKey, work: Callable[[Model, ModelState], Awaitable[None]]) -> bool:
        """Do `work` under the model's lock. True when it went well."""
        model = self._parts.registry.model(key)
        if model is None:
            return False
        state = self._states.of(model)
        async with state.lock:
            # It may have changed while we waited.
            model = self._parts.registry.model(key)
            if model is None or self._states.of(model) is not state:
                return False
            try:
                await work(model, state)
            except Exception as error:
                await self._failed(name, key, state, error)
                return False
            state.succeeded(name)
        return True

    async def _failed(self, name: str, key: ModelKey, state: ModelState, error: Exception) -> None:
        about = {"model": str(key), "failures": state.failures + 1}
        trouble: Trouble | None = None
        match error:
            case OutdatedError() | ConflictError():
                log.info("Looking again: %s", error, extra=about)
            case FightError():
                log.warning("%s", error, extra=about)
                trouble = Trouble(TroubleReason.FIELD_CONFLICT, str(error))
            case BlockedError():
                log.warning("%s", error, extra=about)
                trouble = Trouble(TroubleReason.OPERATION_BLOCKED, str(error))
            case KubeError() | ActError():
                log.warning("%s", error, extra=about)
            case _:
                log.exception("Evaluation failed", extra=about)
                trouble = Trouble(TroubleReason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
                self._parts.metrics.failed()
        self._again(key, state.failed(name, self._parts.clock.now()))
        if trouble is not None:
            state.trouble = trouble
            await self._show_trouble(key, trouble)

    async def _show_trouble(self, key: ModelKey, trouble: Trouble) -> None:
        model = self._parts.registry.model(key)
        if model is None:
            return
        try:
            await self._parts.writer.show(model, with_trouble(model.status, trouble, model.generation, self._now()))
        except (KubeError, OutdatedError) as error:
            log.warning("Trouble not shown: %s", error, extra={"model": str(key)})

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._parts.clock.now(), UTC)
