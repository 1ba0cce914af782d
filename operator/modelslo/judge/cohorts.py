"""Cohorts of equal age, where the exporter tells the age of each label: strata that need no waiting (section 3.7).

A stratum is a segment at one age. No label in it is older than its upper edge U, so that from A >= U on, A seconds
after the canary's warm-up, both arms made all predictions that its labels are of: nothing in it is confounded by age.

What is compared first are quick labels alone. They can show that a canary is worse, not that it is not: it may be so
for late labels only. So bets on "not worse" begin once the strata that are compared hold 98 % of stable's labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from modelslo.judge.betting import Array, Mask

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Strata of one block by segment: ``present`` (P,) are segments, and ``index`` (G,) says which one a stratum is
    of, by its place in ``present``."""

    present: Index
    index: Index

    @property
    def member(self) -> Array:
        """(G, P), zeros and ones."""
        found: Array = np.eye(len(self.present))[self.index]
        return found

    def sums(self, values: Array) -> Array:
        """Over the strata of each segment: (..., G) becomes (..., P)."""
        found: Array = values @ self.member
        return found

    def mean(self, values: Array, weights: Array) -> Array:
        """For each stratum the weighted mean of its segment, all (G,)."""
        found: Array = (self.sums(weights * values) / self.sums(weights))[self.index]
        return found

    def most(self, values: Array) -> Array:
        """For each stratum the largest value of its segment, both (G,)."""
        found: Array = np.where(self.member > 0, values[:, None], -np.inf).max(axis=0)[self.index]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Cohorts:
    """Strata (G,) that are segments times ages, one segment after the other.

    ``ages`` (A,) are upper edges in seconds, ascending. The last one is infinite, also for labels of unknown age.
    """

    ages: Array
    segments: int

    def fit(self, age: float) -> Mask:
        """The strata (G,) that may be compared: no label in them is older than `age` (s)."""
        found: Mask = np.tile(np.less_equal(self.ages, age), self.segments)
        return found

    def groups(self, chosen: Mask | None) -> Groups:
        """Of the strata of a block; `chosen` (G,), None: all."""
        every = np.repeat(np.arange(self.segments), len(self.ages))
        present, index = np.unique(every if chosen is None else every[chosen], return_inverse=True)
        return Groups(present, index)

    def of_segments(self, strata: Mask) -> Mask:
        """Segments (P,) of which at least one of the strata (G,) is true."""
        found: Mask = np.logical_or.reduce(strata.reshape(self.segments, -1), axis=1)
        return found
