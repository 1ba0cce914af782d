"""Bodies as the API server has them, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model(
    name: str = "fraud",
    *,
    version: int = 1,
    generation: int = 1,
    status: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
    uid: str = "uid-1",
) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": uid,
            "generation": generation,
            "resourceVersion": str(version),
            "annotations": dict(annotations or {}),
        },
        "spec": {
            "interval": "10s",
            "indicator": {"loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": name}}},
            "objective": {"target": {"value": 0.35}, "window": "1h", "slice": "10s"},
            "rollout": {"stable": {"name": f"{name}-stable"}, "canary": {"name": f"{name}-canary"}},
            **(spec or {}),
        },
        "status": dict(status or {}),
    }


def retrain(**more: Any) -> dict[str, Any]:
    """A ``spec.retrain``."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "trainer", "image": "trainer:1"}]}
    return {"template": {"spec": {"template": {"spec": pod}}}, **more}


def deployment(
    name: str,
    *,
    version: int = 1,
    serves: str = "v1",
    replicas: int = 1,
    ready: int | None = None,
    generation: int = 1,
    conditions: tuple[Mapping[str, str], ...] = (),
) -> dict[str, Any]:
    there = replicas if ready is None else ready
    role = name.rpartition("-")[2]
    return {
        "metadata": {
            "namespace": "ns",
            "name": name,
            "uid": f"uid-{name}",
            "generation": generation,
            "resourceVersion": str(version),
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"role": role}},
            "template": {
                "metadata": {"labels": {"role": role}},
                "spec": {
                    "containers": [
                        {"name": "server", "image": "i", "env": [{"name": "MODEL_VERSION", "value": serves}]}
                    ]
                },
            },
        },
        "status": {
            "observedGeneration": generation,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": there,
            "availableReplicas": there,
            "conditions": list(conditions),
        },
    }


def job(name: str, operation: str, *, version: int = 1, condition: str = "", owner: str = "fraud") -> dict[str, Any]:
    conditions = [{"type": condition, "status": "True", "reason": "Why", "message": "because"}] if condition else []
    return {
        "metadata": {
            "namespace": "ns",
            "name": name,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-22T10:00:00Z",
            "labels": {"modelslo.dev/model": owner, "modelslo.dev/operation": operation},
        },
        "status": {"conditions": conditions},
    }


def autoscaler(name: str, target: str, kind: str = "Deployment") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": name, "resourceVersion": "1"},
        "spec": {"scaleTargetRef": {"kind": kind, "name": target}},
    }
