"""Drift of stable by an e-detector: the expected time between false alarms is stated (decision-statistics section 6).

Blocks of five minutes of stable's labels are bet against "its mean loss is at most the level of the SLO". With
M <- max(M, 0) + min(ln e / phi, ln A / K) per bet, the alarm at sum pi exp(M) >= A comes once in A blocks on average
while the SLO is kept (Shin, Ramdas & Rinaldo 2024), and never before K bad blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import floor, isfinite, log, sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import SUM_BETS, Array, Bets, bets_for, even_bets, log_e_of_contrast, log_mean_exp
from modelslo.judge.frozen import changed, frozen
from modelslo.judge.history import History
from modelslo.judge.increments import Delta
from modelslo.judge.scale import CV2_UNKNOWN, Data, Rules, data_of, scores_of
from modelslo.judge.season import Season, season_of

_MARGIN: Final = 0.2
_MASSES: Final = (0.1, 0.5)
_LEAST_LABELS: Final = 30.0
_LARGEST_Z: Final = 3.0
_ONE_BET: Final = np.ones(1)
_GAPS: Final = 4.0
_LEAST_BLOCKS: Final = 6
_DAYS_KEPT: Final = 15


class Health(StrEnum):
    """State of the detector."""

    HEALTHY = "Healthy"
    DRIFT = "Drift"
    INSUFFICIENT = "Insufficient"


@dataclass(frozen=True, slots=True)
class DriftRules:
    """``level`` is the SLO's mean loss; times in seconds. An alarm needs ``persistence``."""

    level: float
    false_interval: float
    persistence: float
    block: float = 300.0

    @property
    def log_a(self) -> float:
        """ln of the expected number of blocks between two false alarms."""
        return log(max(self.false_interval / self.block, 2.0))

    def index(self, at: float) -> int:
        """The block that a scrape at that time is of."""
        return floor(at / self.block - 1e-9)

    @property
    def blocks(self) -> int:
        """Least number of bad blocks before an alarm, K."""
        return max(1, round(self.persistence / self.block))


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What is frozen when watching begins. ``level`` is on the scale of the scores, ``phi`` the overdispersion."""

    data: Data
    scores: Array
    level: float
    season: Season
    phi: float
    variance: float
    bets: Bets


@frozen(eq=False)
class Block:
    """Stable's labels in one block of five minutes."""

    index: int
    labels: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    buckets: Array = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, eq=False)
class Detector:
    """``past`` holds (middle, labels, mean score, mean loss) of blocks of the history, for the baseline."""

    window: Block | None = None
    past: tuple[tuple[float, float, float, float], ...] = ()
    baseline: Baseline | None = None
    wealth: Array | None = None
    log_e: float = 0.0
    recent: tuple[tuple[int, float], ...] = ()  # labels of the blocks within the persistence
    last_label: float | None = None
    gap: float = 0.0
    alarmed_at: float | None = None


def detect(detector: Detector, rules: Rules, drift: DriftRules, delta: Delta | None, at: float) -> Detector:
    """Takes one scrape of stable. Before :func:`began` only the baseline is learned."""
    index = drift.index(at)
    window = detector.window
    if window is not None and index > window.index:
        detector = closed(detector, rules, drift, window)
        window = None
    if delta is None or delta.labels <= 0:
        return detector if window is detector.window else changed(detector, window=window)
    window = _add(window or Block(index, buckets=np.zeros(delta.buckets.shape[1])), delta)
    gap = 0.0 if detector.last_label is None else at - detector.last_label
    gap = 0.9 * detector.gap + 0.1 * gap if detector.gap else gap
    return changed(detector, window=window, last_label=at, gap=gap)


def _add(window: Block, delta: Delta) -> Block:
    return Block(
        window.index,
        window.labels + delta.labels,
        window.total + float(delta.total[0]),
        window.squares + (float(delta.squares[0]) if delta.squares is not None else 0.0),
        window.buckets + delta.buckets[0],
    )


def began(detector: Detector, rules: Rules, drift: DriftRules, history: History) -> Detector:
    """Freezes the baseline from the history and starts to watch."""
    data, scores = data_of(rules, history), scores_of(rules.edges)
    if data is not Data.HISTOGRAM:
        scores = np.zeros(0)
    past = np.array(detector.past).reshape(-1, 4)
    known = len(past) >= _LEAST_BLOCKS
    level, ratio = drift.level, 1.0
    if len(scores) and known:
        usable = np.isfinite(past[:, 3])
        raw = float(past[usable, 1] @ past[usable, 3])
        scored = float(past[usable, 1] @ past[usable, 2])
        ratio = scored / raw if raw > 0 else 1.0
    means = past[:, 2] if len(scores) else past[:, 3]
    keep = np.isfinite(means)
    past, means = past[keep], means[keep]
    known = len(past) >= _LEAST_BLOCKS
    season, fit = season_of(past[:, 0], past[:, 1], means, rules.tempo) if known else (Season(rules.tempo.day), means)
    cv2, variance = _spread(history, data, scores, past, means, fit)
    phi = 1.0
    if known and len(scores) and variance > 0:
        phi = max(1.0, float((past[:, 1] * (means - fit) ** 2).mean()) / variance)
    bets = even_bets(SUM_BETS) if data is Data.SUMS else bets_for(cv2, 1 + _MARGIN, _MASSES)
    baseline = Baseline(data, scores, level * ratio, season, phi, variance, bets)
    return changed(detector, baseline=baseline, wealth=np.zeros(len(bets.sizes)), log_e=0.0, past=())


