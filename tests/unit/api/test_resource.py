"""Bodies to data: unknown fields, strictness, and a status that another operator wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.api.resource import InvalidResource, parse, parse_status
from modelslo.api.status import MESSAGE_LENGTH, Condition, ModelSLOStatus
from tests.unit.api.bad_resources import GOOD, changed
from tests.unit.api.full_status import FULL_STATUS, full_status_json


def test_identity_comes_along() -> None:
    body = GOOD | {
        "metadata": {
            "name": "fraud",
            "namespace": "team",
            "uid": "u-1",
            "generation": 3,
            "resourceVersion": "42",
            "annotations": {"modelslo.dev/approve": "v2"},
        }
    }
    model = parse(body)
    assert (model.key, model.uid, model.generation, model.resource_version) == ("team/fraud", "u-1", 3, "42")
    assert model.annotations["modelslo.dev/approve"] == "v2"
    assert model.status == ModelSLOStatus()


def test_misspelt_field_gets_a_proposal() -> None:
    with pytest.raises(InvalidResource, match=r"spec\.rollout\.gate\.marginn: .*did you mean margin\?"):
        parse(changed({"spec.rollout.gate.marginn": "5%"}))


def test_python_names_are_no_field_names() -> None:
    with pytest.raises(InvalidResource, match=r"spec\.objective\.min_samples: .*did you mean minSamples\?"):
        parse(changed({"spec.objective.min_samples": 5}))


def test_unknown_field_lists_what_there_is() -> None:
    with pytest.raises(InvalidResource, match=r"spec\.objective\.target\.zzz: .*use one of value"):
        parse(changed({"spec.objective.target.zzz": 5}))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("spec.interval", 60, "60 does not fit: .* write a whole number and one unit of s, m, h, d, w, such as 30m"),
        ("spec.rollout.gate.margin", 5, "5 does not fit: .* write a number from 0 to 100 and %, such as 5%"),
        ("spec.rollout.steps", [10], "10 does not fit: .* write a number from 0 to 100 and %"),
        ("spec.indicator.loss.metric", 5, "5 does not fit: .* write the name of a metric, such as ml_huber_loss"),
        (
            "spec.indicator.loss.metric",
            "ml huber",
            '"ml huber" does not fit: it must match .*: write the name of a metric',
        ),
        ("spec.indicator.loss.metric", "", '"" does not fit: .*: write the name of a metric, such as ml_huber_loss'),
        ("spec.indicator.loss.matchLabels", {}, "{} does not fit: it must have at least 1 item: add one"),
        (
            "spec.indicator.prometheus",
            {"url": "x:90"},
            '"x:90" does not fit: .*: write http:// or https:// and an address',
        ),
        ("spec.rollout.canary.name", "Fraud", '"Fraud" does not fit: .*: write lower-case letters, digits, - and .'),
        ("spec.suspend", "yes", '"yes" does not fit: .* write true or false, without quotes'),
        ("spec.objective.minSamples", "200", '"200" does not fit: .* write a number, without quotes'),
        ("spec.objective.target", 0.35, "0.35 does not fit: it must be an object with value"),
        ("spec.rollout.canary", "fraud", '"fraud" does not fit: it must be an object with kind, name'),
        (
            "spec.indicator.loss.matchLabels",
            "fraud",
            '"fraud" does not fit: it must be an object, such as {name: value}',
        ),
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_shown_the_right_one(field: str, value: object, says: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(changed({field: value}))
    (problem,) = refused.value.problems
    assert problem.path.startswith(field)
    assert re.search(says, problem.message)


def test_missing_field_says_what_it_is_for() -> None:
    with pytest.raises(InvalidResource, match=r"spec\.objective\.target\.value: is required: add it \(The statistic"):
        parse(changed({"spec.objective.target": {}}))


def test_place_in_a_list_is_named() -> None:
    with pytest.raises(InvalidResource, match=r'spec\.rollout\.steps\[1\]: .*"?5 %'):
        parse(changed({"spec.rollout.steps": ["1%", "5 %"]}))


def test_job_template_stays_as_it_was_written() -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": GOOD["spec"]["retrain"]["template"]["spec"]}
    retrain = parse(changed({"spec.retrain.template": template})).spec.retrain
    assert retrain is not None
    assert retrain.template == template


def test_status_survives() -> None:
    status, dropped = parse_status(full_status_json())
    assert (status, dropped) == (FULL_STATUS, ())


def test_status_of_a_newer_operator_keeps_what_is_known() -> None:
    status, dropped = parse_status(full_status_json() | {"quantumBudget": {"x": 1}})
    assert (status, dropped) == (FULL_STATUS, ())


def test_bad_field_of_status_is_left_out_alone() -> None:
    status, dropped = parse_status(full_status_json() | {"rollout": {"phase": "Flying"}, "breachSince": "soon"})
    assert set(dropped) == {"rollout", "breachSince"}
    assert status == FULL_STATUS.model_copy(update={"rollout": None, "breach_since": None})


def test_bad_entry_does_not_lose_the_ledger() -> None:
    raw = full_status_json()
    raw["retrains"] = [raw["retrains"][0], {"id": 5}, raw["retrains"][0] | {"id": "other"}, {"job": []}]
    status, dropped = parse_status(raw)
    assert [run.id for run in status.retrains] == [FULL_STATUS.retrains[0].id, "other"]
    assert dropped == ("retrains[1]", "retrains[3]")


def test_longer_history_keeps_the_newest() -> None:
    raw = full_status_json()
    raw["history"] = [raw["history"][0] | {"id": str(number)} for number in range(12)]
    status, dropped = parse_status(raw)
    assert [one.id for one in status.history] == [str(number) for number in range(2, 12)]
    assert dropped == ("history[0]", "history[1]")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(full_status_json())), JSON))
def test_no_status_crashes(raw: dict[str, Any]) -> None:
    status, _ = parse_status(full_status_json() | raw)
    assert isinstance(status, ModelSLOStatus)


@given(JSON)
def test_no_spec_crashes(raw: Any) -> None:
    with pytest.raises(InvalidResource):
        parse({"metadata": {}, "spec": raw})


@pytest.mark.parametrize("raw", [None, "text", [], 5])
def test_status_that_is_no_object(raw: Any) -> None:
    assert parse_status(raw)[0] == ModelSLOStatus()


def test_long_message_is_cut() -> None:
    condition = Condition(
        type="Ready",
        status="True",
        reason="X",
        message="x" * 600,
        last_transition_time=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert len(condition.message) == MESSAGE_LENGTH
    assert condition.message.endswith("…")


def test_a_status_of_an_earlier_operator_is_read_without_loss() -> None:
    """Written on 23 November 2026, in the middle of an operation: a field that is renamed would be lost in silence."""
    earlier = json.loads(Path(__file__).with_name("status_2026_11_23.json").read_text())
    status, problem = parse_status(earlier)
    assert not problem
    assert status.operation is not None
    assert list(_lost(earlier, json.loads(status.model_dump_json(by_alias=True)), "status")) == []


def _lost(before: Any, after: Any, path: str) -> Iterator[str]:
    """Paths of what was in `before` and is not the same in `after`, which may have more."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name, value in before.items():
            yield from _lost(value, after.get(name), f"{path}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _lost(one, other, f"{path}[{number}]")
    elif before != after:
        yield path
