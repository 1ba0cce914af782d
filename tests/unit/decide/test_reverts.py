"""Stable's template is put back after each promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelslo.api.resource import parse_spec
from modelslo.api.status import ModelSLOStatus
from modelslo.decide.decision import Decision, decide
from modelslo.decide.progress import Fail, failed
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.report import STALLING
from modelslo.decide.snapshot import Snapshot
from modelslo.decide.transition import apply_decision, finish
from modelslo.engine.evaluate import prepared
from modelslo.judge.judgement import Verdict
from tests.unit.decide.make import NOW, judgement, rolling, snapshot, template, workload
from tests.unit.engine.bodies import model
from tests.unit.judge.make import parameters

SPEC = parse_spec(model()["spec"])
LATER = NOW + timedelta(days=2)
"""Behind every cooldown."""


def reverted(version: str = "v2", **change: Any) -> Snapshot:
    """Stable has its template of before, and the canary the one that was promoted."""
    stable = replace(workload("fraud-stable", "v1", 3), template_manager="argocd-controller", **change)
    return replace(snapshot(version, 0), stable=stable)


def promoted(status: ModelSLOStatus, failure: Fail | None = None) -> ModelSLOStatus:
    """A good canary v2 is promoted, once more."""
    status = status.model_copy(update={"rollout": rolling().rollout})
    decision = decide(SPEC, parameters(), status, snapshot(), judgement(Verdict.NOT_WORSE), LATER)
    assert decision.action is Action.PROMOTE
    status = apply_decision(status, decision, parameters(), LATER, operation_id="op", previous_replica_set="rs")
    assert status.operation is not None
    if failure is not None:
        status = status.model_copy(update={"operation": failed(status.operation, failure, LATER)})
    done = finish(status, LATER)
    return done.model_copy(update={"last_actions": ModelSLOStatus().last_actions})


def wanted(status: ModelSLOStatus, seen: Snapshot) -> Decision:
    return decide(SPEC, parameters(), status, seen, judgement(), LATER)


def test_after_the_second_time_it_is_not_tried_again_and_who_does_it_is_named() -> None:
    # Given a promotion that somebody took back
    status = promoted(ModelSLOStatus())
    # Then it is judged and promoted once more
    assert wanted(status, reverted()).action is Action.START
    # And when that is taken back too
    status = promoted(status)
    decision = wanted(status, reverted())
    # Then no third one is begun
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.FIELD_CONFLICT)
    assert "'argocd-controller'" in decision.message
    assert decision.reason in STALLING


def test_one_that_is_taken_back_before_it_is_done_counts_too() -> None:
    overtaken = Fail(Reason.STABLE_CHANGED, "Somebody else changed stable's template during the promotion.")
    status = promoted(promoted(ModelSLOStatus(), overtaken), overtaken)
    assert status.rejected_revisions == []
    assert wanted(status, reverted()).reason is Reason.FIELD_CONFLICT


@pytest.mark.parametrize("reason", [Reason.REVISION_CHANGED, Reason.WORKLOAD_NOT_FOUND, Reason.ROLLOUT_REMOVED])
def test_one_that_never_reached_stable_does_not(reason: Reason) -> None:
    status = promoted(promoted(ModelSLOStatus(), Fail(reason, "")), Fail(reason, ""))
    assert wanted(status, reverted()).action is Action.START


def test_another_canary_or_another_stable_starts() -> None:
    status = promoted(promoted(ModelSLOStatus()))
    assert wanted(status, reverted("v3")).action is Action.START
    assert wanted(status, reverted(template=template("v1", image="server:2"))).action is Action.START


def test_in_the_middle_of_another_rollout_it_ends_that_one_and_does_not_start() -> None:
    status = promoted(promoted(ModelSLOStatus())).model_copy(update={"rollout": rolling(revision="other").rollout})
    decision = wanted(status, reverted())
    assert (decision.action, decision.reason) == (Action.ABANDON, Reason.FIELD_CONFLICT)


def test_suspended_and_resumed_it_is_tried_again() -> None:
    status = promoted(promoted(ModelSLOStatus()))
    suspended = SPEC.model_copy(update={"suspend": True})
    assert prepared(status, SPEC, parameters(), reverted(), LATER).promoted is not None
    status = prepared(status, suspended, parameters(), reverted(), LATER)
    assert wanted(status, reverted()).action is Action.START


def test_a_template_that_git_has_taken_over_is_no_conflict() -> None:
    status = promoted(promoted(ModelSLOStatus()))
    both = replace(snapshot("v2", 0), stable=workload("fraud-stable", "v2", 3))
    assert wanted(status, both).reason is Reason.NO_CANARY
