"""Ages in the evidence of the live operator: which are told, what rows they make, and what is said of quick labels."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from modelslo.judge.comparison import Comparison, compared, remembered, says
from modelslo.judge.scale import Rules
from modelslo.judge.verdict import GateVerdict
from modelslo.observe.evidence import Increment, Losses
from tests.unit.judge.make import INTERVAL, parameters, spec_of
from tests.unit.judge.series import EDGES, bits

ROLLBACK = GateVerdict.ROLLBACK

INDICATOR: dict[str, dict[str, Any]] = {
    "loss": {"metric": "loss", "matchLabels": {"model_name": "fraud"}},
    "labels": {"delay": "20m", "ageLabel": "age_bucket"},
}


class Live:
    """Cells of both versions at three ages, one an interval; an hour of stable's history."""

    def __init__(self, ages: tuple[float, ...] = (60.0, 600.0, inf), history: int = 60) -> None:
        self.ages = {"v1": ages, "v2": ages}
        self.number, self.chance = 0, np.random.default_rng(1)
        self.comparison = Comparison()
        self.parameters = parameters(spec_of(indicator=INDICATOR))
        for _ in range(history):
            self.comparison = remembered(self.comparison, self.cell("v1", 60, 1.0), "v1")
            self.number += 1

    def cell(self, version: str, labels: int, mean: float) -> list[Increment]:
        start = self.number * INTERVAL
        found = [Increment(start, start + INTERVAL, version, "", Losses(), labels)]
        for age in self.ages[version]:
            losses = self.chance.exponential(mean, labels // 3)
            buckets = np.bincount(np.searchsorted(EDGES, losses), minlength=len(EDGES) + 1).astype(float)
            counted = Losses(len(losses), float(losses.sum()), tuple(buckets.tolist()), float(losses @ losses))
            found.append(Increment(start, start + INTERVAL, version, "", counted, age=age))
        return found

    def run(self, cells: int, ratio: float = 1.0) -> GateVerdict:
        for _ in range(cells):
            cell = [*self.cell("v1", 60, 1.0), *self.cell("v2", 30, ratio)]
            self.comparison = compared(self.comparison, self.parameters, cell, EDGES, "v1", "v2", settled=self.settled)
            self.number += 1
        return says(self.comparison, self.parameters.gate, self.number * INTERVAL).verdict

    @property
    def settled(self) -> float:
        """Since the history's end."""
        return (self.number - 60) * INTERVAL

    @property
    def rules(self) -> Rules:
        assert self.comparison.rules is not None
        return self.comparison.rules


def test_ages_are_found_in_what_is_counted() -> None:
    live = Live()
    assert live.run(30, 2.0) is ROLLBACK
    assert live.rules.ages == (60.0, 600.0, inf)
    assert live.comparison.gate.history.count.tolist() == [3600.0, 1200.0, 1200.0, 1200.0]
    # And where nobody tells them there are none
    plain = Live((inf,))
    plain.run(1)
    assert (plain.rules.ages, plain.rules.number_of_strata) == ((), 1)


def test_to_go_by_ages_is_to_judge_afresh() -> None:
    labels = {**INDICATOR["labels"]}
    aged = parameters(spec_of(indicator=INDICATOR))
    labels.pop("ageLabel")
    plain = parameters(spec_of(indicator={**INDICATOR, "labels": labels}))
    assert (aged.ages, plain.ages) == (True, False)
    assert aged.gate_digest() != plain.gate_digest()


def test_segments_and_ages_make_rows() -> None:
    live = Live()
    cell = [replace(one, segment=name) for name in ("a", "b") for one in live.cell("v1", 60, 1.0)]
    comparison = remembered(Comparison(), cell, "v1")
    roles = [*cell, *(replace(one, version="v2") for one in cell)]
    comparison = compared(comparison, parameters(), roles, EDGES, "v1", "v2")
    # Then each segment has all ages, and so has what is of none
    assert comparison.rules is not None
    assert (comparison.rules.segments, comparison.rules.ages) == (("a", "b", ""), (60.0, 600.0, inf))
    assert comparison.gate.history.count.tolist() == [120.0, *[20.0] * 6, *[0.0] * 3]


@pytest.mark.parametrize("other", [(60.0, inf), (60.0, 300.0, 600.0, inf), (inf,)])
def test_arms_that_tell_ages_by_other_edges_are_waited_for(other: tuple[float, ...]) -> None:
    """Their cohorts would be of other ages: what is quick for one arm is late for the other."""
    # Given a canary whose exporter has other edges, or none
    live = Live()
    live.ages["v2"] = other
    live.run(30, 2.0)
    # Then ages are not gone by, and the history is there all the same
    assert live.rules.ages == ()
    assert live.comparison.apart
    assert live.comparison.gate.history.labels == 3600.0
    # And it stays so when they agree again
    live.ages["v2"] = live.ages["v1"]
    live.run(1)
    assert live.rules.ages == ()


def test_a_version_without_labels_has_no_other_edges() -> None:
    live = Live()
    live.run(3)
    before = bits(live.comparison.gate.trial)
    start = live.number * INTERVAL
    idle = [*live.cell("v1", 60, 1.0), Increment(start, start + INTERVAL, "v2", "", Losses(), 5.0)]
    live.comparison = compared(live.comparison, live.parameters, idle, EDGES, "v1", "v2", settled=live.settled)
    assert live.rules.ages == (60.0, 600.0, inf)
    assert bits(live.comparison.gate.trial) != before


def test_what_is_said_of_quick_labels() -> None:
    live = Live()
    live.run(5)
    found = says(live.comparison, live.parameters.gate, live.number * INTERVAL)
    assert (found.young, found.verdict) == (True, GateVerdict.IMMATURE)
    assert found.log_e_promote == pytest.approx(0.0, abs=1e-12)
    assert found.log_e_rollback != 0.0
    assert found.blocks > 0
