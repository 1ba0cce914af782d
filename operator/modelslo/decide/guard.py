"""Guardrails: what may veto or delay a decision. Every veto says why, and when it lifts if that is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from modelslo.api.spec import Mode, ModelSLOSpec
from modelslo.api.status import ModelSLOStatus
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.veto import words_of
from modelslo.judge.judgement import Judgement
from modelslo.judge.timing import Timing


@dataclass(frozen=True, slots=True)
class Veto:
    reason: Reason
    message: str
    lifts_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    action: Action
    reason: Reason
    spec: ModelSLOSpec
    timing: Timing
    status: ModelSLOStatus
    judgement: Judgement
    now: datetime


def _suspended(case: _Case) -> Veto | None:
    return Veto(Reason.SUSPENDED, "spec.suspend is true.") if case.spec.suspend else None


def _upstream(case: _Case) -> Veto | None:
    """A veto on the data stands, or is not known. What does not rest on the losses goes on."""
    if case.action is Action.ABANDON or case.reason in _WITHOUT_LOSSES:
        return None
    if case.judgement.standing:
        return Veto(Reason.DATA_INCIDENT, words_of(case.judgement.standing))
    if case.judgement.unknown_vetoes:
        problem, names = case.judgement.problem, ", ".join(case.judgement.unknown_vetoes)
        said = problem.message if problem is not None else ""
        return Veto(Reason.VETO_UNKNOWN, said or f"Not known whether a veto stands: {names}.")
    return None


def _dry_run(case: _Case) -> Veto | None:
    # Starting, advancing and abandoning only move the record in status; the canary's pods are then the user's to set.
    if case.spec.mode is Mode.DRY_RUN and case.action in _WRITES:
        return Veto(Reason.DRY_RUN, "spec.mode is DryRun.")
    return None


def _cooldown(case: _Case) -> Veto | None:
    last, timing = case.status.last_actions, case.timing
    since, length = {
        Action.ROLLBACK: (last.rollback, timing.cooldown_rollback),
        Action.PROMOTE: (last.promote, timing.cooldown_promote),
        Action.RETRAIN: (last.retrain, timing.cooldown_retrain),
    }.get(case.action, (None, 0.0))
    if since is None:
        return None
    lifts = since + timedelta(seconds=length)
    if case.now >= lifts:
        return None
    return Veto(
        Reason.COOLDOWN, f"The last {case.action} began at {since:%FT%TZ}; cooldown until {lifts:%FT%TZ}.", lifts
    )


def _retrain_limit(case: _Case) -> Veto | None:
    retrain = case.spec.retrain
    if case.action is not Action.RETRAIN or retrain is None:
        return None
    window = timedelta(seconds=case.timing.retrain_per)
    runs = sorted(one.started_at for one in case.status.retrains if case.now - one.started_at < window)
    if len(runs) < retrain.limits.max_runs:
        return None
    lifts = runs[-retrain.limits.max_runs] + window
    return Veto(
        Reason.RETRAIN_LIMIT,
        f"{len(runs)} runs within {retrain.limits.per}; spec.retrain.limits.maxRuns is {retrain.limits.max_runs}.",
        lifts,
    )


_WRITES: Final = frozenset({Action.PROMOTE, Action.ROLLBACK, Action.RETRAIN})
# Pods that never come up are no matter of data. Another template in the middle of a rollout runs already, and so many
# pods as spec.rollout.shadow says: only the record follows (the SLI goes by it), and it is judged afresh.
_WITHOUT_LOSSES: Final = frozenset(
    {Reason.CANARY_UNAVAILABLE, Reason.REVISION_CHANGED, Reason.STABLE_CHANGED, Reason.TRAFFIC_CHANGED}
)
_GUARDS: Final[tuple[Callable[[_Case], Veto | None], ...]] = (
    _suspended,
    _upstream,
    _dry_run,
    _cooldown,
    _retrain_limit,
)


def guard(
    action: Action,
    reason: Reason,
    spec: ModelSLOSpec,
    timing: Timing,
    status: ModelSLOStatus,
    judgement: Judgement,
    now: datetime,
) -> Veto | None:
    """The first guardrail that stops `action`, wanted for `reason`; None when it may go on. A Hold needs no leave."""
    if action is Action.HOLD:
        return None
    case = _Case(action, reason, spec, timing, status, judgement, now)
    return next((veto for one in _GUARDS if (veto := one(case)) is not None), None)
