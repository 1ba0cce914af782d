"""One rollout under judgement: blocks of both arms in, e-values out (decision-statistics sections 3.5, 4).

:mod:`modelslo.judge.gate` says which labels may be compared; here they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp
from typing import Final

import numpy as np

from modelslo.judge.betting import Array, Mask, row_sums
from modelslo.judge.blocks import Division, Filling, Pair, pair_of
from modelslo.judge.contrast import Contrast, Moments
from modelslo.judge.evalues import EValues, Wealth, start, values, with_block, with_copy
from modelslo.judge.frozen import changed
from modelslo.judge.history import Forecast, History
from modelslo.judge.increments import Delta
from modelslo.judge.misread import Misread
from modelslo.judge.noise import Noise
from modelslo.judge.scale import Data, Rules, Scale, halves_of, scale_of
from modelslo.judge.shares import Shares
from modelslo.judge.tails import TailForecast
from modelslo.judge.tempering import Tempering, tempering_of
from modelslo.judge.wagers import Sample, Spread, Wagers, of_tails_alone, wagers

_LEAST_FORECAST: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Trial:
    """What belongs to one rollout, from its first scrape on."""

    scale: Scale
    wealth: Wealth
    empty: Filling
    filling: Filling
    forecast: Forecast
    tail_forecasts: tuple[TailForecast, ...]
    noise: tuple[Noise, Noise]  # of stable and of the canary, without a histogram
    tempering: Tempering
    met: Mask  # strata that have labels, or had some in stable's history
    canary_spread: Moments = field(default_factory=Moments)  # in units of stable's forecast
    stable_spread: Moments = field(default_factory=Moments)  # of plain losses, where no history tells it
    contrast: Contrast = field(default_factory=Contrast)
    misread: Misread = field(default_factory=Misread)
    e: EValues = field(default_factory=EValues)
    first_prediction: float | None = None
    shares: Shares = field(default_factory=Shares)
    began: float | None = None  # the first block
    closed: float | None = None  # the newest
    canary_nan: bool = False
    ripe: bool = False
    # Where it is told how old labels are: the blocks that a promotion rests on, and since when they are of all ages.
    whole: Contrast | None = None
    whole_since: float | None = None

    @property
    def cv2(self) -> float:
        """Squared coefficient of variation of one loss of stable: by its history, else by what was compared so far."""
        if not self.scale.guessed:
            return self.scale.cv2
        if self.scale.data is Data.HISTOGRAM:
            return self.stable_spread.cv2(self.scale.cv2)
        return self.noise[0].cv2(self.scale.data is Data.SQUARES)

    @property
    def top(self) -> float:
        """The largest loss that counts, over stable's mean; 1 where no loss limits a bet."""
        seen = self.stable_spread
        if not self.scale.guessed or not seen.total > 0:
            return self.scale.top
        return float(self.scale.scores[-1]) * seen.labels / seen.total

    @property
    def young(self) -> bool:
        """Whether no more than quick labels may be compared now."""
        return self.whole is not None and self.whole_since is None


def trial_of(rules: Rules, history: History) -> Trial:
    """Freezes what the rollout is judged by, from stable's history."""
    scale = scale_of(rules, history)
    squares = scale.data is not Data.SUMS
    none = Sample.empty(scale.strata, len(scale.scores), squares)
    labels = min(history.labels, float(scale.forecast.labels.sum()) or history.labels)
    return Trial(
        scale=scale,
        wealth=start(scale, rules),
        empty=Filling(none, none),
        filling=Filling(none, none),
        forecast=scale.forecast,
        tail_forecasts=tuple(TailForecast(labels, labels * tail.share) for tail in scale.tails.each),
        noise=(replace(history.noise, scatters=history.noise.scatters[:1]), Noise()),
        met=scale.served,
        misread=Misread((history.sound.scored, history.sound.total)),
        tempering=tempering_of(history.scales, rules.tempo.windows[0])
        if scale.data is Data.HISTOGRAM
        else history.noise.tempering(scale.cv2, scale.data is Data.SQUARES, rules.tempo.windows[0]),
        whole=Contrast() if rules.lag_edges or scale.cohorts is not None else None,
    )


def sample_of(trial: Trial, rules: Rules, delta: Delta) -> Sample:
    """An increment in the strata that are judged."""
    rows, pooled = rules.strata, trial.scale.pooled
    squares = None if delta.squares is None or trial.scale.data is Data.SUMS else delta.squares[rows]
    if pooled.shape[0] == pooled.shape[1]:
        return Sample(delta.count[rows], delta.total[rows], squares, delta.buckets[rows])
    return Sample(
        pooled @ delta.count[rows],
        pooled @ delta.total[rows],
        None if squares is None else pooled @ squares,
        pooled @ delta.buckets[rows],
    )


