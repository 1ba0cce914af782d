"""Overdispersion of clustered labels: by how much block means scatter more than independent labels would (section 4.4).

e^(1/phi) with phi >= 1 is an e-value again (Jensen), so tempering costs power only. phi of a block rests on earlier
blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

PRIOR_WINDOWS: Final = 6.0
PRIOR: Final = 1.5
MOST_PRIOR: Final = 8.0
MOST_TERM: Final = 40.0


@dataclass(frozen=True, slots=True)
class Window:
    """Weight and weighted sum of contrasts in one window."""

    start: float = -inf
    weight: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Scatter:
    """Windows of one length: the one being filled, the one before, and the normalised squared differences so far."""

    span: float
    filling: Window = Window()
    before: Window | None = None
    terms: float = 0.0
    number: int = 0

    def add(self, at: float, weight: float, value: float, variance: float, most: float = MOST_TERM) -> Scatter:
        """Takes a contrast of variance `variance / weight` at time `at`; one term counts at most `most`."""
        filling, before, terms, number = self.filling, self.before, self.terms, self.number
        if filling.weight > 0 and at - filling.start >= self.span:
            if before is not None and variance > 0:
                step = filling.total / filling.weight - before.total / before.weight
                terms += min(step * step / (variance * (1 / filling.weight + 1 / before.weight)), most)
                number += 1
            filling, before = Window(), filling
        start = filling.start if filling.weight > 0 else at
        window = Window(start, filling.weight + weight, filling.total + weight * value)
        return Scatter(self.span, window, before, terms, number)

    def ratio(self, prior: float, windows: float = PRIOR_WINDOWS) -> float:
        """Shrunk towards `prior` as by so many windows."""
        return (windows * prior + self.terms) / (windows + self.number)


@dataclass(frozen=True, slots=True)
class Tempering:
    """``prior`` is the overdispersion of stable alone before the rollout."""

    prior: float
    scales: tuple[Scatter, ...]

    @staticmethod
    def of(prior: float, windows: tuple[float, ...]) -> Tempering:
        """On one block, and on windows of so many seconds."""
        return Tempering(prior, (Scatter(0.0), *(Scatter(span) for span in windows)))

    @property
    def phi(self) -> float:
        """Overdispersion that counts now, at least 1."""
        return max(1.0, *(scale.ratio(self.prior) for scale in self.scales))

    def add(self, at: float, weight: float, value: float, variance: float) -> Tempering:
        """Takes the contrast of a block."""
        return Tempering(self.prior, tuple(scale.add(at, weight, value, variance) for scale in self.scales))
