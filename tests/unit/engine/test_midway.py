"""What is changed in the middle of a rollout: it is judged by nothing that was meant for something else."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import pytest

from modelslo.act.candidate import apply_candidate
from modelslo.act.target import Target
from modelslo.api.resource import parse_spec
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, Increment, Losses
from tests.unit.engine.bodies import deployment, model, retrain
from tests.unit.engine.fakes import DEPLOYMENTS, MODELSLOS, FakeKube, Silent
from tests.unit.engine.test_afresh import Labels, events
from tests.unit.engine.test_engine import World

DELAY = 300.0
PAIR = {"stable": {"name": "fraud-stable"}, "canary": {"name": "fraud-canary"}}
LATE = {"loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": "fraud"}}, "labels": {"delay": "5m"}}


def respec(world: World, change: Callable[[dict[str, Any]], object]) -> None:
    """Another spec of the ModelSLO."""
    body = copy.deepcopy(world.kube.objects["modelslos", "ns", "fraud"])
    change(body["spec"])
    body["metadata"]["generation"] += 1
    world.kube.put(MODELSLOS, body)


def played(world: World, name: str = "fraud-canary", **status: int) -> None:
    """The Deployment has the pods that it wishes for, or those of `status`."""
    body = copy.deepcopy(world.deployment(name))
    pods = body["spec"]["replicas"]
    counts = {"replicas": pods, "updatedReplicas": pods, "readyReplicas": pods, "availableReplicas": pods} | status
    body["status"] = {"observedGeneration": body["metadata"]["generation"], "conditions": [], **counts}
    world.kube.put(DEPLOYMENTS, body)


def acts(world: World, name: str = "fraud") -> list[tuple[str, str]]:
    return [(one["action"], one["reason"]) for one in world.status(name).get("history", ())]


def pair(world: World, stable: int, **spec: Any) -> None:
    """Stable with so many pods, one pod of the canary v2, and a ModelSLO whose labels take five minutes."""
    world.kube.put(DEPLOYMENTS, deployment("fraud-stable", replicas=stable))
    world.kube.put(DEPLOYMENTS, deployment("fraud-canary", serves="v2", replicas=1))
    rollout = {**PAIR, "stepDuration": "1d", "warmup": "10s", "gate": {"minDuration": "1d"}, **spec}
    world.kube.put(MODELSLOS, model(uid="uid-fraud", spec={"indicator": LATE, "rollout": rollout}))


class Young(Silent):
    """Half of the labels are quick, half take five minutes and have another loss; the same for every version.

    ``rates``: predictions per grid cell of a version from a time on, newest last.
    """

    def __init__(self, quick: float, slow: float) -> None:
        super().__init__()
        self.quick, self.slow, self.gap = quick, slow, None
        self.rates: dict[str, list[tuple[float, float]]] = {}

    def rate(self, version: str, at: float) -> float:
        return next((rate for since, rate in reversed(self.rates[version]) if since <= at), 0.0)

    def evidence(self, ask: Ask) -> Evidence:
        found = []
        for number in range(round((ask.until - ask.since) / ask.grid)):
            start = ask.since + ask.grid * number
            for version in self.rates:
                quick, slow = self.rate(version, start) / 2, self.rate(version, start - DELAY) / 2
                total, squares = self.quick * quick + self.slow * slow, self.quick**2 * quick + self.slow**2 * slow
                if quick + slow:
                    losses = Losses(quick + slow, total, (), 1.1 * squares)
                    found.append(Increment(start, start + ask.grid, version, "", losses, 2 * quick))
        newest = {one.version: ask.until for one in found}
        return Evidence(ask.model, ask.since, ask.until, tuple(found), newest=newest)


# The spec


def test_a_rollout_that_is_taken_out_is_over_and_put_back_a_new_one() -> None:
    async def run() -> None:
        gate = {"deadline": "20m", "onDeadline": "Rollback", "margin": "1%", "minSamples": 20}
        rollout = {**PAIR, "gate": gate}
        world = World()
        world.observer = Labels(0.0)
        world.add(canary="v2", canary_replicas=1, spec={"rollout": rollout})
        async with world.running():
            await world.clock.advance(300)
            # When spec.rollout is taken out
            respec(world, lambda spec: spec.pop("rollout"))
            await world.clock.advance(1500)
            # Then nothing is in progress
            assert "rollout" not in world.status()
            assert (world.condition("CanaryInProgress") or {})["status"] == "False"
            assert acts(world)[-1] == ("Abandon", "RolloutRemoved")
            # And put back behind its deadline, it has a deadline of its own
            respec(world, lambda spec: spec.update(rollout=rollout))
            await world.clock.advance(300)
        assert acts(world)[-1][0] == "Start"

    asyncio.run(run())


def test_a_shadow_that_is_put_back_is_still_none_of_the_users() -> None:
    async def run() -> None:
        rollout = {**PAIR, "shadow": {"replicas": 1}}
        world = World()
        world.observer = Labels(0.0)
        world.add(canary="v2", canary_replicas=1, spec={"rollout": rollout})
        async with world.running():
            await world.clock.advance(60)
            respec(world, lambda spec: spec.pop("rollout"))
            await world.clock.advance(60)
            respec(world, lambda spec: spec.update(rollout=rollout))
            await world.clock.advance(120)
        assert world.status()["rollout"]["shadow"] is True
        assert [one["version"] for one in world.status()["shadows"] if "until" not in one] == ["v2"]

    asyncio.run(run())


def test_by_another_metric_it_is_compared_afresh_and_nothing_is_lost() -> None:
    """Also where the metric was there all along: who chose it has seen what it says."""

    async def run() -> None:
        world = World()
        world.observer = Labels(0.0)
        world.add(canary="v2", canary_replicas=1)
        async with world.running():
            await world.clock.advance(600)
            before = world.status()
            respec(world, lambda spec: spec["indicator"]["loss"].update(metric="ml_other_loss"))
            await world.clock.advance(60)
        assert world.status()["rollout"]["judgedSince"] > before["rollout"]["judgedSince"]
        assert world.status()["comparison"]["canarySamples"] < before["comparison"]["canarySamples"]
        assert [one for one in events(world) if one in ("HistoryLost", "ComparisonRestarted")] == [
            "ComparisonRestarted"
        ]

    asyncio.run(run())


def test_other_steps_are_a_transition_whose_young_labels_are_not_compared() -> None:
    async def run() -> None:
        # Given two equal versions whose quick labels have the higher losses
        world = World()
        world.observer = young = Young(quick=3.0, slow=1.0)
        pair(world, 10, steps=["5%", "50%"])
        young.rates = {"v1": [(0.0, 600.0)], "v2": [(world.clock.now() + 10, 60.0)]}
        async with world.running():
            await world.clock.advance(900)
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 1
            # When one pod becomes nine
            respec(world, lambda spec: spec["rollout"].update(steps=["45%", "50%"]))
            await world.clock.advance(12)
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 9
            young.rates["v2"].append((world.clock.now(), 540.0))
            played(world)
            await world.clock.advance(600)
        # Then that is written down, and the canary is not taken to be worse
        shares = [one["share"] for one in world.status()["rollout"]["transitions"]]
        assert shares == ["5%", "45%"]
        assert [action for action, _ in acts(world)] == ["Start"]

    asyncio.run(run())


def test_more_pods_because_stable_has_more_are_no_transition() -> None:
    async def run() -> None:
        world = World()
        world.observer = Labels(0.0)
        pair(world, 10, steps=["10%", "50%"])
        async with world.running():
            await world.clock.advance(120)
            world.kube.put(DEPLOYMENTS, deployment("fraud-stable", replicas=20, version=9))
            await world.clock.advance(60)
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 3
        assert len(world.status()["rollout"]["transitions"]) == 1

    asyncio.run(run())


def test_pods_that_a_dry_run_did_not_ask_for_are_not_late() -> None:
    async def run() -> None:
        # Given a rollout that was recorded an hour ago, in a dry run
        world = World()
        world.observer = Labels(0.0)
        world.add(canary="v2", canary_replicas=0, spec={"mode": "DryRun"})
        async with world.running():
            await world.clock.advance(3600)
            # When it is enforced, and the first pod takes its time
            respec(world, lambda spec: spec.update(mode="Enforce"))
            await world.clock.advance(12)
            assert world.deployment("fraud-canary")["spec"]["replicas"] == 1
            played(world, readyReplicas=0, availableReplicas=0)
            await world.clock.advance(120)
        # Then it is waited for
        assert not [one for one in acts(world) if one[0] == "Rollback"]

    asyncio.run(run())


# The Deployments


def test_while_stable_is_replaced_its_young_labels_are_not_compared() -> None:
    async def run() -> None:
        # Given two equal versions whose slow labels have the higher losses
        world = World()
        world.observer = young = Young(quick=1.0, slow=3.0)
        pair(world, 3)
        young.rates = {"v1": [(0.0, 60.0)], "v2": [(world.clock.now() + 10, 60.0)]}
        async with world.running():
            await world.clock.advance(900)
            # When stable gets another version that is as good, and its pods take ten minutes
            body = deployment("fraud-stable", serves="v3", replicas=3, version=2, generation=2)
            body["status"] |= {"replicas": 4, "updatedReplicas": 1}
            world.kube.put(DEPLOYMENTS, body)
            young.rates["v3"] = [(world.clock.now() + 600, 60.0)]
            await world.clock.advance(600)
            assert acts(world)[-1] == ("Start", "StableChanged")
            world.kube.put(DEPLOYMENTS, deployment("fraud-stable", serves="v3", replicas=3, version=3, generation=2))
            await world.clock.advance(900)
        # Then the canary is not taken to be worse
        assert acts(world)[-1] == ("Start", "StableChanged")

    asyncio.run(run())


class Poisoned(Labels):
    """The canary's losses are no numbers until a time."""

    until = 0.0

    def evidence(self, ask: Ask) -> Evidence:
        found = super().evidence(ask)
        bad = (
            Increment(one.start, one.end, one.version, one.segment, one.losses, one.predictions, invalid=20.0)
            if one.version == "v2" and one.start < self.until
            else one
            for one in found.increments
        )
        return Evidence(ask.model, ask.since, ask.until, tuple(bad), newest=found.newest)


