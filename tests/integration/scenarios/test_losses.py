"""A canary's losses decide what becomes of it, and nothing else does."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.integration.scenarios.manifests import TARGET, modelslo
from tests.integration.scenarios.play import Stage, Subject, scenario

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

GOOD, BAD = 0.3, 0.45


@scenario
def test_exchanging_the_images_exchanges_the_outcomes(stage: Stage) -> None:
    """The same YAML in two namespaces; which of the two images is 1.5 times worse is exchanged."""
    first, second = stage.model("first"), stage.model("second")
    first.images(v1=GOOD, v2=BAD)
    second.images(v1=BAD, v2=GOOD)
    for model in (first, second):
        model.create(modelslo())
    stable = first.wait("stable", lambda: first.pair()[0] if first.deployment("stable") else None)
    for model in (first, second):
        model.begin("v2")
    assert first.rolled_back("v2") == "CanaryWorse"
    assert second.promoted("v2") == "CanaryNotWorse"
    assert first.pair()[0] == stable
    assert first.acts() == [("Rollback", "CanaryWorse")]
    assert second.acts() == [("Promote", "CanaryNotWorse")]
    assert second.status().get("rejectedRevisions", []) == []
    first.wait("both Events", lambda: {"CanaryWorse", "RolledBack"} <= set(first.events()))
    second.wait("both Events", lambda: {"CanaryNotWorse", "Promoted"} <= set(second.events()))


@scenario
def test_a_canary_waits_for_its_labels_and_not_for_the_stated_delay(stage: Stage) -> None:
    """Labels come within two seconds, and the stated delay is two minutes here: a histogram tells."""
    _rolled_back_before_the_delay(stage, delayMetric="ml_label_delay_seconds")


@scenario
def test_quick_labels_roll_a_canary_back_while_the_stated_delay_runs(stage: Stage) -> None:
    """Two minutes of delay are stated, and nothing tells delays but the age of each label."""
    _rolled_back_before_the_delay(stage, ageLabel="age_bucket")


def _rolled_back_before_the_delay(stage: Stage, **told: str) -> None:
    """A stated delay of two minutes here, and what is `told` of the labels' delays.

    By the stated one nothing would be compared in this time; by what is told it takes a third of it on a busy machine.
    """
    model = stage.model()
    model.images(v1=GOOD, v2=2 * BAD)
    model.create(modelslo(indicator={"labels": {"delay": "60m", **told}}))
    model.begin("v2")
    assert model.rolled_back("v2") == "CanaryWorse"
    (started, ended) = (one["at"] for one in model.status()["history"][-2:])
    assert (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds() < 120


@scenario
def test_five_percent_worse_is_within_the_margin(stage: Stage) -> None:
    model = stage.model()
    model.images(v1=0.3, v2=0.3 * 1.05)
    model.create(modelslo(rollout={"gate": {"margin": "10%", "minDuration": "1d"}}))
    model.begin("v2")
    compared = 4000

    def enough() -> bool:
        assert model.acts() == []
        return int(model.status().get("comparison", {}).get("canarySamples", 0)) >= compared

    model.wait(f"{compared} labels of the canary", enough, timeout=300)
    # It is really measured as worse, and by so little.
    assert 1.0 < model.status()["comparison"]["ratio"] < 1.1
    assert model.sufficient()


@scenario
def test_a_canary_with_nan_losses_is_rolled_back(stage: Stage) -> None:
    """Its other losses are better than stable's."""
    model = stage.model()
    model.images(v1=0.3, v2={"mean": 0.27, "nan": 0.2})
    model.create(modelslo())
    model.begin("v2")
    assert model.rolled_back("v2") == "CanaryInvalidLosses"
    assert model.version("stable") == "v1"


@scenario
def test_nan_losses_of_both_roles_roll_nothing_back(stage: Stage) -> None:
    model = stage.model()
    model.images(v1={"mean": 0.3, "nan": 0.2}, v2={"mean": 0.21, "nan": 0.2})
    model.create(modelslo())
    model.begin("v2")
    assert model.promoted("v2") == "CanaryNotWorse"
    assert model.acts() == [("Promote", "CanaryNotWorse")]


@scenario
def test_nan_in_the_sums_of_both_roles_holds_until_it_is_over(stage: Stage) -> None:
    """The exporter lets NaN into its sums, as careless ones do."""
    model = stage.model()
    model.images(v1=0.3, v2=0.21)
    model.create(modelslo(rollout={"gate": {"minDuration": "45m"}}))  # 90 s
    model.begin("v2")
    model.wait("evidence that would suffice", model.convinced)
    model.images(v1={"mean": 0.3, "nan": 0.2}, v2={"mean": 0.21, "nan": 0.2})
    model.restart_joiner(careless=True)
    model.wait("the hold", lambda: model.condition("DataSufficient")[:2] == ("False", "NaNLoss"))
    before = model.pair()

    def holds() -> None:
        assert model.condition("DataSufficient")[:2] == ("False", "NaNLoss")
        assert model.acts() == []
        assert model.pair() == before

    model.watch(50, holds)
    model.images(v1=0.3, v2=0.21)
    model.restart_joiner(careless=False)
    assert model.promoted("v2") == "CanaryNotWorse"
    assert model.acts() == [("Promote", "CanaryNotWorse")]


@scenario
def test_the_same_name_in_two_namespaces(stage: Stage) -> None:
    """Both have model_name=fraud in the same Prometheus; each ModelSLO sees its own."""
    low, high = stage.model("low"), stage.model("high")
    for model, mean in ((low, 0.2), (high, 0.8)):
        model.images(v1=mean)
        model.create(modelslo())
    low.wait("a slice", lambda: measured(low))
    high.wait("a slice", lambda: measured(high))
    for model, mean in ((low, 0.2), (high, 0.8)):
        value = model.status()["sli"]["value"]
        assert value == pytest.approx(mean, rel=0.3)
        assert model.status()["stable"]["loss"] == pytest.approx(mean, rel=0.3)
        assert (model.status()["budget"]["bad"] > 0) == (mean > TARGET)


def measured(model: Subject) -> bool:
    return "value" in model.status().get("sli", {}) and "loss" in model.status()["stable"]
