"""A shadow gets copies of requests: it is judged by its losses, and users have none of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.scenarios.manifests import SCALE, SLO, TARGET, modelslo
from tests.integration.scenarios.play import Stage, Subject, scenario

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

GOOD, BAD = 0.3, 1.5
SLICE = timedelta(minutes=5) / SCALE


@scenario
def test_a_worse_shadow_is_rolled_back_and_no_user_had_its_losses(stage: Stage) -> None:
    """The union of both would be beyond the target in every slice."""
    model = stage.model()
    begun(model, v1=GOOD, v2=BAD)
    assert model.rolled_back("v2") == "CanaryWorse"
    assert [action for action, _ in model.decisions()] == ["Start", "Rollback"]
    assert model.version("stable") == "v1"
    # Labels of its predictions come after its end, and so do its last slices
    status = behind(model)
    assert status["budget"]["bad"] == 0
    assert status["sli"]["value"] == pytest.approx(GOOD, rel=0.3)
    (record,) = status["shadows"]
    assert (record["version"], "until" in record) == ("v2", False)


@scenario
def test_a_good_shadow_is_promoted_without_a_step(stage: Stage) -> None:
    model = stage.model()
    begun(model, v1=GOOD, v2=0.7 * GOOD)
    model.wait("copies", lambda: model.status().get("canary", {}).get("trafficShare", 0.0) > 0.1)
    labels = f'slo="{SLO}",slo_namespace="{model.namespace}"'
    weight = f"modelslo_canary_weight_ratio{{{labels}}} 0.0"
    model.wait("its weight among users", lambda: weight in model.world.view.metrics)
    assert model.promoted("v2") == "CanaryNotWorse"
    assert [action for action, _ in model.decisions()] == ["Start", "Promote"]
    (record,) = model.status()["shadows"]
    assert record["since"] < record["until"]
    # Users get what was the shadow: from then on the SLI is its own
    loss = behind(model)["sli"]["value"]
    assert loss == pytest.approx(0.7 * GOOD, rel=0.2)
    assert loss < TARGET


def behind(model: Subject) -> dict[str, Any]:
    """The status when two slices are behind the shadow's end, and the loss of now is known: on a busy machine a scrape
    may be missing, and with it the loss."""

    def found() -> dict[str, Any] | None:
        status = model.status()
        return status if "value" in status["sli"] and slice_end(model) > ended(model) + 2 * SLICE else None

    return model.wait("slices behind its end and the loss of now", found)


def begun(model: Subject, **means: float) -> None:
    """The shadow has its two pods, and a person is told what it is."""
    model.images(**means)
    model.mirror()
    model.create(modelslo(rollout={"shadow": {"replicas": 2}, "steps": None}))
    model.begin("v2")
    model.wait("its pods", lambda: model.deployment("canary")["spec"].get("replicas") == 2)
    assert model.status()["rollout"]["shadow"] is True
    assert model.condition("CanaryInProgress")[2].startswith("v2, shadow: ")
    model.wait("the Event", lambda: "NewRevision" in model.events())


def slice_end(model: Subject) -> datetime:
    return datetime.fromisoformat(model.status()["sli"]["sliceEnd"])


def ended(model: Subject) -> datetime:
    return datetime.fromisoformat(model.status()["lastDecision"]["at"])
