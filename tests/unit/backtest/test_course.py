"""A backtest decides what the live operator would have decided on the same history."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from modelslo.act.kube import EVENTS
from modelslo.backtest.course import Moment, course
from modelslo.backtest.outcome import Outcome, notable
from modelslo.cli.backtest_page import roles
from modelslo.decide.reasons import Action, Reason
from modelslo.engine.settings import Settings
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, Losses
from tests.unit.backtest.history import BEGIN, HOUR, RAW, SETTINGS, Served, World, recorded, variants
from tests.unit.engine import test_engine
from tests.unit.engine.fakes import REPLICA_SETS, FakeClock, Silent

HOURS = 5.0
BAD = (Served("v1", 1.0, 60), Served("v2", 1.5, 20, since=HOUR))
GOOD = (Served("v1", 1.0, 60), Served("v2", 0.8, 20, since=HOUR))


def run(world: World, hours: float = HOURS, **options: Any) -> list[Moment]:
    (one,) = variants(raw=options.pop("raw", RAW))
    recording = recorded(world, hours, (one,))
    return list(course(one.spec, one.parameters, recording, BEGIN, BEGIN + hours * HOUR, **options))


def acts(moments: list[Moment]) -> list[tuple[str, str]]:
    return [(one.decision.action, one.decision.version) for one in moments if one.decision.action is not Action.HOLD]


def test_each_canary_gets_its_verdict() -> None:
    assert acts(run(World(BAD, HOURS))) == [("Start", "v2"), ("Rollback", "v2")]
    assert acts(run(World(GOOD, HOURS))) == [("Start", "v2"), ("Promote", "v2")]


def test_by_the_age_of_labels_a_bad_canary_is_rolled_back_before_the_delay_is_over() -> None:
    # Given labels that come within a minute, where forty are stated
    labels = {"delay": "40m", "ageLabel": "age_bucket"}
    raw = {**RAW, "indicator": {**RAW["indicator"], "labels": labels}}
    plain, aged = World(BAD, HOURS), World(BAD, HOURS)
    aged.increments = [
        of for one in aged.increments for of in (replace(one, age=60.0), replace(one, losses=Losses(), predictions=0.0))
    ]
    # When both are replayed
    found = [run(world, raw=raw) for world in (plain, aged)]
    # Then the verdict is the same, and comes more than half an hour sooner
    assert acts(found[0]) == acts(found[1]) == [("Start", "v2"), ("Rollback", "v2")]
    waited, at_once = (next(one.at for one in of if one.decision.action is Action.ROLLBACK) for of in found)
    assert (waited - at_once).total_seconds() > 1800


@pytest.mark.parametrize(("mean", "end"), [(1.7, "Rollback"), (0.8, "Promote")])
def test_a_shadow_is_judged_like_any_canary_and_is_not_in_the_sli(mean: float, end: str) -> None:
    """The mirror copies everything, for five hours; losses above 1.5 spend budget."""
    served = (Served("v1", 1.2, 60), Served("v2", mean, 60, since=HOUR))
    raw = {**RAW, "rollout": {**RAW["rollout"], "shadow": {"replicas": 40}}}
    shadow, split = run(World(served, HOURS), raw=raw), run(World(served, HOURS))
    assert acts(shadow) == [("Start", "v2"), (end, "v2")] == acts(split)
    started = next(one.at for one in shadow if one.decision.action is Action.START)
    ended = next(one.at for one in shadow if one.decision.action is not Action.HOLD and one.at > started)
    alone = [one.status.sli.value for one in shadow if one.status.sli and (one.at <= ended or end == "Rollback")]
    together = [one.status.sli.value for one in split if one.status.sli and one.at > ended]
    assert [one for one in alone if one is not None] == pytest.approx([1.2] * len(alone), abs=0.25)
    assert [one for one in together if one is not None][20] == pytest.approx((1.2 + mean) / 2, abs=0.2)
    # The record outlives a rollback, because history goes on; a promoted version is the users' own from then on
    (record,) = shadow[-1].status.shadows
    assert (record.version, record.until is None) == ("v2", end == "Rollback")
    assert "its losses are not in the SLI" in roles(outcome(shadow, raw))
    assert "SLI" not in roles(outcome(split, RAW))


def outcome(moments: list[Moment], raw: Any) -> Outcome:
    return Outcome(variants(raw=raw)[0], tuple(moments))


def test_one_after_the_other() -> None:
    served = [
        Served("v1", 1.0, 60),
        Served("v2", 1.6, 20, since=HOUR, until=3 * HOUR),
        Served("v3", 0.8, 20, since=4 * HOUR),
    ]
    found = run(World(served, 8), 8)
    assert acts(found) == [("Start", "v2"), ("Rollback", "v2"), ("Start", "v3"), ("Promote", "v3")]
    # After the promotion the old version goes on in history, and is no newcomer
    assert (found[-1].cast.stable, found[-1].cast.canary) == ("v3", None)


def test_what_history_promoted_itself_is_stable_from_then_on() -> None:
    served = [Served("v1", 1.0, 60, until=2 * HOUR), Served("v2", 1.09, 20, since=HOUR)]
    found = run(World(served, HOURS))
    assert found[-1].cast.stable == "v2"
    assert found[-1].decision.reason is Reason.NO_CANARY


def test_versions_that_a_person_chose_are_judged_and_no_others() -> None:
    served = [*BAD, Served("v0", 9.0, 5)]
    assert acts(run(World(served, HOURS), named=("v1", "v2"))) == [("Start", "v2"), ("Rollback", "v2")]


def test_a_drift_retrains_once_and_then_the_cooldown_holds() -> None:
    raw = {
        **RAW,
        "retrain": {
            "trigger": {"burnRate": "Fast", "sustainedFor": "30m"},
            "template": {
                "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "t", "image": "t"}]}}}
            },
            "candidate": {"env": {"MODEL_URI": "modelUri"}},
        },
    }
    served = [Served("v1", 1.0, 60, until=2 * HOUR), Served("v1", 3.0, 60, since=2 * HOUR)]
    (one,) = variants(raw=raw)
    moments = tuple(run(World(served, 9), 9, raw=raw))
    assert acts(list(moments)) == [("Retrain", "v1")]
    assert ("Hold", "Cooldown") in {(e.decision.action, e.decision.reason) for e in notable(Outcome(one, moments))}


@pytest.mark.parametrize("fault", ["nan", "gone"])
def test_broken_data_decides_nothing(fault: str) -> None:
    """The verdict law: stable's sums are no numbers, or nothing is there at all, from two hours on."""
    world = World(BAD, HOURS)
    broken = []
    for one in world.increments:
        if one.start < BEGIN + HOUR:
            broken.append(one)
        elif fault == "nan":
            broken.append(replace(one, losses=replace(one.losses, total=nan)))
    world.increments = broken
    found = run(world)
    assert {action for action, _ in acts(found)} <= {"Start"}
    assert found[-1].judgement.problem is not None


