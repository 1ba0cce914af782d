from __future__ import annotations

import pytest

from modelslo.decide.snapshot import JobState
from modelslo.engine.registry import Change, Registry
from modelslo.engine.views import Ref
from modelslo.observe.evidence import ModelKey
from tests.unit.engine.bodies import autoscaler, deployment, job, model

KEY = ModelKey("ns", "fraud")


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def told(registry: Registry) -> list[tuple[ModelKey, Change]]:
    changes: list[tuple[ModelKey, Change]] = []
    registry.subscribe(lambda key, change: changes.append((key, change)))
    return changes


def test_a_deployment_is_kept_only_when_a_model_names_it(registry: Registry) -> None:
    registry.put_deployment(deployment("fraud-stable"))
    registry.put_model(model())
    assert registry.unknown(KEY) == (Ref("ns", "fraud-stable"), Ref("ns", "fraud-canary"))
    registry.put_deployment(deployment("fraud-stable"))
    registry.drop_deployment("ns", "fraud-canary")
    assert registry.unknown(KEY) == ()
    there = registry.model(KEY)
    assert there is not None
    snapshot = registry.snapshot(there)
    assert snapshot.stable is not None
    assert snapshot.stable.ready == 1
    assert snapshot.canary is None


def test_a_deployment_nobody_names_any_more_is_forgotten(registry: Registry) -> None:
    registry.put_model(model())
    registry.put_deployment(deployment("fraud-stable"))
    rollout = {"rollout": {"stable": {"name": "other"}, "canary": {"name": "fraud-canary"}}}
    registry.put_model(model(version=2, generation=2, spec=rollout))
    registry.put_model(model(version=3, generation=3))
    assert Ref("ns", "fraud-stable") in registry.unknown(KEY)


def test_a_write_of_status_does_not_have_the_spec_read_again(registry: Registry) -> None:
    registry.put_model(model(version=1, generation=1))
    first = registry.model(KEY)
    registry.put_model(model(version=2, generation=1, status={"observedGeneration": 1}))
    second = registry.model(KEY)
    registry.put_model(model(version=3, generation=2))
    third = registry.model(KEY)
    assert first is not None
    assert second is not None
    assert third is not None
    assert second.status.observed_generation == 1
    assert second.spec is first.spec
    assert third.spec is not first.spec
    assert third.spec == first.spec


def test_what_is_older_than_known_is_ignored(registry: Registry) -> None:
    registry.put_model(model(version=10, status={"observedGeneration": 7}))
    registry.put_model(model(version=9))
    there = registry.model(KEY)
    assert there is not None
    assert there.status.observed_generation == 7
    registry.put_deployment(deployment("fraud-stable", version=5, replicas=3))
    registry.put_deployment(deployment("fraud-stable", version=4, replicas=1))
    stable = registry.snapshot(there).stable
    assert stable is not None
    assert stable.replicas == 3


def test_only_what_matters_is_told(registry: Registry, told: list[tuple[ModelKey, Change]]) -> None:
    registry.put_model(model())
    registry.put_model(model(version=2, status={"observedGeneration": 1}))  # the echo of our own write
    registry.put_deployment(deployment("fraud-stable", version=3))
    registry.put_deployment(deployment("fraud-stable", version=4))  # nothing but its version
    registry.put_deployment(deployment("somebody-elses", version=4))
    registry.put_model(model(version=5, annotations={"modelslo.dev/approve": "v2"}))
    registry.drop_model("ns", "fraud")
    registry.drop_model("ns", "fraud")
    assert told == [(KEY, Change.MODEL), (KEY, Change.WORLD), (KEY, Change.MODEL), (KEY, Change.GONE)]


def test_jobs_are_found_by_their_label_before_and_after_the_model(
    registry: Registry, told: list[tuple[ModelKey, Change]]
) -> None:
    registry.put_job(job("one", "op-1"))
    registry.put_model(model())
    registry.put_job(job("one", "op-1", version=2, condition="Complete"))
    registry.put_job(job("one", "op-1", version=1))
    registry.put_job({"metadata": {"namespace": "ns", "name": "foreign", "labels": {}}})
    there = registry.model(KEY)
    assert there is not None
    (seen,) = registry.snapshot(there).jobs
    assert (seen.operation, seen.state, seen.reason) == ("op-1", JobState.SUCCEEDED, "Why")
    registry.drop_job("ns", "one")
    assert registry.snapshot(there).jobs == ()
    assert [change for _, change in told] == [Change.MODEL, Change.WORLD, Change.WORLD]


def test_a_model_with_a_name_too_long_for_a_label_finds_its_jobs(registry: Registry) -> None:
    name = "m" * 80
    registry.put_model(model(name))
    there = registry.model(ModelKey("ns", name))
    assert there is not None
    from modelslo.act.names import label_value

    registry.put_job(job("one", "op-1", owner=label_value(name)))
    assert len(registry.snapshot(there).jobs) == 1


def test_an_autoscaler_on_the_canary_is_seen_and_forgotten(
    registry: Registry, told: list[tuple[ModelKey, Change]]
) -> None:
    registry.put_autoscaler("HorizontalPodAutoscaler", autoscaler("hpa", "fraud-canary"))
    registry.put_model(model())
    there = registry.model(KEY)
    assert there is not None
    assert registry.snapshot(there).autoscaled == "HorizontalPodAutoscaler/hpa"
    registry.put_autoscaler("HorizontalPodAutoscaler", autoscaler("hpa", "fraud-stable"))
    assert registry.snapshot(there).autoscaled == ""
    registry.put_autoscaler("HorizontalPodAutoscaler", autoscaler("other", "fraud-canary", "StatefulSet"))
    assert registry.snapshot(there).autoscaled == ""
    registry.drop_autoscaler("HorizontalPodAutoscaler", "ns", "hpa")
    assert registry.snapshot(there).autoscaled == ""
    assert Change.WORLD in [change for _, change in told]
