from __future__ import annotations

from datetime import UTC, datetime, timedelta

from modelslo.api.status import ModelSLOStatus, RetrainRun, RolloutStatus, Transition
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Action, Reason
from modelslo.engine.ids import decision_id

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def rollout(started: datetime) -> ModelSLOStatus:
    made = RolloutStatus(
        revision="r",
        version="v2",
        stable_version="v1",
        started_at=started,
        transitions=[Transition(started_at=started)],
        judged_since=started,
        parameters="p",
    )
    return ModelSLOStatus(rollout=made)


def decision(action: Action, revision: str = "r") -> Decision:
    return Decision(action, Reason.CANARY_WORSE, "", "v2", revision)


def test_deciding_the_same_end_of_a_rollout_again_gives_the_same_id() -> None:
    first = decision_id("u", rollout(NOW), decision(Action.ROLLBACK), NOW)
    assert decision_id("u", rollout(NOW), decision(Action.ROLLBACK), LATER) == first
    others = {
        decision_id("other", rollout(NOW), decision(Action.ROLLBACK), NOW),
        decision_id("u", rollout(LATER), decision(Action.ROLLBACK), NOW),
        decision_id("u", rollout(NOW), decision(Action.PROMOTE), NOW),
        decision_id("u", rollout(NOW), decision(Action.ROLLBACK, "r2"), NOW),
    }
    assert len(others | {first}) == 5


def test_a_retrain_is_named_after_its_episode_and_attempt() -> None:
    breach = ModelSLOStatus(breach_since=NOW)
    retrain = Decision(Action.RETRAIN, Reason.DRIFT, "", "v1")
    first = decision_id("u", breach, retrain, NOW)
    assert decision_id("u", breach, retrain, LATER) == first
    tried = breach.model_copy(update={"retrains": [RetrainRun(id=first, job="j", started_at=LATER)]})
    assert decision_id("u", tried, retrain, LATER) != first
    assert decision_id("u", ModelSLOStatus(breach_since=LATER), retrain, LATER) != first


def test_a_veto_has_the_id_of_what_it_stops() -> None:
    vetoed = Decision(Action.HOLD, Reason.COOLDOWN, "", "v2", "r", vetoed=Action.ROLLBACK)
    assert decision_id("u", rollout(NOW), vetoed, LATER) == decision_id(
        "u", rollout(NOW), decision(Action.ROLLBACK), NOW
    )
