"""An operator that is killed at any time comes, from its status and Prometheus' history, to the same e-values."""

from __future__ import annotations

import asyncio
import copy
import json
from typing import Any

import numpy as np
import pytest

from modelslo.engine import evaluate as evaluations
from modelslo.engine import worker
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, Increment, Losses
from tests.unit.engine.fakes import DEPLOYMENTS, MODELSLOS, Silent
from tests.unit.engine.test_afresh import again
from tests.unit.engine.test_engine import World

EDGES = tuple(2.0**k for k in range(-5, 6))
SECONDS = 600


class Seeded(Silent):
    """A Prometheus that has the same losses, by buckets, in a grid cell whoever asks for it and when."""

    def evidence(self, ask: Ask) -> Evidence:
        starts = [ask.since + ask.grid * number for number in range(round((ask.until - ask.since) / ask.grid))]
        found = tuple(_increment(start, ask.grid, version) for start in starts for version in ("v1", "v2"))
        return Evidence(ask.model, ask.since, ask.until, found, EDGES, dict.fromkeys(("v1", "v2"), ask.until))


def _increment(start: float, grid: float, version: str) -> Increment:
    chance = np.random.default_rng([round(start), round(grid), int(version[1:])])
    values = chance.exponential(size=40) * (1.05 if version == "v2" else 1.0)
    buckets = np.bincount(np.searchsorted(EDGES, values), minlength=len(EDGES) + 1).astype(float)
    losses = Losses(40.0, float(values.sum()), tuple(buckets.tolist()), float((values * values).sum()))
    return Increment(start, start + grid, version, "", losses, 40.0)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[float, str]:
    """What each evaluation said of the canary, in full, by the time that it is of."""
    found: dict[float, str] = {}
    evaluate = evaluations.evaluate

    def recorded(*given: Any, **named: Any) -> Any:
        result = evaluate(*given, **named)
        evidence = next(one for one in given if isinstance(one, Evidence))
        canary = result.judgement.canary
        if canary is not None:
            found[evidence.at] = repr(canary.compared)
        return result

    monkeypatch.setattr(worker, "evaluate", recorded)
    return found


def test_an_operator_that_is_killed_at_any_time_says_the_same_bit_for_bit(said: dict[float, str]) -> None:
    async def lived(world: World, seconds: int) -> None:
        async with world.running():
            await world.clock.advance(seconds)

    # Given a rollout that an operator judges to its end
    whole = World()
    whole.observer = Seeded()
    whole.add(canary="v2", canary_replicas=1)
    asyncio.run(lived(whole, SECONDS))
    expected = dict(said)
    assert len(set(expected.values())) > 20
    for killed_after in (35, 310, 570):
        # When another one is killed, and a third knows what is in the cluster
        said.clear()
        before = World()
        before.observer = Seeded()
        before.add(canary="v2", canary_replicas=1)
        asyncio.run(lived(before, killed_after))
        fresh = again(before, Seeded())
        for (kind, _, _), body in before.kube.objects.items():
            if kind in ("deployments", "modelslos"):
                fresh.kube.put(DEPLOYMENTS if kind == "deployments" else MODELSLOS, copy.deepcopy(body))
        asyncio.run(lived(fresh, SECONDS - killed_after))
        # Then it says the same at every evaluation
        assert max(said) == max(expected)
        assert {at: said[at] for at in said if at in expected} == {at: expected[at] for at in said if at in expected}


def test_the_checkpoint_is_small() -> None:
    async def run() -> dict[str, Any]:
        world = World()
        world.observer = Seeded()
        world.add(canary="v2", canary_replicas=1)
        async with world.running():
            await world.clock.advance(SECONDS)
        return world.status()

    status = asyncio.run(run())
    assert len(json.dumps(status["rollout"])) < 4096
    assert len(json.dumps(status)) < 4096
