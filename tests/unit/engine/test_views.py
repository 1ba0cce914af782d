from __future__ import annotations

from typing import Any

import pytest

from modelslo.engine.views import model_of, workload_of
from tests.unit.engine.bodies import deployment, model


def test_a_spec_that_cannot_be_read_says_which_field() -> None:
    body = model()
    body["spec"]["objective"]["slice"] = "5 minutes"
    seen = model_of(body)
    assert seen.spec is None
    assert "spec.objective.slice" in seen.problem
    assert "5 minutes" in seen.problem
    assert seen.refs == ()


def test_a_status_of_another_operator_is_read_as_far_as_it_goes() -> None:
    body = model(status={"observedGeneration": 3, "operation": {"id": "x"}, "new": 1})
    seen = model_of(body)
    assert seen.status.observed_generation == 3
    assert seen.status.operation is None
    assert seen.unreadable == ("operation",)


@pytest.mark.parametrize("bare", [{}, {"spec": {}, "status": {}}, {"spec": {"template": None}}])
def test_a_deployment_without_anything_is_read(bare: dict[str, Any]) -> None:
    workload = workload_of({"metadata": {"name": "x", "uid": "u"}, **bare})
    assert workload.replicas == 1
    assert workload.template == {}
    assert not workload.settled


def test_a_deployment_past_its_deadline_is_seen() -> None:
    progressing = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    failure = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    workload = workload_of(deployment("x", conditions=(progressing, failure)))
    assert workload.deadline_exceeded
    assert workload.failure == "exceeded quota"
    assert not workload_of(deployment("x", conditions=({**progressing, "reason": "Paused"},))).deadline_exceeded


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ([], "somebody"),
        ([{"manager": "modelslo-operator", "time": "2027", "fieldsV1": {"f:spec": {"f:template": {}}}}], "somebody"),
        (
            [
                {"manager": "kubectl", "time": "2025", "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": "argocd-controller", "time": "2026", "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": "hpa", "time": "2027", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
                {"manager": "modelslo-operator", "time": "2028", "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": "kubelet", "time": "2029"},
            ],
            "argocd-controller",
        ),
    ],
)
def test_who_else_last_set_the_template(fields: list[dict[str, Any]], who: str) -> None:
    body = deployment("fraud-stable")
    body["metadata"]["managedFields"] = fields
    assert workload_of(body).template_manager == who
