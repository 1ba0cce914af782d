"""What exporters would have been scraped for, as samples for `remote_write.push`: deterministic, resets and all."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, nan

from tests.integration.remote_write import Sample

EDGES = (0.1, 0.25, 0.5, 1.0, 2.0)


@dataclass
class Exporter:
    """One process that exports the losses of one version of one model; `labels` identify its series."""

    labels: dict[str, str]
    metric: str = "ml_huber_loss"
    edges: Sequence[float] = EDGES
    counters: bool = True
    delays: bool = False  # labels that come within a minute, in a histogram of their own
    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    predictions: int = 0
    invalid: int = 0
    buckets: dict[float, int] = field(default_factory=dict)

    def restart(self) -> None:
        self.count = self.predictions = self.invalid = 0
        self.total = self.squares = 0.0
        self.buckets = {}

    def lose(self, *losses: float) -> None:
        """Scores predictions; a NaN gets into the sum, as with a careless exporter."""
        for loss in losses:
            self.predictions += 1
            self.total += loss
            self.squares += loss * loss
            if loss == loss:
                self.count += 1
                edge = next((edge for edge in self.edges if loss <= edge), inf)
                self.buckets[edge] = self.buckets.get(edge, 0) + 1

    def poison(self) -> None:
        self.total = self.squares = nan

    def scrape(self, at: float) -> Iterator[Sample]:
        """All samples at Unix time `at` (s)."""

        def one(name: str, value: float, **more: str) -> Sample:
            return {"__name__": name, **self.labels, **more}, round(at * 1000), float(value)

        below = 0
        for edge in (*self.edges, inf):
            below += self.buckets.get(edge, 0)
            yield one(f"{self.metric}_bucket", below, le="+Inf" if edge == inf else repr(edge))
        yield one(f"{self.metric}_count", self.count)
        yield one(f"{self.metric}_sum", self.total)
        yield one(f"{self.metric}_squares_total", self.squares)
        if self.delays:
            for le, count in (("10.0", 0), ("60.0", self.count), ("+Inf", self.count)):
                yield one("ml_label_delay_seconds_bucket", count, le=le)
            yield one("ml_label_delay_seconds_count", self.count)
            yield one("ml_label_delay_seconds_sum", 30.0 * self.count)
        if self.counters:
            yield one("ml_predictions_total", self.predictions)
            yield one("ml_loss_invalid_total", self.invalid, reason="nan")
            yield one("ml_loss_invalid_total", 0, reason="inf")


def steady(exporter: Exporter, times: Sequence[float], losses: int, mean: float, seed: int = 0) -> Iterator[Sample]:
    """Scrapes at `times` with `losses` new losses in (0, 2 mean) before each but the first."""
    rng = random.Random(seed)
    for position, at in enumerate(times):
        if position:
            exporter.lose(*(rng.uniform(0, 2 * mean) for _ in range(losses)))
        yield from exporter.scrape(at)
