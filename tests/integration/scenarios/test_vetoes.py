"""What people know of the data upstream holds the operator: a standing veto, and one that cannot be read."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest

from tests.integration.scenarios.manifests import modelslo
from tests.integration.scenarios.play import Stage, Subject, scenario

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

# Seconds; a canary that is twice as bad is found in about twenty.
LASTING = 45.0
STILL = 25.0


def veto(query: str) -> dict[str, Any]:
    """The change of a ModelSLO that gives it this veto."""
    return {"spec": {"guardrails": {"vetoes": [{"name": "incident", "query": query}]}}}


def diagnosed(model: Subject) -> str:
    """Evidence for broken data, empty when it is not the probable cause."""
    found = model.status().get("diagnosis", {})
    evidence: dict[str, str] = {one["cause"]: one["evidence"] for one in found.get("explanations", ())}
    return evidence["DataIncident"] if found.get("cause") == "DataIncident" else ""


def begun(model: Subject) -> None:
    """A canary that is twice as bad is in its first step."""
    model.images(v1=0.3, v2=0.6)
    model.create(modelslo())
    model.begin("v2")


@scenario
def test_a_standing_veto_holds_a_worse_canary_and_lets_go(stage: Stage) -> None:
    # Given a canary that is much worse, and people who say that the data upstream are broken for a while
    model = stage.model()
    begun(model)
    until = time.time() + LASTING
    model.patch(veto(f"vector(time()) < {until:.3f}"))
    model.wait("the canary's pods", lambda: model.deployment("canary")["status"].get("availableReplicas") == 1)
    before = model.pair()

    # Then nothing is done, nothing is compared, and conditions, diagnosis and metrics say why
    def held() -> None:
        assert model.acts() == []
        assert model.pair() == before
        assert model.status().get("comparison", {}).get("canarySamples", 0) == 0

    def told() -> bool:
        held()
        return model.condition("CanaryInProgress")[1] == "DataIncident" and bool(diagnosed(model))

    model.wait("the reason", told)
    assert "veto 'incident' stands (value " in diagnosed(model)
    assert "Veto 'incident' stands" in model.condition("CanaryInProgress")[2]
    assert model.status()["vetoed"]["names"] == ["incident"]
    metric = f'modelslo_veto_standing{{slo="fraud",slo_namespace="{model.namespace}",veto="incident"}} 1.0'
    assert metric in model.world.view.metrics
    assert model.sufficient()
    model.watch(until - time.time(), held)
    # When it lifts, the canary is judged, and rolled back
    assert model.rolled_back("v2") == "CanaryWorse"
    lifted = datetime.fromisoformat(model.status()["vetoed"]["liftedAt"]).timestamp()
    assert until <= lifted < until + 20
    assert metric not in model.world.view.metrics


@scenario
def test_a_veto_that_cannot_be_read_holds_with_its_own_reason(stage: Stage) -> None:
    # Given a worse canary whose ModelSLO has a query that is no PromQL, and a neighbour
    model, neighbour = stage.model(), stage.model("neighbour")
    neighbour.images(v1=0.3)
    neighbour.create(modelslo())
    begun(model)
    model.patch(veto("sum("))

    def unknown() -> bool:
        assert model.acts() == []
        return model.condition("DataSufficient")[:2] == ("False", "VetoUnknown")

    def still() -> None:
        assert unknown(), "the condition went away"
        assert neighbour.condition("DataSufficient")[1] != "VetoUnknown"

    # Then it is told with field, value and mend, and nothing is done
    model.wait("the condition", unknown)
    message = model.condition("DataSufficient")[2]
    assert message.startswith("spec.guardrails.vetoes[0].query (incident): 'sum(' cannot be read")
    assert "bad_data" in message
    assert "Correct the PromQL" in message
    model.watch(STILL, still)
    # And its neighbour is judged as ever
    assert neighbour.sufficient()
    # When it is mended, what came in the meantime is judged too
    model.patch(veto("vector(time()) < 0"))
    assert model.rolled_back("v2") == "CanaryWorse"
