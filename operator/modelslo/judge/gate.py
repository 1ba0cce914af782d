"""The canary gate: a fold over scrapes of both arms; what may be said of its state: :mod:`modelslo.judge.verdict`.

Pure: :func:`advance` takes the state and one :class:`Step`, and gives the next state. The same steps in the same order
give the same state, bit for bit. Here is what may be compared; how it is compared: :mod:`modelslo.judge.trial`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, sqrt
from typing import Final

from modelslo.judge.betting import Array, Mask
from modelslo.judge.cohorts import Cohorts
from modelslo.judge.frozen import changed, frozen
from modelslo.judge.history import History, with_delta
from modelslo.judge.incident import Watch, watched
from modelslo.judge.increments import Delta, Step
from modelslo.judge.lateness import Lateness, nearest
from modelslo.judge.maturity import MOST_OLDER, Delays, mature, older_shares
from modelslo.judge.scale import CV2_UNKNOWN, Rules, Scale, scores_of
from modelslo.judge.shares import Shares, ages, recent, shared, unseen
from modelslo.judge.trial import Trial, closed, forecasted, sample_of, trial_of
from modelslo.judge.wagers import Sample

# The part of the margin by which labels that are still to come may move the mean.
MOST_BIAS: Final = 0.1
# Total variation distance of the ages of both arms' labels from which on they are not compared, whatever is known.
MOST_APART: Final = 0.2
# By how much older labels may raise stable's mean before it is no sign of drift.
MOST_SWELLING: Final = 0.1


@dataclass(frozen=True, eq=False)
class Gate:
    """State of the fold. ``trial`` is there once the rollout has started."""

    at: float | None = None
    history: History = field(default_factory=History)
    delays: Delays = field(default_factory=Delays)
    lateness: Lateness = field(default_factory=Lateness)
    watch: Watch = field(default_factory=Watch)
    trial: Trial | None = None


def advance(gate: Gate, rules: Rules, step: Step, started: bool) -> Gate:
    """Takes one scrape. `started`: the rollout runs; what was seen before is history of stable."""
    elapsed = 0.0 if gate.at is None else max(0.0, step.at - gate.at)
    trial = gate.trial
    if started and trial is None:
        trial = trial_of(rules, gate.history)
    history, delays, lateness, watch = gate.history, gate.delays, gate.lateness, gate.watch
    if step.stable is not None:
        cv2 = CV2_UNKNOWN if trial is None else trial.scale.cv2 * trial.tempering.priors[1]
        scores = scores_of(rules.edges)
        if trial is None:
            history = with_delta(history, step.stable, step.at, scores, elapsed, rules.tempo)
        delays = delays.with_labels(step.stable.lags, elapsed, rules.tempo.delays)
        total = float(step.stable.buckets[0].dot(scores)) if len(scores) else float(step.stable.total[0])
        if step.stable.lags is not None:
            lateness = lateness.add(step.stable.lags, total)
        if isfinite(total):
            watch = watched(watch, step.stable.labels, total, elapsed, cv2, rules.tempo)
    gate = changed(gate, at=step.at, history=history, delays=delays, lateness=lateness, watch=watch, trial=trial)
    return gate if trial is None else changed(gate, trial=_advanced(gate, trial, rules, step, elapsed))


def swollen(gate: Gate, rules: Rules, at: float) -> bool:
    """Whether stable's mean loss is far above the usual one only because its traffic went to the canary, while labels
    of predictions from before, which are worse, still come. It then says nothing of the world.

    The live operator need not ask: while a canary runs no retrain is begun.
    """
    shares = gate.trial.shares if gate.trial is not None else None
    counts = gate.delays.counts
    if shares is None or not rules.lag_edges or not len(counts) or shares.kept > 1 - MOST_SWELLING:
        return False
    older = older_shares(rules.lag_edges, at - shares.stretches[-1].since)
    return gate.lateness.swelling(counts, older, shares.kept) > MOST_SWELLING


@frozen(eq=False)
class _Fit:
    """What may be compared of this scrape: anything (``ripe``), for a canary too (``whole``), in which ``strata``,
    None: all or nothing."""

    shares: Shares
    ripe: bool
    whole: bool
    strata: Mask | None = None


def _advanced(gate: Gate, trial: Trial, rules: Rules, step: Step, elapsed: float) -> Trial:
    first, nan = _seen(trial, step)
    fit = _fit(gate, trial, rules, step, elapsed, first)
    poisoned = _poisoned(trial.scale, step)
    compared = fit.ripe and not poisoned and not gate.watch.frozen
    since = step.at - elapsed if trial.whole_since is None else trial.whole_since
    trial = changed(
        trial,
        first_prediction=first,
        canary_nan=nan,
        shares=fit.shares,
        ripe=fit.ripe,
        whole_since=since if fit.whole else None,
        filling=trial.filling if compared else trial.empty,
    )
    if compared:
        return _filled(trial, rules, step, elapsed, fit.strata)
    if step.stable is None or poisoned:
        return trial
    return forecasted(trial, rules, sample_of(trial, rules, step.stable), elapsed)


def _seen(trial: Trial, step: Step) -> tuple[float | None, bool]:
    """When the canary's first prediction was, and whether its loss sum is no number while stable's is."""
    canary, stable, first = step.canary, step.stable, trial.first_prediction
    if canary is None:
        return first, trial.canary_nan
    if first is None and (canary.predictions > 0 or canary.labels > 0):
        first = step.at
    return first, not isfinite(canary.total[0]) and (stable is None or isfinite(stable.total[0]))


def _fit(gate: Gate, trial: Trial, rules: Rules, step: Step, elapsed: float, first: float | None) -> _Fit:
    age = min(-1.0 if first is None else step.at - first - rules.warmup, step.settled)
    shares = _shares(trial.shares, rules, step, elapsed)
    off, missing = 0.0, None
    if len(shares.stretches) > 1:
        counts = gate.delays.counts
        off = 1.0  # how old labels are is not known so far
        if counts.any():
            found = ages(shares, counts, rules.lag_edges, step.at)
            shares, off, missing = recent(shares, found), found.apart, found.missing
    if trial.scale.cohorts is not None:
        alike = off <= MOST_OLDER
        age = age if alike else min(age, step.at - shares.since)
        return _by_age(trial, trial.scale.cohorts, shares, alike and _ripe(gate, rules, step, age), age)
    ripe = off <= MOST_APART and _ripe(gate, rules, step, age)
    if trial.whole is None:
        return _Fit(shares, ripe, False)
    return _Fit(shares, *_leaning(gate, rules, ripe, age, missing, off))


def _filled(trial: Trial, rules: Rules, step: Step, elapsed: float, fit: Mask | None) -> Trial:
    """With the labels of this scrape, those in the strata that are `fit`, None: all."""
    stable, canary, filling = _sample(trial, rules, step.stable), _sample(trial, rules, step.canary), trial.filling
    if fit is not None:
        if stable is not None:
            # What is too old to be compared makes forecasts at once; they fade as blocks end.
            trial = forecasted(trial, rules, stable.without(fit), 0.0)
        stable, canary = _only(stable, fit), _only(canary, fit)
        filling = filling.without(~fit)
    filling = filling.add(stable, canary, step.at, elapsed)
    # A block ends where both arms were seen, so that both cover the same time.
    if stable is None or canary is None:
        return changed(trial, filling=filling)
    return closed(trial, filling, rules, step.at)


def _shares(shares: Shares, rules: Rules, step: Step, elapsed: float) -> Shares:
    """Told how old labels are, it matters at what shares of the traffic they were made."""
    if not rules.lag_edges:
        return shares
    if (step.canary is None) is not (step.stable is None):
        return unseen(shares)
    if step.canary is None or step.stable is None:
        return shares
    predictions = step.canary.predictions, step.stable.predictions
    return shared(shares, step.at, elapsed, *predictions, rules.tempo.fast)


def _sample(trial: Trial, rules: Rules, delta: Delta | None) -> Sample | None:
    return None if delta is None else sample_of(trial, rules, delta)


def _by_age(trial: Trial, cohorts: Cohorts, shares: Shares, ripe: bool, age: float) -> _Fit:
    """`ripe`: labels of any age may be compared. Until then those may that are of predictions of the last `age`
    seconds; blocks are whole once they are nearly all of stable's, and of its loss: few late labels may be much of it.
    """
    if ripe:
        return _Fit(shares, True, True)
    fit, usual = cohorts.fit(age), trial.forecast
    ripe = bool(usual.labels[fit].any())
    whole = ripe and all(
        float(one[fit].sum()) >= (1 - MOST_OLDER) * float(one.sum()) for one in (usual.labels, usual.total)
    )
    return _Fit(shares, ripe, whole, fit)


def _only(sample: Sample | None, fit: Mask) -> Sample | None:
    return None if sample is None else sample.without(~fit)


def _poisoned(scale: Scale, step: Step) -> bool:
    """A telemetry fault: stable itself counts losses that are no numbers, in the bucket without an upper edge.

    They say nothing of the canary (decision-statistics section 3.3).
    """
    stable = step.stable
    if stable is None or not len(scale.scores) or isfinite(stable.total[0]):
        return False
    expected = scale.beyond * stable.labels
    return float(stable.buckets[0, -1]) > expected + 3 * sqrt(expected) + 1


def _ripe(gate: Gate, rules: Rules, step: Step, age: float) -> bool:
    """Whether labels of now are of predictions of the last `age` seconds, made at the shares of now."""
    if age <= 0:
        return False
    if not rules.lag_edges:
        return age >= rules.delay
    lags = step.stable.lags if step.stable is not None else None
    return mature(gate.delays, lags, rules.lag_edges, age)


def _leaning(gate: Gate, rules: Rules, ripe: bool, age: float, missing: Array | None, off: float) -> tuple[bool, bool]:
    """Whether labels of now may be compared, and whether they speak for a canary too.

    Few late labels may be much of the loss. Where it lacks bad ones the canary looks better than it is: that it is
    worse may be seen all the same. Where it lacks good ones nothing may. While the ages of both arms' labels are far
    apart (`off`) it must be known that what is `missing` accuses no canary, and for one that it flatters none. Where it
    seems to flatter, bets on "worse" would lose what they need later.
    """
    if not ripe or not rules.lag_edges:
        return ripe, ripe
    counts, lateness = gate.delays.counts, gate.lateness
    leans = [lateness.bias(counts, older_shares(rules.lag_edges, age))]
    most = MOST_BIAS * rules.margin
    if missing is not None:
        low, high = lateness.between(counts, missing)
        seems = nearest(low, high)
        if off > MOST_OLDER and (low < -most or seems > most):
            return False, False
        leans.append(high if off > MOST_OLDER else seems)
    return min(leans) >= -most, max(leans) <= most
