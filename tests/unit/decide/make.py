"""Snapshots, statuses and judgements for tests of deciding."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from modelslo.api.status import ModelSLOStatus, RolloutStatus, Transition
from modelslo.decide.revision import revision_of
from modelslo.decide.snapshot import Snapshot, Workload
from modelslo.judge.arms import Arms
from modelslo.judge.budget import Health
from modelslo.judge.cause import Cause
from modelslo.judge.comparison import Compared
from modelslo.judge.invalid import InvalidLosses
from modelslo.judge.judgement import CanaryJudgement, Judgement, Verdict
from modelslo.judge.problem import Problem
from tests.unit.judge.make import parameters

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def template(version: str | None, image: str = "server:1", **env: str) -> dict[str, Any]:
    variables = ({"MODEL_VERSION": version} if version is not None else {}) | env
    return {
        "metadata": {"labels": {"app": "fraud", "role": "any"}},
        "spec": {
            "containers": [
                {"name": "server", "image": image, "env": [{"name": k, "value": v} for k, v in variables.items()]}
            ]
        },
    }


def workload(name: str, version: str | None, pods: int, **change: Any) -> Workload:
    """A settled Deployment."""
    ready = Workload(
        name=name,
        uid=f"uid-{name}",
        generation=1,
        observed_generation=1,
        resource_version="1",
        template=template(version),
        replicas=pods,
        total=pods,
        updated=pods,
        ready=pods,
        available=pods,
    )
    return replace(ready, **change)


def snapshot(version: str | None = "v2", pods: int = 1, **change: Any) -> Snapshot:
    return replace(
        Snapshot(workload("fraud-stable", "v1", 3), workload("fraud-canary", version, pods)),
        **change,
    )


def rolling(**change: Any) -> ModelSLOStatus:
    """A canary v2 in its first step, started ten minutes ago, its pods there after a minute."""
    started = NOW - timedelta(minutes=10)
    rollout = RolloutStatus(
        revision=revision_of(template("v2")),
        version="v2",
        stable_version="v1",
        started_at=started,
        transitions=[Transition(started_at=started, ready_at=started + timedelta(minutes=1))],
        judged_since=started,
        parameters=parameters().gate_digest(),
    )
    return ModelSLOStatus(rollout=rollout.model_copy(update=change))


def judgement(
    verdict: Verdict | None = None,
    problem: Problem | None = None,
    cause: Cause = Cause.NONE,
    stable_health: Health | None = None,
    **change: Any,
) -> Judgement:
    canary = None
    if verdict is not None:
        compared = Compared(blocks=50, ratio=1.2, low=1.1, high=1.3, stable=900, canary=300, ripe=True)
        canary = CanaryJudgement(verdict, compared, InvalidLosses(), harm=False, mature=True, canary_nan=False)
    values: dict[str, Any] = {
        "at": NOW.timestamp(),
        "health": stable_health,
        "stable_health": stable_health,
        "arms": Arms(),
        "canary": canary,
        "cause": cause,
        "explanations": (),
        "problem": problem,
    }
    return Judgement(**(values | change))
