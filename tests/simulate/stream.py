"""Predictions and labels of one trace, drawn one by one, a chunk of scrapes at a time.

Every prediction is drawn: its time, segment, pod, loss and label lag. Counters are sums over these and nothing else, so
whatever holds for single labels (equal-age cohorts, clusters, lags tied to the loss) holds for the counters.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil, inf, sqrt
from typing import Final, Self

import numpy as np

from tests.simulate.kind import Kind
from tests.simulate.plan import Plan, Window
from tests.simulate.words import CANARY, STABLE, Flags, Floats, Ints


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions, each array of shape (n,).

    Attributes:
        arm: 0 stable, 1 canary.
        segment: Index; 0 when the kind has none.
        pod: Index.
        time: Seconds since the first scrape.
        base: Mean loss on the same traffic without the canary's effect, without clusters and wander.
        loss: May be NaN.
    """

    arm: Ints
    segment: Ints
    pod: Ints
    time: Floats
    base: Floats
    loss: Floats

    def __getitem__(self, which: Flags) -> Self:
        return type(self)(*(getattr(self, each.name)[which] for each in fields(self)))


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels, each array of shape (n,). `at` is the scrape that sees it first; `made` is the time of the prediction."""

    at: Ints
    arm: Ints
    segment: Ints
    pod: Ints
    made: Floats
    lag: Floats
    loss: Floats

    def __getitem__(self, which: Flags) -> Self:
        return type(self)(*(getattr(self, each.name)[which] for each in fields(self)))

    def join(self, other: Self) -> Self:
        """Both, these first."""
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(self))
        return type(self)(*(np.concatenate(pair) for pair in pairs))


_NO_INTS: Final[Ints] = np.empty(0, np.int64)
_NO_FLOATS: Final[Floats] = np.empty(0)
_NO_LABELS: Final = Labels(_NO_INTS, _NO_INTS, _NO_INTS, _NO_INTS, _NO_FLOATS, _NO_FLOATS, _NO_FLOATS)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What reached the counters in scrapes first <= k < last: new labels, and the (scrape, arm, pod) of predictions."""

    first: int
    last: int
    labels: Labels
    predicted_at: Ints
    predicted_arm: Ints
    predicted_pod: Ints


