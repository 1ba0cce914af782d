"""Whether late labels are worse, or better, than quick ones: then 2 % of the labels may be much more of the loss.

A fraud is found out weeks later, a click is never undone: the delay of a label often goes with its loss. The joint law
is not exported, but losses and delays of one scrape are of the same labels. With y the sum of stable's losses, and n_q
and n_l the numbers of its quick and late labels,

    y = m_q n_q + m_l n_l + noise,

by least squares over differences of neighbouring scrapes (a season moves these little), each weighted by its number of
labels. A canary that has quick labels alone then looks by m_q / m better than it is, where m is the mean over all.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import Array, row_sums
from modelslo.judge.frozen import changed

_LEAST_SCRAPES: Final = 20
_STANDARD_ERRORS: Final = 2.0
# Neighbouring differences have a scrape in common, in labels and noise: 1 + 2 (1/2)^2 times the variance.
_SHARED: Final = 1.5
_SINGULAR: Final = 1e-9


def nearest(low: float, high: float) -> float:
    """The number nearest to zero of an interval."""
    return min(max(low, 0.0), high)


@dataclass(frozen=True, eq=False)
class Lateness:
    """Weighted sums over ``number`` differences: of products of the labels by delay (J, J), of these with the loss
    (J,), and of the squared loss. ``labels`` (J,) and ``loss`` are those of the scrape before."""

    labels: Array | None = None
    loss: float = 0.0
    products: Array | None = None
    with_loss: Array | None = None
    squares: float = 0.0
    number: int = 0

    def add(self, labels: Array, loss: float) -> Lateness:
        """Takes stable's labels by delay (J,) and the sum of their losses of one scrape."""
        before = self.labels
        if not isfinite(loss):
            return changed(self, labels=None)
        if before is None or len(before) != len(labels):
            kept = self if self.products is not None and len(self.products) == len(labels) else Lateness()
            return changed(kept, labels=labels, loss=loss)
        weight = float(row_sums(labels) + row_sums(before))
        if weight <= 0 or weight == labels[0] + before[0]:  # none was late
            return changed(self, labels=labels, loss=loss)
        step, change = labels - before, loss - self.loss
        scaled = step / weight
        products, with_loss = np.multiply.outer(scaled, step), scaled * change
        if self.products is not None and self.with_loss is not None:
            products, with_loss = self.products + products, self.with_loss + with_loss
        return Lateness(labels, loss, products, with_loss, self.squares + change * change / weight, self.number + 1)

    def bias(self, counts: Array, older: Array) -> float:
        """By how much, relative to it, the mean of all labels is at least above that of quick ones; below 0: under it.
        0 where it is not known.

        `counts` (J,) are the usual labels by delay, `older` (J,) the part of each that is late. Two standard errors of
        the estimate are taken off its size.
        """
        return nearest(*self.between(counts, older))

    def between(self, counts: Array, older: Array) -> tuple[float, float]:
        """The same by its least and its greatest value, two standard errors off; infinite where it is not known."""
        late, total, quick = float(counts.dot(older)), float(row_sums(counts)), 1.0 - older
        if late <= 0:
            return 0.0, 0.0
        if self.products is None or self.with_loss is None or self.number < _LEAST_SCRAPES or total <= late:
            return -inf, inf
        of_late = self.products.dot(older)
        a, b, c = float(quick.dot(self.products.dot(quick))), float(quick.dot(of_late)), float(older.dot(of_late))
        p, q = float(quick.dot(self.with_loss)), float(older.dot(self.with_loss))
        determinant = a * c - b * b
        if determinant <= _SINGULAR * a * c:
            return -inf, inf
        quick_mean, late_mean = (c * p - b * q) / determinant, (a * q - b * p) / determinant
        share = late / total
        mean = (1 - share) * quick_mean + share * late_mean
        if mean <= 0:
            return -inf, inf
        variance = max(0.0, self.squares - quick_mean * p - late_mean * q) / self.number
        error = share * sqrt(_SHARED * variance * a / determinant) / mean
        found = 1 - quick_mean / mean
        return found - _STANDARD_ERRORS * error, found + _STANDARD_ERRORS * error

    def swelling(self, counts: Array, older: Array, kept: float) -> float:
        """By how much, relative to it, the mean of labels of now is above the usual one where only `kept` of the
        traffic that made the `older` ones is left: there are fewer quick ones beside them. Below 0: under it."""
        late, total = float(counts.dot(older)), float(row_sums(counts))
        if late <= 0 or total <= late:
            return 0.0
        part = late / total
        quick = (1 - part) * (1 - self.bias(counts, older))  # share of the loss
        return (1 - quick + kept * quick) / (part + kept * (1 - part)) - 1
