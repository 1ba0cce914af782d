"""The canary gate: a fold over scrapes of both arms; what may be said of its state: :mod:`modelslo.judge.verdict`.

Pure: :func:`advance` takes the state and one :class:`Step`, and gives the next state. The same steps in the same order
give the same state, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite, sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import Array, Mask
from modelslo.judge.evalues import EValues, Wealth, start, values, with_block, with_copy
from modelslo.judge.history import Forecast, History, with_delta
from modelslo.judge.incident import Watch, watched
from modelslo.judge.increments import Delta, Step
from modelslo.judge.maturity import Delays, mature
from modelslo.judge.noise import Noise
from modelslo.judge.scale import CV2_UNKNOWN, Data, Rules, Scale, scale_of, scores_of
from modelslo.judge.tempering import Tempering
from modelslo.judge.wagers import Sample, Spread, wagers

BLOCK_LABELS: Final = 5.0
_PRIOR_LABELS: Final = 50.0
_LEAST_FORECAST: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """The block that is being filled; ``since`` is when its first labels came."""

    stable: Sample
    canary: Sample
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Moments:
    """Labels of the canary and their bucketed losses relative to stable's mean then: number, sum, sum of squares."""

    labels: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, canary: Sample, scores: Array, forecast: Array) -> Moments:
        relative = scores / forecast[:, None]
        weighted = canary.buckets * relative
        return Moments(
            self.labels + float(canary.count.sum()),
            self.total + float(weighted.sum()),
            self.squares + float((weighted * relative).sum()),
        )

    def variance(self, prior: float) -> float:
        """Of one relative loss, not below `prior`, from which it starts."""
        if self.labels <= 0:
            return prior
        mean = self.total / self.labels
        own = max(0.0, self.squares / self.labels - mean * mean)
        return max(prior, (_PRIOR_LABELS * prior + self.labels * own) / (_PRIOR_LABELS + self.labels))


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Block-weighted sums of raw means, for people. ``stable``, ``canary``: labels that were compared."""

    weight: float = 0.0
    of_canary: float = 0.0
    of_stable: float = 0.0
    stable: float = 0.0
    canary: float = 0.0
    blocks: int = 0

    @property
    def ratio(self) -> float | None:
        return self.of_canary / self.of_stable if self.of_stable > 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What belongs to one rollout, from its first scrape on."""

    scale: Scale
    wealth: Wealth
    empty: Filling
    filling: Filling
    forecast: Forecast
    tail_forecast: Forecast
    noise: tuple[Noise, Noise]  # of stable and of the canary, without a histogram
    tempering: Tempering
    met: Mask  # strata that have labels, or had some in stable's history
    canary_spread: Moments = field(default_factory=Moments)
    contrast: Contrast = field(default_factory=Contrast)
    e: EValues = field(default_factory=EValues)
    first_prediction: float | None = None
    began: float | None = None  # the first block
    closed: float | None = None  # the newest
    canary_nan: bool = False
    ripe: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """State of the fold. ``trial`` is there once the rollout has started."""

    at: float | None = None
    history: History = field(default_factory=History)
    delays: Delays = field(default_factory=Delays)
    watch: Watch = field(default_factory=Watch)
    trial: Trial | None = None


def advance(gate: Gate, rules: Rules, step: Step, started: bool) -> Gate:
    """Takes one scrape. `started`: the rollout runs; what was seen before is history of stable."""
    elapsed = 0.0 if gate.at is None else max(0.0, step.at - gate.at)
    trial = gate.trial
    if started and trial is None:
        trial = _trial(rules, gate.history)
    if step.stable is not None:
        cv2 = trial.scale.cv2 * trial.tempering.priors[1] if trial is not None else CV2_UNKNOWN
        gate = _with_stable(gate, rules, step.stable, step.at, elapsed, cv2, trial is None)
    if trial is not None:
        trial = _advanced(gate, trial, rules, step, elapsed)
    return replace(gate, at=step.at, trial=trial)


def _with_stable(gate: Gate, rules: Rules, delta: Delta, at: float, elapsed: float, cv2: float, before: bool) -> Gate:
    scores = scores_of(rules.edges)
    total = float(delta.buckets[0] @ scores) if len(scores) else float(delta.total[0])
    watch = watched(gate.watch, delta.labels, total, elapsed, cv2, rules.tempo) if isfinite(total) else gate.watch
    return replace(
        gate,
        history=with_delta(gate.history, delta, at, scores, elapsed, rules.tempo) if before else gate.history,
        delays=gate.delays.with_labels(delta.lags, elapsed, rules.tempo.delays),
        watch=watch,
    )