class Stream:
    """The predictions of one trace, in order of time."""

    def __init__(self, kind: Kind, plan: Plan, rng: np.random.Generator) -> None:
        """Begins before the first scrape, so that labels of earlier predictions arrive from the first scrape on."""
        self.kind = kind
        self.plan = plan
        self._rng = rng
        self._next = -ceil(kind.lag.reach / kind.dt)
        self._waiting = _NO_LABELS
        self._unseen = np.empty((3, 0), np.int64)
        self._wander = rng.standard_normal(2)
        self.first_canary = inf
        """Time of the canary's first prediction so far."""

    def advance(self, last: int) -> Arrivals:
        """Draws all predictions before scrape `last`; returns what reached the counters since the last call."""
        first = self._next
        self._next = last
        made = self.draw(first, last)
        labels = self._waiting.join(self._labelled(made))
        due = labels.at < last
        self._waiting = labels[~due]
        predicted = np.concatenate(
            [self._unseen, np.stack([np.ceil(made.time / self.kind.dt).astype(np.int64), made.arm, made.pod])], axis=1
        )
        seen = predicted[0] < last
        self._unseen = predicted[:, ~seen]
        predicted = predicted[:, seen & (predicted[0] >= 0)]
        # Labels from before the first scrape belong to nobody; those before `first` cannot be among the due ones else.
        first = max(first, 0)
        arrived = labels[due & (labels.at >= first)]
        return Arrivals(first, last, arrived, predicted[0], predicted[1], predicted[2])

    def draw(self, first: int, last: int) -> Predictions:
        """All predictions that begin in the intervals before scrapes first <= k < last, in seconds (k-1, k] dt.

        A cluster belongs to the interval of its start; its later predictions may lie beyond.
        """
        kind, rng = self.kind, self._rng
        scrapes = last - first
        middle: Floats = (np.arange(first, last, dtype=np.float64) - 0.5) * kind.dt
        base, mean = self._means(middle)
        counts = rng.poisson(self._intensity(middle) / (kind.clusters.size if kind.clusters else 1.0))
        cell = np.repeat(np.arange(counts.size), counts.ravel())
        time = (first + cell % scrapes - rng.random(cell.size)) * kind.dt
        factor: Floats | None = None
        if kind.clusters is not None:
            sizes = rng.geometric(1.0 / kind.clusters.size, cell.size)
            shape = 1.0 / kind.clusters.variance
            factor = np.repeat(rng.standard_gamma(shape, cell.size) / shape, sizes)
            cell = np.repeat(cell, sizes)
            time = np.repeat(time, sizes) + kind.clusters.spread * rng.random(cell.size)
        wanted = mean.ravel()[cell]
        loss = kind.loss.draw(rng, wanted if factor is None else wanted * factor)
        rows = cell // scrapes
        arm = rows // base.shape[1]
        self._catastrophes(arm, time, loss)
        pods = kind.faults.pods
        made = Predictions(
            arm=arm,
            segment=rows % base.shape[1],
            pod=rng.integers(pods, size=cell.size) if pods > 1 else np.zeros(cell.size, np.int64),
            time=time,
            base=base.ravel()[cell],
            loss=loss,
        )
        young = made.time[made.arm == CANARY]
        if young.size:
            self.first_canary = min(self.first_canary, float(young.min()))
        return made

    def _intensity(self, middle: Floats) -> Floats:
        """Expected predictions, shape (2 arms, segments, scrapes)."""
        kind, plan = self.kind, self.plan
        rate = kind.rate * kind.dt * plan.wave(middle, kind.day, plan.traffic_phase)
        for burst in plan.bursts:
            rate = rate * np.where(_inside(middle, burst), burst.factor, 1.0)
        share = np.zeros(middle.size)
        if kind.has_canary:
            for hours, step in kind.split:
                share = np.where(middle > plan.rollout + 3600.0 * hours, step, share)
        # Before the canary takes a share, stable serves everybody: it has the mix of the whole.
        mixes = [(segment.stable, segment.canary) for segment in kind.segments] or [(1.0, 1.0)]
        return np.stack(
            [
                np.stack([rate * (1.0 - share) * stable for stable, _ in mixes]),
                np.stack([rate * share * canary for _, canary in mixes]),
            ]
        )

    def _means(self, middle: Floats) -> tuple[Floats, Floats]:
        """(base, mean) of the loss, each of shape (2 arms, segments, scrapes)."""
        kind, plan = self.kind, self.plan
        level = kind.typical * plan.wave(middle, kind.season, plan.season_phase)
        if kind.drift is not None:
            level = level * (1.0 + (kind.drift.factor - 1.0) * _rise(middle, plan.drift, kind.drift.ramp))
        both = np.stack([level, level])
        for incident in plan.incidents:
            inside = _inside(middle, incident)
            both[STABLE] *= np.where(inside, incident.factor, 1.0)
            both[CANARY] *= np.where(inside, incident.factor * incident.canary, 1.0)
        levels = np.array([segment.level for segment in kind.segments] or [1.0])
        base = both[:, None, :] * levels[None, :, None]
        mean = base.copy()
        effect = kind.effect
        if effect.ratio != 1.0:
            ratio = 1.0 + (effect.ratio - 1.0) * _rise(middle, plan.effect, effect.ramp)
            hit = np.array([effect.segment in (None, segment.name) for segment in kind.segments] or [True])
            mean[CANARY, hit] *= ratio
        if kind.wander is not None:
            mean *= self._wandering(middle.size)[:, None, :]
        return base, mean

    def _wandering(self, scrapes: int) -> Floats:
        """The factor on each arm's mean, shape (2, scrapes)."""
        wander = self.kind.wander
        assert wander is not None
        keep = float(np.exp(-self.kind.dt / (3600.0 * wander.hours)))
        steps = self._rng.standard_normal((scrapes, 2)) * sqrt(1.0 - keep * keep)
        path = np.empty((scrapes, 2))
        now = self._wander
        for each in range(scrapes):
            now = keep * now + steps[each]
            path[each] = now
        self._wander = now
        if wander.shared:
            path[:, CANARY] = path[:, STABLE]
        factor: Floats = np.exp(wander.sigma * path.T - wander.sigma**2 / 2.0)
        return factor

    def _catastrophes(self, arm: Ints, time: Floats, loss: Floats) -> None:
        """Rare catastrophic and NaN losses, in place."""
        rare, nan = self.kind.effect.rare, self.kind.nan
        if rare is not None:
            hit = (arm == CANARY) & (time >= self.plan.effect) & (self._rng.random(loss.size) < rare[0])
            loss[hit] *= rare[1]
        if nan is not None:
            start, end = self.plan.nan
            hit = (time >= start) & (time < end) & (self._rng.random(loss.size) < nan.share)
            loss[hit if nan.both else hit & (arm == CANARY)] = np.nan

    def _labelled(self, made: Predictions) -> Labels:
        kind, plan, rng = self.kind, self.plan, self._rng
        if kind.coverage < 1.0:
            made = made[rng.random(made.time.size) < kind.coverage]
        lag = kind.lag.draw(rng, made.time, made.loss / made.base, plan.batch_phase)
        if kind.backfill is not None:
            start, release = plan.backfill
            waits = (made.time >= start) & (made.time < release) & (rng.random(made.time.size) < kind.backfill.share)
            lag = np.where(waits, np.maximum(lag, release - made.time), lag)
        at = np.ceil((made.time + lag) / kind.dt).astype(np.int64)
        return Labels(at, made.arm, made.segment, made.pod, made.time, lag, made.loss)


def _inside(times: Floats, window: Window) -> Flags:
    inside: Flags = (times >= window.start) & (times < window.end)
    return inside


def _rise(times: Floats, start: float, hours: float) -> Floats:
    """0 before `start`, 1 from `hours` later on, straight in between."""
    if not hours:
        return (times >= start).astype(np.float64)
    return np.clip((times - start) / (3600.0 * hours), 0.0, 1.0)
