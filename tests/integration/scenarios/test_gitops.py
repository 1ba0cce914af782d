"""Git is another owner of the Deployments."""

from __future__ import annotations

import json

import pytest

from tests.integration.scenarios import manifests
from tests.integration.scenarios.manifests import modelslo
from tests.integration.scenarios.play import Stage, Subject, scenario

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

STILL = 10.0  # seconds of watching that nothing happens
GIT = "argocd-controller"


def synced(model: Subject, version: str) -> None:
    """What a sync by server-side apply does to stable, by Argo CD's name."""
    body = manifests.deployment("stable", version)
    body["metadata"]["namespace"] = model.namespace
    model.world.cluster.apply(json.dumps(body), "--server-side", "--force-conflicts", f"--field-manager={GIT}")


@scenario
def test_git_that_takes_promotions_back_is_named_and_left_alone(stage: Stage) -> None:
    model = stage.model()
    model.images(v1=0.3, v2=0.21)
    model.create(modelslo())
    synced(model, "v1")
    model.begin("v2")
    # When a promotion is taken back behind its end, and the next one in its middle
    model.promoted("v2")
    synced(model, "v1")
    model.wait("the second promotion", lambda: len(model.acts()) == 2 and model.version("stable") == "v2")
    synced(model, "v1")
    # Then there is no third one, and the message says who it is
    model.wait("the conflict", lambda: model.condition("Stalled")[1] == "FieldConflict")
    assert GIT in model.condition("Stalled")[2]

    def still() -> None:
        assert [action for action, _ in model.acts()] == ["Promote", "Promote"]
        assert model.version("stable") == "v1"
        assert model.deployment("canary")["spec"]["replicas"] == 0

    model.watch(STILL, still)
    assert not model.status().get("rejectedRevisions")
    # When somebody has seen to it, it is tried again
    model.patch({"spec": {"suspend": True}})
    model.wait("the amnesty", lambda: "promoted" not in model.status())
    model.patch({"spec": {"suspend": False}})
    model.wait("the canary starting anew", lambda: model.status().get("rollout", {}).get("version") == "v2")
    assert model.condition("Stalled")[0] != "True"
    # And once Git has the new version nothing is left to do
    synced(model, "v2")
    model.wait("the end of the rollout", lambda: "rollout" not in model.status())
    model.wait("the reason", lambda: model.condition("CanaryInProgress")[1] == "NoCanary")
