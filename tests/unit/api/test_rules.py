"""The table of refused resources against the Python checks."""

from __future__ import annotations

from typing import Any

import pytest

from modelslo.api.resource import InvalidResource, parse
from modelslo.api.rules import RULES
from tests.unit.api.bad_resources import GONE, GOOD, RULE_ROWS, SCHEMA_ROWS, Bad, changed


@pytest.mark.parametrize("bad", [*RULE_ROWS, *SCHEMA_ROWS], ids=lambda bad: bad.name)
def test_refusal_names_field_value_and_mend(bad: Bad) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(bad.resource())
    said = [str(one) for one in refused.value.problems if one.path.startswith(bad.field)]
    assert any(all(word in text for word in bad.says) for text in said), str(refused.value)


def test_every_rule_has_a_row() -> None:
    assert [row.name for row in RULE_ROWS] == [rule.name for rule in RULES]


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_good_resource_is_taken() -> None:
    assert parse(GOOD).spec.objective.goal == "90%"


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.retrain": GONE, "spec.rollout": GONE},
        {"spec.indicator.segments": GONE},
        {"spec.indicator.labels": GONE},
        {"spec.objective.burnRates": GONE},
        {"spec.rollout.gate": GONE},
        {"spec.rollout.steps": GONE},
        {"spec.rollout.steps": GONE, "spec.rollout.shadow": {}},
        {"spec.rollout.gate.margin": "100%"},
        {"spec.rollout.gate.falseRollback": "50%"},
        {"spec.objective.slice": "28d", "spec.objective.burnRates": GONE},
        {"spec.objective.burnRates": [{"severity": "Slow", "long": "28d", "short": "5m", "factor": 10}]},
    ],
    ids=str,
)
def test_bounds_themselves_are_taken(changes: dict[str, Any]) -> None:
    parse(changed(changes))


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(changed({"spec.interval": "6m", "spec.rollout.steps": ["50%", "10%"]}))
    assert [one.path for one in refused.value.problems] == ["spec.rollout.steps", "spec.interval"]
