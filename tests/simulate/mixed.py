"""Kinds that nobody thought of: everything that a kind leaves to choose, drawn at random and put together.

The named kinds have one difficulty each, and a judge is built with them in view. These have several at once. Two thirds
of them must not be rolled back or must not be promoted; one third is worse by exactly the margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Final, Literal, TypeVar

import numpy as np

from tests.simulate.deciders import decider
from tests.simulate.drive import Row, drive
from tests.simulate.kind import Clusters, Effect, Faults, Gap, Kind, Passing, Reset, Segment, Wander
from tests.simulate.lag import Lag, LagLaw
from tests.simulate.losses import (
    BIMODAL,
    BINARY,
    EXPONENTIAL,
    GAMMA,
    LOGNORMAL,
    NEAR_CONSTANT,
    PARETO,
    SQUARED,
    WIDE_LOGNORMAL,
    WILD_PARETO,
    ZEROS,
    Loss,
)
from tests.simulate.results import Results
from tests.simulate.words import ARMS, HOLD, NO_PROMOTION, NO_ROLLBACK, Arm, Mode, Right

T = TypeVar("T")
Sort = Literal["harmless", "worse", "boundary"]
SORTS: Final[tuple[Sort, ...]] = ("harmless", "worse", "boundary")

_LOSSES: Final = (
    *(EXPONENTIAL, LOGNORMAL, GAMMA, NEAR_CONSTANT, PARETO, SQUARED, ZEROS, BIMODAL, BINARY),
    *(WIDE_LOGNORMAL, WILD_PARETO, Loss("gamma", 100.0), Loss("pareto", 4.0)),
)
_MODES: Final[tuple[Mode, ...]] = (*("histogram",) * 6, "squares", "sums")
_RIGHT: Final[dict[Sort, Right]] = {"harmless": NO_ROLLBACK, "worse": NO_PROMOTION, "boundary": HOLD}
_DAY: Final = 1440.0


class _Dice:
    """What is drawn, by the words of this module."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def one(self, low: float, high: float) -> float:
        return float(self._rng.uniform(low, high))

    def scale(self, low: float, high: float) -> float:
        """Each order of magnitude as likely as another."""
        return float(np.exp(self._rng.uniform(np.log(low), np.log(high))))

    def number(self, low: int, high: int) -> int:
        return int(self._rng.integers(low, high + 1))

    def perhaps(self, chance: float) -> bool:
        return bool(self._rng.random() < chance)

    def of(self, *values: T) -> T:
        return values[self.number(0, len(values) - 1)]


def mixed(number: int, seed: int = 0) -> Kind:
    """The kind of this number; one trace of each will do. The sorts take turns."""
    dice, sort = _Dice(np.random.default_rng([seed, number])), SORTS[number % len(SORTS)]
    margin, loss = dice.of(0.05, 0.1, 0.1, 0.1, 0.2, 0.3), dice.of(*_LOSSES)
    dt, hours = dice.of(15.0, 30.0, 60.0), 12.0
    lag = _lag(dice)
    split = _split(dice)
    segments = _segments(dice) if dice.perhaps(0.35) else ()
    season = dice.one(0.05, 0.3) if dice.perhaps(0.3) else 0.0
    return Kind(
        name=f"mixed-{number}",
        group="boundary" if sort == "boundary" else "extra",
        about=sort,
        right=_RIGHT[sort],
        dt=dt,
        history=(history := dice.of(0, 3, *(round(dice.scale(30.0, 720.0) * 60.0 / dt) for _ in range(6))), history),
        hours=hours,
        rate=dice.scale(0.1, 15.0),
        split=split,
        day=dice.one(0.1, 0.7) if dice.perhaps(0.3) else 0.0,
        loss=loss,
        typical=dice.one(0.01, 0.03) if loss is BINARY else dice.scale(1e-3, 1e3),
        edge_ratio=dice.one(1.25, 2.0),
        edge_scale=1.0 if loss is BINARY else dice.scale(0.4, 2.5),
        segments=segments,
        named=dice.perhaps(0.8) if _alike(segments) else True,
        lag=lag,
        coverage=dice.one(0.4, 1.0) if dice.perhaps(0.3) else 1.0,
        effect=_effect(dice, sort, margin, loss is not BINARY, segments),
        clusters=Clusters(dice.one(1.5, 4.0), dice.one(30.0, 240.0), dice.one(0.05, 0.2))
        if dice.perhaps(0.25)
        else None,
        wander=Wander(dice.one(0.03, 0.15), dice.one(0.3, 2.0), shared=True) if dice.perhaps(0.15) else None,
        season=season,
        incidents=_incidents(dice, hours) if dice.perhaps(0.2) else (),
        faults=_faults(dice, hours),
        margin=margin,
        slo=1.6,
    )


