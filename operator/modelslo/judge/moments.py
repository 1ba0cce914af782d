"""Mean and variance of a loss from what Prometheus has of it.

With buckets the loss is winsorised and scored by the middle of its bucket (decision-statistics section 4.1): one
outlier cannot decide, and a NaN in ``_sum`` does no harm. Without buckets the sums serve, with the squares when they
are exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Final

from modelslo.observe.evidence import Losses

_BEYOND_LAST_EDGE: Final = 1.25


@dataclass(frozen=True, slots=True)
class Moments:
    """Number of samples, sum of scores and sum of squared scores; ``squares`` None: the variance is not known."""

    count: float = 0.0
    total: float = 0.0
    squares: float | None = 0.0

    def __add__(self, other: Moments) -> Moments:
        known = self.squares is not None and other.squares is not None
        return Moments(
            self.count + other.count,
            self.total + other.total,
            (self.squares or 0.0) + (other.squares or 0.0) if known else None,
        )

    @property
    def mean(self) -> float:
        """Mean score; needs at least one sample."""
        return self.total / self.count

    @property
    def variance(self) -> float | None:
        """Variance of one score (population form); None when the squares are not known."""
        if self.squares is None:
            return None
        return max(0.0, self.squares / self.count - self.mean**2)


ZERO: Final = Moments()


@lru_cache(maxsize=256)
def scores(edges: tuple[float, ...]) -> tuple[float, ...]:
    """Score of each bucket: its middle, half of the first edge, and 1.25 times the last edge beyond it."""
    lower = (0.0, *edges)
    middles = tuple((low + high) / 2 for low, high in zip(lower, edges, strict=False))
    return (*middles, edges[-1] * _BEYOND_LAST_EDGE)


def moments_of(losses: Losses, edges: tuple[float, ...]) -> Moments | None:
    """Moments of an increment; None when its numbers are not finite, so that it cannot be used."""
    if losses.buckets and len(losses.buckets) == len(edges) + 1:
        values = scores(edges)
        return Moments(
            count=sum(losses.buckets),
            total=sum(n * v for n, v in zip(losses.buckets, values, strict=True)),
            squares=sum(n * v * v for n, v in zip(losses.buckets, values, strict=True)),
        )
    if not isfinite(losses.total) or (losses.squares is not None and not isfinite(losses.squares)):
        return None
    return Moments(losses.count, losses.total, losses.squares)
