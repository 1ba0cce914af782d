"""From labels to what a scrape of the counters shows: cumulated, reset, missing, repeated, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, isnan

import numpy as np

from tests.simulate.kind import Kind
from tests.simulate.plan import Plan
from tests.simulate.stream import Arrivals, Labels
from tests.simulate.words import ARMS, CANARY, Flags, Floats, Ints, Line, Mode


def number(value: float) -> float | str:
    """A number, or the string that stands for it in JSON."""
    if isfinite(value):
        return value
    return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"


@dataclass(slots=True)
class Counters:
    """Counters, or what was added to them: of shape (2 arms, pods, segments, scrapes, ...)."""

    total: Floats
    squares: Floats
    buckets: Floats
    lag_total: Floats
    lag_buckets: Floats
    predictions: Floats

    @property
    def all(self) -> tuple[Floats, ...]:
        """Every array."""
        return self.total, self.squares, self.buckets, self.lag_total, self.lag_buckets, self.predictions


class Exporter:
    """The two arms' metrics. Holds the counters' last values from chunk to chunk."""

    def __init__(self, kind: Kind, plan: Plan, mode: Mode, rng: np.random.Generator) -> None:
        """In the modes without a histogram `buckets` holds the count alone (meta: no edges)."""
        self.kind = kind
        self._plan = plan
        self._mode = mode
        self._rng = rng
        self._edges = np.array(kind.edges)
        self._lag_edges = np.array(kind.lag.edges)
        self._names = tuple(segment.name for segment in kind.segments) if kind.named else ()
        self._segments = max(1, len(kind.segments))
        self._last: Counters | None = None
        self._before: list[Line | None] = [None, None]

    def scrapes(self, arrivals: Arrivals) -> Iterator[Line]:
        """What the scrapes of one chunk show, as the value of `arms`."""
        counters = self._cumulate(self._added(arrivals), arrivals.first)
        shown = [self._rows(counters, arm) for arm in range(len(ARMS))]
        scrapes = arrivals.last - arrivals.first
        missing = self._missing(arrivals.first, scrapes)
        repeated = self._rng.random((2, scrapes)) < self.kind.faults.repeated
        for each in range(scrapes):
            arms: Line = {}
            begun = self.kind.has_canary and arrivals.first + each >= self._plan.k0
            for arm in (0, 1) if begun else (0,):
                before = self._before[arm]
                row = before if before is not None and repeated[arm, each] else shown[arm][each]
                self._before[arm] = row
                if not missing[arm, each]:
                    arms[ARMS[arm]] = row
            yield arms

    def _missing(self, first: int, scrapes: int) -> Flags:
        missing = self._rng.random((2, scrapes)) < self.kind.faults.missing
        for gap in self._plan.gaps:
            missing[gap.arm, max(0, gap.first - first) : max(0, gap.last - first)] = True
        return missing

    def _added(self, arrivals: Arrivals) -> Counters:
        """Increments per scrape."""
        pods, scrapes = self.kind.faults.pods, arrivals.last - arrivals.first
        shape = (2, pods, self._segments, scrapes)
        cells = 2 * pods * self._segments * scrapes

        def summed(cell: Ints, values: Floats) -> Floats:
            # Of nothing numpy counts in integers, weights or not.
            return np.bincount(cell, weights=values, minlength=cells).astype(np.float64).reshape(shape)

        def histogram(cell: Ints, values: Floats, edges: Floats) -> Floats:
            # le: a value on an edge belongs below it; NaN sorts above every edge, as in client_golang.
            width = edges.size + 1
            index = cell * width + np.searchsorted(edges, values, side="left")
            return np.bincount(index, minlength=cells * width).astype(np.float64).reshape(*shape, width)

        def cell(labels: Labels) -> Ints:
            pod = (labels.arm * pods + labels.pod) * self._segments + labels.segment
            return pod * scrapes + labels.at - arrivals.first

        labels = arrivals.labels
        cells_of = cell(labels)
        sound, kept = labels, cells_of
        if self.kind.nan is not None and not self.kind.nan.counted:
            keep = ~np.isnan(labels.loss)
            sound, kept = labels[keep], cells_of[keep]
        segment = (arrivals.predicted_arm * pods + arrivals.predicted_pod) * self._segments
        predicted = segment * scrapes + arrivals.predicted_at - arrivals.first
        return Counters(
            total=summed(cells_of, labels.loss),
            squares=summed(cells_of, labels.loss**2),
            buckets=histogram(kept, sound.loss, self._edges),
            lag_total=summed(cells_of, labels.lag),
            lag_buckets=histogram(cells_of, labels.lag, self._lag_edges),
            predictions=summed(predicted, np.ones(predicted.size)),
        )

    def _cumulate(self, added: Counters, first: int) -> Counters:
        """Running totals over the scrapes, from zero again at every reset (which also ends a NaN)."""
        last = self._last.all if self._last is not None else (None,) * len(added.all)
        cumulated = []
        for increment, before in zip(added.all, last, strict=True):
            running = np.cumsum(increment, axis=3)
            if before is not None:
                running += before[:, :, :, -1:]
            for reset in sorted(self._plan.resets, key=lambda each: each.k):
                at = reset.k - first
                if 0 <= at < increment.shape[3]:
                    pods = slice(None) if reset.pod is None else slice(reset.pod, reset.pod + 1)
                    running[reset.arm, pods, :, at:] = np.cumsum(increment[reset.arm, pods, :, at:], axis=2)
            cumulated.append(running)
        self._last = Counters(*cumulated)
        return self._last

    def _rows(self, counters: Counters, arm: int) -> list[Line]:
        """What each scrape of a chunk shows of one arm."""
        if arm == CANARY and not self.kind.has_canary:
            return [{}] * counters.total.shape[3]
        over_pods = [each[arm].sum(axis=0) for each in counters.all]
        total, squares, buckets, lag_total, lag_buckets, predictions = (each.sum(axis=0) for each in over_pods)
        rows = self._losses(total, squares, buckets)
        lags = np.cumsum(lag_buckets, axis=1).tolist()
        for row, made, lag, lag_row in zip(rows, predictions.tolist(), lag_total.tolist(), lags, strict=True):
            row["predictions_total"] = made
            row["lag_sum"] = lag
            row["lag_buckets"] = lag_row
            row["segments"] = {}
        for index, name in enumerate(self._names):
            parts = self._losses(*(each[index] for each in over_pods[:3]))
            for row, part in zip(rows, parts, strict=True):
                segments = row["segments"]
                assert isinstance(segments, dict)
                segments[name] = part
        return rows

    def _losses(self, total: Floats, squares: Floats, buckets: Floats) -> list[Line]:
        """Loss counters, one object per scrape, from arrays of shape (scrapes,) and (scrapes, buckets)."""
        cumulative = np.cumsum(buckets, axis=1)
        if self._mode != "histogram":
            cumulative = cumulative[:, -1:]
        sums, sumsqs = _numbers(total), _numbers(squares)
        if self._mode == "sums":
            return [
                {"loss_sum": each, "loss_count": row[-1], "buckets": row}
                for each, row in zip(sums, cumulative.tolist(), strict=True)
            ]
        return [
            {"loss_sum": each, "loss_sumsq": square, "loss_count": row[-1], "buckets": row}
            for each, square, row in zip(sums, sumsqs, cumulative.tolist(), strict=True)
        ]


def _numbers(values: Floats) -> list[float | str]:
    plain: list[float | str] = values.tolist()
    if np.isfinite(values).all():
        return plain
    return [number(value) for value in values.tolist()]