def _trial(rules: Rules, history: History) -> Trial:
    scale = scale_of(rules, history)
    groups, buckets = scale.strata, len(scale.scores)
    squares = scale.data is not Data.SUMS
    empty = Sample.empty(groups, buckets, squares)
    tail = Forecast.of(1)
    if scale.tail is not None:
        labels = min(history.labels, float(scale.forecast.labels.sum()) or history.labels)
        tail = Forecast(np.array([labels]), np.array([labels * scale.tail.share]))
    return Trial(
        scale=scale,
        wealth=start(scale, bool(rules.segments)),
        empty=Filling(empty, empty),
        filling=Filling(empty, empty),
        forecast=scale.forecast,
        tail_forecast=tail,
        noise=(replace(history.noise, scatters=history.noise.scatters[:1]), Noise()),
        met=scale.served,
        tempering=Tempering.of(history.scales, rules.tempo.windows)
        if scale.data is Data.HISTOGRAM
        else history.noise.tempering(scale.cv2, scale.data is Data.SQUARES, rules.tempo.windows),
    )


def _advanced(gate: Gate, trial: Trial, rules: Rules, step: Step, elapsed: float) -> Trial:
    canary, stable = step.canary, step.stable
    first, nan = trial.first_prediction, trial.canary_nan
    if canary is not None:
        if first is None and (canary.predictions > 0 or canary.labels > 0):
            first = step.at
        nan = not isfinite(canary.total[0]) and (stable is None or isfinite(stable.total[0]))
    ripe = _ripe(gate, rules, step, -1.0 if first is None else step.at - first - rules.warmup)
    if _poisoned(trial.scale, step):
        return replace(trial, first_prediction=first, canary_nan=nan, ripe=ripe, filling=trial.empty)
    if gate.watch.frozen or not ripe:
        trial = replace(trial, first_prediction=first, canary_nan=nan, ripe=ripe, filling=trial.empty)
        return trial if stable is None else _forecasted(trial, rules, _sample(trial, rules, stable), elapsed)
    filling = _filled(trial, rules, step, elapsed)
    trial = replace(trial, first_prediction=first, canary_nan=nan, ripe=ripe, filling=filling)
    # A block ends where both arms were seen, so that both cover the same time.
    return trial if stable is None or canary is None else _closed(trial, rules, step.at)


def _poisoned(scale: Scale, step: Step) -> bool:
    """A telemetry fault: stable itself counts losses that are no numbers, in the bucket without an upper edge.

    They say nothing of the canary (decision-statistics section 3.3).
    """
    stable = step.stable
    if stable is None or scale.data is not Data.HISTOGRAM or isfinite(stable.total[0]):
        return False
    expected = scale.beyond * stable.labels
    return float(stable.buckets[0, -1]) > expected + 3 * sqrt(expected) + 1


def _filled(trial: Trial, rules: Rules, step: Step, elapsed: float) -> Filling:
    filling = trial.filling
    of_stable, of_canary = filling.stable, filling.canary
    if step.stable is not None:
        found = _sample(trial, rules, step.stable)
        of_stable = found if filling.since is None else of_stable + found
    if step.canary is not None:
        found = _sample(trial, rules, step.canary)
        of_canary = found if filling.since is None else of_canary + found
    since = filling.since
    if since is None and (of_stable.count.any() or of_canary.count.any()):
        since = step.at - elapsed
    return Filling(of_stable, of_canary, since)


def _ripe(gate: Gate, rules: Rules, step: Step, age: float) -> bool:
    """Whether labels of now are of predictions of the last `age` seconds, made at the shares of now."""
    if age <= 0 or step.settled < 0:
        return False
    age = min(age, step.settled)
    if not rules.lag_edges:
        return age >= rules.delay
    lags = step.stable.lags if step.stable is not None else None
    return mature(gate.delays, lags, rules.lag_edges, age)


def _sample(trial: Trial, rules: Rules, delta: Delta) -> Sample:
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


def _closed(trial: Trial, rules: Rules, at: float) -> Trial:
    """Closes the block when both arms have enough labels in strata that both have."""
    filling = trial.filling
    if filling.since is None:
        return trial
    fewer = np.minimum(filling.canary.count, filling.stable.count)
    both = fewer >= 1
    least = 1.0 if at - filling.since >= rules.tempo.block else BLOCK_LABELS
    if both.all():
        canary, stable, rest, chosen = filling.canary, filling.stable, trial.empty, None
    else:
        canary, stable, chosen = filling.canary.rows(both), filling.stable.rows(both), both
        rest = Filling(filling.stable.without(both), filling.canary.without(both), at)
        if not rest.stable.count.any() and not rest.canary.count.any():
            rest = trial.empty
    if min(canary.count.sum(), stable.count.sum()) < least:
        return trial
    elapsed = at - filling.since
    return _forecasted(_judged(trial, rules, rest, canary, stable, chosen, at), rules, stable, elapsed, chosen)


