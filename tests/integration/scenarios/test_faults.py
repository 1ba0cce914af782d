"""Prometheus fails for two minutes while a canary is healthy (the verdict law): nothing happens, then it goes on.

The fault begins when the evidence for the canary suffices already, and ends long after the least time of judging: it is
the fault alone that keeps it from being promoted.
"""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from tests.integration.scenarios.manifests import INTERVAL, modelslo
from tests.integration.scenarios.play import Stage, Subject, scenario
from tests.integration.scenarios.proxy import Fault

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LASTING = 120.0
# A fault that nobody tells of is seen when the newest sample is four intervals old.
_SEEN_WITHIN = 40.0


def fails(stage: Stage, fault: Fault, reasons: set[str], timeout: str = "5s") -> tuple[Subject, float]:
    """A healthy canary meets the fault; the model, and when (Unix s) the fault began."""
    model, proxy = stage.model(), stage.proxy()
    model.images(v1=0.3, v2=0.21)
    gate = {"minDuration": "90m"}  # 180 s
    model.create(modelslo({"url": proxy.url, "timeout": timeout}, rollout={"gate": gate}))
    model.begin("v2")
    started = time.time()
    model.wait("evidence that would suffice", model.convinced)
    assert time.time() - started < 170, "too late: the canary could have been promoted before the fault"
    before, began = model.pair(), time.time()
    proxy.switch(fault)

    def untouched() -> None:
        assert model.acts() == []
        assert model.pair() == before

    def noticed() -> bool:
        untouched()
        status, reason, _ = model.condition("DataSufficient")
        return status == "False" and reason in reasons

    model.wait("the condition", noticed, timeout=_SEEN_WITHIN)
    model.watch(LASTING - (time.time() - began), lambda: lasting(noticed))
    proxy.switch(Fault.NONE)
    assert model.promoted("v2", timeout=60) == "CanaryNotWorse"
    assert model.acts() == [("Promote", "CanaryNotWorse")]
    assert model.sufficient()
    return model, began


def lasting(noticed: object) -> None:
    assert callable(noticed)
    assert noticed(), "the condition went away during the fault"


@scenario
def test_prometheus_down(stage: Stage) -> None:
    model, _ = fails(stage, Fault.DOWN, {"QueryError"})
    assert "QueryError" in model.world.view.metrics


@scenario
def test_prometheus_hanging(stage: Stage) -> None:
    """It accepts and never answers; the models that have a good Prometheus do not wait for it."""
    good = stage.model("good")
    good.images(v1=0.3)
    good.create(modelslo())
    good.wait("the first data", good.sufficient)
    _, began = fails(stage, Fault.HANGING, {"QueryTimeout"}, timeout="15s")
    times = [at for at in good.world.evaluated[good.namespace] if began <= at <= began + LASTING]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) >= 0.5 * LASTING / INTERVAL
    assert max(gaps) <= 5 * INTERVAL


@scenario
def test_prometheus_warning(stage: Stage) -> None:
    model, _ = fails(stage, Fault.WARNING, {"QueryWarning"})
    assert "QueryWarning" in model.world.view.metrics


@scenario
def test_half_of_the_series(stage: Stage) -> None:
    """One version's counts are among the missing ones. No warning tells of it: only their age does."""
    fails(stage, Fault.HALF, {"Stale", "VersionNotSeen", "NaNLoss"})
