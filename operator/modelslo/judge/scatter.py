"""By how much means of windows scatter more than those of independent labels would (decision-statistics 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from math import exp, inf, log
from typing import Final

from modelslo.judge.frozen import frozen

PRIOR: Final = 1.5
# One term counts at most so many times the mean of those before: a jump of the level is an incident and no cluster.
MOST_TERM: Final = 12.0
_MOST_LOG: Final = 50.0


@frozen()
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


def joined(windows: Sequence[Window]) -> Window:
    """One window of several."""
    return Window(
        windows[0].start,
        sum(one.weight for one in windows),
        sum(one.total for one in windows),
        sum(one.variance for one in windows),
    )


def difference(now: Window, reference: Window) -> float | None:
    """Squared difference of two means, over what independent labels would make it on average."""
    expected = now.error + reference.error
    return (now.mean - reference.mean) ** 2 / expected if expected > 0 else None


@frozen()
class Tally:
    """Normalised squared differences of windows of one length: their sum and their number."""

    terms: float = 0.0
    number: int = 0

    @property
    def level(self) -> float:
        """Mean of the terms, and of one that is expected."""
        return max(1.0, (PRIOR + self.terms) / (1 + self.number))

    def add(self, term: float | None, limit: float) -> Tally:
        """Takes a term; it counts `limit` at most."""
        return self if term is None else Tally(self.terms + min(term, limit), self.number + 1)

    def ratio(self, prior: float, windows: float, worth: float = 1.0) -> float:
        """Overdispersion on this length of window, shrunk towards `prior` as by so many windows.

        A term says as much as `worth` independent ones. Above `prior` it counts by the probability that it is not
        chance: the Bayes factor of a scaled against an unscaled chi-squared sample, (n/2)(x - 1 - ln x), with
        Schwarz's penalty.
        """
        seen = worth * self.number
        if seen == 0:
            return prior
        number = windows + seen
        found = (windows * prior + worth * self.terms) / number
        excess = found / prior
        if excess <= 1:
            return found
        evidence = number / 2 * (excess - 1 - log(excess)) - log(seen + 1) / 2
        return prior * (1 + (excess - 1) / (1 + exp(-min(evidence, _MOST_LOG))))


@frozen()
class Scatter:
    """Neighbouring windows of one length: the one being filled, those before, and what was found so far.

    ``detrended``: second differences, which a slow wave (of a day) does not move.
    """

    span: float
    detrended: bool = False
    most: float = MOST_TERM
    filling: Window = field(default_factory=Window)
    before: Window | None = None
    earlier: Window | None = None
    tally: Tally = field(default_factory=Tally)

    def add(self, at: float, weight: float, value: float, variance: float) -> Scatter:
        """Takes a contrast of variance `variance` at time `at`."""
        filling, before, earlier, tally = self.filling, self.before, self.earlier, self.tally
        if filling.full(at, self.span):
            tally = tally.add(self._term(), self.most * tally.level)
            filling, before, earlier = Window(), filling, before
        window = filling.add(at, weight, weight * value, weight * weight * variance)
        return Scatter(self.span, self.detrended, self.most, window, before, earlier, tally)

    def _term(self) -> float | None:
        filling, before, earlier = self.filling, self.before, self.earlier
        if before is None or (self.detrended and earlier is None):
            return None
        if not self.detrended or earlier is None:
            return difference(filling, before)
        step = filling.mean - 2 * before.mean + earlier.mean
        expected = filling.error + 4 * before.error + earlier.error
        return step * step / expected if expected > 0 else None


def scatters_of_history(windows: tuple[float, ...]) -> tuple[Scatter, ...]:
    """Where stable alone is looked at before a rollout: on one scrape, and on these windows (s).

    Of the longer ones there are few, so that an incident would weigh more.
    """
    return Scatter(0.0, True), *(Scatter(span, True, most) for span, most in zip(windows, (8.0, 5.0), strict=True))
