"""What the operator would have decided over a recording, evaluation by evaluation. Pure.

The functions are those of the live operator: what it asks for, judges, decides and writes into status. The cluster is
simulated: pods are there at once, a retrain Job succeeds and its candidate is not seen, the canary has the share of the
traffic that history gave it. History itself does not know what was decided here, and goes on as it did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from modelslo.api.spec import Mode, ModelSLOSpec, Shadow
from modelslo.api.status import ModelSLOStatus, Transition
from modelslo.backtest.recording import Recording
from modelslo.backtest.roles import Cast, Roles, first_stable
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Action
from modelslo.decide.snapshot import Snapshot, Workload
from modelslo.decide.transition import apply_decision, finish
from modelslo.engine.asks import ask_for, selector_of, vetoes_of
from modelslo.engine.evaluate import evaluate, prepared, reported
from modelslo.judge.judgement import Judgement, Memory
from modelslo.judge.parameters import Parameters
from modelslo.observe.ask import Source

_PODS: Final = 10
_QUIET_CELLS: Final = 5
_MOST_TRANSITIONS: Final = 10
NOWHERE: Final = Source("", 0.0)


@dataclass(frozen=True, slots=True)
class Moment:
    """One evaluation. ``status`` is what the operator would have written."""

    at: datetime
    cast: Cast
    judgement: Judgement
    decision: Decision
    status: ModelSLOStatus


@dataclass(slots=True)
class _Course:
    """The operator and its cluster between two evaluations."""

    status: ModelSLOStatus
    memory: Memory
    judged_at: float | None
    number: int = 0


def as_asked(spec: ModelSLOSpec) -> ModelSLOSpec:
    """The spec as it is replayed: it acts, and the share of the traffic is that of history, in one step."""
    update: dict[str, Any] = {"mode": Mode.ENFORCE, "suspend": False}
    if spec.rollout is not None:
        once: dict[str, Any] = {"steps": ["50%"]} if spec.rollout.shadow is None else {"shadow": Shadow()}
        update["rollout"] = spec.rollout.model_copy(update=once)
    return spec.model_copy(update=update)


def course(
    spec: ModelSLOSpec,
    parameters: Parameters,
    recording: Recording,
    begin: float,
    end: float,
    named: tuple[str | None, str | None] = (None, None),
) -> Iterator[Moment]:
    """The evaluations of grid times in (begin, end], Unix seconds. `named`: stable and canary, where a person chose."""
    spec = as_asked(spec)
    timing, model = parameters.timing, recording.header.model
    selector, vetoes = selector_of(spec), vetoes_of(spec)
    roles = Roles(
        max(timing.max_age, _QUIET_CELLS * timing.interval), (named[0] or first_stable(recording.cells), named[1])
    )
    state = _Course(ModelSLOStatus(), Memory(), None)
    tick = (begin // timing.interval + 1) * timing.interval
    seen = recording.header.since
    while tick <= end:
        until = tick - timing.settle
        cast = roles.take(until, recording.between(seen, until))
        seen, now = until, datetime.fromtimestamp(tick, UTC)
        state.status = _stepped(state.status, cast, now)
        snapshot = _snapshot(spec, cast)
        rollout = state.status.rollout
        if rollout is not None and state.memory.judged_since != rollout.judged_since.timestamp():
            state.memory, state.judged_at = Memory(), None  # begins with stable's history, as it does live
        ask = ask_for(model, NOWHERE, selector, parameters, state.status, state.judged_at, tick, vetoes)
        evidence = recording.evidence(replace(ask, since=max(ask.since, recording.header.since)))
        before = prepared(state.status, spec, parameters, snapshot, now)
        result = evaluate(spec, parameters, before, snapshot, state.memory, evidence, now)
        state.memory = result.memory
        if evidence.gap is None:
            state.judged_at = evidence.at
        decision = result.decision
        state.number += decision.action is not Action.HOLD
        identifier = f"backtest-{state.number}"
        status = apply_decision(
            result.status,
            decision,
            parameters,
            now,
            operation_id=identifier,
            stable_version=cast.stable or "",
            job=identifier if decision.action is Action.RETRAIN else "",
        )
        status = reported(result, status, spec, parameters, snapshot, 1, now)
        yield Moment(now, cast, result.judgement, decision, status)
        state.status = status if status.operation is None else finish(status, now)
        if decision.action is Action.PROMOTE:
            roles.promoted()
        tick += timing.interval


def _stepped(status: ModelSLOStatus, cast: Cast, now: datetime) -> ModelSLOStatus:
    """A share that has changed makes the canary's labels younger than stable's for a while, as a step does."""
    rollout = status.rollout
    if rollout is None or not cast.stepped or len(rollout.transitions) >= _MOST_TRANSITIONS:
        return status
    transitions = [*rollout.transitions, Transition(started_at=now, ready_at=now)]
    return status.model_copy(update={"rollout": rollout.model_copy(update={"transitions": transitions})})


def _snapshot(spec: ModelSLOSpec, cast: Cast) -> Snapshot:
    """Both Deployments with all their pods there; a canary that nobody serves has stable's template."""
    if spec.rollout is None or cast.stable is None:
        return Snapshot(None, None)
    names, env = spec.rollout, spec.rollout.version_from.env
    stable = _workload(names.stable.name, env, cast.stable, _PODS)
    canary = _workload(names.canary.name, env, cast.canary or cast.stable, _PODS if cast.canary is not None else 0)
    return Snapshot(stable, canary)


def _workload(name: str, env: str, version: str, pods: int) -> Workload:
    template = {"spec": {"containers": [{"name": "model", "env": [{"name": env, "value": version}]}]}}
    return Workload(name, name, 1, 1, "1", template, pods, pods, pods, pods, pods)
