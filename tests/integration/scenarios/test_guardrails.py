"""What stops or delays a decision."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.integration.scenarios.manifests import SCALE, modelslo
from tests.integration.scenarios.play import Stage, scenario

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

STILL = 10.0  # seconds of watching that nothing happens


@scenario
def test_suspend_stops_and_goes_on(stage: Stage) -> None:
    model = stage.model()
    model.images(v1=0.3, v2=0.6)
    model.create(modelslo())
    model.begin("v2")
    model.wait("the canary's pods", lambda: model.deployment("canary")["status"].get("availableReplicas") == 1)
    model.patch({"spec": {"suspend": True}})
    model.wait("it being seen", lambda: model.status().get("observedGeneration") == 2)
    before = model.pair()

    def vetoed() -> bool:
        _, reason, message = model.condition("CanaryInProgress")
        return reason == "Suspended" and "Rollback (CanaryWorse)" in message

    def still() -> None:
        assert model.acts() == []
        assert model.pair() == before

    model.wait("a rollback that must wait", vetoed)
    model.wait("its being recorded", lambda: "(CanaryWorse)" in model.status()["lastDecision"]["message"])
    model.wait("the Event", lambda: "Suspended" in model.events())
    model.watch(STILL, still)
    model.patch({"spec": {"suspend": False}})
    assert model.rolled_back("v2") == "CanaryWorse"


@scenario
def test_dry_run_writes_nothing_but_status(stage: Stage) -> None:
    """The user gives the canary its pods. It is found to be worse, and nothing is done."""
    model = stage.model()
    model.images(v1=0.3, v2=0.6)
    model.create(modelslo(mode="DryRun"), canary_pods=1)
    model.wait("the first data", model.sufficient)
    model.begin("v2")
    before = model.pair()

    def vetoed() -> bool:
        _, reason, message = model.condition("CanaryInProgress")
        return reason == "DryRun" and "Rollback (CanaryWorse)" in message

    def still() -> None:
        assert model.acts() == []
        assert model.pair() == before
        assert not model.running()
        assert model.jobs() == []

    model.wait("a rollback that is only told", vetoed)
    model.watch(STILL, still)
    assert ("Hold", "DryRun") in model.decisions("v2")
    managers = {one["manager"] for body in (model.deployment("stable"), model.deployment("canary"))
                for one in body["metadata"]["managedFields"]}  # fmt: skip
    assert not any("modelslo" in manager for manager in managers)


@scenario
def test_manual_promotion_waits_for_the_annotation(stage: Stage) -> None:
    model = stage.model()
    model.images(v1=0.3, v2=0.21)
    model.create(modelslo(rollout={"promotion": "Manual"}))
    model.begin("v2")
    model.wait("the request", lambda: model.condition("ApprovalRequired")[0] == "True")
    before = model.deployment("stable")["spec"]

    def still() -> None:
        assert model.acts() == []
        assert model.deployment("stable")["spec"] == before

    model.watch(STILL, still)
    # Another version's approval is none.
    model.patch({"metadata": {"annotations": {"modelslo.dev/approve": "v1"}}})
    model.watch(STILL, still)
    model.patch({"metadata": {"annotations": {"modelslo.dev/approve": "v2"}}})
    assert model.promoted("v2") == "Approved"
    model.wait("the request being gone", lambda: model.condition("ApprovalRequired")[0] != "True")


@scenario
def test_the_cooldown_keeps_two_rollbacks_apart(stage: Stage) -> None:
    model, cooldown = stage.model(), timedelta(minutes=40) / SCALE
    model.images(v1=0.3, v2=0.6, v3=0.6)
    model.create(modelslo(guardrails={"cooldown": {"rollback": "40m"}}))
    model.begin("v2")
    assert model.rolled_back("v2") == "CanaryWorse"
    first = datetime.fromisoformat(model.status()["lastActions"]["rollback"])
    model.begin("v3")
    model.wait("the veto", lambda: ("Hold", "Cooldown") in model.decisions("v3"))
    assert "Rollback (CanaryWorse)" in model.condition("CanaryInProgress")[2]
    assert model.deployment("canary")["spec"]["replicas"] > 0
    assert model.rolled_back("v3") == "CanaryWorse"
    assert datetime.fromisoformat(model.status()["lastActions"]["rollback"]) - first >= cooldown
