"""How much losses vary when there is no histogram: by sums of squares, else by how block means scatter (section 5).

The variance of one loss is taken to grow with the square of its mean: what is estimated for each arm is its squared
coefficient of variation, CV^2, so that a season counts as little as differences between segments. Means are compared
with those of the block before, not with a forecast: that has errors of its own, which would look like clusters.
"""

from __future__ import annotations

from dataclasses import field, replace
from math import inf, isfinite, sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import Array, row_sums
from modelslo.judge.frozen import frozen
from modelslo.judge.scatter import Tally, Window, difference
from modelslo.judge.tempering import MOST_PRIOR, Tempering, tempering_of

CV2_UNKNOWN: Final = 2.0
"""Squared coefficient of variation of a loss that nobody has seen."""
_LEAST_CV2: Final = 1e-6
# Standard errors that are added to an estimate of overdispersion, on the shorter and on the longer window.
_DOUBT_OF_SUMS: Final = (1.5, 0.75)
_DOUBT_OF_SQUARES: Final = (0.75, 0.25)
_PRIOR_WINDOWS: Final = 2.0
_PRIOR_TERMS: Final = 10.0
_PRIOR_LABELS: Final = 50.0
_FEWEST_LABELS: Final = 5.0
# How many times the mean of shorter windows one term may be; means of few labels have heavier tails than of many.
_TERMS_TO_LIMIT: Final = 10
_MOST_OF_BLOCK: Final = 30.0
_MOST_OF_WINDOW: Final = 8.0


@frozen()
class Part:
    """Labels that wait for a block: number, their loss as if segments did not differ, and sum_g n_g forecast_g^2."""

    labels: float = 0.0
    total: float = 0.0
    square: float = 0.0


@frozen()
class Differences:
    """Squared differences of the means of neighbouring windows of `span` seconds, in units of CV^2: sum and number."""

    span: float = 0.0
    filling: Window = field(default_factory=Window)
    before: Window | None = None
    terms: float = 0.0
    number: int = 0

    def add(self, at: float, part: Part, most: float) -> Differences:
        """Takes the labels of a block that ended at `at`; one term counts at most `most`."""
        filling, before, terms, number = self.filling, self.before, self.terms, self.number
        if filling.full(at, self.span):
            term = None if before is None else difference(filling, before)
            if term is not None:
                terms, number = terms + min(term, most), number + 1
            filling, before = Window(), filling
        window = filling.add(at, part.labels, part.total, part.square)
        return Differences(self.span, window, before, terms, number)


@frozen()
class Noise:
    """Of one arm. ``scatters``: of block means on several lengths of window (s), in units of CV^2.

    ``within`` is the sum of squares around the means inside blocks, over forecast^2, of ``freedom`` labels. ``labels``,
    ``total``: all labels and their losses over the forecast.
    """

    scatters: tuple[Differences, ...] = (Differences(),)
    part: Part = Part()
    labels: float = 0.0
    total: float = 0.0
    within: float = 0.0
    freedom: float = 0.0

    def add(
        self, at: float, count: Array, total: Array, squares: Array | None, forecast: Array, overall: float
    ) -> Noise:
        """Takes the labels of a time that ended at `at`, per stratum, shapes (G,); `overall`: forecast of all strata.
        Without a forecast nothing is learned, nor from a sum that is no number."""
        if not all(one > 0 for one in (*count.tolist(), *forecast.tolist())):
            seen = (count > 0) & (forecast > 0)
            if not seen.any():
                return self
            count, total, forecast = count[seen], total[seen], forecast[seen]
            squares = None if squares is None else squares[seen]
        labels, summed = float(row_sums(count)), float(row_sums(total))
        if not isfinite(summed):
            return replace(self, part=Part())
        within, freedom = self.within, self.freedom
        if squares is not None:
            inner = (squares - total * total / count) / (forecast * forecast)
            if isfinite(float(row_sums(inner))):
                within, freedom = within + float(row_sums(np.maximum(inner, 0.0))), freedom + labels - len(count)
        part = Part(
            self.part.labels + labels,
            self.part.total + summed - float(count.dot(forecast - overall)),
            self.part.square + float(count.dot(forecast * forecast)),
        )
        scatters = self.scatters
        if part.labels >= _FEWEST_LABELS:
            scatters = tuple(one.add(at, part, most) for one, most in zip(scatters, self._most(), strict=True))
            part = Part()
        return Noise(
            scatters, part, self.labels + labels, self.total + float(row_sums(total / forecast)), within, freedom
        )

    def _most(self) -> list[float]:
        """The most that one term counts, so that an incident is not taken for noise: it begins and ends only once."""
        if self.scatters[0].number < _TERMS_TO_LIMIT:
            return [inf] * len(self.scatters)
        means = [one.terms / max(_TERMS_TO_LIMIT, one.number) for one in self.scatters]
        return [_MOST_OF_BLOCK * means[0], *(_MOST_OF_WINDOW * max(means[:end]) for end in range(1, len(means)))]

    def cv2(self, squares: bool) -> float:
        """CV^2 of one loss, from the squares or else from block means; the fewer they are, the more there may be."""
        terms, number = self._seen(squares)
        if number <= 0:
            return CV2_UNKNOWN
        return max(_LEAST_CV2, (terms + CV2_UNKNOWN / number) / number)

    def cv2_of_arm(self, squares: bool, stable: float) -> float:
        """The same of the canary relative to its own mean; it starts from `stable` and is not taken to be below."""
        terms, number = self._seen(squares)
        if self.labels <= 0 or self.total <= 0 or number <= 0:
            return stable
        mean = self.total / self.labels
        weight = _PRIOR_LABELS if squares and self.freedom > 0 else _PRIOR_TERMS
        return max(stable, (weight * stable + terms / (mean * mean)) / (weight + number))

    def variance(self, cv2: float) -> float:
        """Of one loss over the forecast, at this arm's mean so far."""
        mean = self.total / self.labels if self.labels > 0 else 1.0
        return cv2 * mean * mean

    def _seen(self, squares: bool) -> tuple[float, float]:
        if squares and self.freedom > 0:
            return self.within, self.freedom
        return self.scatters[0].terms, float(self.scatters[0].number)

    def tempering(self, cv2: float, squares: bool, span: float) -> Tempering:
        """What this history lets expect of overdispersion; `span` of the short window (s). Other than with a histogram
        it is estimated from above, by its standard error, since what independent labels would do is itself an
        estimate."""
        if not self.scatters[0].number:
            return tempering_of((), span)
        doubts = _DOUBT_OF_SQUARES if squares else _DOUBT_OF_SUMS
        shortest = Tally(self.scatters[0].terms / cv2, self.scatters[0].number)
        found = [max(1.0, shortest.ratio(1.0, 0.0)) if squares else 1.0]
        for scatter, doubt in zip(self.scatters[1:], doubts, strict=True):
            before, number = found[-1], scatter.number
            seen = (_PRIOR_WINDOWS * before + scatter.terms / cv2) / (_PRIOR_WINDOWS + number)
            found.append(min(MOST_PRIOR, max(before, seen * (1 + doubt / sqrt(max(1, number))))))
        return Tempering((found[0], found[1], found[2]), span)
