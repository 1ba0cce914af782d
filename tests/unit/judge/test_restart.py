"""The live fold of increments into the gate: buckets that change in the middle begin anew (section 11.6)."""

from __future__ import annotations

import numpy as np

from modelslo.judge.comparison import Comparison, compared, remembered, says
from modelslo.judge.verdict import GateVerdict
from modelslo.observe.evidence import Increment, Losses
from tests.unit.judge.make import INTERVAL, parameters

FINE = tuple(2.0**k for k in range(-5, 6))
OTHERS = (tuple(3.0 * edge for edge in FINE), (0.5, 1.0, 2.0))
"""As many edges elsewhere, and fewer."""


class Live:
    """Cells of both versions, one an interval; an hour of stable's history."""

    def __init__(self, edges: tuple[float, ...]) -> None:
        self.edges, self.number, self.chance = edges, 0, np.random.default_rng(1)
        self.comparison = Comparison()
        for _ in range(60):
            self.comparison = remembered(self.comparison, [self.increment("v1", 60, 1.0)], "v1")
            self.number += 1

    def increment(self, version: str, labels: int, mean: float) -> Increment:
        losses = self.chance.exponential(mean, labels)
        buckets = np.bincount(np.searchsorted(self.edges, losses), minlength=len(self.edges) + 1)
        counted = Losses(labels, float(losses.sum()), tuple(buckets.astype(float).tolist()), float(losses @ losses))
        return Increment(self.number * INTERVAL, (self.number + 1) * INTERVAL, version, "", counted, labels)

    def run(self, cells: int, ratio: float) -> GateVerdict:
        for _ in range(cells):
            cell = [self.increment("v1", 60, 1.0), self.increment("v2", 20, ratio)]
            self.comparison = compared(self.comparison, parameters(), cell, self.edges, "v1", "v2")
            self.number += 1
        return says(self.comparison, parameters().gate, self.number * INTERVAL).verdict

    @property
    def evidence(self) -> tuple[float, float, int]:
        found = says(self.comparison, parameters().gate, self.number * INTERVAL)
        return found.log_e_rollback, found.log_e_promote, found.blocks


def test_evidence_on_other_buckets_begins_at_one() -> None:
    for edges in OTHERS:
        # Given a canary against which there is evidence
        live = Live(FINE)
        live.run(20, 1.5)
        assert live.evidence[0] != 0.0
        assert live.evidence[2] > 5
        # When the buckets are others from now on
        live.edges = edges
        live.run(1, 1.5)
        # Then nothing of it is left
        assert live.evidence == (0.0, 0.0, 0)
        # And the canary is judged by the new ones
        assert live.run(120, 1.5) is GateVerdict.ROLLBACK


def test_a_cell_without_buckets_does_not_begin_anew() -> None:
    """Edges are not known where nothing was counted."""
    live = Live(FINE)
    live.run(20, 1.5)
    before = live.evidence
    nothing = [
        Increment(live.number * INTERVAL, (live.number + 1) * INTERVAL, version, "", Losses(0.0, 0.0, (), 0.0), 0.0)
        for version in ("v1", "v2")
    ]
    live.comparison = compared(live.comparison, parameters(), nothing, (), "v1", "v2")
    assert live.evidence == before
