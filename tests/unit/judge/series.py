"""Recorded series for tests of the gate: processes that count as a client library does, and the fold over scrapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from modelslo.judge.betting import Array
from modelslo.judge.evalues import EValues
from modelslo.judge.gate import Gate, advance
from modelslo.judge.increments import Counters, Meters, Reading, Step, step_of
from modelslo.judge.scale import Rules
from modelslo.judge.trial import Trial
from modelslo.judge.verdict import GateVerdict, verdict_of

EDGES = tuple(2.0**k for k in range(-5, 6))
LAG_EDGES = (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0, 7200.0, 14400.0)
DT = 30.0
HOLDS = {
    GateVerdict.INSUFFICIENT_DATA,
    GateVerdict.IMMATURE,
    GateVerdict.INCIDENT,
    GateVerdict.NEAR_MARGIN,
    GateVerdict.NAN_LOSS,
}
HOUR = round(3600 / DT)
ENOUGH = log(20)
RIPE = 13
"""Scrapes of the canary until its warm-up is over and labels of now may be compared."""


def rules_of(**change: Any) -> Rules:
    """Defaults of the study; keyword arguments replace some."""
    return replace(Rules(EDGES, LAG_EDGES, 0.1, 0.3, 0.05, 0.05, 300.0), **change)


class Process:
    """One process: cumulative counters of predictions, losses and label delays, since it started."""

    def __init__(self, rules: Rules) -> None:
        rows = 1 + len(rules.segments)
        self._rules = rules
        self.predictions = 0.0
        self.count, self.total, self.squares = np.zeros(rows), np.zeros(rows), np.zeros(rows)
        self.buckets = np.zeros((rows, len(rules.edges) + 1))
        self.lags = np.zeros(len(rules.lag_edges) + 1)

    def serve(
        self, losses: npt.ArrayLike, *, lag: float = 10.0, segment: str | None = None, predictions: float | None = None
    ) -> Process:
        """Counts labels that came `lag` seconds after their predictions. A NaN loss counts in the last bucket."""
        values = np.asarray(losses, dtype=float)
        rows = [0] if segment is None else [0, 1 + self._rules.segments.index(segment)]
        self.predictions += len(values) if predictions is None else predictions
        found = np.searchsorted(self._rules.edges, values)
        for row in rows:
            self.count[row] += len(values)
            self.total[row] += values.sum()
            self.squares[row] += (values * values).sum()
            self.buckets[row] += np.bincount(found, minlength=self.buckets.shape[1])
        self.lags[np.searchsorted(self._rules.lag_edges, lag)] += len(values)
        return self

    def counters(self) -> Counters:
        """As scraped now."""
        delays = np.cumsum(self.lags) if self._rules.lag_edges else np.zeros(0)
        cumulative = np.cumsum(self.buckets, axis=1).ravel()
        return Counters(
            np.concatenate(([self.predictions], self.count, cumulative, delays)),
            self.total.copy(),
            self.squares.copy() if self._rules.has_squares else None,
            len(delays),
        )


def together(*processes: Process) -> Counters:
    """What `sum by (version)` makes of several processes."""
    first, *others = (one.counters() for one in processes)
    for other in others:
        squares = None if first.squares is None or other.squares is None else first.squares + other.squares
        first = Counters(first.values + other.values, first.total + other.total, squares, first.delays)
    return first


class Rollout:
    """Stable with a history, then a canary beside it: both serve, both are scraped every half minute.

    Losses are drawn from `chance`, from a stream of its own for each arm, so that a fault in one run does not change
    what is drawn in it later.
    """

    def __init__(self, rules: Rules | None = None, *, seed: int = 1, history: int = 120, mean: float = 1.0) -> None:
        self.rules = rules or rules_of()
        self.mean = mean
        self.now = 0.0
        self.stable, self.canary = Process(self.rules), Process(self.rules)
        self.gate, self.meters = Gate(), Meters()
        self.readings: tuple[Reading, Reading] = (Reading.MISSING, Reading.MISSING)
        self.steps: list[tuple[Step, bool]] = []
        self._of_stable, self._of_canary = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
        self.started = False
        self.run(history, n_c=0)
        self.started = True

    def draw(self, n: int, arm: str = "stable") -> Array:
        """Losses of mean one."""
        return (self._of_stable if arm == "stable" else self._of_canary).exponential(size=n)

    def serve(self, ratio: float = 1.0, *, n_s: int = 40, n_c: int = 10, lag: float = 10.0) -> None:
        """Half a minute of traffic with labels; `ratio` of the canary's mean loss to stable's."""
        self.now += DT
        segments: Sequence[str | None] = self.rules.segments or (None,)
        for segment in segments:
            self.stable.serve(self.mean * self.draw(n_s), lag=lag, segment=segment)
            self.canary.serve(self.mean * ratio * self.draw(n_c, "canary"), lag=lag, segment=segment)

    def look(self, *, stable: bool = True, canary: bool = True) -> GateVerdict:
        """Scrapes those arms that are there."""
        return self.take(
            self.stable.counters() if stable else None, self.canary.counters() if canary and self.started else None
        )

    def take(self, stable: Counters | None, canary: Counters | None, at: float | None = None) -> GateVerdict:
        """Judges one scrape."""
        at = self.now if at is None else at
        self.meters, step, self.readings = step_of(self.meters, at, stable, canary, self.rules.tempo, self.rules.edges)
        self.steps.append((step, self.started))
        self.gate = advance(self.gate, self.rules, step, self.started)
        return verdict_of(self.gate, self.rules, at)

    def run(self, scrapes: int, ratio: float = 1.0, **served: Any) -> list[GateVerdict]:
        """Serves and looks so many times."""
        found = []
        for _ in range(scrapes):
            self.serve(ratio, **served)
            found.append(self.look())
        return found

    @property
    def trial(self) -> Trial:
        """State of the rollout."""
        assert self.gate.trial is not None
        return self.gate.trial

    @property
    def e(self) -> EValues:
        """Logarithms."""
        return self.trial.e

    @property
    def blocks(self) -> int:
        """That were compared."""
        return self.trial.contrast.blocks

    @property
    def compared(self) -> tuple[float, float]:
        """Labels of stable and canary that were compared."""
        return self.trial.contrast.stable, self.trial.contrast.canary


class Narrow(Rollout):
    """Losses with a standard deviation of a fifth of their mean, in buckets twice as wide as the one before."""

    shape = 25.0

    def draw(self, n: int, arm: str = "stable") -> Array:
        chance = self._of_stable if arm == "stable" else self._of_canary
        return np.asarray(chance.standard_gamma(self.shape, n) / self.shape)


class Constant(Narrow):
    """Losses that hardly vary: a standard deviation of a thirtieth of their mean."""

    shape = 900.0


def bits(value: Any) -> Any:
    """A state as something that is equal only when every bit of every number is."""
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, *(bits(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, tuple):
        return tuple(bits(one) for one in value)
    return value.hex() if isinstance(value, float) else value


def first(found: list[GateVerdict], verdict: GateVerdict) -> int:
    """Number of looks until that verdict."""
    return found.index(verdict) + 1


def ripe(**change: object) -> Rollout:
    """A rollout whose labels are compared from the next scrape on."""
    rollout = Rollout(rules_of(**change))
    rollout.run(RIPE)
    assert rollout.trial.ripe
    return rollout