def _judged(
    trial: Trial, rules: Rules, rest: Filling, canary: Sample, stable: Sample, both: Mask | None, at: float
) -> Trial:
    """Takes a block into the e-processes; `both` are the strata of its rows, None: all."""
    scale = trial.scale
    forecast = _forecast(trial, both)
    known = np.isfinite(forecast)
    if not known.all():  # the first labels of a stratum without history only make its forecast
        canary, stable, forecast = canary.rows(known), stable.rows(known), forecast[known]
        both = _narrowed(both, known)
    if not len(forecast) or not _usable(scale, canary, stable):
        return replace(trial, filling=rest)
    tail_forecast, phi = float(trial.tail_forecast.mean[0]), trial.tempering.phi
    histogram = scale.data is Data.HISTOGRAM
    expected = None if histogram else _expected(trial, phi)
    found = wagers(scale, canary, stable, forecast, tail_forecast, expected, bool(rules.segments))
    if rules.segments and both is not None:
        wide = np.zeros((found.segments.shape[0], len(both)))
        wide[:, both] = found.segments
        found = replace(found, segments=wide)
    began, wealth = (at, trial.wealth) if trial.began is None else (trial.began, trial.wealth)
    while at - began >= rules.tempo.restart * (wealth.copies + 1):
        wealth = with_copy(wealth)
    # A segment that nobody ever asked for does not hold a promotion up.
    met = trial.met | (np.True_ if both is None else both)
    wealth = with_block(wealth, scale, rules, found, phi)
    return replace(
        trial,
        filling=rest,
        wealth=wealth,
        began=began,
        closed=at,
        e=values(wealth, scale.tail is not None, met),
        met=met,
        contrast=_contrasted(trial.contrast, canary, stable),
        tempering=_tempered(trial, canary, stable, expected, at),
        canary_spread=trial.canary_spread.add(canary, scale.scores, forecast) if histogram else trial.canary_spread,
        noise=trial.noise if histogram else _noised(trial.noise, canary, stable, forecast, trial.forecast.overall, at),
    )


def _forecast(trial: Trial, both: Mask | None) -> Array:
    """Stable's mean per stratum from what is behind us; NaN where nothing is. It sets the size of the bets alone.

    Never zero: by buckets a stable version without any loss so far can be bet on, by sums it has no scale.
    """
    mean = trial.forecast.mean if both is None else trial.forecast.mean[both]
    if trial.scale.data is not Data.HISTOGRAM:
        return np.where(mean > 0, mean, np.nan)
    found: Array = np.maximum(mean, _LEAST_FORECAST * float(trial.scale.scores[-1]))
    return found


def _narrowed(both: Mask | None, known: Mask) -> Mask:
    """The strata `both` (None: all) without those that are not known."""
    if both is None:
        return known
    narrowed = both.copy()
    narrowed[both] = known
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


def _noised(
    noise: tuple[Noise, Noise], canary: Sample, stable: Sample, forecast: Array, overall: float, at: float
) -> tuple[Noise, Noise]:
    return (
        noise[0].add(at, stable.count, stable.total, stable.squares, forecast, overall),
        noise[1].add(at, canary.count, canary.total, canary.squares, forecast, overall),
    )


def _contrasted(contrast: Contrast, canary: Sample, stable: Sample) -> Contrast:
    n_c, n_s = canary.count, stable.count
    w = n_c * n_s / (n_c + n_s)
    of_canary, of_stable = float((w * canary.total / n_c).sum()), float((w * stable.total / n_s).sum())
    if not (isfinite(of_canary) and isfinite(of_stable)):
        w, of_canary, of_stable = np.zeros(1), 0.0, 0.0
    return Contrast(
        contrast.weight + float(w.sum()),
        contrast.of_canary + of_canary,
        contrast.of_stable + of_stable,
        contrast.stable + float(n_s.sum()),
        contrast.canary + float(n_c.sum()),
        contrast.blocks + 1,
    )


def _tempered(trial: Trial, canary: Sample, stable: Sample, expected: Spread | None, at: float) -> Tempering:
    """`expected`: the variances without a histogram, None with one."""
    scale = trial.scale
    n_c, n_s = canary.count, stable.count
    w = n_c * n_s / (n_c + n_s)
    weight, mean = float(w.sum()), trial.forecast.overall
    if expected is None:
        d = canary.buckets @ scale.scores / n_c - stable.buckets @ scale.scores / n_s
        of_canary, of_stable = trial.canary_spread.variance(scale.cv2), scale.cv2
    else:
        d = canary.total / n_c - stable.total / n_s
        of_canary, of_stable = trial.noise[1].variance(expected.canary), expected.stable
    spread = (of_canary / n_c + of_stable / n_s) * (mean * mean)
    return trial.tempering.add(at, weight, float(w @ d) / weight, float(w * w @ spread) / (weight * weight))


def _forecasted(trial: Trial, rules: Rules, stable: Sample, elapsed: float, both: Mask | None = None) -> Trial:
    """Stable's labels that are behind us make the forecast for what comes; `both` as above."""
    scale, memory = trial.scale, rules.tempo.forecast
    labels, total = stable.count, stable.buckets @ scale.scores if scale.data is Data.HISTOGRAM else stable.total
    if both is not None:
        wide_labels, wide_total = np.zeros(len(both)), np.zeros(len(both))
        wide_labels[both], wide_total[both] = labels, total
        labels, total = wide_labels, wide_total
    tail = trial.tail_forecast
    if scale.tail is not None:
        events = stable.buckets[:, scale.tail.cut + 1 :].sum()
        tail = tail.add(stable.count.sum().reshape(1), events.reshape(1), elapsed, memory)
    return replace(trial, forecast=trial.forecast.add(labels, total, elapsed, memory), tail_forecast=tail)
