"""What the shell exports; followers say nothing of models."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from modelslo.controller.gauges import ShellMetrics
from modelslo.engine.views import Model, model_of


@dataclass
class Shell:
    leads: bool = True
    age: float = 3.0

    def leading(self) -> bool:
        return self.leads

    def list_age(self) -> float:
        return self.age

    def missed(self) -> int:
        return 2

    def overdue(self) -> float:
        return 0.5


def model(name: str, conditions: Iterable[tuple[str, str, str]] = (), burning: Iterable[str] = ()) -> Model:
    status: dict[str, Any] = {
        "conditions": [
            {"type": kind, "status": value, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind, value, reason in conditions
        ],
        "burnRates": [{"severity": severity, "factor": 2, "burning": True} for severity in burning],
    }
    metadata = {"namespace": "shop", "name": name, "uid": name, "resourceVersion": "1"}
    return model_of({"metadata": metadata, "spec": {}, "status": status})


def text(shell: Shell, *models: Model) -> list[str]:
    registry = CollectorRegistry()
    registry.register(ShellMetrics(shell, models))
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_the_leader_shows_what_wants_a_person() -> None:
    lines = text(
        Shell(),
        model("well", [("Ready", "True", "Judging"), ("SLOMet", "True", "WithinBudget")]),
        model("broken", [("Ready", "False", "InvalidSpec"), ("Stalled", "True", "InvalidSpec")]),
        model("blind", [("DataSufficient", "False", "NoData"), ("SLOMet", "Unknown", "NoData")], ["Fast", "Fast"]),
    )
    assert [line for line in lines if "slo_namespace" in line] == [
        'modelslo_condition_abnormal{reason="InvalidSpec",slo="broken",slo_namespace="shop",type="Stalled"} 1.0',
        'modelslo_condition_abnormal{reason="NoData",slo="blind",slo_namespace="shop",type="DataSufficient"} 1.0',
        'modelslo_burning{severity="fast",slo="blind",slo_namespace="shop"} 1.0',
    ]
    assert {
        "modelslo_leading 1.0",
        "modelslo_watch_missed_total 2.0",
        "modelslo_evaluation_overdue_intervals 0.5",
    } <= set(lines)


def test_a_follower_shows_itself_only() -> None:
    lines = text(Shell(leads=False), model("broken", [("Stalled", "True", "InvalidSpec")]))
    assert "modelslo_leading 0.0" in lines
    assert not [line for line in lines if "slo" in line.partition("{")[2] or "overdue" in line]


@pytest.mark.parametrize(("age", "shown"), [(float("inf"), False), (0.0, True)])
def test_the_age_of_a_list_that_never_was_is_not_shown(age: float, shown: bool) -> None:
    assert any(line.startswith("modelslo_list_age_seconds") for line in text(Shell(age=age))) is shown
