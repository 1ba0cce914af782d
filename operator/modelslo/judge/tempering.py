"""Overdispersion of clustered labels: by how much block means scatter more than independent labels would (section 4.4).

e^(1/phi) with phi >= 1 is an e-value again (Jensen), so tempering costs power only. phi of a block rests on earlier
blocks. It is looked at on one block and on longer windows. Where it grows with the window it is expected to grow on:
labels of one user come over a while, and of the longest windows there are few.

Other than in the study, the arms have variances of their own (a canary whose losses spread more is not clustered), an
estimate counts as far as it stands out from chance, and large clusters are not cut off. Measured in docs/judging.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import Final

PRIOR_WINDOWS: Final = 6.0
PRIOR: Final = 1.5
# Windows are few, and dependence beyond the longest is not seen: what is found counts for more.
SAFETY: Final = 0.4
CHANCE: Final = 1.4  # so much is found where labels are independent
MOST_PRIOR: Final = 30.0
# From one length of window to the next, before the rollout: a season moves stable alone, and both arms alike.
MOST_GROWTH: Final = 3.0
# One term counts at most so many times the mean of those before: a jump of the level is an incident and no cluster.
MOST_TERM: Final = 12.0
# Odds of one to two that labels are clustered, before anything is seen.
_LOG_ODDS: Final = 0.7
_MOST_LOG: Final = 50.0


@dataclass(frozen=True, slots=True)
class Window:
    """Weight, weighted sum of contrasts, and what that sum's variance would be with independent labels."""

    start: float = -inf
    weight: float = 0.0
    total: float = 0.0
    variance: float = 0.0

    def add(self, at: float, weight: float, total: float, variance: float) -> Window:
        """Takes what came until `at`; an empty window begins then."""
        start = self.start if self.weight > 0 else at
        return Window(start, self.weight + weight, self.total + total, self.variance + variance)

    def full(self, at: float, span: float) -> bool:
        """Whether it has lasted `span` seconds at `at`."""
        return self.weight > 0 and at - self.start >= span

    @property
    def mean(self) -> float:
        return self.total / self.weight

    @property
    def error(self) -> float:
        """Variance of the mean."""
        return self.variance / self.weight**2


@dataclass(frozen=True, slots=True)
class Scatter:
    """Windows of one length: the one being filled, those before, and the normalised squared differences so far.

    ``detrended``: second differences, which a slow wave (of a day) does not move.
    """

    span: float
    detrended: bool = False
    filling: Window = Window()
    before: Window | None = None
    earlier: Window | None = None
    terms: float = 0.0
    number: int = 0

    def add(self, at: float, weight: float, value: float, variance: float) -> Scatter:
        """Takes a contrast of variance `variance` at time `at`."""
        filling, before, earlier = self.filling, self.before, self.earlier
        terms, number = self.terms, self.number
        if filling.full(at, self.span):
            term = self._term()
            if term is not None:
                terms += min(term, MOST_TERM * max(1.0, (PRIOR + terms) / (1 + number)))
                number += 1
            filling, before, earlier = Window(), filling, before
        window = filling.add(at, weight, weight * value, weight * weight * variance)
        return Scatter(self.span, self.detrended, window, before, earlier, terms, number)

    def _term(self) -> float | None:
        """Squared difference of the windows that are full, over what independent labels would make it."""
        filling, before, earlier = self.filling, self.before, self.earlier
        if before is None or (self.detrended and earlier is None):
            return None
        step, expected = filling.mean - before.mean, filling.error + before.error
        if self.detrended and earlier is not None:
            step, expected = step - before.mean + earlier.mean, expected + 3 * before.error + earlier.error
        return step * step / expected if expected > 0 else None

    def ratio(self, prior: float, windows: float = PRIOR_WINDOWS) -> float:
        """Overdispersion on this length of window, shrunk towards `prior` as by so many windows.

        Above `prior` it counts by the probability that it is not chance: the Bayes factor of a scaled against an
        unscaled chi-squared sample, (n/2)(x - 1 - ln x), with Schwarz's penalty.
        """
        if self.number == 0:
            return prior
        number = windows + self.number
        found = (windows * prior + self.terms) / number
        excess = found / prior
        if excess <= 1:
            return found
        evidence = number / 2 * (excess - 1 - log(excess)) - log(self.number + 1) / 2 - _LOG_ODDS
        return prior * (1 + (excess - 1) / (1 + exp(-min(evidence, _MOST_LOG))))


@dataclass(frozen=True, slots=True)
class Tempering:
    """``priors`` are what is expected on each length of window before the first block is seen."""

    priors: tuple[float, ...]
    scales: tuple[Scatter, ...]

    @staticmethod
    def of(history: tuple[Scatter, ...], windows: tuple[float, ...]) -> Tempering:
        """On one block, and on windows of so many seconds; `history`: scatter of stable alone on the first two."""
        return Tempering(priors_of(history), (Scatter(0.0), *(Scatter(span) for span in windows)))

    @property
    def phi(self) -> float:
        """Overdispersion that counts now, at least 1."""
        found = max(1.0, *_chained(self.scales, self.priors))
        return found + SAFETY * max(0.0, found - CHANCE)

    def add(self, at: float, weight: float, value: float, variance: float) -> Tempering:
        """Takes the contrast of a block."""
        return Tempering(self.priors, tuple(scale.add(at, weight, value, variance) for scale in self.scales))


def priors_of(history: tuple[Scatter, ...]) -> tuple[float, float, float]:
    """Overdispersion of stable alone on one scrape and on the shorter window, and what it lets expect on the longer."""
    if not history or not history[0].number:
        return PRIOR, PRIOR, PRIOR
    scrape = min(max(1.0, history[0].ratio(1.0, 0.0)), MOST_PRIOR)
    window = min(max(scrape, history[1].ratio(scrape, 2.0)), MOST_GROWTH * scrape)
    return scrape, window, min(window * sqrt(window / scrape), MOST_GROWTH * window)


def _chained(scales: tuple[Scatter, ...], priors: tuple[float, ...]) -> list[float]:
    """Overdispersion per length; a longer window is expected to show no less, and half the growth (in logs) on."""
    found: list[float] = []
    growth = 1.0
    for scale, prior in zip(scales, priors, strict=True):
        before = found[-1] if found else 1.0
        found.append(scale.ratio(max(prior, before * growth), PRIOR_WINDOWS if not found else PRIOR_WINDOWS / 2))
        growth = max(1.0, sqrt(found[-1] / before)) if len(found) > 1 else 1.0
    return found
