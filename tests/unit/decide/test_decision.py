"""Decisions: each action has its case, and missing data never acts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelslo.api.spec import Labels, ModelSLOSpec, OnDeadline, Promotion
from modelslo.api.status import (
    LastActions,
    ModelSLOStatus,
    OperationStatus,
    OperationType,
    RejectedRevision,
    RetrainRun,
    Transition,
)
from modelslo.decide.decision import Decision, decide
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.retrain import wanted_retrain, with_breach
from modelslo.decide.revision import revision_of
from modelslo.decide.snapshot import Snapshot
from modelslo.judge.cause import Cause, Explanation
from modelslo.judge.drift import Detector, Health
from modelslo.judge.drifting import Drifting
from modelslo.judge.judgement import Judgement, Verdict
from modelslo.judge.problem import Problem, Unknown
from tests.unit.decide.make import NOW, judgement, rolling, snapshot, template, workload
from tests.unit.judge.make import parameters, spec_of

DRIFT = (Explanation(Cause.DRIFT, True, "burning"), Explanation(Cause.DATA_INCIDENT, False, ""))


def decided(status: ModelSLOStatus, seen: Snapshot, of: Judgement, spec: ModelSLOSpec | None = None) -> Decision:
    spec = spec or spec_of()
    return decide(spec, parameters(spec), status, seen, of, NOW)


def rollout_spec(**change: Any) -> ModelSLOSpec:
    spec = spec_of()
    assert spec.rollout is not None
    return spec.model_copy(update={"rollout": spec.rollout.model_copy(update=change)})


def test_without_a_rollout_sound_data_are_healthy_and_others_are_told() -> None:
    watched = spec_of(rollout=None, retrain=None)
    for problem, reason in ((None, Reason.HEALTHY), (Problem(Unknown.STALE, "old"), Reason.STALE)):
        found = decided(ModelSLOStatus(), Snapshot(None, None), replace(judgement(), problem=problem), watched)
        assert (found.action, found.reason) == (Action.HOLD, reason)


@pytest.mark.parametrize(
    ("status", "seen", "of", "action", "reason"),
    [
        (ModelSLOStatus(), snapshot("v1"), judgement(), Action.HOLD, Reason.NO_CANARY),
        (ModelSLOStatus(), snapshot("v2"), judgement(), Action.START, Reason.NEW_REVISION),
        (rolling(), snapshot(), judgement(Verdict.WORSE), Action.ROLLBACK, Reason.CANARY_WORSE),
        (rolling(), snapshot(), judgement(Verdict.INVALID_LOSSES), Action.ROLLBACK, Reason.CANARY_INVALID_LOSSES),
        (rolling(), snapshot(), judgement(Verdict.NOT_WORSE), Action.PROMOTE, Reason.CANARY_NOT_WORSE),
        (rolling(), snapshot(), judgement(Verdict.UNDECIDED), Action.ADVANCE, Reason.STEP_DONE),
        (rolling(), snapshot("v1"), judgement(), Action.ABANDON, Reason.REVISION_WITHDRAWN),
        (rolling(), snapshot("v3"), judgement(), Action.START, Reason.REVISION_CHANGED),
    ],
)
def test_each_case_has_its_action(
    status: ModelSLOStatus, seen: Snapshot, of: Judgement, action: Action, reason: Reason
) -> None:
    decision = decided(status, seen, of)
    assert (decision.action, decision.reason) == (action, reason)


def test_while_only_quick_labels_can_be_compared_it_is_said() -> None:
    # Given a canary of which no more than that can be compared
    of = judgement(Verdict.IMMATURE)
    assert of.canary is not None
    young = replace(of.canary, compared=replace(of.canary.compared, young=True))
    # Then it goes on as one without a verdict, and the message has the reason
    decision = decided(rolling(), snapshot(), replace(of, canary=young))
    assert decision.action is Action.ADVANCE
    assert "only quick labels can be compared yet, which speak against a canary and not for it" in decision.message
    # And one that is worse by them is rolled back
    worse = replace(of, canary=replace(young, verdict=Verdict.WORSE))
    assert decided(rolling(), snapshot(), worse).action is Action.ROLLBACK


@pytest.mark.parametrize("unknown", list(Unknown))
@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_verdict_law(unknown: Unknown, verdict: Verdict) -> None:
    """Whatever the numbers say: with a problem nothing is promoted, rolled back, advanced or retrained."""
    of = judgement(verdict, Problem(unknown, "why"), Cause.DRIFT, explanations=DRIFT)
    for status, seen in (
        (rolling(), snapshot()),
        (ModelSLOStatus(breach_since=NOW - timedelta(days=1)), snapshot("v1")),
    ):
        decision = decided(status, seen, of)
        assert (decision.action, decision.reason) == (Action.HOLD, Reason(unknown))


def test_a_canary_that_never_becomes_available_is_rolled_back_whatever_prometheus_says() -> None:
    stuck = workload("fraud-canary", "v2", 1, available=0, ready=0, deadline_exceeded=True, failure="quota")
    decision = decided(rolling(), snapshot(canary=stuck), judgement(problem=Problem(Unknown.NO_DATA, "")))
    assert (decision.action, decision.reason) == (Action.ROLLBACK, Reason.CANARY_UNAVAILABLE)
    assert "quota" in decision.message


@pytest.mark.parametrize(
    ("since_start", "since_unavailable", "pods", "expected"),
    [
        (599, 599, 1, Action.HOLD),
        (600, 600, 1, Action.ROLLBACK),
        (600, None, 1, Action.ROLLBACK),  # enough of the other pods are there
        (9000, 10, 1, Action.HOLD),  # scaled long after the start: it was suspended, or the operator away
        (9000, 600, 1, Action.ROLLBACK),
        (9000, 9000, 0, Action.HOLD),  # not scaled yet
    ],
)
def test_a_canary_scaled_from_zero_has_the_same_deadline(
    since_start: int, since_unavailable: int | None, pods: int, expected: Action
) -> None:
    """Kubernetes keeps none for pods that are added to a Deployment whose roll-out was complete, as at zero pods."""
    unavailable = None if since_unavailable is None else NOW - timedelta(seconds=since_unavailable)
    stuck = workload("fraud-canary", "v2", pods, available=0, ready=0, unavailable_since=unavailable)
    waiting = rolling(transitions=[Transition(started_at=NOW - timedelta(seconds=since_start))])
    decision = decided(waiting, snapshot(canary=stuck), judgement(problem=Problem(Unknown.NO_DATA, "")))
    reason = Reason.WAITING_FOR_PODS if expected is Action.HOLD else Reason.CANARY_UNAVAILABLE
    assert (decision.action, decision.reason) == (expected, reason)


@pytest.mark.parametrize(("delay", "advances"), [(None, False), (60.0, True), (1800.0, False)])
def test_a_step_lasts_until_the_labels_of_its_predictions_are_there(delay: float | None, advances: bool) -> None:
    """Five minutes and the delay, stated as half an hour; nine minutes are over. A histogram may know better."""
    of = judgement(Verdict.UNDECIDED)
    assert of.canary is not None
    of = replace(of, canary=replace(of.canary, compared=replace(of.canary.compared, delay=delay)))
    indicator = spec_of().indicator
    slow = spec_of(indicator=indicator.model_copy(update={"labels": Labels(delay="30m")}))
    assert (decided(rolling(), snapshot(), of, slow).action is Action.ADVANCE) is advances


@pytest.mark.parametrize("verdict", [Verdict.NOT_WORSE, Verdict.UNDECIDED])
def test_a_canary_that_lost_its_pods_is_neither_promoted_nor_advanced(verdict: Verdict) -> None:
    """Its losses stay good: the joiner keeps them. Nor is it rolled back by the deadline of its start."""
    crashing = workload("fraud-canary", "v2", 1, available=0, ready=0, unavailable_since=NOW - timedelta(hours=1))
    assert decided(rolling(), snapshot(), judgement(verdict)).action in (Action.PROMOTE, Action.ADVANCE)
    decision = decided(rolling(), snapshot(canary=crashing), judgement(verdict))
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.WAITING_FOR_PODS)
    bad = decided(rolling(), snapshot(canary=crashing), judgement(Verdict.WORSE))
    assert bad.action is Action.ROLLBACK


def test_a_late_canary_is_held_unless_the_user_wants_it_rolled_back() -> None:
    spec = spec_of()
    assert spec.rollout is not None
    old = rolling(started_at=NOW - timedelta(days=2))
    kept = decided(old, snapshot(), judgement(Verdict.UNDECIDED))
    assert (kept.action, kept.reason) == (Action.HOLD, Reason.DEADLINE_EXCEEDED)
    gate = spec.rollout.gate.model_copy(update={"on_deadline": OnDeadline.ROLLBACK})
    gone = decided(old, snapshot(), judgement(Verdict.UNDECIDED), rollout_spec(gate=gate))
    assert (gone.action, gone.reason) == (Action.ROLLBACK, Reason.DEADLINE_EXCEEDED)


def test_manual_promotion_waits_for_the_version_by_name() -> None:
    spec = rollout_spec(promotion=Promotion.MANUAL)
    waits = decided(rolling(), snapshot(), judgement(Verdict.NOT_WORSE), spec)
    assert waits.reason is Reason.AWAITING_APPROVAL
    other = decided(rolling(), snapshot(approved="v7"), judgement(Verdict.NOT_WORSE), spec)
    assert other.action is Action.HOLD
    goes = decided(rolling(), snapshot(approved="v2"), judgement(Verdict.NOT_WORSE), spec)
    assert (goes.action, goes.reason) == (Action.PROMOTE, Reason.APPROVED)


def test_a_rejected_template_does_not_start_again() -> None:
    rejected = RejectedRevision(revision=revision_of(template("v2")), version="v2", reason="CanaryWorse", at=NOW)
    decision = decided(ModelSLOStatus(rejected_revisions=[rejected]), snapshot(), judgement())
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.REJECTED_REVISION)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (snapshot("v1", canary=None), Reason.WORKLOAD_NOT_FOUND),
        (snapshot(None), Reason.VERSION_AMBIGUOUS),
        (snapshot(autoscaled="HorizontalPodAutoscaler/x"), Reason.HPA_CONFLICT),
        (replace(snapshot(), stable=workload("fraud-stable", "v1", 0)), Reason.NO_TRAFFIC),
        (replace(snapshot(), stable=workload("fraud-stable", None, 3)), Reason.VERSION_AMBIGUOUS),
        (
            replace(snapshot(), canary=workload("fraud-canary", "v1", 1, template=template("v1", "server:2"))),
            Reason.VERSION_AMBIGUOUS,
        ),
    ],
)
def test_what_cannot_start_says_why(seen: Snapshot, reason: Reason) -> None:
    assert decided(ModelSLOStatus(), seen, judgement()).reason is reason


def test_labels_and_restarts_are_no_new_revision() -> None:
    other = template("v1")
    other["metadata"] = {"labels": {"role": "b"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}
    assert revision_of(other) == revision_of(template("v1"))


def test_a_breach_must_last_before_a_retrain() -> None:
    of = judgement(cause=Cause.DRIFT, explanations=DRIFT)
    young = ModelSLOStatus(breach_since=NOW - timedelta(minutes=4))
    old = ModelSLOStatus(breach_since=NOW - timedelta(minutes=6))
    assert decided(young, snapshot("v1"), of).reason is Reason.BREACH_NOT_SUSTAINED
    assert decided(old, snapshot("v1"), of).action is Action.RETRAIN


def test_the_detector_has_waited_already_and_what_it_does_not_know_changes_nothing() -> None:
    of = replace(parameters(), drift=True)

    def drifting(health: Health) -> Judgement:
        found = Drifting(health, 11.0, 10.2, 1.0, 86_400.0, "v1", 0, 99, Detector())
        return judgement(cause=Cause.DRIFT, explanations=DRIFT, drifting=found)

    fresh = ModelSLOStatus()
    assert with_breach(fresh, of, drifting(Health.HEALTHY), NOW).breach_since is None
    assert with_breach(fresh, of, drifting(Health.INSUFFICIENT), NOW).breach_since is None
    alarmed = with_breach(fresh, of, drifting(Health.DRIFT), NOW)
    assert alarmed.breach_since == NOW
    assert with_breach(alarmed, of, drifting(Health.INSUFFICIENT), NOW).breach_since == NOW
    wanted = wanted_retrain(of, alarmed, drifting(Health.DRIFT), NOW)
    assert wanted is not None
    assert wanted[:2] == (Action.RETRAIN, Reason.DRIFT)


def test_broken_data_hold_although_the_budget_burns() -> None:
    broken = (Explanation(Cause.DRIFT, True, "burning"), Explanation(Cause.DATA_INCIDENT, True, "labels stopped"))
    old = ModelSLOStatus(breach_since=NOW - timedelta(hours=6))
    decision = decided(old, snapshot("v1"), judgement(cause=Cause.DATA_INCIDENT, explanations=broken))
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.DATA_INCIDENT)


@pytest.mark.parametrize(
    ("spec", "status", "reason"),
    [
        (spec_of(suspend=True), rolling(), Reason.SUSPENDED),
        (spec_of(mode="DryRun"), rolling(), Reason.DRY_RUN),
        (spec_of(), rolling().model_copy(update={"last_actions": LastActions(rollback=NOW)}), Reason.COOLDOWN),
    ],
)
def test_a_guardrail_stops_and_says_what_it_stopped(spec: ModelSLOSpec, status: ModelSLOStatus, reason: Reason) -> None:
    decision = decided(status, snapshot(), judgement(Verdict.WORSE), spec)
    assert (decision.action, decision.reason, decision.vetoed) == (Action.HOLD, reason, Action.ROLLBACK)
    assert "CanaryWorse" in decision.message


def test_only_so_many_retrains_in_a_window() -> None:
    runs = [RetrainRun(id=str(k), job=f"j{k}", started_at=NOW - timedelta(days=k + 2)) for k in range(3)]
    status = ModelSLOStatus(breach_since=NOW - timedelta(days=1), retrains=runs)
    decision = decided(status, snapshot("v1"), judgement(cause=Cause.DRIFT, explanations=DRIFT))
    assert (decision.reason, decision.vetoed) == (Reason.RETRAIN_LIMIT, Action.RETRAIN)
    assert decision.lifts_at == NOW + timedelta(days=3)


def test_one_operation_at_a_time() -> None:
    operation = OperationStatus(
        id="x",
        type=OperationType.RETRAIN,
        step="AwaitJob",
        reason="Drift",
        started_at=NOW,
        step_started_at=NOW,
    )
    status = rolling().model_copy(update={"operation": operation})
    assert decided(status, snapshot(), judgement(Verdict.WORSE)).reason is Reason.OPERATION_IN_PROGRESS