def _spread(history: History, data: Data, scores: Array, past: Array, means: Array, fit: Array) -> tuple[float, float]:
    """Squared coefficient of variation and variance of one loss, as far as the data tell it."""
    labels = history.labels
    if labels < _LEAST_LABELS or not len(past):
        return CV2_UNKNOWN, 0.0
    if data is Data.HISTOGRAM:
        mean, square = history.scored_moments(scores)
        variance = square - mean * mean
    else:
        mean = float(past[:, 1] @ means / past[:, 1].sum())
        variance = float((past[:, 1] * (means - fit) ** 2).mean())
        if data is Data.SQUARES and history.squares is not None:
            variance = float(history.squares[0]) / labels - mean * mean
    if mean <= 0 or not isfinite(variance) or variance <= 0:
        return CV2_UNKNOWN, 0.0
    return variance / (mean * mean), variance


def closed(detector: Detector, rules: Rules, drift: DriftRules, window: Block) -> Detector:
    """Takes a block that is over: into the baseline, or once watching has begun, into the detector."""
    middle = (window.index + 0.5) * drift.block
    if detector.baseline is None or detector.wealth is None:
        scores = scores_of(rules.edges)
        scored = float(window.buckets @ scores) / window.labels if len(scores) else float("nan")
        kept = (*detector.past[-int(_DAYS_KEPT * 288) :], (middle, window.labels, scored, window.total / window.labels))
        return changed(detector, past=kept)
    log_e = _log_e(detector.baseline, window, middle)
    recent = tuple(one for one in detector.recent if one[0] > window.index - drift.blocks)
    after = changed(detector, recent=(*recent, (window.index, window.labels)))
    if log_e is None:
        return after
    wealth = np.maximum(detector.wealth, 0.0) + np.minimum(log_e / detector.baseline.phi, drift.log_a / drift.blocks)
    log_mixture = float(log_mean_exp(wealth, detector.baseline.bets.log_mass))
    alarmed = (window.index + 1) * drift.block if log_mixture >= drift.log_a - 1e-9 else None
    return changed(after, wealth=wealth, log_e=log_mixture, alarmed_at=alarmed)


def _log_e(baseline: Baseline, window: Block, middle: float) -> Array | None:
    """ln e of a block per bet, shape (L,); None when its sum is no number or there is no scale."""
    level, bets = baseline.level * baseline.season.at(middle), baseline.bets.sizes
    if baseline.data is Data.HISTOGRAM:
        found: Array = np.log1p((bets / level)[:, None] * (baseline.scores - level)[None, :]) @ window.buckets
        return found
    if not isfinite(window.total):
        return None
    first = window.total - window.labels * level
    if baseline.data is Data.SQUARES:
        second = max(0.0, window.squares - 2 * level * window.total + window.labels * level * level)
        second = max(second, window.labels * baseline.variance)
        by_labels: Array = bets / level * first - (-np.log1p(-bets) - bets) / (level * level) * second
        if baseline.variance <= 0:
            return by_labels
        # A loss that is many times the level is lost on, label by label: half of each bet goes by the block's sum.
        both: Array = np.logaddexp(by_labels, _by_sum(first, window.labels, baseline.variance, _ONE_BET)) - log(2)
        return both
    if baseline.variance <= 0:
        return None
    return _by_sum(first, window.labels, baseline.variance, SUM_BETS)


def _by_sum(first: float, labels: float, variance: float, bets: Array) -> Array:
    """ln e per bet of so many labels whose sum is by `first` above the level's; `variance` of one loss.

    By :func:`log_e_of_contrast` of b z, where E z <= 0 and E z^2 <= 1. Cut off from above both stay so, and a jump that
    no bet was made for still counts.
    """
    z, squares = min(first / sqrt(variance * labels), _LARGEST_Z), bets * bets
    return log_e_of_contrast(bets * z, squares * (z * z), squares)


def health_of(detector: Detector, drift: DriftRules, at: float, quiet: float) -> Health:
    """Absence of labels is reported and never an alarm."""
    if detector.last_label is None or at - detector.last_label > max(quiet, _GAPS * detector.gap):
        return Health.INSUFFICIENT
    if detector.alarmed_at is not None:
        return Health.DRIFT
    if sum(labels for _, labels in detector.recent) < _LEAST_LABELS:
        return Health.INSUFFICIENT
    return Health.HEALTHY
