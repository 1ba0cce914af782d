"""One trace of a kind: the numbers that its description leaves open, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, pi
from typing import Final

import numpy as np

from tests.simulate.kind import Effect, Kind, NanLosses, Passing
from tests.simulate.words import ARMS, Floats, Span

_HOUR: Final = 3600.0
_DAY: Final = 86400.0


@dataclass(frozen=True, slots=True)
class Window:
    """A factor from `start` to `end`, in seconds. `canary` multiplies the canary's again."""

    start: float
    end: float
    factor: float
    canary: float = 1.0


@dataclass(frozen=True, slots=True)
class ResetAt:
    """The counters of one arm's pod (all pods: None) begin again at zero before scrape `k`."""

    k: int
    arm: int
    pod: int | None


@dataclass(frozen=True, slots=True)
class GapAt:
    """An arm is not in the scrapes first <= k < last."""

    first: int
    last: int
    arm: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The course of one trace. Times are seconds since the first scrape, `k` counts scrapes."""

    k0: int
    scrapes: int
    rollout: float
    effect: float
    drift: float
    nan: tuple[float, float]
    incidents: tuple[Window, ...]
    bursts: tuple[Window, ...]
    backfill: tuple[float, float]
    batch_phase: float
    traffic_phase: float
    season_phase: float
    resets: tuple[ResetAt, ...]
    gaps: tuple[GapAt, ...]

    def wave(self, times: Floats, amplitude: float, phase: float) -> Floats:
        """A daily wave of mean 1."""
        return 1.0 + amplitude * np.sin(2.0 * pi / _DAY * times + phase)


def _uniform(rng: np.random.Generator, span: Span) -> float:
    return float(rng.uniform(*span))


def _windows(rng: np.random.Generator, passing: Sequence[Passing], rollout: float) -> tuple[Window, ...]:
    windows = []
    for each in passing:
        start = rollout + _HOUR * _uniform(rng, each.at)
        end = start + 60.0 * _uniform(rng, each.minutes)
        windows.append(Window(start, end, _uniform(rng, each.factor), _uniform(rng, each.canary)))
    return tuple(windows)


def _nan(rng: np.random.Generator, nan: NanLosses | None, rollout: float) -> tuple[float, float]:
    if nan is None:
        return inf, inf
    start = rollout + _HOUR * _uniform(rng, nan.at)
    return start, start + _HOUR * nan.hours


def _faults(rng: np.random.Generator, kind: Kind, k0: int) -> tuple[tuple[ResetAt, ...], tuple[GapAt, ...]]:
    def scrape(hours: float) -> int:
        return max(1, k0 + ceil(_HOUR * hours / kind.dt))

    faults = kind.faults
    resets = tuple(
        ResetAt(
            scrape(_uniform(rng, reset.at)),
            ARMS.index(reset.arm),
            int(rng.integers(faults.pods)) if reset.partly else None,
        )
        for reset in faults.resets
    )
    gaps: list[GapAt] = []
    for gap in faults.gaps:
        first = scrape(_uniform(rng, gap.at))
        last = first + max(1, round(60.0 * _uniform(rng, gap.minutes) / kind.dt))
        gaps += [GapAt(first, last, ARMS.index(arm)) for arm in gap.arms]
    return resets, tuple(gaps)


def make_plan(kind: Kind, rng: np.random.Generator) -> Plan:
    """Draws what `kind` leaves open."""
    k0 = int(rng.integers(kind.history[0], kind.history[1] + 1))
    rollout = k0 * kind.dt
    backfill = (inf, inf)
    if kind.backfill is not None:
        begins = rollout - 60.0 * _uniform(rng, kind.backfill.outage)
        backfill = (begins, rollout + 60.0 * _uniform(rng, kind.backfill.release))
    resets, gaps = _faults(rng, kind, k0)
    return Plan(
        k0=k0,
        scrapes=k0 + 1 + ceil(kind.hours * _HOUR / kind.dt),
        rollout=rollout,
        effect=rollout + _HOUR * _uniform(rng, kind.effect.onset),
        drift=rollout + _HOUR * _uniform(rng, kind.drift.onset) if kind.drift else inf,
        nan=_nan(rng, kind.nan, rollout),
        incidents=_windows(rng, kind.incidents, rollout),
        bursts=_windows(rng, kind.bursts, rollout),
        backfill=backfill,
        batch_phase=_uniform(rng, (0.0, kind.lag.seconds)),
        traffic_phase=_uniform(rng, (0.0, 2.0 * pi)),
        season_phase=_uniform(rng, (0.0, 2.0 * pi)),
        resets=resets,
        gaps=gaps,
    )


def onset(kind: Kind, plan: Plan) -> float:
    """When the trace's regression or drift becomes one: it passes the margin, or the SLO level (without the season)."""
    if kind.drift is not None:
        return plan.drift + _HOUR * kind.drift.ramp * (kind.slo - 1.0) / (kind.drift.factor - 1.0)
    if kind.nan is not None and not kind.nan.both:
        return plan.nan[0]
    if kind.regression:
        return plan.effect + _crossing(kind.effect, kind.margin)
    return plan.rollout


def _crossing(effect: Effect, margin: float) -> float:
    """Seconds from the effect's beginning until it passes the margin."""
    return _HOUR * effect.ramp * margin / (effect.ratio - 1.0) if effect.ramp else 0.0
