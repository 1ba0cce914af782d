"""While a veto stands nothing is begun, and slices of its time trigger no retrain."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelslo.api.spec import Mode, ModelSLOSpec
from modelslo.api.status import ModelSLOStatus, Vetoed
from modelslo.decide.decision import Decision, decide
from modelslo.decide.reasons import Action, Reason
from modelslo.decide.retrain import with_breach
from modelslo.decide.rollout import scene_of
from modelslo.decide.snapshot import Snapshot
from modelslo.decide.transition import apply_decision
from modelslo.decide.veto import stained_until, with_vetoed
from modelslo.judge.budget import Burn, Health, Mean
from modelslo.judge.cause import Cause, Explanation
from modelslo.judge.judgement import Judgement, Verdict
from modelslo.judge.problem import Problem, Unknown
from modelslo.judge.vetoed import Standing
from tests.unit.decide.make import NOW, judgement, rolling, snapshot, workload
from tests.unit.judge.make import parameters, spec_of

STANDS = (Standing("features-stale", 1, 1200.0),)
SAID = "Veto 'features-stale' stands (value 1200): the data upstream are broken"
UNKNOWN = Problem(Unknown.VETO_UNKNOWN, "spec.guardrails.vetoes[0].query (features-stale): 'sum(' cannot be read")


def vetoed_spec(**change: Any) -> ModelSLOSpec:
    return spec_of(guardrails={"vetoes": [{"name": "features-stale", "query": "lag > 900"}]}, **change)


def decided(status: ModelSLOStatus, seen: Snapshot, of: Judgement, **change: Any) -> Decision:
    spec = vetoed_spec(**change)
    return decide(spec, parameters(spec), status, seen, of, NOW)


ACTIONS = [
    (ModelSLOStatus(), snapshot("v2"), None, Action.START),
    (rolling(), snapshot(), Verdict.UNDECIDED, Action.ADVANCE),
    (rolling(), snapshot(), Verdict.WORSE, Action.ROLLBACK),
    (rolling(), snapshot(), Verdict.INVALID_LOSSES, Action.ROLLBACK),
    (rolling(), snapshot(), Verdict.NOT_WORSE, Action.PROMOTE),
]


@pytest.mark.parametrize(("status", "seen", "verdict", "action"), ACTIONS)
def test_a_standing_veto_holds_every_action_and_says_which(
    status: ModelSLOStatus, seen: Snapshot, verdict: Verdict | None, action: Action
) -> None:
    assert decided(status, seen, judgement(verdict)).action is action
    decision = decided(status, seen, judgement(verdict, standing=STANDS))
    assert (decision.action, decision.reason, decision.vetoed) == (Action.HOLD, Reason.DATA_INCIDENT, action)
    assert decision.message.startswith(SAID)
    assert f"Without it: {action}" in decision.message


@pytest.mark.parametrize(("status", "seen", "verdict", "action"), ACTIONS)
def test_one_that_is_not_known_holds_every_action_for_its_own_reason(
    status: ModelSLOStatus, seen: Snapshot, verdict: Verdict | None, action: Action
) -> None:
    of = judgement(verdict, UNKNOWN, unknown_vetoes=("features-stale",))
    decision = decided(status, seen, of)
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.VETO_UNKNOWN)
    assert UNKNOWN.message in decision.message


@pytest.mark.parametrize("of", [{"standing": STANDS}, {"problem": UNKNOWN, "unknown_vetoes": ("features-stale",)}])
def test_a_canary_that_never_comes_up_is_rolled_back_all_the_same(of: dict[str, Any]) -> None:
    status = rolling()
    assert status.rollout is not None
    waiting = [status.rollout.transitions[0].model_copy(update={"ready_at": None})]
    canary = workload("fraud-canary", "v2", 1, available=0, ready=0, deadline_exceeded=True)
    decision = decided(rolling(transitions=waiting), snapshot(canary=canary), judgement(None, **of))
    assert (decision.action, decision.reason) == (Action.ROLLBACK, Reason.CANARY_UNAVAILABLE)


@pytest.mark.parametrize(
    ("seen", "action"), [(snapshot("v1"), Action.ABANDON), (snapshot("v3"), Action.START)], ids=["withdrawn", "changed"]
)
def test_the_record_follows_templates_that_somebody_changed(seen: Snapshot, action: Action) -> None:
    assert decided(rolling(), seen, judgement(Verdict.UNDECIDED, standing=STANDS)).action is action


@pytest.mark.parametrize(
    ("status", "seen", "verdict"),
    [
        (ModelSLOStatus(), snapshot("v1"), None),  # no canary
        (rolling(step=1), snapshot(pods=3), Verdict.UNDECIDED),  # near the margin, on the last step
        (rolling(), snapshot(), Verdict.INCIDENT),
    ],
)
def test_a_hold_says_so_too(status: ModelSLOStatus, seen: Snapshot, verdict: Verdict | None) -> None:
    decision = decided(status, seen, judgement(verdict, standing=STANDS))
    assert (decision.action, decision.reason, decision.vetoed) == (Action.HOLD, Reason.DATA_INCIDENT, None)
    assert decision.message.startswith(SAID)


def test_what_a_person_has_to_mend_goes_before_it() -> None:
    seen = Snapshot(None, workload("fraud-canary", "v2", 1))
    assert decided(rolling(), seen, judgement(standing=STANDS)).reason is Reason.WORKLOAD_NOT_FOUND


def test_a_dry_run_would_not_have_acted_either() -> None:
    decision = decided(rolling(), snapshot(), judgement(Verdict.WORSE, standing=STANDS), mode=Mode.DRY_RUN)
    assert decision.reason is Reason.DATA_INCIDENT


def test_what_is_held_back_is_recorded_once() -> None:
    status = rolling()
    for _ in range(3):
        decision = decided(status, snapshot(), judgement(Verdict.WORSE, standing=STANDS))
        status = apply_decision(status, decision, parameters(), NOW, operation_id="1")
    assert [(one.action, one.reason) for one in status.history] == [("Hold", "DataIncident")]


def test_status_knows_since_when_and_until_when() -> None:
    stands, lifted, later = judgement(standing=STANDS), judgement(), NOW + timedelta(minutes=5)
    # Given a veto that begins to stand
    status = with_vetoed(ModelSLOStatus(), stands, NOW)
    assert status.vetoed == Vetoed(names=["features-stale"], since=NOW)
    # When it goes on, or is not known, nothing has to be written
    assert with_vetoed(status, stands, later) is status
    assert with_vetoed(status, judgement(problem=UNKNOWN, unknown_vetoes=("features-stale",)), later) is status
    # Then another one joins, and both lift
    both = (*STANDS, Standing("switch", 1, 1.0))
    status = with_vetoed(status, judgement(standing=both), later)
    assert status.vetoed == Vetoed(names=["features-stale", "switch"], since=NOW)
    status = with_vetoed(status, lifted, later)
    assert status.vetoed == Vetoed(names=["features-stale", "switch"], since=NOW, lifted_at=later)
    assert with_vetoed(status, lifted, later + timedelta(hours=1)) is status
    # And the next one is another one
    again = with_vetoed(status, stands, later + timedelta(hours=2))
    assert again.vetoed == Vetoed(names=["features-stale"], since=later + timedelta(hours=2))
    assert with_vetoed(ModelSLOStatus(), lifted, NOW) == ModelSLOStatus()


# Retraining: the trigger looks back, and a veto lies behind

SPEC = vetoed_spec()
PARAMETERS = parameters(SPEC)
DRIFT = (Explanation(Cause.DRIFT, True, "burning"), Explanation(Cause.DATA_INCIDENT, False, ""))


def burning(**change: Any) -> Judgement:
    burns = tuple(Burn(rule, 9.0, 9.0) for rule in PARAMETERS.burn_rules)
    health = Health(Mean(3.0, 10), None, 5, 5, 0, 0.5, burns, 9, b"")
    values: dict[str, Any] = {"cause": Cause.DRIFT, "explanations": DRIFT, "stable_health": health}
    return judgement(**(values | change))


def test_a_breach_does_not_begin_while_a_veto_stands_nor_on_slices_of_its_time() -> None:
    # Given a budget that burns for long enough
    status = with_breach(ModelSLOStatus(), PARAMETERS, burning(), NOW - timedelta(hours=1))
    assert decide(SPEC, PARAMETERS, status, snapshot("v1"), burning(), NOW).action is Action.RETRAIN
    # When a veto stands, the breach is over
    stands = burning(standing=STANDS)
    status = with_breach(with_vetoed(status, stands, NOW), PARAMETERS, stands, NOW)
    assert status.breach_since is None
    assert decide(SPEC, PARAMETERS, status, snapshot("v1"), stands, NOW).reason is Reason.DATA_INCIDENT
    # And when it lifts, slices of its time do not begin another one
    status = with_breach(with_vetoed(status, burning(), NOW), PARAMETERS, burning(), NOW)
    until = stained_until(status, PARAMETERS, NOW)
    assert until is not None
    assert status.breach_since is None
    decision = decide(SPEC, PARAMETERS, status, snapshot("v1"), burning(), NOW)
    assert (decision.action, decision.reason) == (Action.HOLD, Reason.DATA_INCIDENT)
    assert f"(features-stale) was lifted count until {until:%FT%TZ}" in decision.message
    # Then it has to last anew
    assert stained_until(status, PARAMETERS, until) is None
    status = with_breach(status, PARAMETERS, burning(), until)
    assert status.breach_since == until
    decision = decide(SPEC, PARAMETERS, status, snapshot("v1"), burning(), until)
    assert decision.reason is Reason.BREACH_NOT_SUSTAINED
    lasted = until + timedelta(seconds=PARAMETERS.timing.sustained_for)
    assert decide(SPEC, PARAMETERS, status, snapshot("v1"), burning(), lasted).action is Action.RETRAIN


def test_slices_count_until_the_short_window_is_past_them() -> None:
    status = ModelSLOStatus(vetoed=Vetoed(names=["x"], since=NOW, lifted_at=NOW))
    until = stained_until(status, PARAMETERS, NOW)
    short = next(rule.short for rule in PARAMETERS.burn_rules if rule.severity is PARAMETERS.trigger)
    assert until == NOW + timedelta(seconds=(short + 1) * PARAMETERS.timing.slice)
    assert stained_until(ModelSLOStatus(), PARAMETERS, NOW) is None


def test_the_scene_tells_the_judge_when_the_last_veto_was_lifted() -> None:
    lifted = Vetoed(names=["x"], since=NOW, lifted_at=NOW)
    for status in (ModelSLOStatus(), rolling()):
        assert scene_of(status, "v1").lifted_at is None
        stands = status.model_copy(update={"vetoed": Vetoed(names=["x"], since=NOW)})
        assert scene_of(stands, "v1").lifted_at is None
        assert scene_of(status.model_copy(update={"vetoed": lifted}), "v1").lifted_at == NOW.timestamp()


def test_the_drift_detector_needs_no_more_than_the_next_slice() -> None:
    of = replace(PARAMETERS, drift=True)
    status = ModelSLOStatus(vetoed=Vetoed(names=["x"], since=NOW, lifted_at=NOW))
    assert stained_until(status, of, NOW) == NOW + timedelta(seconds=of.timing.slice)


def test_a_veto_that_came_and_went_during_an_outage_is_kept_too() -> None:
    # Given an outage of an hour, in the middle of which a veto stood
    at = NOW - timedelta(minutes=30)
    missed = judgement(vetoed_at=at.timestamp(), stood=("features-stale",))
    status = with_vetoed(ModelSLOStatus(), missed, NOW)
    assert status.vetoed == Vetoed(names=["features-stale"], since=at, lifted_at=NOW)
    # Then it is told once, and not again for one that is known
    later = NOW + timedelta(minutes=1)
    assert with_vetoed(status, judgement(vetoed_at=at.timestamp()), later) is status
    seen = ModelSLOStatus(vetoed=Vetoed(names=["x"], since=at, lifted_at=at))
    assert with_vetoed(seen, missed, NOW) is seen
