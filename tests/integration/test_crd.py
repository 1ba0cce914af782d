"""The CRD on a real API server: what it refuses, in which words, and what it fills in and keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from modelslo.api.resource import InvalidResource, parse
from modelslo.api.rules import RULES
from modelslo.api.spec import ModelSLOSpec
from tests.cluster.access import Cluster, apply_crds
from tests.cluster.fixtures import Namespace
from tests.cluster.shell import ClusterError
from tests.unit.api.bad_resources import GONE, GOOD, RULE_ROWS, SCHEMA_ROWS, Bad, changed
from tests.unit.api.full_status import FULL_STATUS, full_status_json

pytestmark = pytest.mark.api

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def resources(api_server: Cluster) -> Iterator[client.CustomObjectsApi]:
    """ModelSLOs on the API server."""
    apply_crds(api_server)
    with api_server.client() as connection:
        yield client.CustomObjectsApi(connection)


def create(resources: client.CustomObjectsApi, body: dict[str, Any], *, namespace: str = "default") -> dict[str, Any]:
    """Hand the resource to the API server, which checks and completes it and keeps nothing."""
    body = body | {"metadata": body["metadata"] | {"namespace": namespace}}
    created: object = resources.create_namespaced_custom_object(
        "modelslo.dev", "v1alpha1", namespace, "modelslos", body, dry_run="All", field_validation="Strict"
    )
    assert isinstance(created, dict)
    return created


def refusal(resources: client.CustomObjectsApi, body: dict[str, Any]) -> list[dict[str, str]]:
    """The causes with which the API server refuses."""
    with pytest.raises(ApiException) as refused:
        create(resources, body)
    assert refused.value.status == 422, refused.value.body
    causes: list[dict[str, str]] = json.loads(refused.value.body or "{}")["details"]["causes"]
    return causes


@pytest.mark.parametrize("bad", [*RULE_ROWS, *SCHEMA_ROWS], ids=lambda bad: bad.name)
def test_refusal_names_field_value_and_mend(resources: client.CustomObjectsApi, bad: Bad) -> None:
    causes = refusal(resources, bad.resource())
    said = [f"{cause['field']}: {cause['message']}" for cause in causes]
    at_field = [text for text in said if text.startswith(bad.field)]
    assert any(all(word in text for word in bad.says) for text in at_field), said


@pytest.mark.parametrize("bad", RULE_ROWS, ids=lambda bad: bad.name)
def test_api_server_and_python_break_the_same_rules(resources: client.CustomObjectsApi, bad: Bad) -> None:
    """One statement of a rule, two evaluations: the same faults at the same fields in the same words."""
    causes = refusal(resources, bad.resource())
    with pytest.raises(InvalidResource) as refused:
        parse(bad.resource())
    theirs = sorted((cause["field"], cause["message"].removeprefix("Invalid value: ")) for cause in causes)
    assert theirs == sorted((one.path, one.message) for one in refused.value.problems)


SHORT = st.sampled_from(["30s", "60s", "1m", "5m", "7m", "1h", "1d", "28d", "4w", "999999999w"])
SHARE = st.sampled_from(["0%", "0.000001%", "5%", "10%", "50%", "50.000001%", "90%", "99.999999%", "100%"])
CHANGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "spec.interval": SHORT,
        "spec.objective.slice": SHORT,
        "spec.objective.window": SHORT,
        "spec.objective.goal": SHARE,
        "spec.rollout.steps": st.lists(SHARE, min_size=1, max_size=10) | st.just(GONE),
        "spec.rollout.shadow": st.just({}),
        "spec.rollout.gate.margin": SHARE,
        "spec.rollout.gate.falseRollback": SHARE,
        "spec.rollout.gate.deadline": SHORT,
        "spec.indicator.labels.delay": SHORT,
        "spec.indicator.labels.maxAge": SHORT,
        "spec.indicator.segments.label": st.sampled_from(["model_name", "namespace", "other"]),
        "spec.objective.burnRates": st.lists(
            st.fixed_dictionaries(
                {
                    "severity": st.sampled_from(["Fast", "Slow"]),
                    "long": SHORT,
                    "short": SHORT,
                    "factor": st.sampled_from([1, 2, 10.0, 13.44, 1000]),
                }
            ),
            min_size=1,
            max_size=4,
        ),
    },
)


@settings(max_examples=100, deadline=None)
@given(changes=CHANGES)
def test_api_server_and_python_agree_on_anything(resources: client.CustomObjectsApi, changes: dict[str, Any]) -> None:
    body = changed(changes)
    try:
        parse(body)
    except InvalidResource as error:
        ours = sorted((one.path, one.message) for one in error.problems)
        theirs = sorted(
            (cause["field"], cause["message"].removeprefix("Invalid value: ")) for cause in refusal(resources, body)
        )
        assert theirs == ours
    else:
        create(resources, body)


def test_every_rule_has_been_tried() -> None:
    assert {row.name for row in RULE_ROWS} == {rule.name for rule in RULES}


def test_good_resource_is_taken(resources: client.CustomObjectsApi) -> None:
    create(resources, GOOD)


@pytest.mark.parametrize(
    ("changes", "unknown"),
    [
        ({"spec.rollout.gate.marginn": "5%"}, "spec.rollout.gate.marginn"),
        ({"spec.objective.min_samples": 5}, "spec.objective.min_samples"),
        ({"replicas": 1}, "replicas"),
    ],
    ids=str,
)
def test_kubectl_refuses_unknown_fields(
    resources: client.CustomObjectsApi, namespace: Namespace, changes: dict[str, Any], unknown: str
) -> None:
    manifest = changed(changes) | {"metadata": {"name": "fraud"}}
    with pytest.raises(ClusterError, match=f'unknown field "{unknown}"'):
        namespace.kubectl("apply", "-f", "-", input=json.dumps(manifest))


@pytest.mark.parametrize("name", ["minimal", "full"])
def test_examples_are_taken_and_completed(resources: client.CustomObjectsApi, namespace: Namespace, name: str) -> None:
    """The API server fills in what Python fills in."""
    text = (EXAMPLES / f"modelslo-{name}.yaml").read_text(encoding="utf-8")
    namespace.kubectl("apply", "-f", "-", input=text)
    (kept,) = json.loads(namespace.kubectl("get", "modelslo", "-o", "json"))["items"]
    spec = parse(yaml.safe_load(text)).spec
    assert kept["spec"] == spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert ModelSLOSpec.model_validate(kept["spec"]) == spec


def test_every_field_of_status_is_kept(resources: client.CustomObjectsApi, namespace: Namespace) -> None:
    body = GOOD | {"metadata": {"name": "fraud", "namespace": namespace.name}}
    where = ("modelslo.dev", "v1alpha1", namespace.name, "modelslos")
    resources.create_namespaced_custom_object(*where, body)
    patch = {"status": full_status_json()}
    resources.patch_namespaced_custom_object_status(
        *where, "fraud", patch, _content_type="application/merge-patch+json"
    )
    kept = resources.get_namespaced_custom_object(*where, "fraud")
    assert isinstance(kept, dict)
    model = parse(kept)
    assert (model.status, model.dropped) == (FULL_STATUS, ())


def test_columns_show_what_matters(resources: client.CustomObjectsApi, namespace: Namespace) -> None:
    manifest = GOOD | {"metadata": {"name": "fraud"}}
    namespace.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    status = json.dumps({"status": full_status_json()})
    namespace.kubectl("patch", "mslo", "fraud", "--subresource=status", "--type=merge", "-p", status)
    head, row = namespace.kubectl("get", "mslo").splitlines()
    assert head.split() == ["NAME", "READY", "SLOMET", "LOSS", "TARGET", "BUDGET", "CANARY", "LAST", "AGE"]
    assert row.split()[:8] == ["fraud", "True", "False", "0.31", "0.35", "0.41", "v8", "Rollback"]


def test_new_resource_shows_empty_columns(resources: client.CustomObjectsApi, namespace: Namespace) -> None:
    namespace.kubectl("apply", "-f", "-", input=(EXAMPLES / "modelslo-minimal.yaml").read_text(encoding="utf-8"))
    assert namespace.kubectl("get", "modelslo", "--no-headers").split()[:2] == ["fraud", "0.35"]


def test_kubectl_explains_fields(resources: client.CustomObjectsApi, api_server: Cluster) -> None:
    assert "How much worse than stable" in api_server.kubectl("explain", "modelslo.spec.rollout.gate.margin")
