"""What is to be done now: a pure function of the spec, the recorded state, what is seen, and the judgement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from modelslo.api.spec import ModelSLOSpec, OnDeadline, Promotion, Rollout
from modelslo.api.status import ModelSLOStatus, RolloutStatus
from modelslo.decide.guard import guard
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.retrain import wanted_retrain
from modelslo.decide.reverts import taken_back
from modelslo.decide.revision import revision_of, version_of
from modelslo.decide.rollout import (
    desired_canary_replicas,
    never_available,
    stable_is_rolling,
    step_started,
    steps_of,
)
from modelslo.decide.snapshot import Snapshot, Workload
from modelslo.decide.veto import words_of
from modelslo.decide.wording import comparison
from modelslo.judge.judgement import CanaryJudgement, Judgement, Verdict
from modelslo.judge.parameters import Parameters

# The measured share may be this much off the wished one (relative) before an advance.
_SHARE_TOLERANCE: Final = 0.5
_OR_STEPS: Final = ". Or take spec.rollout.shadow out: it then goes on as a canary that users see, step by step."


@dataclass(frozen=True, slots=True)
class Decision:
    """``vetoed`` is the action that a guardrail stopped (the action is then Hold), until ``lifts_at`` where known.

    ``shadow``: what starts is one. ``replaces``: digest of the template that a promotion takes stable's pods from.
    """

    action: Action
    reason: Reason
    message: str
    version: str = ""
    revision: str = ""
    vetoed: Action | None = None
    lifts_at: datetime | None = None
    shadow: bool = False
    replaces: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    """All that a decision is made from."""

    spec: ModelSLOSpec
    parameters: Parameters
    status: ModelSLOStatus
    snapshot: Snapshot
    judgement: Judgement
    now: datetime


@dataclass(frozen=True, slots=True)
class _Pair:
    """Both Deployments are there and stable tells its version."""

    rollout: Rollout
    stable: Workload
    canary: Workload
    stable_version: str

    @property
    def canary_version(self) -> str | None:
        return version_of(self.canary.template, self.rollout.version_from.env)


def decide(
    spec: ModelSLOSpec,
    parameters: Parameters,
    status: ModelSLOStatus,
    snapshot: Snapshot,
    judgement: Judgement,
    now: datetime,
) -> Decision:
    """The decision with every guardrail applied. Never acts on a judgement with a problem (the verdict law)."""
    wanted = _wanted(_Case(spec, parameters, status, snapshot, judgement, now))
    veto = guard(wanted.action, wanted.reason, spec, parameters.timing, status, judgement, now)
    if veto is None:
        return _while_vetoed(wanted, judgement)
    return replace(
        wanted,
        action=Action.HOLD,
        reason=veto.reason,
        message=f"{veto.message} Without it: {wanted.action} ({wanted.reason}): {wanted.message}",
        vetoed=wanted.action,
        lifts_at=veto.lifts_at,
    )


# Holds for which a standing veto is the better word: all is well, or the canary is being judged.
_WAITING: Final = frozenset(
    {
        Reason.HEALTHY,
        Reason.NO_CANARY,
        Reason.IMMATURE,
        Reason.INSUFFICIENT_DATA,
        Reason.UNDECIDED,
        Reason.NEAR_MARGIN,
        Reason.AWAITING_APPROVAL,
        Reason.DEADLINE_EXCEEDED,
        Reason.DATA_INCIDENT,
        Reason.BREACH_NOT_SUSTAINED,
    }
)


def _while_vetoed(decision: Decision, judgement: Judgement) -> Decision:
    """A Hold under a standing veto says so."""
    if not judgement.standing or decision.action is not Action.HOLD or decision.reason not in _WAITING:
        return decision
    message = f"{words_of(judgement.standing)} {decision.message}"
    return replace(decision, reason=Reason.DATA_INCIDENT, message=message)


def _hold(reason: Reason, message: str, version: str | None = None) -> Decision:
    return Decision(Action.HOLD, reason, message, version or "")


def _wanted(case: _Case) -> Decision:
    operation = case.status.operation
    if operation is not None:
        return _hold(
            Reason.OPERATION_IN_PROGRESS,
            f"{operation.type} is at {operation.step} since {operation.step_started_at:%FT%TZ}.",
            operation.version,
        )
    if case.spec.rollout is None and case.status.rollout is not None:
        message = "spec.rollout was taken out: the canary is the user's own now. Put back, it begins anew."
        gone = case.status.rollout
        return Decision(Action.ABANDON, Reason.ROLLOUT_REMOVED, message, gone.version, gone.revision)
    if case.spec.rollout is None:
        return _problem(case) or _hold(Reason.HEALTHY, "The ModelSLO has no rollout: it is only watched.")
    pair = _pair(case, case.spec.rollout)
    if isinstance(pair, Decision):
        return pair
    if case.status.rollout is not None:
        return _with_rollout(case, pair, case.status.rollout)
    return _without_rollout(case, pair)


def _pair(case: _Case, rollout: Rollout) -> _Pair | Decision:
    stable, canary = case.snapshot.stable, case.snapshot.canary
    if stable is None or canary is None:
        role, name = ("stable", rollout.stable.name) if stable is None else ("canary", rollout.canary.name)
        return _hold(
            Reason.WORKLOAD_NOT_FOUND,
            f"There is no Deployment {name!r} (spec.rollout.{role}.name). Create it, or mend the name.",
        )
    if case.snapshot.shared:
        return _hold(
            Reason.WORKLOAD_SHARED,
            f"ModelSLO {case.snapshot.shared!r} drives one of the Deployments {stable.name!r} and {canary.name!r} too, "
            "and was there first. Take spec.rollout out of one of them: without it a ModelSLO watches the loss.",
        )
    env = rollout.version_from.env
    version = version_of(stable.template, env)
    if version is None:
        return _hold(
            Reason.VERSION_AMBIGUOUS,
            f"Deployment {stable.name!r} has no plain value of {env} in its first container: set it to the version.",
        )
    return _Pair(rollout, stable, canary, version)


def _problem(case: _Case) -> Decision | None:
    problem = case.judgement.problem
    return None if problem is None else _hold(Reason(problem.reason), problem.message)


def _without_rollout(case: _Case, pair: _Pair) -> Decision:
    revision = revision_of(pair.canary.template)
    rejected = next((one for one in case.status.rejected_revisions if one.revision == revision), None)
    if revision != revision_of(pair.stable.template) and rejected is None:
        return _start(case, pair)
    problem = _problem(case)
    if problem is not None:
        return problem
    retrain = wanted_retrain(case.parameters, case.status, case.judgement, case.now)
    if retrain is not None:
        action, reason, message = retrain
        return Decision(action, reason, message, version=pair.stable_version, revision=revision)
    if rejected is not None:
        return _hold(
            Reason.REJECTED_REVISION,
            f"Version {rejected.version!r} was rolled back ({rejected.reason}). Another template starts anew.",
            rejected.version,
        )
    return _hold(Reason.NO_CANARY, "No canary; stable is watched.")


def _start(case: _Case, pair: _Pair) -> Decision:
    version, name = pair.canary_version, pair.canary.name
    if version is None or version == pair.stable_version:
        return _hold(
            Reason.VERSION_AMBIGUOUS,
            f"The template of Deployment {name!r} differs from stable's, but its {pair.rollout.version_from.env} is "
            f"{version!r} and stable's is {pair.stable_version!r}: give the candidate a version of its own.",
            version,
        )
    if case.snapshot.autoscaled:
        return _hold(Reason.HPA_CONFLICT, _autoscaled(case, pair), version)
    if pair.stable.ready == 0:
        return _hold(
            Reason.NO_TRAFFIC, f"Stable {pair.stable.name!r} has no ready pod: nothing to compare with.", version
        )
    conflict = taken_back(case.status, pair.stable, pair.canary)
    if conflict:
        return _hold(Reason.FIELD_CONFLICT, conflict, version)
    shadow = pair.rollout.shadow is not None
    return Decision(
        Action.START,
        Reason.NEW_REVISION,
        f"Version {version!r} starts as {'shadow' if shadow else 'canary'} of {pair.stable_version!r}"
        f"{': it gets copies of requests, and no user sees its answers' if shadow else ''}.",
        version,
        revision_of(pair.canary.template),
        shadow=shadow,
    )


def _with_rollout(case: _Case, pair: _Pair, rollout: RolloutStatus) -> Decision:
    changed = _changed(case, pair, rollout)
    if changed is not None:
        return changed
    wanted = desired_canary_replicas(case.spec, case.status, case.snapshot)
    if never_available(wanted, pair.canary, rollout, case.now):
        decision = Decision(
            Action.ROLLBACK,
            Reason.CANARY_UNAVAILABLE,
            f"The pods of version {rollout.version!r} did not become available in time. {pair.canary.failure}".strip(),
        )
    else:
        decision = _verdict(case, pair, rollout)
    if case.snapshot.autoscaled and decision.action is not Action.ROLLBACK:
        decision = _hold(Reason.HPA_CONFLICT, _autoscaled(case, pair))
    replaces = revision_of(pair.stable.template) if decision.action is Action.PROMOTE else ""
    return replace(decision, version=rollout.version, revision=rollout.revision, replaces=replaces)


def _autoscaled(case: _Case, pair: _Pair) -> str:
    return f"{case.snapshot.autoscaled} scales the canary {pair.canary.name!r}, which the operator has to. Remove it."


def _changed(case: _Case, pair: _Pair, rollout: RolloutStatus) -> Decision | None:
    """Somebody changed a template, or who sees the canary: judging starts afresh, or there is nothing left to judge."""
    revision = revision_of(pair.canary.template)
    if revision == revision_of(pair.stable.template):
        message = "The canary's template is stable's again."
        return Decision(Action.ABANDON, Reason.REVISION_WITHDRAWN, message, rollout.version, rollout.revision)
    reason = _what_changed(pair, rollout, revision)
    if reason is None:
        return None
    rejected = any(one.revision == revision for one in case.status.rejected_revisions)
    again = _hold(Reason.REJECTED_REVISION, "That template was rolled back before.") if rejected else _start(case, pair)
    if again.action is not Action.START:
        return Decision(Action.ABANDON, again.reason, again.message, rollout.version, rollout.revision)
    return replace(again, reason=reason)


def _what_changed(pair: _Pair, rollout: RolloutStatus, revision: str) -> Reason | None:
    if revision != rollout.revision:
        return Reason.REVISION_CHANGED
    if pair.stable_version != rollout.stable_version:
        return Reason.STABLE_CHANGED
    return None if rollout.shadow is (pair.rollout.shadow is not None) else Reason.TRAFFIC_CHANGED


def _verdict(case: _Case, pair: _Pair, rollout: RolloutStatus) -> Decision:
    """Judged by its losses, the canary is rolled back, promoted, advanced, or waits."""
    problem, canary = _problem(case), case.judgement.canary
    if step_started(rollout) is None and not _condemned(case):
        if stable_is_rolling(pair.stable):
            return _hold(Reason.WAITING_FOR_PODS, "Pods of stable are being replaced; judging begins behind that.")
        return _hold(Reason.WAITING_FOR_PODS, f"Pods of version {rollout.version!r} are starting.")
    if problem is not None or canary is None:
        return problem or _hold(Reason.INSUFFICIENT_DATA, "The canary was not judged so far.")
    age, timing = (case.now - rollout.started_at).total_seconds(), case.parameters.timing
    match canary.verdict:
        case Verdict.INVALID_LOSSES:
            return _invalid(canary)
        case Verdict.WORSE:
            return Decision(Action.ROLLBACK, Reason.CANARY_WORSE, _comparison(case, canary))
        case Verdict.INCIDENT:
            return _hold(
                Reason.DATA_INCIDENT,
                f"Stable's own loss has jumped; nothing is decided meanwhile. {_comparison(case, canary)}",
            )
        case Verdict.NOT_WORSE if age < timing.min_duration:
            message = f"Good so far; judged for {age:.0f} of {timing.min_duration:.0f} s. {_comparison(case, canary)}"
            return _hold(Reason.UNDECIDED, message)
        case Verdict.NOT_WORSE:
            return _pods_missing(pair, 1) or _good(case, pair, rollout, canary)
    if age > timing.deadline:
        return _late(case, pair, canary)
    wanted = desired_canary_replicas(case.spec, case.status, case.snapshot)
    least = max(1, pair.canary.replicas if wanted is None else wanted)
    return _pods_missing(pair, least) or _advance(case, pair, rollout, canary)


def _condemned(case: _Case) -> bool:
    """What was found of a canary stands, whatever becomes of the pods of its next step."""
    canary = case.judgement.canary
    bad = canary is not None and canary.verdict in (Verdict.INVALID_LOSSES, Verdict.WORSE)
    return bad and case.judgement.problem is None


def _invalid(canary: CanaryJudgement) -> Decision:
    invalid = canary.invalid
    message = f"{invalid.canary:.0f} losses of the canary are no numbers, {invalid.stable:.0f} of stable's."
    return Decision(Action.ROLLBACK, Reason.CANARY_INVALID_LOSSES, message)


def _pods_missing(pair: _Pair, least: int) -> Decision | None:
    """What does not run is not moved forward, however good its losses were: the joiner keeps them."""
    serving = pair.canary.serving
    if serving >= least:
        return None
    return _hold(Reason.WAITING_FOR_PODS, f"{serving} of {least} pods of the canary are available.")


def _comparison(case: _Case, canary: CanaryJudgement) -> str:
    return comparison(case.parameters.gate, canary.compared)


def _good(case: _Case, pair: _Pair, rollout: RolloutStatus, canary: CanaryJudgement) -> Decision:
    manual = pair.rollout.promotion is Promotion.MANUAL
    if manual and case.snapshot.approved != rollout.version:
        return _hold(
            Reason.AWAITING_APPROVAL,
            f"Version {rollout.version!r} is good. Approve it: kubectl annotate modelslo NAME --overwrite "
            f"modelslo.dev/approve={rollout.version}{_OR_STEPS if rollout.shadow else ''}",
        )
    reason = Reason.APPROVED if manual else Reason.CANARY_NOT_WORSE
    return Decision(Action.PROMOTE, reason, _comparison(case, canary))


def _late(case: _Case, pair: _Pair, canary: CanaryJudgement) -> Decision:
    message = f"No verdict within spec.rollout.gate.deadline. {_comparison(case, canary)}"
    sufficient = canary.compared.canary >= case.parameters.gate.min_samples
    if pair.rollout.gate.on_deadline is OnDeadline.ROLLBACK and sufficient:
        return Decision(Action.ROLLBACK, Reason.DEADLINE_EXCEEDED, message)
    return _hold(Reason.DEADLINE_EXCEEDED, message)


def _advance(case: _Case, pair: _Pair, rollout: RolloutStatus, canary: CanaryJudgement) -> Decision:
    """No statistical claim: the step lasted, its pods serve their share, labels came, nothing speaks of harm."""
    message, least = _comparison(case, canary), case.parameters.gate.min_samples
    if not canary.mature:
        return _hold(Reason.IMMATURE, "The labels of both arms are not yet old enough to be compared.")
    if canary.compared.canary < least:
        count = canary.compared.canary
        mirror = " Does the mirror copy requests to it?" if rollout.shadow and count == 0 else ""
        return _hold(
            Reason.INSUFFICIENT_DATA, f"{count:.0f} labels of the canary; minSamples is {least}.{mirror} {message}"
        )
    steps = steps_of(pair.rollout, max(1, pair.stable.ready))
    if rollout.step >= len(steps) - 1:
        return _hold(Reason.NEAR_MARGIN, message)
    if (
        not _step_lasted(case, rollout, canary)
        or canary.harm
        or canary.canary_nan
        or not _on_share(case, pair, rollout)
    ):
        return _hold(Reason.UNDECIDED, message)
    return Decision(Action.ADVANCE, Reason.STEP_DONE, f"Step {rollout.step + 1} of {len(steps)} is done. {message}")


def _step_lasted(case: _Case, rollout: RolloutStatus, canary: CanaryJudgement) -> bool:
    """Long enough for the labels of its predictions to be there."""
    started, timing, delay = step_started(rollout), case.parameters.timing, canary.compared.delay
    waited = timing.step_duration + (timing.delay if delay is None else delay)
    return started is not None and (case.now - started).total_seconds() >= waited


def _on_share(case: _Case, pair: _Pair, rollout: RolloutStatus) -> bool:
    share = case.judgement.arms.share(rollout.version)
    wished = pair.canary.available / max(1, pair.canary.available + pair.stable.available)
    return share is None or abs(share - wished) <= _SHARE_TOLERANCE * wished