def judged(number: int, seed: int = 0, name: str = "modelslo") -> Row:
    """How the trace of this kind ends."""
    return drive(mixed(number, seed), number, decider(name), seed=seed, mode=mode_of(number, seed), name=name)


def mode_of(number: int, seed: int = 0) -> Mode:
    """What the exporter offers in this one."""
    return _Dice(np.random.default_rng([seed, number, 1])).of(*_MODES)


def run(traces: int, seed: int = 0, name: str = "modelslo", jobs: int = 2) -> list[Row]:
    """The first `traces` of them."""
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(partial(judged, seed=seed, name=name), range(traces), chunksize=4))


def by_sort(rows: Sequence[Row]) -> Iterator[tuple[Sort, Results]]:
    """Rows in the order of their numbers."""
    for number, sort in enumerate(SORTS):
        yield sort, Results(tuple(row for row in rows if row.number % len(SORTS) == number))


def _effect(dice: _Dice, sort: Sort, margin: float, free: bool, segments: Sequence[Segment]) -> Effect:
    """`free`: a loss may be as large as it likes."""
    if sort == "boundary":
        return Effect(1.0 + margin)
    if sort == "harmless":
        return Effect(dice.of(1.0, 1.0, dice.one(0.6, 1.0), 1.0 + dice.one(0.0, 0.7) * margin))
    late = (0.0, 3.0) if dice.perhaps(0.2) else (0.0, 0.0)
    ratio = 1.0 + margin * dice.scale(2.0, 8.0)
    if free and dice.perhaps(0.2):
        factor = dice.scale(10.0, 100.0)
        return Effect(onset=late, rare=((ratio - 1.0) / (factor - 1.0), factor))
    if free and segments and dice.perhaps(0.4):
        # One of them, so much worse that all are by at least two margins.
        one = segments[dice.number(0, len(segments) - 1)]
        part = one.canary * one.level / sum(other.canary * other.level for other in segments)
        return Effect(1.0 + (ratio - 1.0) / part, onset=late, segment=one.name)
    return Effect(ratio, onset=late, ramp=dice.one(0.2, 2.0) if dice.perhaps(0.2) else 0.0)


def _lag(dice: _Dice) -> Lag:
    law: LagLaw = dice.of("none", "none", "fixed", "exponential", "loss")
    return Lag() if law == "none" else Lag(law, dice.scale(30.0, 3600.0))


def _split(dice: _Dice) -> tuple[tuple[float, float], ...]:
    if dice.perhaps(0.7):
        return ((0.0, dice.scale(0.01, 0.6)),)
    shares = sorted(dice.scale(0.01, 0.6) for _ in range(3))
    return ((0.0, shares[0]), (dice.one(0.2, 1.0), shares[1]), (dice.one(1.0, 3.0), shares[2]))


def _segments(dice: _Dice) -> tuple[Segment, ...]:
    """Two to five, the canary's mix maybe another; levels of mean 1 over stable's mix."""
    names = tuple(f"s{number}" for number in range(dice.number(2, 5)))
    stable = _shares([dice.scale(0.03, 1.0) for _ in names])
    canary = _shares([share * dice.scale(0.5, 2.0) for share in stable]) if dice.perhaps(0.5) else stable
    levels = [dice.scale(0.3, 3.0) for _ in names]
    mean = sum(share * level for share, level in zip(stable, levels, strict=True))
    return tuple(
        Segment(name, mine, others, level / mean)
        for name, mine, others, level in zip(names, stable, canary, levels, strict=True)
    )


def _shares(weights: list[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _alike(segments: tuple[Segment, ...]) -> bool:
    """Whether both arms get the same mix: only then may a judge not know the segments."""
    return all(one.stable == one.canary for one in segments)


def _incidents(dice: _Dice, hours: float) -> tuple[Passing, ...]:
    begins = dice.one(0.0, hours / 2)
    return (Passing(at=(begins, begins), minutes=(10.0, 50.0), factor=(2.0, 4.0)),)


def _faults(dice: _Dice, hours: float) -> Faults:
    if dice.perhaps(0.6):
        return Faults()
    pods = dice.number(1, 4)
    resets = tuple(
        Reset(dice.of(*ARMS), at=(0.0, hours / 3), partly=pods > 1 and dice.perhaps(0.5))
        for _ in range(dice.number(0, 3))
    )
    arms: tuple[Arm, ...] = dice.of(ARMS, ARMS[:1], ARMS[1:])
    gaps = (Gap(arms, at=(0.0, hours / 3), minutes=(1.0, 40.0)),) if dice.perhaps(0.5) else ()
    rare = 0.05 if dice.perhaps(0.5) else 0.0
    return Faults(pods, resets, gaps, missing=rare, repeated=rare)
