"""Recorded histories for tests of the backtest: who served when, and how well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from modelslo.backtest.recording import Recording, chunk_of
from modelslo.backtest.span import asks_of, header_for
from modelslo.backtest.variants import Variant, variants_of
from modelslo.engine.settings import Settings
from modelslo.observe.ask import Ask, Source
from modelslo.observe.evidence import Evidence, Increment, Losses, ModelKey, SliceTable, Stood, VetoSeen
from modelslo.observe.slices import PackedSlices, Row

MODEL = ModelKey("shop", "fraud")
SETTINGS = Settings(prometheus_url="http://prometheus:9090", settle=60.0)
EDGES = tuple(2.0**k for k in range(-6, 6))
BEGIN = 1_000_200.0
"""On the grid of a minute and of slices of five."""
HOUR = 3600.0
RAW: Mapping[str, Any] = {
    "indicator": {
        "loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": "fraud"}},
        "labels": {"delay": "5m"},
    },
    "objective": {"target": {"value": 1.5}, "goal": "90%", "window": "6h", "slice": "5m"},
    "rollout": {
        "stable": {"name": "fraud"},
        "canary": {"name": "fraud-canary"},
        "warmup": "5m",
        "gate": {"minDuration": "10m", "minSamples": 100},
    },
}


@dataclass(frozen=True)
class Served:
    """So many labels a minute from `since` to `until` (s after BEGIN), with this mean loss."""

    version: str
    mean: float
    labels: int
    since: float = -1e9
    until: float = 1e9


def variants(*what_ifs: str, raw: Mapping[str, Any] = RAW) -> tuple[Variant, ...]:
    return variants_of(raw, what_ifs, SETTINGS)


def increment(one: Served, start: float, chance: np.random.Generator) -> Increment:
    losses = chance.exponential(one.mean, one.labels)
    buckets = np.bincount(np.searchsorted(EDGES, losses), minlength=len(EDGES) + 1)
    counted = Losses(one.labels, float(losses.sum()), tuple(buckets.astype(float).tolist()), float(losses @ losses))
    return Increment(start, start + 60.0, one.version, "", counted, one.labels)


class World:
    """What a Prometheus would have: cells and slices of everything that was served.

    Every veto stands from one time to another (s after BEGIN), `broken`.
    """

    def __init__(
        self,
        served: Sequence[Served],
        hours: float,
        before: float = 12.0,
        seed: int = 1,
        broken: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.broken = broken
        chance = np.random.default_rng(seed)
        self.increments = [
            increment(one, BEGIN + at, chance)
            for at in np.arange(-before * HOUR, hours * HOUR, 60.0).tolist()
            for one in sorted(served, key=lambda one: one.version)
            if one.since <= at < one.until
        ]

    def evidence(self, ask: Ask) -> Evidence:
        found = tuple(one for one in self.increments if ask.since < one.end <= ask.until)
        slices = PackedSlices(sorted(self.rows(ask)))
        table = SliceTable(ask.slice_length, ask.first_slice, ask.last_slice, slices)
        newest = {one.version: one.end for one in found}
        edges = EDGES if found else ()
        return Evidence(ask.model, ask.since, ask.until, found, edges, newest, table, vetoes=self.vetoes(ask))

    def vetoes(self, ask: Ask) -> tuple[VetoSeen, ...]:
        since, until = (BEGIN + at for at in self.broken)
        ends = np.arange(ask.until, ask.since, -ask.grid).tolist()[::-1]
        stood = tuple(Stood(at, 1.0, 1) for at in ends if since <= at < until)
        return tuple(VetoSeen(one.name, stood) for one in ask.vetoes)

    def rows(self, ask: Ask) -> list[Row]:
        def key(one: Increment) -> tuple[int, str]:
            return int(one.start // ask.slice_length), one.version

        rows = []
        for (index, version), of in groupby(sorted(self.increments, key=key), key=key):
            if ask.first_slice <= index <= ask.last_slice:
                losses = [one.losses for one in of]
                rows.append((index, version, sum(one.total for one in losses), sum(one.count for one in losses)))
        return rows


def recorded(world: World, hours: float, of: tuple[Variant, ...] | None = None) -> Recording:
    """The recording that `modelslo backtest` would have made of this world."""
    of = of or variants()
    recording = Recording(header_for(of, MODEL, BEGIN, BEGIN + hours * HOUR))
    for ask in asks_of(recording, of[0], Source("http://p", 1.0)):
        recording.add(chunk_of(world.evidence(ask), ask.last_slice))
    return recording
