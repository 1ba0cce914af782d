"""E-processes of one rollout: wealth per bet, copies restarted every ten minutes, and their mixture (4.3, 4.5, 4.6).

A copy that is opened later has the same increments as the first: its wealth is the first one's minus what that had
when the copy opened. So a copy is nothing but a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Final

import numpy as np

from modelslo.judge.betting import HIGHEST, Array, Mask, cap_of, log_mean_exp
from modelslo.judge.frozen import changed, frozen
from modelslo.judge.scale import Rules, Scale
from modelslo.judge.wagers import Wagers

RESTART_SHARE: Final = 0.2
TAIL_SHARE: Final = 0.25
SEGMENT_SHARE: Final = 0.5


@dataclass(frozen=True, eq=False)
class Wealth:
    """Logarithms of wealth, each array with bets in its last axis.

    ``back`` (1 + T + G', L) stacks the processes for "worse": mean, tail, segments, padded to one length by -inf mass.
    ``forth`` (1 + G', L) those for "not worse". ``seed`` is ln sum_s exp(-back at s) / (s (s + 1)) over the copies s
    that were opened so far: all that is to be known of them.
    """

    back: Array
    forth: Array
    back_mass: Array
    forth_mass: Array
    seed: Array
    mixed_mass: Array  # of the first copy and all others together
    copies: int = 0


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


def start(scale: Scale, segments: bool) -> Wealth:
    groups = scale.segments if segments else 0
    back = [scale.back, *([scale.tail.bets] if scale.tail else []), *([scale.segment_back] * groups)]
    forth = [scale.forth, *([scale.segment_forth] * groups)]
    back_mass, forth_mass = _padded([one.log_mass for one in back]), _padded([one.log_mass for one in forth])
    return Wealth(
        back=np.zeros_like(back_mass),
        forth=np.zeros_like(forth_mass),
        back_mass=back_mass,
        forth_mass=forth_mass,
        seed=np.full(back_mass.shape, -np.inf),
        mixed_mass=back_mass + log(1 - RESTART_SHARE),
    )


def _padded(rows: list[Array], filling: float = -np.inf) -> Array:
    width = max(len(row) for row in rows)
    return np.array([np.concatenate((row, np.full(width - len(row), filling))) for row in rows])


def with_copy(wealth: Wealth) -> Wealth:
    """Opens another copy of the processes for "worse"."""
    number = wealth.copies + 1
    seed = np.logaddexp(wealth.seed, -wealth.back - log(number * (number + 1)))
    mixed = wealth.back_mass + np.logaddexp(log(1 - RESTART_SHARE), seed + log(RESTART_SHARE))
    return changed(wealth, seed=seed, mixed_mass=mixed, copies=number)


def with_block(wealth: Wealth, scale: Scale, rules: Rules, found: Wagers, phi: float, whole: bool = True) -> Wealth:
    """Takes the wagers of a block, tempered by `phi` and capped; one that is not `whole` can only be for "worse"."""
    number = len(scale.back.sizes)
    if not len(found.tail) and not found.segments.shape[1]:
        back, forth = found.mean[None, :number], found.mean[None, number:]
    else:
        back, forth = _stacked(wealth, scale, found)
    return changed(
        wealth,
        back=wealth.back + np.minimum(back / phi, cap_of(rules.alpha)),
        forth=wealth.forth + np.minimum(forth / phi, cap_of(rules.beta)) if whole else wealth.forth,
    )


def _stacked(wealth: Wealth, scale: Scale, found: Wagers) -> tuple[Array, Array]:
    """Wagers in the rows of the wealth."""
    number, number_g = len(scale.back.sizes), len(scale.segment_back.sizes)
    back, forth = np.zeros(wealth.back.shape), np.zeros(wealth.forth.shape)
    back[0, :number], forth[0, : len(scale.forth.sizes)] = found.mean[:number], found.mean[number:]
    if len(found.tail):
        back[1, : len(found.tail)] = found.tail
    groups = found.segments.shape[1]
    if groups:
        back[-groups:, :number_g] = found.segments[:number_g].T
        forth[-groups:, : len(scale.segment_forth.sizes)] = found.segments[number_g:].T
    return back, forth


def values(wealth: Wealth, has_tail: bool, needed: Mask | None = None) -> EValues:
    """The e-values that decide: ln(0.8 E_0 + 0.2 sum_s E_s / (s (s + 1))); copies that are not open yet count 1.

    A promotion needs the whole and the `needed` segments, shape (G,); None: all.
    """
    closed = RESTART_SHARE / (wealth.copies + 1)
    back = np.logaddexp(log_mean_exp(wealth.back, wealth.mixed_mass), log(closed)).tolist()
    forth = log_mean_exp(wealth.forth, wealth.forth_mass).tolist()
    rollback = _mix(back[0], back[1], TAIL_SHARE) if has_tail else back[0]
    segments = back[1 + has_tail :]
    if segments:
        top = max(segments)
        mean = sum(exp(one - top) for one in segments) / len(segments)
        rollback = _mix(rollback, top + log(mean), SEGMENT_SHARE)
    return EValues(
        rollback=rollback,
        promote=min([forth[0], *(e for index, e in enumerate(forth[1:]) if needed is None or needed[index])]),
        mean=back[0],
        tail=back[1] if has_tail else None,
        segments_rollback=tuple(segments),
        segments_promote=tuple(forth[1:]),
    )


def _mix(first: float, second: float, share: float) -> float:
    """ln((1 - share) e^first + share e^second)."""
    top = max(first, second)
    return top + log((1 - share) * exp(first - top) + share * exp(second - top))
