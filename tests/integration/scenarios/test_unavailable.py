"""Pods that never become Available, as with an image that cannot be pulled."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request

import pytest

from tests.integration.scenarios.manifests import STABLE_PODS, modelslo
from tests.integration.scenarios.play import Stage, scenario
from tests.integration.standin import START

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

PATIENCE = 6


@scenario
def test_a_canary_that_never_starts_is_rolled_back(stage: Stage) -> None:
    model = stage.model()
    model.images(v1=0.3, v2=0.3)
    model.create(modelslo(), canary_patience=PATIENCE)
    model.wait("the first data", model.sufficient)
    stable = model.pair()[0]
    model.begin("v2", **{START: "never"})
    assert model.rolled_back("v2") == "CanaryUnavailable"
    assert model.pair()[0] == stable
    assert series(stage.play.prometheus_url, model.namespace, "v2") == 0
    assert series(stage.play.prometheus_url, model.namespace, "v1") > 0


def series(url: str, namespace: str, version: str) -> int:
    query = f'{{namespace="{namespace}",model_version="{version}"}}'
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}") as answer:  # noqa: S310
        return len(json.load(answer)["data"]["result"])


@scenario
def test_a_promotion_whose_pods_never_start_is_taken_back(stage: Stage) -> None:
    """As canary it serves; stable's pods of the same template do not start."""
    model = stage.model()
    model.images(v1=0.3, v2=0.21)
    model.create(modelslo(), stable_patience=PATIENCE)
    model.wait("the first data", model.sufficient)
    before = model.deployment("stable")["spec"]
    model.begin("v2", **{START: "canary"})
    assert model.rolled_back("v2") == "PromotionFailed"
    assert model.acts() == [("Promote", "CanaryNotWorse")]
    stable = model.deployment("stable")
    assert stable["spec"] == before
    model.wait("stable's pods", lambda: model.deployment("stable")["status"].get("availableReplicas") == STABLE_PODS)
    model.wait("the Event", lambda: "PromotionFailed" in model.events())
