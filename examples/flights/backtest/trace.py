"""From flights and their losses to the lines of the replay interface: what an exporter would have shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from examples.flights.data import SEGMENTS, Flights, Floats, event_time, segment_of
from modelslo.exporter import geometric_buckets

Line = dict[str, object]
"""One JSON object of the replay interface."""
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

TARGET: Final = 65.0
EDGES: Final = geometric_buckets(TARGET)
LAG_EDGES: Final = tuple(600.0 * step for step in range(1, 73))  # every 10 minutes, up to 12 hours
_ALL: Final = len(SEGMENTS)  # the column of the whole arm, after the segments'


@dataclass(frozen=True, slots=True)
class Settings:
    """What the judge is told: what `modelslo.yaml` says, where it says it. Times in seconds."""

    margin: float = 0.1
    segment_margin: float = 0.3
    alpha: float = 0.05
    beta: float = 0.05
    warmup: float = 7200.0
    false_retrain_days: float = 90.0
    retrain_persist: float = 43_200.0

    def meta(self, trace: str, *, dt: float, k0: int, has_canary: bool) -> Line:
        """The first line of a trace."""
        return {
            "type": "meta",
            "trace": trace,
            "dt": dt,
            "k0": k0,
            "edges": list(EDGES),
            "lag_edges": list(LAG_EDGES),
            "margin": self.margin,
            "segment_margin": self.segment_margin,
            "alpha": self.alpha,
            "beta": self.beta,
            "warmup_s": self.warmup,
            "slo_loss": TARGET,
            "has_canary": has_canary,
            "segments": list(SEGMENTS),
            "false_retrain_days": self.false_retrain_days,
            "retrain_persist_s": self.retrain_persist,
            "has_sumsq": True,
        }


@dataclass(frozen=True, slots=True)
class Times:
    """When a trace starts, when its rollout does, and when it ends: dates of event time; ``dt`` in seconds."""

    begin: str
    rollout: str
    end: str
    dt: float = 60.0

    @property
    def k0(self) -> int:
        """Number of the scrape at which the rollout starts."""
        return round((event_time(self.rollout) - event_time(self.begin)) / self.dt)

    @property
    def scrapes(self) -> int:
        """How many there are."""
        return round((event_time(self.end) - event_time(self.begin)) / self.dt) + 1


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Flights, who predicted them, and the loss of that prediction (minutes^2; NaN: never counted)."""

    flights: Flights
    by_canary: Flags
    loss: Floats

    @staticmethod
    def of(flights: Flights, stable: Floats, canary: Floats | None, drawn: Flags) -> Served:
        """`stable` and `canary` are the losses of both versions on all flights; `drawn` went to the canary."""
        loss = stable if canary is None else np.where(drawn, canary, stable)
        return Served(flights, drawn, loss)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One trace, ready to be replayed as often as one likes."""

    name: str
    times: Times
    served: Served
    has_canary: bool = True
    settings: Settings = field(default_factory=Settings)

    @property
    def meta(self) -> Line:
        """The first line."""
        return self.settings.meta(self.name, dt=self.times.dt, k0=self.times.k0, has_canary=self.has_canary)

    @property
    def end(self) -> Line:
        """The last line."""
        return {"type": "end", "trace": self.name}

    def scrapes(self) -> Iterator[Line]:
        """The lines between; a canary is there, with counters of zero, from the scrape at which the rollout starts."""
        stable, canary = self._arm(~self.served.by_canary), self._arm(self.served.by_canary)
        for k in range(self.times.scrapes):
            started = self.has_canary and k >= self.times.k0
            arms = {"stable": stable.line(k)} | ({"canary": canary.line(k)} if started else {})
            yield {
                "type": "scrape",
                "trace": self.name,
                "k": k,
                "t": k * self.times.dt,
                "rollout_started": started,
                "arms": arms,
            }

    def lines(self) -> Iterator[Line]:
        """All lines."""
        yield self.meta
        yield from self.scrapes()
        yield self.end

    def _arm(self, chosen: Flags) -> Arm:
        return Arm.of(self.served.flights.select(chosen), self.served.loss[chosen], self.times)


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """Cumulative counters of one arm at every scrape; S scrapes, G segments and then the whole, K and J buckets."""

    predictions: Ints
    """(S,)"""
    count: Ints
    """(S, G + 1)"""
    total: Floats
    squares: Floats
    buckets: Ints
    """(S, G + 1, K), cumulative over K as well."""
    lags: Ints
    """(S, J), cumulative over J as well."""
    lag_total: Floats
    """(S,), seconds."""

    @staticmethod
    def of(flights: Flights, loss: Floats, times: Times) -> Arm:
        """What the flights of one arm leave behind; those before the trace begins are not counted."""
        departed = _scrape(flights.departure, times)
        landed = _scrape(flights.landing, times)
        known = (departed >= 0) & (landed < times.scrapes) & np.isfinite(loss)
        loss, landed, lag = loss[known], landed[known], flights.air_time[known] * 60.0
        segment = np.array(
            [SEGMENTS.index(segment_of(one)) for one in flights.distance[known].tolist()], dtype=np.int64
        )
        width, wide = len(SEGMENTS) + 1, len(EDGES) + 1
        cell = landed * width + segment
        bucket = np.searchsorted(EDGES, loss, side="left")
        late = np.searchsorted(LAG_EDGES, lag, side="left")

        def by_segment(weights: Floats) -> Floats:
            return _with_whole(_summed(cell, weights, times.scrapes * width).reshape(times.scrapes, width))

        ones = np.ones(len(loss))
        buckets = _summed(cell * wide + bucket, ones, times.scrapes * width * wide)
        lags = _summed(landed * (len(LAG_EDGES) + 1) + late, ones, times.scrapes * (len(LAG_EDGES) + 1))
        inside = departed[(departed >= 0) & (departed < times.scrapes)]
        return Arm(
            predictions=_summed(inside, np.ones(len(inside)), times.scrapes).cumsum().astype(np.int64),
            count=by_segment(ones).astype(np.int64),
            total=by_segment(loss),
            squares=by_segment(loss**2),
            buckets=_with_whole(buckets.reshape(times.scrapes, width, wide)).cumsum(axis=2).astype(np.int64),
            lags=lags.reshape(times.scrapes, -1).cumsum(axis=0).cumsum(axis=1).astype(np.int64),
            lag_total=_summed(landed, lag, times.scrapes).cumsum(),
        )

    def line(self, k: int) -> Line:
        """The counters at scrape `k`."""
        return {
            **self._series(k, _ALL),
            "predictions_total": int(self.predictions[k]),
            "lag_sum": float(self.lag_total[k]),
            "lag_buckets": self.lags[k].tolist(),
            "segments": {name: self._series(k, column) for column, name in enumerate(SEGMENTS)},
        }

    def _series(self, k: int, column: int) -> Line:
        return {
            "loss_sum": float(self.total[k, column]),
            "loss_sumsq": float(self.squares[k, column]),
            "loss_count": int(self.count[k, column]),
            "buckets": self.buckets[k, column].tolist(),
        }


def _scrape(moments: Floats, times: Times) -> Ints:
    """The first scrape that shows what happened then; beyond the last one where it never happened."""
    number = np.ceil((moments - event_time(times.begin)) / times.dt)
    return np.where(np.isfinite(number), number, times.scrapes).astype(np.int64)


def _summed(cell: Ints, weights: Floats, cells: int) -> Floats:
    return np.bincount(cell, weights=weights, minlength=cells).astype(np.float64)


def _with_whole(added: Floats) -> Floats:
    """Running totals over the scrapes; the last column becomes the sum of the segments."""
    total = added.cumsum(axis=0)
    total[:, _ALL] = total[:, :_ALL].sum(axis=1)
    return total
