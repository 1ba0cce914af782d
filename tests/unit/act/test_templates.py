"""What is made of the user's templates: the Job, the candidate, the promoted template."""

from __future__ import annotations

from typing import Any

import pytest

from modelslo.act.candidate import missing_keys, with_candidate
from modelslo.act.deployments import with_labels_of
from modelslo.act.jobs import build_job, job_name
from modelslo.act.names import label_value
from modelslo.act.target import ActError, Target
from modelslo.api.spec import ModelSLOSpec

OPERATION = "0123456789abcdef"


def target(template: dict[str, Any], **retrain: Any) -> Target:
    spec = {
        "indicator": {"loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": "m"}}},
        "objective": {"target": {"value": 1}},
        "rollout": {"stable": {"name": "s"}, "canary": {"name": "c"}},
        "retrain": {"template": template, **retrain},
    }
    return Target("ns", "fraud", "uid-1", ModelSLOSpec.model_validate(spec))


def job_template(**pod: Any) -> dict[str, Any]:
    return {
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "t", "image": "i"}], **pod}}}
    }


def build(template: dict[str, Any], accounts: frozenset[str] = frozenset(), **retrain: Any) -> dict[str, Any]:
    return build_job(target(template, **retrain), OPERATION, "fraud-x", "v1", accounts)


def test_a_job_carries_its_operation_and_its_owner() -> None:
    job = build(job_template())
    labels = {"modelslo.dev/model": "fraud", "modelslo.dev/operation": OPERATION}
    assert job["metadata"]["labels"] == labels
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "ModelSLO",
        "uid-1",
        True,
        False,
    )


def test_every_container_is_told_and_cannot_pretend() -> None:
    given = [{"name": "MODELSLO_MODEL", "value": "forged"}, {"name": "X", "value": "1"}]
    job = build(
        job_template(
            initContainers=[{"name": "i", "image": "i"}], containers=[{"name": "t", "image": "i", "env": given}]
        )
    )
    pod = job["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        env = [(one["name"], one["value"]) for one in container["env"] if one["name"] != "X"]
        assert env == [
            ("MODELSLO_OPERATION_ID", OPERATION),
            ("MODELSLO_MODEL", "fraud"),
            ("MODELSLO_STABLE_VERSION", "v1"),
        ]
    assert {"name": "X", "value": "1"} in pod["containers"][0]["env"]


@pytest.mark.parametrize(("asked", "got"), [(None, 600), (60, 60), (7200, 600)])
def test_a_job_ends_within_the_time_limit(asked: int | None, got: int) -> None:
    template = job_template()
    template["spec"] |= {"ttlSecondsAfterFinished": 3600} | ({} if asked is None else {"activeDeadlineSeconds": asked})
    job = build(template, limits={"timeout": "10m"})
    assert job["spec"]["activeDeadlineSeconds"] == got
    assert "ttlSecondsAfterFinished" not in job["spec"]


def test_the_users_template_is_not_changed() -> None:
    template = job_template()
    build(template)
    assert template == job_template()


@pytest.mark.parametrize(
    ("pod", "accounts", "name", "token"),
    [
        ({}, frozenset[str](), "default", False),
        ({}, frozenset({"default"}), "default", None),
        ({"automountServiceAccountToken": True}, frozenset[str](), "default", False),
        ({"serviceAccountName": "trainer"}, frozenset({"trainer"}), "trainer", None),
        ({"serviceAccount": "trainer"}, frozenset({"trainer"}), "trainer", None),
    ],
)
def test_the_service_account_is_pinned(
    pod: dict[str, Any], accounts: frozenset[str], name: str, token: bool | None
) -> None:
    made = build(job_template(**pod), accounts)["spec"]["template"]["spec"]
    assert made["serviceAccountName"] == name
    assert made.get("automountServiceAccountToken") is token
    assert "serviceAccount" not in made


@pytest.mark.parametrize("field", ["serviceAccountName", "serviceAccount"])
def test_a_service_account_that_is_not_allowed_is_refused(field: str) -> None:
    with pytest.raises(ActError, match="'admin' is not on the operator's list"):
        build(job_template(**{field: "admin"}), frozenset({"trainer"}))


@pytest.mark.parametrize("model", ["fraud", "a" * 253, "very.long.name." * 10 + "x"])
def test_the_name_of_a_job_fits_and_names_its_operation(model: str) -> None:
    name = job_name(model, OPERATION)
    assert len(name) <= 52
    assert name.endswith(f"-{OPERATION}")
    assert "." not in name


def test_long_names_stay_apart_as_labels() -> None:
    one, other = label_value("m" * 70 + "a"), label_value("m" * 70 + "b")
    assert one != other
    assert len(one) <= 63
    assert label_value("fraud") == "fraud"


def container(**fields: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"role": "canary"}}, "spec": {"containers": [{"name": "s", **fields}]}}


def test_a_candidate_replaces_its_variables_and_leaves_the_rest() -> None:
    template = container(
        image="old",
        env=[
            {"name": "MODEL_VERSION", "value": "v1"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "MODEL_URI", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
        ],
    )
    made = with_candidate(template, {"MODEL_VERSION": "v2", "MODEL_URI": "s3://m", "NEW": "1"}, "new")
    assert made["spec"]["containers"][0] == {
        "name": "s",
        "image": "new",
        "env": [
            {"name": "MODEL_VERSION", "value": "v2"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "MODEL_URI", "value": "s3://m"},
            {"name": "NEW", "value": "1"},
        ],
    }
    assert template["spec"]["containers"][0]["image"] == "old"


def test_applying_a_candidate_again_changes_nothing() -> None:
    once = with_candidate(container(image="i"), {"MODEL_VERSION": "v2"}, None)
    assert with_candidate(once, {"MODEL_VERSION": "v2"}, None) == once


def test_a_variable_that_stands_twice_is_replaced_twice() -> None:
    template = container(env=[{"name": "MODEL_VERSION", "value": "a"}, {"name": "MODEL_VERSION", "value": "b"}])
    made = with_candidate(template, {"MODEL_VERSION": "v2"}, None)
    assert [one["value"] for one in made["spec"]["containers"][0]["env"]] == ["v2", "v2"]


def test_the_keys_that_a_candidate_takes_must_be_in_the_result() -> None:
    retrain = target(job_template(), candidate={"env": {"MODEL_URI": "uri"}, "image": "image"}).spec.retrain
    assert retrain is not None
    assert missing_keys(retrain, {"version": "v3", "image": ""}) == ["image", "uri"]
    assert missing_keys(retrain, {"version": "v3", "image": "i", "uri": "u"}) == []


def test_a_promoted_template_keeps_the_labels_of_its_new_place() -> None:
    stable = {
        "spec": {"template": {"metadata": {"labels": {"role": "stable"}, "annotations": {"old": "1"}}, "spec": {}}}
    }
    canary = {"metadata": {"labels": {"role": "canary", "x": "y"}, "annotations": {"new": "1"}}, "spec": {"a": 1}}
    assert with_labels_of(canary, stable) == {
        "metadata": {"labels": {"role": "stable"}, "annotations": {"new": "1"}},
        "spec": {"a": 1},
    }
