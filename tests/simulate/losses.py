"""Families of losses. All but 0/1 losses are a shape of mean 1 times the wanted mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, log
from typing import Final, Literal

import numpy as np

from tests.simulate.words import Floats

Family = Literal["exponential", "lognormal", "gamma", "pareto", "chi2", "zeros", "bimodal", "binary"]

_Shape = Callable[[np.random.Generator, int, float], Floats]


def _bimodal(rng: np.random.Generator, n: int, upper: float) -> Floats:
    """Two humps at 0.4 and, with probability `upper`, where the mean becomes 1. Each has a CV of 0.22."""
    high = (1.0 - 0.4 * (1.0 - upper)) / upper
    return np.where(rng.random(n) < upper, high, 0.4) * rng.standard_gamma(20.0, n) / 20.0


_SHAPES: Final[Mapping[Family, _Shape]] = {
    "exponential": lambda rng, n, _: rng.standard_exponential(n),
    "lognormal": lambda rng, n, sigma: np.exp(sigma * rng.standard_normal(n) - sigma * sigma / 2.0),
    "gamma": lambda rng, n, shape: rng.standard_gamma(shape, n) / shape,
    "pareto": lambda rng, n, index: (1.0 + rng.pareto(index, n)) * (index - 1.0) / index,
    "chi2": lambda rng, n, _: rng.standard_normal(n) ** 2,
    "zeros": lambda rng, n, zeros: (rng.random(n) >= zeros) * rng.standard_exponential(n) / (1.0 - zeros),
    "bimodal": _bimodal,
}


@dataclass(frozen=True, slots=True)
class Loss:
    """A family and its number: sigma (lognormal), shape (gamma), index (pareto), share of zeros or of the upper."""

    family: Family
    number: float = 0.0

    def draw(self, rng: np.random.Generator, mean: Floats) -> Floats:
        """One loss for every entry of `mean`, shape (n,). The mean of a 0/1 loss is its probability."""
        if self.family == "binary":
            assert mean.size == 0 or float(mean.max()) <= 1.0, "a 0/1 loss cannot have a mean above 1"
            return (rng.random(mean.size) < mean).astype(np.float64)
        return _SHAPES[self.family](rng, mean.size, self.number) * mean

    def edges(self, typical: float, ratio: float) -> tuple[float, ...]:
        """Finite bucket edges (study, section 3): from 1/30 to 30 times the typical loss; 0, 0.5, 1 for 0/1 losses."""
        if self.family == "binary":
            return (0.0, 0.5, 1.0)
        steps = ceil(log(900.0) / log(ratio))
        return tuple(float(f"{typical / 30.0 * ratio**step:.6g}") for step in range(steps + 1))


EXPONENTIAL: Final = Loss("exponential")
LOGNORMAL: Final = Loss("lognormal", 1.0)
WIDE_LOGNORMAL: Final = Loss("lognormal", 1.6)
GAMMA: Final = Loss("gamma", 2.0)
NEAR_CONSTANT: Final = Loss("gamma", 25.0)
PARETO: Final = Loss("pareto", 2.5)
LIGHT_PARETO: Final = Loss("pareto", 4.0)
WILD_PARETO: Final = Loss("pareto", 2.2)
SQUARED: Final = Loss("chi2")
ZEROS: Final = Loss("zeros", 0.7)
BIMODAL: Final = Loss("bimodal", 0.2)
BINARY: Final = Loss("binary")
