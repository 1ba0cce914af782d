"""The canary's life (DESIGN section 6): which share it gets, and what of it is seen."""

from __future__ import annotations

from datetime import datetime
from math import ceil

from modelslo.api.quantity import ratio
from modelslo.api.spec import STEPS, Mode, ModelSLOSpec, Rollout
from modelslo.api.status import MOST_TRANSITIONS, ModelSLOStatus, OperationType, RolloutStatus, Transition
from modelslo.decide.operation import Step
from modelslo.decide.shadow import hidden_of
from modelslo.decide.snapshot import Snapshot, Workload
from modelslo.judge.scene import Scene, Span


def replicas_for(share: float, ready_stable: int) -> int:
    """Canary pods for a share of the traffic, at least 1: ceil(s / (1 - s) x ready stable)."""
    # A rounding error must not cost a whole pod: 0.2 / 0.8 * 4 is 1.0000000000000002.
    return max(1, ceil(share / (1 - share) * ready_stable - 1e-9))


def shares_of(rollout: Rollout) -> tuple[str, ...]:
    """Shares of the traffic, one for each step; a shadow has none."""
    return () if rollout.shadow is not None else tuple(rollout.steps or STEPS)


def steps_of(rollout: Rollout, ready_stable: int) -> tuple[int, ...]:
    """Canary pods of each step. Steps that this many stable pods cannot tell apart merge into one.

    A shadow has one step: how much of the traffic is copied is not the operator's, and so are its pods.
    """
    if rollout.shadow is not None:
        return (rollout.shadow.replicas,)
    counts = [replicas_for(ratio(step), ready_stable) for step in shares_of(rollout)]
    return tuple(dict.fromkeys(counts))


def desired_canary_replicas(spec: ModelSLOSpec, status: ModelSLOStatus, snapshot: Snapshot) -> int | None:
    """How many pods the canary should have now; None: leave it alone.

    Without a rollout the canary has none: what is not judged gets no traffic. During an operation its steps say.
    """
    if (
        spec.rollout is None
        or snapshot.canary is None
        or spec.suspend
        or spec.mode is Mode.DRY_RUN
        or snapshot.autoscaled
        or snapshot.shared
    ):
        return None
    operation = status.operation
    if operation is not None and operation.type is not OperationType.RETRAIN:
        # While stable takes the template over, the canary keeps serving at its share.
        return None if operation.step in (Step.COPY_TEMPLATE, Step.AWAIT_STABLE) else 0
    if status.rollout is None:
        return 0
    if snapshot.stable is None or snapshot.stable.ready == 0:
        return None
    steps = steps_of(spec.rollout, snapshot.stable.ready)
    return steps[min(status.rollout.step, len(steps) - 1)]


def _share_of_now(rollout: Rollout, step: int, ready_stable: int) -> str:
    """The share of the spec that the pods of this step are for."""
    counts = {replicas_for(ratio(share), ready_stable): share for share in reversed(shares_of(rollout))}
    if rollout.shadow is not None:
        return "shadow"
    steps = steps_of(rollout, ready_stable)
    return counts[steps[min(step, len(steps) - 1)]]


def with_share(status: ModelSLOStatus, spec: ModelSLOSpec, snapshot: Snapshot, now: datetime) -> ModelSLOStatus:
    """Writes down when the pods of the step were asked for, and a transition where spec.rollout.steps became others.

    While nobody may ask for pods (a dry run, suspended) they are not late. More pods because stable has more are no
    transition: the share is the same.
    """
    rollout, operation = status.rollout, status.operation
    if rollout is None or spec.rollout is None or operation is not None:
        return status
    last = rollout.transitions[-1]
    if desired_canary_replicas(spec, status, snapshot) is None or snapshot.stable is None:
        left = last if last.ready_at is not None else last.model_copy(update={"asked_at": None})
        return _with_transitions(status, rollout, [*rollout.transitions[:-1], left])
    share = _share_of_now(spec.rollout, rollout.step, snapshot.stable.ready)
    if last.ready_at is None:
        if last.asked_at is None or last.share != share:
            last = last.model_copy(update={"asked_at": now, "share": share})
        return _with_transitions(status, rollout, [*rollout.transitions[:-1], last])
    if last.share is None:  # an earlier operator's
        return _with_transitions(status, rollout, [*rollout.transitions[:-1], last.model_copy(update={"share": share})])
    if last.share == share:
        return status
    other = Transition(started_at=now, asked_at=now, share=share)
    return _with_transitions(status, rollout, [*rollout.transitions, other])


