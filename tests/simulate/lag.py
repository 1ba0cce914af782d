"""When labels arrive after their predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from tests.simulate.words import Floats, Span

LagLaw = Literal["none", "fixed", "exponential", "loss", "batch"]

_NO_LAG_EDGES: Final = (30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0)
_FINE: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 24.0)
# How many times `seconds` nearly all labels have arrived: history begins so much before the first scrape.
_NEARLY_ALL: Final = {"none": 0.0, "fixed": 1.1, "exponential": 6.0, "loss": 9.0, "batch": 1.1}


@dataclass(frozen=True, slots=True)
class Lag:
    """Law of the label lag.

    ``fixed``: `seconds` ± 5 %. ``exponential``: mean `seconds`. ``loss``: grows with the loss, so that the early labels
    of a young version flatter it. ``batch``: all labels so far arrive together, every `seconds`.
    """

    law: LagLaw = "none"
    seconds: float = 0.0

    def draw(self, rng: np.random.Generator, time: Floats, relative: Floats, phase: float) -> Floats:
        """Lag in seconds of every label.

        Args:
            rng: Source of randomness.
            time: When the prediction was made, in seconds, shape (n,).
            relative: Loss over the mean of its time, shape (n,); NaN for a loss that is NaN.
            phase: When batches arrive, in seconds modulo `seconds`.
        """
        n = time.size
        if self.law == "none":
            return np.zeros(n)
        if self.law == "fixed":
            return self.seconds * (0.95 + 0.1 * rng.random(n))
        if self.law == "exponential":
            return self.seconds * rng.standard_exponential(n)
        if self.law == "loss":
            worse = np.minimum(np.nan_to_num(relative, nan=1.0), 6.0)
            return self.seconds * worse * (0.5 + rng.random(n))
        # A minute of work before the batch is sent.
        return np.ceil((time + 60.0 - phase) / self.seconds) * self.seconds + phase - time

    @property
    def edges(self) -> tuple[float, ...]:
        """Finite edges of the lag histogram in seconds: fine around the real lag, up to a day's backlog."""
        if self.law == "none":
            return _NO_LAG_EDGES
        return tuple(round(self.seconds * factor, 3) for factor in _FINE)

    @property
    def reach(self) -> float:
        """Seconds after which nearly all labels have arrived."""
        return _NEARLY_ALL[self.law] * self.seconds


@dataclass(frozen=True, slots=True)
class Backfill:
    """An outage of the labels that ends in one flood of old labels.

    Attributes:
        share: Share of the predictions whose labels wait.
        outage: Minutes before the rollout at which it begins.
        release: Minutes after the rollout at which all of them arrive.
    """

    share: float
    outage: Span
    release: Span
