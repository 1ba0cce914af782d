"""Losses that are no numbers: a version that predicts NaN is worse, however good its other losses are.

The exporter counts them (``ml_loss_invalid_total``). Within a block each invalid loss is the canary's with
probability at most q0 = t n_c / (t n_c + n_s), when the canary's rate is at most t times stable's; n is the number of
predictions scored, invalid ones included. For q1 > q0 the likelihood ratio (q1/q0)^k_c ((1-q1)/(1-q0))^k_s is an
e-value (binomial, monotone in q; Turner, Ly & Gruenwald 2024), and so is a mixture of them. Rates that both arms
share give no evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log
from typing import Final

TOLERATED_RATIO: Final = 1.5
# Alternatives: the canary's odds are this much higher than tolerated.
_FACTORS: Final = (2.0, 8.0, 64.0)
# One scrape cannot decide on its own (as the cap of decision-statistics section 4.3).
_MOST_PER_BLOCK: Final = log(20) / 2 + 0.1


@dataclass(frozen=True, slots=True)
class InvalidLosses:
    """State of the test: log e-value per alternative, and the counts seen. Start: ``InvalidLosses()``."""

    logs: tuple[float, ...] = (0.0,) * len(_FACTORS)
    stable: float = 0.0
    canary: float = 0.0

    @property
    def log_e(self) -> float:
        """ln of the mean e-value over the alternatives."""
        top = max(self.logs)
        return top + log(sum(exp(one - top) for one in self.logs) / len(self.logs))


def add_invalid(
    state: InvalidLosses, *, invalid_stable: float, scored_stable: float, invalid_canary: float, scored_canary: float
) -> InvalidLosses:
    """Takes one increment of both arms (counts). Nothing changes unless both arms scored something in it."""
    if invalid_stable + invalid_canary <= 0 or scored_stable <= 0 or scored_canary <= 0:
        return state
    odds = TOLERATED_RATIO * scored_canary / scored_stable
    q0 = odds / (1 + odds)
    logs = []
    for factor, past in zip(_FACTORS, state.logs, strict=True):
        q1 = factor * odds / (1 + factor * odds)
        gain = invalid_canary * log(q1 / q0) + invalid_stable * log((1 - q1) / (1 - q0))
        logs.append(past + min(gain, _MOST_PER_BLOCK))
    return InvalidLosses(tuple(logs), state.stable + invalid_stable, state.canary + invalid_canary)