def closed(trial: Trial, filling: Filling, rules: Rules, at: float) -> Trial:
    """Judges the block that is being filled, once both arms have enough labels in strata that both have."""
    since = filling.since
    if since is None:
        return changed(trial, filling=filling)
    division = filling.divided(at, at - since, rules.tempo.block, trial.empty)
    if division is None:
        return changed(trial, filling=filling)
    return _judged(trial, rules, division, since, at)


def _judged(trial: Trial, rules: Rules, division: Division, since: float, at: float) -> Trial:
    """Takes a block that began at `since` into the e-processes, and then into what is expected of the next one."""
    scale, canary, stable, chosen = trial.scale, division.canary, division.stable, division.chosen
    histogram = scale.data is Data.HISTOGRAM
    pair, forecast = pair_of(canary, stable, scale.scored_by), _forecast(trial, chosen)
    next_forecast, next_tails = _forecasts(trial, rules, stable, pair.scored_stable, at - since, chosen)
    if any(one != one for one in forecast.tolist()):
        # The first labels of a stratum without history only make its forecast.
        known = ~np.isnan(forecast)
        canary, stable, forecast = canary.rows(known), stable.rows(known), forecast[known]
        pair, chosen = pair_of(canary, stable, scale.scored_by), _narrowed(chosen, known)
    usable = _usable(scale, canary, stable)
    if not len(forecast) or not (usable or scale.tails.each):
        return changed(trial, filling=division.rest, forecast=next_forecast, tail_forecasts=next_tails)
    phi = trial.tempering.phi
    expected = None if histogram else _expected(trial, phi)
    found = _bet(trial, rules, canary, stable, forecast, chosen, expected, usable)
    began = at if trial.began is None else trial.began
    # A segment that nobody ever asked for does not hold a promotion up.
    met = trial.met | (np.True_ if chosen is None else chosen)
    whole = trial.whole is None or (trial.whole_since is not None and since >= trial.whole_since)
    canary_spread, stable_spread = _spreads(trial, pair, forecast)
    wealth = with_block(_restarted(trial.wealth, at - began, rules.tempo.restart), scale, found, phi, whole)
    return changed(
        trial,
        filling=division.rest,
        forecast=next_forecast,
        tail_forecasts=next_tails,
        wealth=wealth,
        began=began,
        closed=at if usable else trial.closed,
        e=values(wealth, scale.tails.each, met if scale.cohorts is None else scale.cohorts.of_segments(met)),
        met=met,
        whole=trial.whole.add(pair) if trial.whole is not None and whole and usable else trial.whole,
        contrast=trial.contrast.add(pair) if usable else trial.contrast,
        misread=_misread(trial, rules, pair, at) if histogram else trial.misread,
        tempering=_tempered(trial, pair, expected, at) if usable else trial.tempering,
        canary_spread=canary_spread,
        stable_spread=stable_spread,
        noise=trial.noise
        if histogram or not usable
        else _noised(trial.noise, pair, forecast, trial.forecast.overall, at),
    )


def _bet(
    trial: Trial,
    rules: Rules,
    canary: Sample,
    stable: Sample,
    forecast: Array,
    chosen: Mask | None,
    expected: Spread | None,
    usable: bool,
) -> Wagers:
    """ln e of the block for every segment that is judged, 0 for those that are not among the `chosen` strata."""
    scale, segments = trial.scale, bool(rules.segments)
    shares, read = [one.share for one in trial.tail_forecasts], trial.misread.ratio(scale.r)
    if not usable:
        return of_tails_alone(scale, canary, stable, shares)
    groups = None if scale.cohorts is None else scale.cohorts.groups(chosen)
    found = wagers(scale, canary, stable, forecast, shares, read, expected, segments, groups)
    present = chosen if groups is None else groups.present
    if not segments or present is None:
        return found
    wide = np.zeros((found.segments.shape[0], scale.segments))
    wide[:, present] = found.segments
    return Wagers(found.mean, found.tails, wide)


def _misread(trial: Trial, rules: Rules, pair: Pair, at: float) -> Misread:
    """What buckets misread goes with the level of the loss: it is known anew as that changes."""
    keep = 1.0 if trial.closed is None else exp((trial.closed - at) / rules.tempo.forecast)
    return trial.misread.add(pair, trial.scale.r, trial.forecast.overall, keep, halves_of(rules.edges))


