"""Rollouts whose labels come late and whose losses depend on how late: what the gate sees of them, drawn at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

import numpy as np

from modelslo.judge.betting import Array
from modelslo.judge.gate import Gate, advance
from modelslo.judge.increments import Delta, Step
from modelslo.judge.scale import Rules
from modelslo.judge.verdict import GateVerdict, verdict_of
from tests.unit.judge.series import DT, EDGES, LAG_EDGES

AGES = (60.0, 180.0, 360.0, 600.0, 1200.0, 2400.0, inf)
HISTORY = 7200.0

Level = Callable[[Array], Array]
"""Mean loss of labels by their age (s)."""


def even(age: Array) -> Array:
    """Losses that do not depend on age."""
    return np.ones_like(age)


def late_are_worse(age: Array) -> Array:
    """Four times as large from ten minutes on."""
    return np.where(age > 600.0, 4.0, 1.0)


def late_are_better(age: Array) -> Array:
    return np.where(age > 600.0, 1.0, 4.0)


def rules_of(aged: bool, *, delay: float | None = None, margin: float = 0.1, **change: object) -> Rules:
    """`aged`: by cohorts. `delay` (s): this is waited for and no histogram tells delays."""
    edges = LAG_EDGES if delay is None else ()
    found = {"ages": AGES if aged else (), "delay": delay or 0.0, **change}
    return Rules(EDGES, edges, margin, 3 * margin, 0.05, 0.05, 300.0, **found)  # type: ignore[arg-type]


@dataclass(frozen=True)
class World:
    """Predictions per second of stable and canary, mean delay (s), and mean losses of both by age.

    Half an hour of the canary's first predictions is no different from later ones; stable was there before.
    """

    rate: tuple[float, float] = (2.0, 1.0)
    delay: float = 600.0
    stable: Level = even
    canary: Level = even
    hours: float = 3.0

    def steps(self, rules: Rules, seed: int) -> Iterator[tuple[Step, bool]]:
        """Every half minute; the rollout begins at time 0."""
        rng = np.random.default_rng(seed)
        ends = np.arange(-HISTORY + DT, self.hours * 3600 + DT / 2, DT)
        arms = [
            self._arm(rules, rng, ends, rate, level, since)
            for rate, level, since in zip(
                self.rate, (self.stable, self.canary), (-HISTORY - 14_400.0, 0.0), strict=True
            )
        ]
        for number, end in enumerate(ends.tolist()):
            stable, canary = (arm[number] for arm in arms)
            yield Step(end, stable, canary if end > 0 else None), end > 0

    def _arm(
        self, rules: Rules, rng: np.random.Generator, ends: Array, rate: float, level: Level, since: float
    ) -> list[Delta]:
        number = rng.poisson(rate * (ends[-1] - since))
        made = rng.uniform(since, ends[-1], number)
        age = rng.exponential(self.delay, number)
        loss = rng.exponential(size=number) * level(age)
        at = np.searchsorted(ends, made + age)
        seen = (at < len(ends)) & (made + age > ends[0] - DT)
        at, age, loss = at[seen], age[seen], loss[seen]
        buckets = np.searchsorted(rules.edges, loss)
        lags = np.zeros((len(ends), len(LAG_EDGES) + 1))
        np.add.at(lags, (at, np.searchsorted(LAG_EDGES, age)), 1.0)
        ages = rules.ages or (inf,)
        rows, width = (1 + len(ages), len(EDGES) + 1) if rules.ages else (1, len(EDGES) + 1)
        counts, totals = np.zeros((len(ends), rows, width)), np.zeros((len(ends), rows))
        for row in (0, 1 + np.searchsorted(ages, age)) if rules.ages else (0,):
            np.add.at(counts, (at, row, buckets), 1.0)
            np.add.at(totals, (at, row), loss)
        predictions = np.histogram(made, np.concatenate(([ends[0] - DT], ends)))[0]
        return [
            Delta(one.sum(axis=1), total, None, one, float(predicted), lag if rules.lag_edges else None)
            for one, total, predicted, lag in zip(counts, totals, predictions, lags, strict=True)
        ]


@dataclass
class Course:
    """What the gate said: the first verdict and when (s after the rollout), and the gate at the end."""

    verdict: GateVerdict | None
    after: float
    gate: Gate


def judged(world: World, rules: Rules, seed: int, *, to_the_end: bool = False) -> Course:
    """One rollout, until its first verdict."""
    gate, first = Gate(), Course(None, inf, Gate())
    for step, started in world.steps(rules, seed):
        gate = advance(gate, rules, step, started)
        verdict = verdict_of(gate, rules, step.at)
        if first.verdict is None and verdict in (GateVerdict.ROLLBACK, GateVerdict.PROMOTE):
            first = Course(verdict, step.at, gate)
            if not to_the_end:
                return first
    return Course(first.verdict, first.after, gate)
