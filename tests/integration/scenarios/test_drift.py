"""The world moves: stable's loss rises for good."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.integration.scenarios.manifests import TARGET, modelslo, retrain
from tests.integration.scenarios.play import Stage, Subject, scenario

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

RESULT = json.dumps({"version": "v2", "uri": "s3://models/v2", "loss": 0.3})


@scenario
def test_drift_retrains_once_and_the_candidate_is_promoted(stage: Stage) -> None:
    model = stage.model()
    model.images(v1=0.3, v2=0.3)
    model.create(modelslo(retrain=retrain(RESULT)))
    model.wait("a good slice", lambda: model.status().get("budget", {}).get("good", 0) > 0)
    assert model.status()["budget"]["bad"] == 0
    assert model.jobs() == []
    model.images(v1=0.9)
    since = model.wait("the breach", lambda: model.status().get("breachSince"))
    assert model.acts() == []
    model.wait("the decision", lambda: model.acts())
    assert ("Retrain", "Drift") in model.decisions()
    started = model.status()["lastActions"]["retrain"]
    assert started > since
    (job,) = model.wait("the Job", lambda: model.jobs())
    assert model.promoted("v2") == "CanaryNotWorse"
    container = model.deployment("stable")["spec"]["template"]["spec"]["containers"][0]
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "MODEL_VERSION": "v2",
        "MODEL_URI": "s3://models/v2",
    }
    model.wait("the loss falling", lambda: (model.status()["stable"].get("loss") or 1.0) < TARGET)
    model.wait("a good slice of v2", lambda: (model.status()["sli"].get("value") or 1.0) < TARGET)
    assert [one["metadata"]["name"] for one in model.jobs()] == [job["metadata"]["name"]]
    assert [(run["result"], run["version"]) for run in model.status()["retrains"]] == [("Succeeded", "v2")]
    assert model.acts() == [("Retrain", "Drift"), ("Promote", "CanaryNotWorse")]


def healthy(model: Subject) -> bool:
    return bool(model.status().get("drift", {}).get("state") == "Healthy")


@scenario
def test_detector_alarms_on_drift_alone(stage: Stage) -> None:
    """Slices of a minute in a window of 24; an alarm needs three of them in a row."""
    objective = {"window": "24m", "slice": "1m", "burnRates": None}
    trigger = {"type": "Drift", "sustainedFor": "3m", "falseAlarmInterval": "12h"}
    spec = modelslo(objective=objective, retrain={**retrain(RESULT), "trigger": trigger})
    model, sound = stage.model("moves"), stage.model("stays")
    for one in (model, sound):
        one.images(v1=0.3, v2=0.3)
        one.create(spec)
    for one in (model, sound):
        one.wait("a baseline", partial(healthy, one))
    model.wait("ten good slices", lambda: model.status()["budget"]["good"] >= 10)
    model.images(v1=0.9)
    model.wait("the alarm", lambda: model.acts())
    assert model.acts() == [("Retrain", "Drift")]
    assert "e-detector of a mean loss above 0.5" in model.status()["lastDecision"]["message"]
    assert model.promoted("v2") == "CanaryNotWorse"
    assert sound.acts() == []
    assert sound.status()["drift"]["eValue"] < sound.status()["drift"]["threshold"]
