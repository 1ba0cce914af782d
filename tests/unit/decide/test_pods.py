"""What of a canary runs, and what that means for the decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from modelslo.api.resource import parse_spec
from modelslo.api.status import OperationStatus, OperationType, Transition
from modelslo.decide.decision import decide
from modelslo.decide.progress import Do, Fail, failed, progress
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.revision import revision_of
from modelslo.decide.rollout import canary_ready
from modelslo.decide.snapshot import Snapshot, Workload
from modelslo.decide.transition import finish
from modelslo.engine.evaluate import prepared
from modelslo.judge.judgement import Verdict
from tests.unit.decide.make import NOW, judgement, rolling, snapshot, template, workload
from tests.unit.engine.bodies import model, retrain
from tests.unit.judge.make import parameters

SPEC = parse_spec(model()["spec"])


def _stuck() -> Workload:
    """One pod of the template before serves, one of this one cannot pull its image, and Kubernetes has given up."""
    broken = template("v2", image="server:typo")
    return workload(
        "fraud-canary", "v2", 1, template=broken, generation=2, observed_generation=2, replicas=1, total=2, updated=1,
        ready=1, available=1, deadline_exceeded=True,
    )  # fmt: skip


@pytest.mark.parametrize("verdict", [Verdict.NOT_WORSE, Verdict.UNDECIDED])
def test_a_pod_of_the_template_before_is_none_of_this_one(verdict: Verdict) -> None:
    """With the same version its losses look like this one's: it would be promoted and has never run."""
    canary, start = _stuck(), NOW - timedelta(minutes=40)
    status = rolling(
        revision=revision_of(canary.template), transitions=[Transition(started_at=start)], started_at=start,
        judged_since=start,
    )  # fmt: skip
    seen = replace(snapshot(), canary=canary)
    assert not canary_ready(1, canary)
    status = prepared(status, SPEC, parameters(), seen, NOW)
    assert status.rollout is not None
    assert status.rollout.transitions[-1].ready_at is None
    decision = decide(SPEC, parameters(), status, seen, judgement(verdict), NOW)
    assert (decision.action, decision.reason) == (Action.ROLLBACK, Reason.CANARY_UNAVAILABLE)


@pytest.mark.parametrize("verdict", [Verdict.INVALID_LOSSES, Verdict.WORSE])
def test_a_bad_canary_is_rolled_back_although_a_pod_of_its_step_is_missing(verdict: Verdict) -> None:
    start = NOW - timedelta(minutes=5)
    first = Transition(started_at=start, ready_at=start)
    status = rolling(transitions=[first, Transition(started_at=NOW)])
    canary = workload("fraud-canary", "v2", 3, replicas=3, total=3, updated=3, ready=2, available=2)
    decision = decide(SPEC, parameters(), status, replace(snapshot(), canary=canary), judgement(verdict), NOW)
    assert decision.action is Action.ROLLBACK


@pytest.mark.parametrize(
    ("verdict", "action"),
    [(Verdict.UNDECIDED, Action.HOLD), (Verdict.NOT_WORSE, Action.HOLD), (Verdict.WORSE, Action.ROLLBACK)],
)
def test_an_autoscaler_that_comes_in_the_middle_stops_all_but_a_rollback(verdict: Verdict, action: Action) -> None:
    seen = replace(snapshot(), autoscaled="HorizontalPodAutoscaler/x")
    decision = decide(SPEC, parameters(), rolling(), seen, judgement(verdict), NOW)
    assert decision.action is action
    assert (decision.reason is Reason.HPA_CONFLICT) is (action is Action.HOLD)


def test_a_promotion_that_was_overtaken_rejects_nothing() -> None:
    """The canary's template changed between the decision and the copy: nothing speaks against what was good."""
    operation = OperationStatus(
        id="1", type=OperationType.PROMOTE, step="CopyTemplate", reason="CanaryNotWorse", started_at=NOW,
        step_started_at=NOW, revision=revision_of(template("v2")), version="v2", previous_replica_set="rs",
    )  # fmt: skip
    found = progress(operation, SPEC, snapshot("v3"), NOW)
    assert isinstance(found, Fail)
    status = rolling().model_copy(update={"operation": failed(operation, found, NOW)})
    assert finish(status, NOW).rejected_revisions == []


# What is taken away in the middle of an operation


def test_a_users_candidate_is_not_written_over_by_that_of_a_retrain() -> None:
    # Given a retrain that began while the canary was stable's own template
    spec = parse_spec(model(spec={"retrain": retrain()})["spec"])
    operation = OperationStatus(
        id="1", type=OperationType.RETRAIN, step="ApplyCandidate", reason="Drift", started_at=NOW, step_started_at=NOW,
        revision=revision_of(template("v1")), job="j", result={"version": "retrained"},
    )  # fmt: skip
    assert isinstance(progress(operation, spec, replace(snapshot(), canary=workload("fraud-canary", "v1", 0)), NOW), Do)
    # When somebody gives it v2 meanwhile
    found = progress(operation, spec, replace(snapshot(), canary=workload("fraud-canary", "v2", 0)), NOW)
    # Then that goes first
    assert isinstance(found, Fail)
    assert "version 'v2': that goes first" in found.message
    assert "'retrained' was not put in" in found.message


@pytest.mark.parametrize("kind", [OperationType.ROLLBACK, OperationType.PROMOTE])
def test_an_operation_whose_rollout_is_taken_out_says_so_and_keeps_its_verdict(kind: OperationType) -> None:
    spec = parse_spec({name: part for name, part in model()["spec"].items() if name != "rollout"})
    step = "ScaleCanaryDown" if kind is OperationType.ROLLBACK else "AwaitStable"
    operation = OperationStatus(
        id="1", type=kind, step=step, reason="CanaryWorse", started_at=NOW, step_started_at=NOW,
        revision=revision_of(template("v2")), version="v2", previous_replica_set="rs",
    )  # fmt: skip
    found = progress(operation, spec, Snapshot(None, None), NOW)
    assert isinstance(found, Fail)
    assert found.reason is Reason.ROLLOUT_REMOVED
    status = finish(rolling().model_copy(update={"operation": failed(operation, found, NOW)}), NOW)
    assert [one.reason for one in status.rejected_revisions] == (
        ["CanaryWorse"] if kind is OperationType.ROLLBACK else []
    )