def test_a_mended_template_does_not_answer_for_the_losses_of_the_one_before() -> None:
    async def run() -> None:
        world = World()
        world.observer = poisoned = Poisoned(0.0)
        world.add(canary="v2", canary_replicas=1)
        mended = deployment("fraud-canary", serves="v2", version=2, generation=2)
        mended["spec"]["template"]["spec"]["containers"][0]["image"] = "mended"
        async with world.running():
            await world.clock.advance(30)
            # Given a template of the same version whose pod takes three minutes, while the old one serves
            poisoned.until = world.clock.now() + 170
            world.kube.put(DEPLOYMENTS, mended)
            played(world, updatedReplicas=0)
            await world.clock.advance(180)
            # When it is there, and its losses are numbers
            played(world)
            await world.clock.advance(300)
        # Then it is not rolled back
        assert not [one for one in acts(world) if one[0] == "Rollback"]

    asyncio.run(run())


# Two of them


class Differing(Labels):
    """For `fraud` the canary is three times worse, for others as good as stable."""

    def evidence(self, ask: Ask) -> Evidence:
        found = super().evidence(ask)
        worse = 3.0 if ask.model.name == "fraud" else 1.0
        cells = tuple(
            Increment(one.start, one.end, one.version, "", Losses(60.0, 60.0 * by, (), 70.0 * by * by), 60.0)
            for one in found.increments
            for by in (worse if one.version == "v2" else 1.0,)
        )
        return Evidence(ask.model, ask.since, ask.until, cells, newest=found.newest)