def _spreads(trial: Trial, pair: Pair, forecast: Array) -> tuple[Moments, Moments]:
    """Of the canary and of stable, with this block; by buckets alone."""
    scale, of_canary, of_stable = trial.scale, trial.canary_spread, trial.stable_spread
    if scale.data is not Data.HISTOGRAM:
        return of_canary, of_stable
    if scale.guessed:
        of_stable = of_stable.add(pair.stable, pair.scored_stable, scale.scores, np.ones(len(forecast)))
    return of_canary.add(pair.canary, pair.scored_canary, scale.scores, forecast), of_stable


def _restarted(wealth: Wealth, age: float, every: float) -> Wealth:
    """With all copies that are due, `age` seconds after the first block."""
    while age >= every * (wealth.copies + 1):
        wealth = with_copy(wealth)
    return wealth


def _forecast(trial: Trial, chosen: Mask | None) -> Array:
    """Stable's mean per stratum from what is behind us; NaN where nothing is. It sets the size of the bets alone.

    Never zero: by buckets a stable version without any loss so far can be bet on, by sums it has no scale.
    """
    mean = trial.forecast.mean if chosen is None else trial.forecast.mean[chosen]
    if trial.scale.data is not Data.HISTOGRAM:
        return np.where(mean > 0, mean, np.nan)
    found: Array = np.maximum(mean, _LEAST_FORECAST * trial.scale.scores[-1])
    return found


def _narrowed(chosen: Mask | None, known: Mask) -> Mask:
    """The strata `chosen` (None: all) without those that are not known."""
    if chosen is None:
        return known
    narrowed = chosen.copy()
    narrowed[chosen] = known
    return narrowed


def _usable(scale: Scale, canary: Sample, stable: Sample) -> bool:
    """Sums must be numbers where they count."""
    if scale.data is Data.HISTOGRAM:
        return True
    return bool(np.isfinite(canary.total).all() and np.isfinite(stable.total).all())


def _expected(trial: Trial, phi: float) -> Spread:
    """Variance of a loss without a histogram, from earlier blocks."""
    squares = trial.scale.data is Data.SQUARES
    stable = trial.noise[0].cv2(squares)
    return Spread(trial.noise[1].cv2_of_arm(squares, stable), stable, phi)


def _noised(noise: tuple[Noise, Noise], pair: Pair, forecast: Array, overall: float, at: float) -> tuple[Noise, Noise]:
    stable, canary = pair.stable, pair.canary
    return (
        noise[0].add(at, stable.count, stable.total, stable.squares, forecast, overall),
        noise[1].add(at, canary.count, canary.total, canary.squares, forecast, overall),
    )


def _tempered(trial: Trial, pair: Pair, expected: Spread | None, at: float) -> Tempering:
    """`expected`: the variances without a histogram, None with one."""
    mean = trial.forecast.overall
    if expected is None:
        of_stable = trial.cv2
        of_canary = trial.canary_spread.variance(of_stable)
    else:
        of_canary, of_stable = trial.noise[1].variance(expected.canary), expected.stable
    contrast = (pair.mean_canary - pair.mean_stable) / pair.weight
    variance = of_canary * pair.error_canary + of_stable * pair.error_stable
    variance *= mean * mean / (pair.weight * pair.weight)
    return trial.tempering.add(at, pair.weight, contrast, variance)


def forecasted(trial: Trial, rules: Rules, stable: Sample, elapsed: float) -> Trial:
    """Stable's labels that are behind us make the forecast for what comes."""
    scored = stable.scored(trial.scale.scored_by)
    forecast, tails = _forecasts(trial, rules, stable, scored, elapsed, None)
    return changed(trial, forecast=forecast, tail_forecasts=tails)


def _forecasts(
    trial: Trial, rules: Rules, stable: Sample, total: Array, elapsed: float, chosen: Mask | None
) -> tuple[Forecast, tuple[TailForecast, ...]]:
    """Of the mean and of the tails, with stable's labels in the `chosen` strata, None: all, and the `total` of their
    losses, as they are scored."""
    scale, memory, labels = trial.scale, rules.tempo.forecast, stable.count
    if chosen is not None:
        wide_labels, wide_total = np.zeros(len(chosen)), np.zeros(len(chosen))
        wide_labels[chosen], wide_total[chosen] = labels, total
        labels, total = wide_labels, wide_total
    tails = trial.tail_forecasts
    if tails:
        events = row_sums(scale.tails.events(stable.buckets).T).tolist()
        number, keep = sum(labels.tolist()), exp(-max(0.0, elapsed) / memory)
        tails = tuple(before.add(number, more, keep) for before, more in zip(tails, events, strict=True))
    return trial.forecast.add(labels, total, elapsed, memory), tails