def test_a_share_that_changes_is_a_step_of_the_rollout() -> None:
    served = [Served("v1", 1.0, 60), Served("v2", 1.0, 3, since=HOUR), Served("v2", 1.0, 20, since=2 * HOUR)]
    found = run(World(served, 3), 3)
    at = next(one for one in found if one.cast.stepped)
    assert (at.at.timestamp() - BEGIN) / 60 == pytest.approx(123, abs=3)
    assert at.status.rollout is not None
    assert len(at.status.rollout.transitions) == 2


class Played(Silent):
    """A Prometheus with that history."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def evidence(self, ask: Ask) -> Evidence:
        return self.world.evidence(ask)


def _replica_set(deployment: dict[str, Any]) -> dict[str, Any]:
    """The one that a promotion could go back to."""
    template = deployment["spec"]["template"]
    owner = {"uid": deployment["metadata"]["uid"], "controller": True}
    labels = template["metadata"]["labels"]
    metadata = {"namespace": "ns", "name": "fraud-stable-1", "labels": labels, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"template": template}}


@pytest.mark.parametrize("how", [{"steps": ["50%"]}, {"shadow": {"replicas": 1}}])
@pytest.mark.parametrize("served", [BAD, GOOD])
def test_it_decides_what_the_live_operator_decides_at_the_same_time(
    served: tuple[Served, ...], how: dict[str, Any]
) -> None:
    hours = 3.0
    world = World(served, hours)
    backtested = [
        (f"{one.at:%FT%TZ}", one.decision.action.value, one.decision.message)
        for one in run(world, hours, raw={**RAW, "rollout": {**RAW["rollout"], **how}})
        if one.decision.action is not Action.HOLD
    ]
    live: list[tuple[str, str, str]] = []

    async def play() -> None:
        place = test_engine.World(
            settings=Settings(prometheus_url="http://p", settle=SETTINGS.settle),
            clock=FakeClock(BEGIN + HOUR + 121),
            observer=Played(world),
        )
        rollout = {**RAW["rollout"], **how, "stable": {"name": "fraud-stable"}}
        place.add(canary="v2", canary_replicas=1, spec={**RAW, "rollout": rollout, "interval": "1m"})
        place.kube.put(REPLICA_SETS, _replica_set(place.deployment("fraud-stable")))
        async with place.running():
            while place.clock.now() < BEGIN + hours * HOUR and not place.status().get("operation"):
                await place.clock.advance(60)
        assert [one["reason"] for one in place.kube.of(EVENTS)][:1] == ["NewRevision"]
        live.extend((one["at"], one["action"], one["message"]) for one in place.status()["history"])

    asyncio.run(play())
    assert live == backtested
    assert len(backtested) == 2


VETOED = {**RAW, "guardrails": {"vetoes": [{"name": "features-stale", "query": "lag > 900"}]}}


def test_a_veto_of_history_holds_as_it_would_have_held() -> None:
    """A canary that is worse from its first hour on; a veto stands until the third."""
    world = World(BAD, HOURS, broken=(1.2 * HOUR, 3 * HOUR))
    free, held = run(world), run(world, raw=VETOED)
    assert acts(free) == acts(held) == [("Start", "v2"), ("Rollback", "v2")]

    def at(moments: list[Moment]) -> float:
        return next(one.at.timestamp() - BEGIN for one in moments if one.decision.action is Action.ROLLBACK)

    assert at(free) < 2 * HOUR
    assert at(held) > 3 * HOUR
    during = [one for one in held if 1.3 * HOUR < one.at.timestamp() - BEGIN < 3 * HOUR]
    assert {one.decision.reason for one in during} == {Reason.DATA_INCIDENT}


def test_a_start_waits_for_the_veto_to_lift() -> None:
    found = run(World(BAD, HOURS, broken=(0.5 * HOUR, 2 * HOUR)), raw=VETOED)
    start = next(one for one in found if one.decision.action is Action.START)
    assert 2 * HOUR < start.at.timestamp() - BEGIN < 2.1 * HOUR
    assert any(one.decision.vetoed is Action.START for one in found)


def test_what_if_there_were_no_veto() -> None:
    of = variants("spec.guardrails.vetoes=[]", raw=VETOED)
    recording = recorded(World(BAD, HOURS, broken=(0.5 * HOUR, HOURS * HOUR)), HOURS, of)
    ends = (BEGIN, BEGIN + HOURS * HOUR)
    assert [acts(list(course(one.spec, one.parameters, recording, *ends))) for one in of] == [
        [],
        [("Start", "v2"), ("Rollback", "v2")],
    ]
