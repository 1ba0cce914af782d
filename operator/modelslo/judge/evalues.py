"""E-processes of one rollout: wealth per bet, copies restarted every ten minutes, and their mixture (4.3, 4.5, 4.6).

A copy that is opened later has the same increments as the first: its wealth is the first one's minus what that had
when the copy opened. So a copy is nothing but a snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final

import numpy as np

from modelslo.judge.betting import HIGHEST, Array, Mask, cap_of, log_mean_exp
from modelslo.judge.frozen import changed, frozen
from modelslo.judge.scale import Rules, Scale
from modelslo.judge.tails import Tail
from modelslo.judge.wagers import Wagers

RESTART_SHARE: Final = 0.2
TAIL_SHARE: Final = 0.25
SECOND_TAIL_SHARE: Final = 0.3  # of that, where there are two
SEGMENT_SHARE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Wealth:
    """Logarithms of wealth, one process a row, its bets in the last axis, padded to one length by -inf mass.

    ``rows`` (1 + T + G' + 1 + G', L): first the ``worse`` many for "worse" (mean, tail, segments), then those for "not
    worse" (mean, segments). ``most`` (same rows, 1) is what one block may add. ``seed`` is ln sum_s exp(-rows at s) /
    (s (s + 1)) over the copies s that were opened so far: all that is to be known of them.
    """

    rows: Array
    worse: int
    most: Array
    mass: Array
    seed: Array  # of those for "worse"
    mixed_mass: Array  # of the first copy and all others together
    copies: int = 0

    @property
    def back(self) -> Array:
        """Those for "worse"."""
        return self.rows[: self.worse]

    @property
    def forth(self) -> Array:
        """Those for "not worse"."""
        return self.rows[self.worse :]


@frozen(eq=False)
class EValues:
    """Natural logarithms. ``segments`` are per judged segment, shapes (G',)."""

    rollback: float = 0.0
    promote: float = 0.0
    mean: float = 0.0
    tail: float | None = None
    segments_rollback: tuple[float, ...] = ()
    segments_promote: tuple[float, ...] = ()


def e_value(log_e: float) -> float:
    """exp without overflow, for people."""
    return exp(min(log_e, HIGHEST))


def start(scale: Scale, rules: Rules) -> Wealth:
    groups = scale.segments if rules.segments else 0
    back = [scale.back, *(bets for tail in scale.tails.each for bets in tail.bets), *([scale.segment_back] * groups)]
    forth = [scale.forth, *([scale.segment_forth] * groups)]
    mass, worse = _padded([one.log_mass for one in (*back, *forth)]), len(back)
    mixed = mass.copy()
    mixed[:worse] += log(1 - RESTART_SHARE)
    return Wealth(
        rows=np.zeros_like(mass),
        worse=worse,
        most=np.array([[cap_of(rules.alpha)]] * worse + [[cap_of(rules.beta)]] * len(forth)),
        mass=mass,
        seed=np.full((worse, mass.shape[1]), -np.inf),
        mixed_mass=mixed,
    )


def _padded(rows: list[Array], filling: float = -np.inf) -> Array:
    width = max(len(row) for row in rows)
    return np.array([np.concatenate((row, np.full(width - len(row), filling))) for row in rows])


def with_copy(wealth: Wealth) -> Wealth:
    """Opens another copy of the processes for "worse"."""
    number = wealth.copies + 1
    seed = np.logaddexp(wealth.seed, -wealth.back - log(number * (number + 1)))
    mixed = wealth.mass.copy()
    mixed[: wealth.worse] += np.logaddexp(log(1 - RESTART_SHARE), seed + log(RESTART_SHARE))
    return changed(wealth, seed=seed, mixed_mass=mixed, copies=number)


def with_block(wealth: Wealth, scale: Scale, found: Wagers, phi: float, whole: bool = True) -> Wealth:
    """Takes the wagers of a block, tempered by `phi` and capped; one that is not `whole` can only be for "worse"."""
    gained = _stacked(wealth, scale, found)
    if not whole:
        gained[wealth.worse :] = 0.0
    gained /= phi
    np.minimum(gained, wealth.most, out=gained)
    gained += wealth.rows
    return changed(wealth, rows=gained)


def _stacked(wealth: Wealth, scale: Scale, found: Wagers) -> Array:
    """Wagers in the rows of the wealth; a new array."""
    number, worse, groups = len(scale.back.sizes), wealth.worse, found.segments.shape[1]
    stacked = np.zeros(wealth.rows.shape)
    stacked[0, :number], stacked[worse, : len(found.mean) - number] = found.mean[:number], found.mean[number:]
    tails = found.tails
    stacked[1 : 1 + len(tails), : tails.shape[1]] = tails
    if groups:
        of_one = len(scale.segment_back.sizes)
        stacked[worse - groups : worse, :of_one] = found.segments[:of_one].T
        stacked[-groups:, : len(found.segments) - of_one] = found.segments[of_one:].T
    return stacked


def values(wealth: Wealth, tails: Sequence[Tail], needed: Mask | None = None) -> EValues:
    """The e-values that decide: ln(0.8 E_0 + 0.2 sum_s E_s / (s (s + 1))); copies that are not open yet count 1.

    A promotion needs the whole and the `needed` segments, shape (G,); None: all.
    """
    found, closed = log_mean_exp(wealth.rows, wealth.mixed_mass).tolist(), RESTART_SHARE / (wealth.copies + 1)
    back, forth = [log(exp(one) + closed) for one in found[: wealth.worse]], found[wealth.worse :]
    mean, rest = back[0], back[1:]
    tail, segments = _of_tails(rest, tails)
    rollback = mean if tail is None else _mix(mean, tail, TAIL_SHARE)
    if segments:
        top = max(segments)
        rollback = _mix(rollback, top + log(sum(exp(one - top) for one in segments) / len(segments)), SEGMENT_SHARE)
    return EValues(
        rollback=rollback,
        promote=min([forth[0], *(e for index, e in enumerate(forth[1:]) if needed is None or needed[index])]),
        mean=mean,
        tail=tail,
        segments_rollback=tuple(segments),
        segments_promote=tuple(forth[1:]),
    )


def _of_tails(log_e: list[float], tails: Sequence[Tail]) -> tuple[float | None, list[float]]:
    """The average over the `tails`, of each the smallest of its e-values, and what is left of `log_e`."""
    found: float | None = None
    for tail in tails:
        number = len(tail.bets)
        least, log_e = min(log_e[:number]), log_e[number:]
        found = least if found is None else _mix(found, least, SECOND_TAIL_SHARE)
    return found, log_e


def _mix(first: float, second: float, share: float) -> float:
    """ln((1 - share) e^first + share e^second)."""
    top = max(first, second)
    return top + log((1 - share) * exp(first - top) + share * exp(second - top))
