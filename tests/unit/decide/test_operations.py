"""Operations walk through their steps, end in the ledgers, and say the same when asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelslo.api.status import ModelSLOStatus, OperationType, RetrainResult
from modelslo.decide.decision import Decision
from modelslo.decide.operation import RETREAT, STEPS, Step
from modelslo.decide.progress import Do, Fail, Next, Wait, failed, progress, stepped
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.revision import revision_of
from modelslo.decide.rollout import desired_canary_replicas, replicas_for, steps_of, with_ready_time
from modelslo.decide.snapshot import JobState, RetrainJob, Snapshot
from modelslo.decide.transition import apply_decision, finish, with_parameters
from tests.unit.decide.make import NOW, rolling, snapshot, template, workload
from tests.unit.judge.make import parameters, spec_of

REVISION = revision_of(template("v2"))


def begun(action: Action, status: ModelSLOStatus | None = None) -> ModelSLOStatus:
    decision = Decision(action, Reason.CANARY_WORSE, "why", "v2", REVISION)
    return apply_decision(status or rolling(), decision, parameters(), NOW, operation_id="op-1", job="job-1")


def at(status: ModelSLOStatus, step: Step, **change: Any) -> ModelSLOStatus:
    assert status.operation is not None
    return status.model_copy(update={"operation": stepped(status.operation, step, NOW).model_copy(update=change)})


def asked(status: ModelSLOStatus, seen: Snapshot) -> Do | Wait | Next | Fail:
    assert status.operation is not None
    return progress(status.operation, spec_of(), seen, NOW)


GONE = workload("fraud-canary", "v2", 0)
PROMOTED = workload("fraud-stable", "v2", 3)
JOB = RetrainJob("job-1", "op-1", JobState.ACTIVE)


@pytest.mark.parametrize(
    ("action", "step", "seen", "answer"),
    [
        (Action.ROLLBACK, Step.SCALE_CANARY_DOWN, snapshot(), Do()),
        (Action.ROLLBACK, Step.SCALE_CANARY_DOWN, snapshot(canary=GONE), Next(Step.AWAIT_CANARY_GONE)),
        (
            Action.ROLLBACK,
            Step.AWAIT_CANARY_GONE,
            snapshot(canary=replace(GONE, total=1)),
            Wait("1 pods of the canary are ending."),
        ),
        (Action.ROLLBACK, Step.AWAIT_CANARY_GONE, snapshot(), Next(Step.SCALE_CANARY_DOWN)),
        (Action.ROLLBACK, Step.AWAIT_CANARY_GONE, snapshot(canary=GONE), Next(Step.FINISH)),
        (Action.PROMOTE, Step.COPY_TEMPLATE, snapshot(), Do()),
        (Action.PROMOTE, Step.COPY_TEMPLATE, snapshot(stable=PROMOTED), Next(Step.AWAIT_STABLE)),
        (Action.PROMOTE, Step.AWAIT_STABLE, snapshot(stable=PROMOTED), Next(Step.SCALE_CANARY_DOWN)),
        (Action.RETRAIN, Step.CREATE_JOB, snapshot("v1"), Do()),
        (Action.RETRAIN, Step.CREATE_JOB, snapshot("v1", jobs=(JOB,)), Next(Step.AWAIT_JOB)),
        (Action.RETRAIN, Step.AWAIT_JOB, snapshot("v1", jobs=(JOB,)), Wait("Job job-1 is running.")),
        (
            Action.RETRAIN,
            Step.AWAIT_JOB,
            snapshot("v1", jobs=(replace(JOB, state=JobState.SUCCEEDED),)),
            Next(Step.READ_RESULT),
        ),
        (Action.RETRAIN, Step.READ_RESULT, snapshot("v1"), Do()),
    ],
)
def test_what_a_step_needs_next(action: Action, step: Step, seen: Snapshot, answer: object) -> None:
    status = at(begun(action), step)
    assert asked(status, seen) == answer
    assert asked(status, seen) == answer


def test_a_promotion_that_cannot_finish_goes_back() -> None:
    stuck = workload("fraud-stable", "v2", 3, available=2, updated=1, deadline_exceeded=True)
    status = at(begun(Action.PROMOTE), Step.AWAIT_STABLE)
    answer = asked(status, snapshot(stable=stuck))
    assert isinstance(answer, Fail)
    assert (answer.reason, answer.retreat) == (Reason.PROMOTION_FAILED, True)
    assert status.operation is not None
    back = status.model_copy(update={"operation": failed(status.operation, answer, NOW)})
    assert asked(back, snapshot(stable=stuck)) == Do()
    walked = [Step.RESTORE_TEMPLATE]
    seen = snapshot(canary=GONE)
    while walked[-1] is not Step.FINISH:
        following = asked(back, seen)
        assert isinstance(following, Next)
        walked.append(following.step)
        back = at(back, following.step)
    assert tuple(walked) == RETREAT
    done = finish(back, NOW)
    assert done.operation is None
    assert done.rollout is None
    assert [one.reason for one in done.rejected_revisions] == ["PromotionFailed"]


def test_a_template_changed_by_somebody_else_is_not_overwritten() -> None:
    others = workload("fraud-stable", "v9", 3)
    answer = asked(at(begun(Action.PROMOTE), Step.AWAIT_STABLE), snapshot(stable=others))
    assert isinstance(answer, Fail)
    assert (answer.reason, answer.retreat) == (Reason.STABLE_CHANGED, False)


def test_a_job_that_vanished_is_no_success() -> None:
    status = at(begun(Action.RETRAIN, ModelSLOStatus()), Step.AWAIT_JOB)
    assert status.operation is not None
    assert isinstance(asked(status, snapshot("v1")), Wait)
    later = progress(status.operation, spec_of(), snapshot("v1"), NOW + timedelta(minutes=2))
    assert isinstance(later, Fail)
    assert later.reason is Reason.RETRAIN_FAILED


def test_the_candidate_is_in_place_when_version_and_variables_are() -> None:
    result = {"version": "v3", "modelUri": "/models/v3"}
    status = at(begun(Action.RETRAIN, ModelSLOStatus()), Step.APPLY_CANDIDATE, result=result)
    assert asked(status, snapshot("v2")) == Do()
    placed = workload("fraud-canary", "v3", 0, template=template("v3", MODEL_URI="/models/v3"))
    assert asked(status, snapshot(canary=placed)) == Next(Step.FINISH)


@pytest.mark.parametrize("kind", list(OperationType))
def test_every_step_of_every_operation_is_answered(kind: OperationType) -> None:
    status = begun(Action(kind.value))
    for step in STEPS[kind]:
        asked(at(status, step, result={"version": "v3"}), snapshot())


def test_a_rollback_is_remembered_and_a_promotion_moves_stable() -> None:
    back = finish(begun(Action.ROLLBACK), NOW)
    assert [(one.version, one.reason) for one in back.rejected_revisions] == [("v2", "CanaryWorse")]
    assert back.rollout is None
    forth = finish(begun(Action.PROMOTE), NOW)
    assert (forth.rollout, forth.rejected_revisions, forth.stable_since) == (None, [], NOW)


def test_a_retrain_is_in_the_ledger_from_its_intent_on() -> None:
    status = begun(Action.RETRAIN, ModelSLOStatus(breach_since=NOW))
    assert [(run.job, run.result) for run in status.retrains] == [("job-1", RetrainResult.RUNNING)]
    assert status.last_actions.retrain == NOW
    ended = finish(at(status, Step.FINISH, failure="RetrainNoResult"), NOW)
    assert [(run.result, run.finished_at) for run in ended.retrains] == [(RetrainResult.NO_RESULT, NOW)]


def test_history_is_bounded_and_a_veto_is_written_once() -> None:
    status, veto = rolling(), Decision(Action.HOLD, Reason.COOLDOWN, "x", "v2", REVISION, Action.ROLLBACK)
    for _ in range(3):
        status = apply_decision(status, veto, parameters(), NOW, operation_id="v")
    assert len(status.history) == 1
    for k in range(30):
        status = apply_decision(
            status, Decision(Action.ADVANCE, Reason.STEP_DONE, "y"), parameters(), NOW, operation_id=f"a{k}"
        ).model_copy(update={"rollout": rolling().rollout})
    assert len(status.history) == 10


def test_a_rollback_that_is_held_back_is_told_although_an_advance_was_before() -> None:
    """One guardrail stops both. The id of an advance changes with every evaluation, that of a rollback does not."""
    status = rolling()
    for k, action in enumerate((Action.ADVANCE, Action.ADVANCE, Action.ROLLBACK, Action.ROLLBACK, Action.ADVANCE)):
        veto = Decision(Action.HOLD, Reason.SUSPENDED, f"no {action}", "v2", REVISION, action)
        identifier = "r" if action is Action.ROLLBACK else f"a{k}"
        status = apply_decision(status, veto, parameters(), NOW, operation_id=identifier)
    assert [one.message for one in status.history] == ["no Advance", "no Rollback"]


@pytest.mark.parametrize(
    ("share", "ready", "pods"), [(0.05, 3, 1), (0.2, 4, 1), (0.25, 3, 1), (0.5, 3, 3), (0.26, 3, 2), (0.9, 1, 9)]
)
def test_canary_pods_for_a_share(share: float, ready: int, pods: int) -> None:
    assert replicas_for(share, ready) == pods


def test_steps_that_cannot_be_told_apart_merge() -> None:
    rollout = spec_of().rollout
    assert rollout is not None
    many = rollout.model_copy(update={"steps": ["1%", "5%", "25%", "50%"]})
    assert steps_of(many, 3) == (1, 3)


def test_who_gets_pods() -> None:
    assert desired_canary_replicas(spec_of(), rolling(), snapshot()) == 1
    assert desired_canary_replicas(spec_of(), ModelSLOStatus(), snapshot()) == 0
    assert desired_canary_replicas(spec_of(), begun(Action.ROLLBACK), snapshot()) == 0
    assert desired_canary_replicas(spec_of(), begun(Action.PROMOTE), snapshot()) is None
    assert desired_canary_replicas(spec_of(suspend=True), rolling(), snapshot()) is None
    assert desired_canary_replicas(spec_of(mode="DryRun"), ModelSLOStatus(), snapshot()) is None


def test_a_step_begins_when_its_pods_are_there() -> None:
    waiting = rolling()
    assert waiting.rollout is not None
    first = waiting.rollout.transitions[0].model_copy(update={"ready_at": None})
    waiting = rolling(transitions=[first])
    early = with_ready_time(waiting, spec_of(), snapshot(canary=workload("c", "v2", 1, available=0)), NOW)
    assert early == waiting
    there = with_ready_time(waiting, spec_of(), snapshot(), NOW)
    assert there.rollout is not None
    assert there.rollout.transitions[-1].ready_at == NOW


def test_other_parameters_of_the_gate_begin_judging_afresh() -> None:
    same = with_parameters(rolling(), parameters(), NOW)
    assert same == rolling()
    other = with_parameters(rolling(parameters="other"), parameters(), NOW)
    assert other.rollout is not None
    assert other.rollout.judged_since == NOW
