"""A shadow: a fixed number of pods, no steps, its own ends, and a record of what no user saw."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelslo.api.spec import ModelSLOSpec, Promotion, Shadow
from modelslo.api.status import MOST_SHADOWS, ModelSLOStatus, ShadowRun
from modelslo.decide.decision import Decision, decide
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.report import report
from modelslo.decide.rollout import desired_canary_replicas, scene_of, shares_of
from modelslo.decide.shadow import hidden_of, with_shadow, with_users
from modelslo.decide.snapshot import Snapshot
from modelslo.decide.transition import apply_decision
from modelslo.engine.evaluate import prepared
from modelslo.judge.comparison import Compared
from modelslo.judge.judgement import Judgement, Verdict
from modelslo.judge.problem import Problem, Unknown
from tests.unit.decide.make import NOW, judgement, rolling, snapshot, workload
from tests.unit.decide.test_veto import STANDS, UNKNOWN
from tests.unit.judge.make import parameters, spec_of

LATER = NOW + timedelta(hours=1)


def spec(replicas: int = 1, **change: Any) -> ModelSLOSpec:
    base = spec_of()
    assert base.rollout is not None
    update = {"shadow": Shadow(replicas=replicas), "steps": None} | change
    return base.model_copy(update={"rollout": base.rollout.model_copy(update=update)})


def shadowing(**change: Any) -> ModelSLOStatus:
    status = rolling(shadow=True, **change)
    return status.model_copy(update={"shadows": [ShadowRun(version="v2", since=NOW - timedelta(minutes=10))]})


def decided(status: ModelSLOStatus, seen: Snapshot, of: Judgement, by: ModelSLOSpec | None = None) -> Decision:
    by = by or spec()
    return decide(by, parameters(by), status, seen, of, NOW)


def begun(by: ModelSLOSpec, status: ModelSLOStatus | None = None) -> tuple[Decision, ModelSLOStatus]:
    status = status or ModelSLOStatus()
    decision = decided(status, snapshot(), judgement(), by)
    return decision, apply_decision(status, decision, parameters(by), NOW, operation_id="d", stable_version="v1")


def test_it_starts_with_words_that_say_so_and_is_recorded() -> None:
    decision, status = begun(spec())
    assert (decision.action, decision.reason) == (Action.START, Reason.NEW_REVISION)
    assert decision.message == (
        "Version 'v2' starts as shadow of 'v1': it gets copies of requests, and no user sees its answers."
    )
    assert status.rollout is not None
    assert status.rollout.shadow
    assert status.shadows == [ShadowRun(version="v2", since=NOW)]
    assert scene_of(status, "v1").shadow
    # Without one it does not
    decision, status = begun(spec_of())
    assert decision.message == "Version 'v2' starts as canary of 'v1'."
    assert (status.rollout and status.rollout.shadow, status.shadows) == (False, [])
    assert not scene_of(status, "v1").shadow


@pytest.mark.parametrize("stable", [1, 3, 50])
@pytest.mark.parametrize("replicas", [1, 4])
def test_its_pods_are_those_of_the_spec_however_many_stable_has(replicas: int, stable: int) -> None:
    seen = snapshot(stable=workload("fraud-stable", "v1", stable))
    assert desired_canary_replicas(spec(replicas), shadowing(), seen) == replicas
    assert desired_canary_replicas(spec(replicas), ModelSLOStatus(), seen) == 0


def test_it_has_no_share_of_the_traffic() -> None:
    of, plain = spec().rollout, spec_of().rollout
    assert of is not None
    assert plain is not None
    assert shares_of(of) == ()
    assert shares_of(plain) == ("25%", "50%")
    assert shares_of(plain.model_copy(update={"steps": None})) == ("10%", "25%", "50%")


@pytest.mark.parametrize(
    ("verdict", "action", "reason"),
    [
        (Verdict.WORSE, Action.ROLLBACK, Reason.CANARY_WORSE),
        (Verdict.INVALID_LOSSES, Action.ROLLBACK, Reason.CANARY_INVALID_LOSSES),
        (Verdict.NOT_WORSE, Action.PROMOTE, Reason.CANARY_NOT_WORSE),
        (Verdict.INCIDENT, Action.HOLD, Reason.DATA_INCIDENT),
        (Verdict.UNDECIDED, Action.HOLD, Reason.NEAR_MARGIN),  # never an advance
    ],
)
def test_it_ends_like_any_canary_and_does_not_advance(verdict: Verdict, action: Action, reason: Reason) -> None:
    decision = decided(shadowing(), snapshot(), judgement(verdict))
    assert (decision.action, decision.reason) == (action, reason)


@pytest.mark.parametrize("unknown", list(Unknown))
@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_verdict_law(unknown: Unknown, verdict: Verdict) -> None:
    decision = decided(shadowing(), snapshot(), judgement(verdict, Problem(unknown, "why")))
    assert (decision.action, decision.reason) == (Action.HOLD, Reason(unknown))


def test_what_is_missing_may_be_the_mirror() -> None:
    of = judgement(Verdict.UNDECIDED)
    assert of.canary is not None
    none = replace(of, canary=replace(of.canary, compared=Compared(ripe=True)))
    assert "Does the mirror copy requests to it?" in decided(shadowing(), snapshot(), none).message
    assert "mirror" not in decided(rolling(), snapshot(), none, spec_of()).message


def test_a_good_one_that_waits_may_be_shown_to_users_instead() -> None:
    waits = decided(shadowing(), snapshot(), judgement(Verdict.NOT_WORSE), spec(promotion=Promotion.MANUAL))
    assert waits.reason is Reason.AWAITING_APPROVAL
    assert "take spec.rollout.shadow out" in waits.message


def test_the_condition_says_that_it_is_a_shadow() -> None:
    of = judgement(Verdict.UNDECIDED)
    status = report(shadowing(), spec(), parameters(), snapshot(), of, decided(shadowing(), snapshot(), of), 1, NOW)
    (message,) = [one.message for one in status.conditions if one.type == "CanaryInProgress"]
    assert message.startswith("v2, shadow: ")


def test_a_shadow_that_becomes_a_canary_is_judged_afresh_and_seen_by_users_from_then_on() -> None:
    """And the other way round."""
    decision, status = begun(spec_of(), shadowing())
    assert (decision.action, decision.reason) == (Action.START, Reason.TRAFFIC_CHANGED)
    assert status.rollout is not None
    assert (status.rollout.shadow, status.rollout.step, status.rollout.judged_since) == (False, 0, NOW)
    assert [one.until for one in status.shadows] == [NOW]
    decision, status = begun(spec(), rolling(step=1))
    assert (decision.action, decision.reason) == (Action.START, Reason.TRAFFIC_CHANGED)
    assert status.rollout is not None
    assert (status.rollout.shadow, status.rollout.step) == (True, 0)
    assert [(one.version, one.until) for one in status.shadows] == [("v2", None)]


@pytest.mark.parametrize("of", [{"standing": STANDS}, {"problem": UNKNOWN, "unknown_vetoes": ("features-stale",)}])
def test_what_users_see_is_followed_while_a_veto_stands(of: dict[str, Any]) -> None:
    """The pods are those of the spec at once: a record that waits would keep what users see out of the SLI."""
    for by, status in ((spec_of(), shadowing()), (spec(), rolling(step=1))):
        decision = decided(status, snapshot(), judgement(Verdict.UNDECIDED, **of), by)
        assert (decision.action, decision.reason) == (Action.START, Reason.TRAFFIC_CHANGED)
    # What is suspended has the pods that it had, and waits
    suspended = spec_of(suspend=True)
    assert desired_canary_replicas(suspended, shadowing(), snapshot()) is None
    assert decided(shadowing(), snapshot(), judgement(Verdict.UNDECIDED), suspended).reason is Reason.SUSPENDED


def test_whoever_makes_a_shadow_stable_its_losses_are_those_of_users_from_then_on() -> None:
    """The operator's promotion, or a person's."""
    same = prepared(shadowing(), spec(), parameters(), snapshot(), LATER)
    assert same.shadows == shadowing().shadows
    served = snapshot(stable=workload("fraud-stable", "v2", 3))
    after = prepared(shadowing(), spec(), parameters(), served, LATER)
    assert [one.until for one in after.shadows] == [LATER]
    assert prepared(after, spec(), parameters(), served, LATER + timedelta(hours=1)).shadows == after.shadows


def test_without_a_rollout_nobody_is_a_shadow() -> None:
    """Who serves what is then unknown, and an SLI without the only version that is there would be none."""
    ended = shadowing().model_copy(update={"rollout": None})
    watched = spec().model_copy(update={"rollout": None, "retrain": None})
    (one,) = prepared(ended, watched, parameters(watched), Snapshot(None, None), LATER).shadows
    assert (one.version, one.until) == ("v2", LATER)


def test_a_shadow_stays_one_after_its_rollback_because_its_labels_still_come() -> None:
    ended = shadowing().model_copy(update={"rollout": None})
    (one,) = hidden_of(prepared(ended, spec(), parameters(), snapshot("v1", 0), LATER))
    assert (one.version, one.until) == ("v2", None)
    assert scene_of(ended, "v1").shadows == (one,)
    # It begins again: it is one all the time
    assert with_shadow(ended, "v2", LATER) is ended


def test_the_record_has_bounds_and_knows_one_version_several_times() -> None:
    status = ModelSLOStatus()
    for number in range(MOST_SHADOWS + 5):
        status = with_shadow(status, f"v{number}", NOW)
    assert [one.version for one in status.shadows] == [f"v{number}" for number in range(5, MOST_SHADOWS + 5)]
    twice = with_shadow(with_users(with_shadow(ModelSLOStatus(), "v2", NOW), "v2", LATER), "v2", LATER)
    assert [(one.since, one.until) for one in twice.shadows] == [(NOW, LATER), (LATER, None)]
    assert with_users(twice, "v9", LATER) is twice
    assert with_users(twice, None, LATER) is twice
