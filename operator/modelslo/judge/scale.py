"""What is frozen when a rollout starts: how losses are scored, bets, tail, overdispersion, kind of data.

Nothing of it may look at what will be judged: it rests on stable's history alone (decision-statistics 4.3 to 4.6, 5).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from typing import Final

import numpy as np

from modelslo.api.status import LossData
from modelslo.judge.betting import Array, Bets, Mask, bets_for, bets_of_sums, with_smaller
from modelslo.judge.cohorts import Cohorts
from modelslo.judge.history import Forecast, History
from modelslo.judge.noise import CV2_UNKNOWN as CV2_UNKNOWN
from modelslo.judge.tails import Tail, Tails, tails_of
from modelslo.judge.timing import Tempo

# Of b*/2, b*, 2 b*, 4 b*, measured over fifteen kinds of regression: much larger bets are seldom the best ones.
MASSES_ROLLBACK: Final = (0.05, 0.2, 0.3, 0.3)
MASSES_PROMOTE: Final = (0.15, 0.5, 0.15)
Data = LossData
MOST_BEYOND: Final = 0.02
MOST_OFF: Final = 0.3
NARROW: Final = 0.4
"""Standard deviation over width, below which buckets misread the mean by half a point and more."""
_LEAST_ABOUT: Final = 0.25
_LEAST_CV2: Final = 1e-6
# Without history: up to a squared coefficient of variation of 128, as of errors of which there is one in 130.
_UNKNOWN_OCTAVES: Final = 5
_UNKNOWN_SHARE: Final = 0.3
SMALLEST_SEGMENT: Final = 0.01
_LEAST_HISTORY: Final = 50.0
_BEYOND_LAST_EDGE: Final = 1.25


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user promises and allows; times in seconds, margins relative.

    ``edges`` are the finite upper bounds of the loss buckets, ``lag_edges`` those of the label delays. ``delay`` stands
    in where no delays are exported. ``tail`` false: only means matter. ``ages`` are the upper edges (s) of the ages by
    which the exporter tells labels apart, the last one infinite; empty where it does not.
    """

    edges: tuple[float, ...]
    lag_edges: tuple[float, ...]
    margin: float
    segment_margin: float
    alpha: float
    beta: float
    warmup: float
    segments: tuple[str, ...] = ()
    has_squares: bool = True
    delay: float = 0.0
    tail: bool = True
    tempo: Tempo = field(default_factory=Tempo)
    ages: tuple[float, ...] = ()

    @property
    def strata(self) -> slice:
        """Rows of :class:`Delta` that are compared: the segments, each at each age, or the whole arm."""
        return slice(1, None) if self.segments or self.ages else slice(0, 1)

    @property
    def number_of_strata(self) -> int:
        return max(1, len(self.segments)) * max(1, len(self.ages))


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Frozen parameters of one rollout. ``pooled`` maps strata of the data to those that are judged (G)."""

    data: Data
    scores: Array
    cv2: float
    forecast: Forecast
    beyond: float  # share of stable's losses above the last edge
    tails: Tails
    back: Bets
    forth: Bets
    segment_back: Bets
    segment_forth: Bets
    signed: Array  # bets of back, then those of forth with a minus
    segment_signed: Array
    pooled: Array  # (G, strata of the data), zeros and ones
    served: Mask  # (G,) strata of which stable had labels
    r: float
    segment_r: float
    top: float  # the largest loss that counts, over stable's mean; 1 without a histogram, where no loss limits a bet
    cohorts: Cohorts | None = None  # None: a stratum is a segment

    @property
    def guessed(self) -> bool:
        """Whether no history told how much losses vary."""
        return self.cv2 == CV2_UNKNOWN

    @property
    def scored_by(self) -> Array | None:
        """Scores of the buckets (K,), None where losses are not judged by them."""
        return self.scores if self.data is Data.HISTOGRAM else None

    @property
    def strata(self) -> int:
        return len(self.pooled)

    @property
    def segments(self) -> int:
        return self.strata if self.cohorts is None else self.cohorts.segments


@lru_cache(maxsize=256)
def scores_of(edges: tuple[float, ...]) -> Array:
    """Score of each bucket, shape (K,): its middle, half of the first edge, and 1.25 times the last edge beyond it.

    Empty without edges. With scores the loss is winsorised: one outlier cannot decide (section 4.1).
    """
    lower = (0.0, *edges)
    middles = [(low + high) / 2 for low, high in zip(lower, edges, strict=False)]
    scores = np.array([*middles, edges[-1] * _BEYOND_LAST_EDGE] if edges else [], dtype=np.float64)
    scores.flags.writeable = False  # everybody has the same one
    return scores


@lru_cache(maxsize=256)
def halves_of(edges: tuple[float, ...]) -> Array:
    """Half the width of each bucket, shape (K,): how far its losses are at most from its score; 0 beyond the last."""
    found = np.array([*((high - low) / 2 for low, high in zip((0.0, *edges), edges, strict=False)), 0.0])
    found.flags.writeable = False
    return found


def scale_of(rules: Rules, history: History) -> Scale:
    scores, data = scores_of(rules.edges), _compared_by(rules, history)
    known = history.labels >= _LEAST_HISTORY
    cv2 = _cv2(history, data, scores) if known else CV2_UNKNOWN
    pooled = _pooled(rules, history)
    seen, rows = history.scored if data is Data.HISTOGRAM else history.raw, rules.strata
    forecast = Forecast.of(len(pooled))
    if seen is not None:
        forecast = Forecast(pooled @ seen.labels[rows], pooled @ seen.total[rows])
    r, segment_r = 1 + rules.margin, 1 + rules.segment_margin

    def bets(ratio: float, worse: bool) -> Bets:
        if data is not Data.HISTOGRAM:
            found = bets_of_sums(cv2, ratio, worse)
        else:
            found = bets_for(cv2, ratio, MASSES_ROLLBACK if worse else MASSES_PROMOTE)
        return with_smaller(found, _UNKNOWN_OCTAVES, _UNKNOWN_SHARE) if cv2 == CV2_UNKNOWN else found

    back, forth = bets(r, True), bets(r, False)
    segment_back, segment_forth = bets(segment_r, True), bets(segment_r, False)
    return Scale(
        data=data,
        scores=scores,
        cv2=cv2,
        forecast=forecast,
        beyond=float(history.buckets[0, -1]) / history.labels if rules.edges and known else 0.0,
        tails=Tails.of(_tails(rules, history, scores) if rules.edges and rules.tail and known else (), len(scores)),
        back=back,
        forth=forth,
        segment_back=segment_back,
        segment_forth=segment_forth,
        signed=np.concatenate((back.sizes, -forth.sizes)),
        segment_signed=np.concatenate((segment_back.sizes, -segment_forth.sizes)),
        pooled=pooled,
        served=(pooled @ history.count[rows] > 0) if known else np.zeros(len(pooled), dtype=bool),
        r=r,
        segment_r=segment_r,
        top=float(scores[-1]) / forecast.overall if data is Data.HISTOGRAM and forecast.overall > 0 else 1.0,
        cohorts=Cohorts(np.array(rules.ages), len(pooled) // len(rules.ages)) if rules.ages else None,
    )


def data_of(rules: Rules, history: History) -> Data:
    """The best that is fit for judging one version. Buckets that were made for another scale are not."""
    without = Data.SQUARES if rules.has_squares and (history.squares is not None or not history.labels) else Data.SUMS
    if not rules.edges or rules.edges[-1] <= 0:
        return without
    if history.labels < _LEAST_HISTORY:
        return Data.HISTOGRAM
    counts, sound = history.buckets[0], history.sound
    if counts[-1] > MOST_BEYOND * history.labels:
        return without
    if sound.total > 0 and abs(sound.scored / sound.total - 1) > MOST_OFF:
        return without
    return Data.HISTOGRAM


def _compared_by(rules: Rules, history: History) -> Data:
    """The best that is fit for telling two versions apart. Buckets that are too wide for the loss are not."""
    data, deviation = data_of(rules, history), history.sound.deviation
    if data is not Data.HISTOGRAM or history.labels < _LEAST_HISTORY or deviation is None:
        return data
    mean, counts = history.sound.mean, history.buckets[0]
    return Data.SQUARES if too_wide(rules.edges, counts, mean, deviation, 1 + rules.margin) is not None else data


def too_wide(
    edges: Sequence[float], counts: Sequence[float] | Array, mean: float, deviation: float, r: float
) -> int | None:
    """The bucket that is too wide for losses of this mean and standard deviation, where such a mean or one `r` times as
    large lies: it would hardly tell the two apart. None where none is.

    `counts` are stable's losses by bucket. Losses that are not about their mean are not narrow, however rare the
    others: errors of 0 and 1 are read right.
    """
    place = bisect_left(edges, mean)
    if not mean > 0 or counts[place] < _LEAST_ABOUT * sum(counts):
        return None
    found = max(place, bisect_left(edges, r * mean), key=lambda one: _width(edges, one))
    return found if deviation < NARROW * _width(edges, found) else None


def _width(edges: Sequence[float], place: int) -> float:
    """Of a bucket; 0 above the last edge."""
    return edges[place] - (edges[place - 1] if place else 0.0) if place < len(edges) else 0.0


def _cv2(history: History, data: Data, scores: Array) -> float:
    if data is not Data.HISTOGRAM:
        return history.noise.cv2(data is Data.SQUARES)
    mean, square = history.scored_moments(scores)
    return max(_LEAST_CV2, square / (mean * mean) - 1) if mean > 0 and isfinite(square) else CV2_UNKNOWN


def _tails(rules: Rules, history: History, scores: Array) -> tuple[Tail, ...]:
    mean = max(history.sound.mean, history.scored_moments(scores)[0])
    return tails_of(rules.edges, history.buckets[0], mean, rules.margin)


def _pooled(rules: Rules, history: History) -> Array:
    """Segments below one per cent of stable's labels are judged together, at each age for itself."""
    number, ages = max(1, len(rules.segments)), max(1, len(rules.ages))
    every = np.eye(number * ages)
    if number == 1 or history.labels < _LEAST_HISTORY:
        return every
    share = history.count[rules.strata].reshape(number, ages).sum(axis=1) / history.labels
    small = share < SMALLEST_SEGMENT
    if small.sum() < 2:
        return every
    rows = [row for index, row in enumerate(np.eye(number)) if not small[index]]
    return np.kron(np.array([*rows, small.astype(float)]), np.eye(ages))