def _with_transitions(status: ModelSLOStatus, rollout: RolloutStatus, transitions: list[Transition]) -> ModelSLOStatus:
    if transitions == rollout.transitions:
        return status
    kept = [transitions[0], *transitions[1:][1 - MOST_TRANSITIONS :]]  # behind the first one is the warm-up
    return status.model_copy(update={"rollout": rollout.model_copy(update={"transitions": kept})})


def canary_ready(wanted: int | None, canary: Workload | None) -> bool:
    """Whether the canary has at least the wanted pods, all available and of its current template."""
    if canary is None or canary.observed_generation < canary.generation:
        return False
    least = canary.replicas if wanted is None else wanted
    return least > 0 and canary.serving >= least and canary.updated >= least


def stable_is_rolling(stable: Workload | None) -> bool:
    """Whether pods of stable are being replaced. More or fewer of the same template are no matter."""
    return stable is not None and (stable.observed_generation < stable.generation or stable.surplus > 0)


def never_available(wanted: int | None, canary: Workload, rollout: RolloutStatus, now: datetime) -> bool:
    """Whether the step's pods did not become available in time.

    Kubernetes watches that deadline only while it rolls a template out, and at zero pods it is done with that at once:
    for the pods that are added then the deadline is kept here.
    """
    if canary_ready(wanted, canary):
        return False
    if canary.deadline_exceeded:
        return True
    if step_started(rollout) is not None or canary.replicas < max(1, wanted or 1):
        return False
    last = rollout.transitions[-1]
    since = last.asked_at or last.started_at
    if canary.unavailable_since is not None:
        since = max(since, canary.unavailable_since)
    return (now - since).total_seconds() >= canary.progress_deadline


def with_ready_time(status: ModelSLOStatus, spec: ModelSLOSpec, snapshot: Snapshot, now: datetime) -> ModelSLOStatus:
    """Writes down when the pods of the current step became available.

    A rollout begins only once stable's pods are all of its current template: while they are being replaced stable's
    labels, too, are younger than they will be.
    """
    rollout = status.rollout
    if rollout is None or rollout.transitions[-1].ready_at is not None:
        return status
    if len(rollout.transitions) == 1 and stable_is_rolling(snapshot.stable):
        return status
    if not canary_ready(desired_canary_replicas(spec, status, snapshot), snapshot.canary):
        return status
    ready = rollout.transitions[-1].model_copy(update={"ready_at": now})
    return _with_transitions(status, rollout, [*rollout.transitions[:-1], ready])


def scene_of(status: ModelSLOStatus, stable_version: str | None) -> Scene:
    """What the judge has to know of the rollout."""
    rollout, vetoed = status.rollout, status.vetoed
    lifted = vetoed.lifted_at.timestamp() if vetoed is not None and vetoed.lifted_at is not None else None
    if rollout is None:
        return Scene(stable_version=stable_version, shadows=hidden_of(status), lifted_at=lifted)
    return Scene(
        stable_version=rollout.stable_version,
        canary_version=rollout.version,
        judged_since=rollout.judged_since.timestamp(),
        transitions=tuple(
            Span(one.started_at.timestamp(), None if one.ready_at is None else one.ready_at.timestamp())
            for one in rollout.transitions
        ),
        shadows=hidden_of(status),
        lifted_at=lifted,
    )


def step_started(rollout: RolloutStatus) -> datetime | None:
    """When the current step's pods became available; None while they are not."""
    return rollout.transitions[-1].ready_at
