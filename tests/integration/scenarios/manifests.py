"""What a scenario puts into its namespace. Times of judging are those of a user; the operator divides them by SCALE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.integration.scenarios.traffic import MODEL_NAME
from tests.integration.standin import RESULT, SCHEDULER

SCALE: Final = 30.0
INTERVAL: Final = 2.0  # s, after scaling
SETTLE: Final = 2.0
STABLE_PODS: Final = 2
SLO: Final = MODEL_NAME
TARGET: Final = 0.5


def namespace(name: str) -> dict[str, Any]:
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def deployment(role: str, version: str, *, patience: int = 60) -> dict[str, Any]:
    """One of the pair; `patience` is its progress deadline (s). The canary's manifest has no replicas."""
    labels = {"app": SLO, "role": role}
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{SLO}-{role}"},
        "spec": {
            "progressDeadlineSeconds": patience,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod(version)},
        },
    }
    if role == "stable":
        body["spec"]["replicas"] = STABLE_PODS
    return body


def pod(version: str) -> dict[str, Any]:
    server = {
        "name": "server",
        "image": f"registry.example/{SLO}:{version}",
        "env": [{"name": "MODEL_VERSION", "value": version}],
    }
    return {"schedulerName": SCHEDULER, "terminationGracePeriodSeconds": 0, "containers": [server]}


def candidate(version: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    """Strategic merge patch that puts another version into the canary."""
    containers = pod(version)["containers"]
    template = {"metadata": {"annotations": dict(annotations)}, "spec": {"containers": containers}}
    return {"spec": {"template": template}}


def modelslo(prometheus: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A ModelSLO over the pair; `spec` is merged into the usual one, and None takes a field out."""
    usual: dict[str, Any] = {
        "interval": "1m",
        "indicator": {
            "prometheus": dict(prometheus or {}),
            "loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": MODEL_NAME}},
            "labels": {"delay": "1m"},
        },
        "objective": {
            "target": {"value": TARGET},
            "goal": "90%",
            "window": "2h",
            "slice": "5m",
            "burnRates": [{"severity": "Slow", "long": "20m", "short": "5m", "factor": 2}],
        },
        "rollout": {
            "stable": {"name": f"{SLO}-stable"},
            "canary": {"name": f"{SLO}-canary"},
            "steps": ["33%", "50%"],
            "stepDuration": "2m",
            "warmup": "2m",
            "gate": {"minSamples": 100, "minDuration": "5m", "falseRollback": "1%"},
        },
        "guardrails": {"cooldown": {"rollback": "1m", "promote": "1m"}},
    }
    return {
        "apiVersion": "modelslo.dev/v1alpha1",
        "kind": "ModelSLO",
        "metadata": {"name": SLO},
        "spec": merged(usual, spec),
    }


def retrain(result: str) -> dict[str, Any]:
    """`spec.retrain` with a Job whose pod says `result` at its end."""
    trainer = {
        "metadata": {"annotations": {RESULT: result}},
        "spec": {
            "schedulerName": SCHEDULER,
            "restartPolicy": "Never",
            "containers": [{"name": "trainer", "image": "registry.example/trainer:1"}],
        },
    }
    return {
        "trigger": {"burnRate": "Slow", "sustainedFor": "5m"},
        "template": {"spec": {"backoffLimit": 0, "template": trainer}},
        "candidate": {"env": {"MODEL_URI": "uri"}},
    }


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in change.items():
        before = result.get(key)
        result[key] = merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return {key: value for key, value in result.items() if value is not None}
