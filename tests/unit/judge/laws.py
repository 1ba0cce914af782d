"""Laws of a loss by their bucket probabilities, so that what is true of the bucketed loss is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import erf, exp, log, sqrt

import numpy as np

from modelslo.judge.betting import Array
from modelslo.judge.scale import scores_of

Cdf = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Law:
    """A loss of mean about one: its distribution function, and edges as section 3 of the study asks for them."""

    name: str
    cdf: Cdf
    edges: tuple[float, ...] = tuple(2.0**k for k in range(-5, 6))

    @property
    def scores(self) -> Array:
        return scores_of(self.edges)

    def chances(self, factor: float = 1.0) -> Array:
        """Probability of each bucket, shape (K,), when the loss is `factor` times as large."""
        below = np.array([0.0, *(self.cdf(edge / factor) for edge in self.edges), 1.0])
        found: Array = np.diff(below)
        return found

    def mean(self, factor: float = 1.0) -> float:
        """Of the bucketed loss."""
        return float(self.chances(factor) @ self.scores)

    def worse(self, ratio: float) -> Array:
        """Bucket probabilities of the same loss, larger by what makes the bucketed mean `ratio` times stable's."""
        return _worse(self, ratio)


@lru_cache(maxsize=1024)
def _worse(law: Law, ratio: float) -> Array:
    low, high = 0.01, 5.0
    for _ in range(60):
        middle = sqrt(low * high)
        low, high = (middle, high) if law.mean(middle) < ratio * law.mean() else (low, middle)
    return law.chances(high)


@dataclass(frozen=True, slots=True)
class Coin(Law):
    """A loss of zero or one; a worse one is more often one."""

    cdf: Cdf = lambda x: 0.8
    chance: float = 0.2

    def chances(self, factor: float = 1.0) -> Array:
        found = np.zeros(len(self.edges) + 1)
        found[0] = 1 - self.chance * factor
        found[np.searchsorted(self.edges, 1.0)] += self.chance * factor
        return found


def _lognormal(sigma: float) -> Cdf:
    return lambda x: 0.5 * (1 + erf((log(x) + sigma * sigma / 2) / (sigma * sqrt(2))))


LIGHT = Law("exponential", lambda x: 1 - exp(-x))
NARROW = Law("gamma of shape 3", lambda x: 1 - exp(-3 * x) * (1 + 3 * x + 4.5 * x * x))
HEAVY = Law("lognormal of sigma 1.2", _lognormal(1.2))
WILD = Law("Pareto of index 2.5, whose kurtosis is infinite", lambda x: 1 - (1 + x / 1.5) ** -2.5)
COIN = Coin("Bernoulli", edges=(0.0, 0.5, 1.0))
LAWS = (LIGHT, NARROW, HEAVY, WILD, COIN)