@pytest.mark.parametrize("elder", ["fraud", "risk"])
def test_of_two_on_one_pair_the_elder_drives_and_the_other_says_so(elder: str) -> None:
    async def run() -> None:
        world = World()
        world.observer = Differing(0.0)
        world.kube.put(DEPLOYMENTS, deployment("fraud-stable"))
        world.kube.put(DEPLOYMENTS, deployment("fraud-canary", serves="v2", replicas=1))
        for name in ("fraud", "risk"):
            body = model(name, uid=f"uid-{name}", spec={"rollout": {**PAIR, "gate": {"minDuration": "1d"}}})
            body["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z" if name == elder else "2026-02-01T00:00:00Z"
            world.kube.put(MODELSLOS, body)
        async with world.running():
            for _ in range(60):
                await world.clock.advance(10)
                if world.deployment("fraud-canary")["spec"]["replicas"] == 0:
                    played(world)
        younger = "risk" if elder == "fraud" else "fraud"
        # Then the elder decides alone, and what it rolls back stays down
        assert world.condition("Stalled", elder) is None
        assert (world.condition("Stalled", younger) or {})["reason"] == "WorkloadShared"
        assert repr(elder) in (world.condition("Stalled", younger) or {})["message"]
        assert world.deployment("fraud-canary")["spec"]["replicas"] == (0 if elder == "fraud" else 1)
        assert not acts(world, younger)
        writes = [one for one in world.kube.calls if one[:2] == ("patch", "deployments")]
        assert len(writes) < 10

    asyncio.run(run())


def test_a_candidate_is_put_onto_stables_template_and_not_onto_one_that_was_rolled_back() -> None:
    """The fault of the canary before, here its image and a variable, is none of the retrained model's."""

    async def run() -> None:
        kube = FakeKube()
        kube.put(DEPLOYMENTS, deployment("fraud-stable"))
        broken = deployment("fraud-canary", serves="v2-bad", replicas=0)
        container = broken["spec"]["template"]["spec"]["containers"][0]
        container["image"], container["env"] = "typo", [*container["env"], {"name": "MODEL_URI", "value": "bad"}]
        kube.put(DEPLOYMENTS, broken)
        spec = parse_spec(model(spec={"retrain": retrain(candidate={"env": {"MODEL_URI": "uri"}})})["spec"])
        given = Target("ns", "fraud", "uid", spec)
        for _ in range(2):
            body = await apply_candidate(kube, given, {"version": "v3", "uri": "s3://v3"}, "op")
        made = body["spec"]["template"]
        assert made["metadata"]["labels"] == {"role": "canary"}
        (server,) = made["spec"]["containers"]
        assert server["image"] == "i"
        assert {one["name"]: one["value"] for one in server["env"]} == {"MODEL_VERSION": "v3", "MODEL_URI": "s3://v3"}
        assert len([call for call in kube.writes() if call[1] == "deployments"]) == 1

    asyncio.run(run())
