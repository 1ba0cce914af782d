"""Overdispersion of clustered labels: what evidence is divided by (decision-statistics section 4.4).

e^(1/phi) with phi >= 1 is an e-value again (Jensen), so tempering costs power only. phi of a block rests on earlier
blocks. It is looked at on one block, on 5, 20 and 80 minutes. Where it grows with the window it is expected to grow on:
labels of one user come over a while, and of the longest windows there are few.

Other than in the study, the arms have variances of their own (a canary whose losses spread more is not clustered), an
estimate counts as far as it stands out from chance, large clusters are not cut off, windows overlap and are held
against several before them (the neighbour alone shares a slow wander), and stable's history tells of 20 minutes too.
Measured in docs/judging-evidence.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Final

from modelslo.judge.frozen import frozen
from modelslo.judge.scatter import PRIOR as PRIOR
from modelslo.judge.scatter import Scatter, Tally, Window, difference, joined

PRIOR_WINDOWS: Final = 6.0
_PRIOR_OF_LONGER: Final = 3.0
_PRIOR_OF_HISTORY: Final = 2.0
# Windows are few, and dependence beyond the longest is not seen: what is found counts for more.
SAFETY: Final = 0.4
CHANCE: Final = 1.4  # so much is found where labels are independent
MOST_PRIOR: Final = 30.0
# From one length of window to the next, before the rollout: a season moves stable alone, and both arms alike.
MOST_GROWTH: Final = 3.0
# One for the level of the short window, one for its growth.
_UNSHARED: Final = 2


@dataclass(frozen=True, slots=True)
class Length:
    """A window of `parts` short ones is held against up to `reference` short ones before it, at every `every`-th.

    One term counts at most `most` times the level of those before that share no window with it: a jump of the level
    is in all that overlap, and would raise the limit for itself from one to the next.
    """

    parts: int
    reference: int
    every: int
    most: float

    @property
    def worth(self) -> float:
        """How many independent differences an overlapping one is worth."""
        steps = self.parts / self.every
        return 1.5 / steps if steps > 1 else 1.0

    @property
    def overlapping(self) -> int:
        """How many terms in a row share a window."""
        return (self.parts + self.reference) // self.every


_LENGTHS: Final = (Length(1, 3, 1, 10.0), Length(4, 12, 1, 6.0), Length(16, 32, 4, 6.0))
_KEPT: Final = max(one.parts + one.reference for one in _LENGTHS)


@frozen()
class Tempering:
    """``priors`` are what is expected on one block, the short window (``span``, s) and four of them, before the first
    block is seen. ``past`` are the newest short windows, of ``number`` in all; ``tallies`` per length of window, the
    newest last, as far back as a term shares a window with the next one."""

    priors: tuple[float, float, float]
    span: float
    block: Scatter = field(default_factory=lambda: Scatter(0.0))
    filling: Window = field(default_factory=Window)
    past: tuple[Window, ...] = ()
    number: int = 0
    tallies: tuple[tuple[Tally, ...], ...] = ((Tally(),),) * len(_LENGTHS)

    @property
    def phi(self) -> float:
        """Overdispersion that counts now, at least 1.

        A longer window is expected to show no less than a shorter one, four short ones half of its growth on (in
        logarithms), and sixteen half of what the history let expect.

        What moves both arms alike is in stable's history and in no contrast. Where the short window shows less than
        the history let expect, its growth from there on is believed less, too.
        """
        block, short, four = self.priors
        first = self.block.tally.ratio(max(block, 1.0), PRIOR_WINDOWS)
        second = self._ratio(0, max(short, first))
        four *= min(1.0, second / short) ** _UNSHARED
        third = self._ratio(1, max(four, second * max(1.0, sqrt(second / first))))
        fourth = self._ratio(2, max(third, sqrt(third * four)))
        found = max(1.0, first, second, third, fourth)
        return found + SAFETY * max(0.0, found - CHANCE)

    def _ratio(self, index: int, prior: float) -> float:
        return self.tallies[index][-1].ratio(prior, _PRIOR_OF_LONGER, _LENGTHS[index].worth)

    def add(self, at: float, weight: float, value: float, variance: float) -> Tempering:
        """Takes the contrast of a block."""
        block = self.block.add(at, weight, value, variance)
        filling, past, number, tallies = self.filling, self.past, self.number, self.tallies
        if filling.full(at, self.span):
            past, number, filling = (*past[1 - _KEPT :], filling), number + 1, Window()
            tallies = tuple(
                _counted(one, before, prior, past, number)
                for one, before, prior in zip(_LENGTHS, tallies, (*self.priors[1:], self.priors[2]), strict=True)
            )
        filling = filling.add(at, weight, weight * value, weight * weight * variance)
        return Tempering(self.priors, self.span, block, filling, past, number, tallies)


def _counted(
    length: Length, tallies: tuple[Tally, ...], prior: float, past: tuple[Window, ...], number: int
) -> tuple[Tally, ...]:
    """With the window that ends now, once there are enough before it."""
    if number % length.every or len(past) < 2 * length.parts:
        return tallies
    term = difference(joined(past[-length.parts :]), joined(past[-length.parts - length.reference : -length.parts]))
    limit = length.most * max(prior, tallies[0].level)
    return (*tallies, tallies[-1].add(term, limit))[-length.overlapping :]


def tempering_of(history: tuple[Scatter, ...], span: float) -> Tempering:
    """`history`: scatter of stable alone, see :func:`scatters_of_history`; `span` of the short window (s)."""
    return Tempering(priors_of(history), span)


def priors_of(history: tuple[Scatter, ...]) -> tuple[float, float, float]:
    """Overdispersion of stable alone on one scrape, the short window and four of them."""
    if not history or not history[0].tally.number:
        return PRIOR, PRIOR, PRIOR
    block, short, four = (one.tally for one in history)
    first = min(max(1.0, block.ratio(1.0, 0.0)), MOST_PRIOR)
    second = min(max(first, short.ratio(first, _PRIOR_OF_HISTORY)), MOST_GROWTH * first)
    expected = min(second * sqrt(second / first), MOST_GROWTH * second)
    third = min(max(second, four.ratio(expected, _PRIOR_OF_HISTORY)), MOST_GROWTH * second)
    return first, second, third
