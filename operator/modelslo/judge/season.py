"""The daily profile of stable's loss: two harmonics by weighted least squares (decision-statistics section 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import pi
from typing import Final

import numpy as np

from modelslo.judge.betting import Array
from modelslo.judge.timing import Tempo

_HARMONICS: Final = 2
# The harmonics must explain more than this many times what noise alone would.
_LEAST_GAIN: Final = 4.0
_LOWEST: Final = 0.2
_FLAT: Final = np.zeros(2 * _HARMONICS)


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """Relative deviation from the daily mean: coefficients of cos and sin, shape (4,); zeros: no season."""

    day: float
    coefficients: Array = field(default_factory=lambda: _FLAT)

    def at(self, time: float) -> float:
        """Loss at `time` (Unix seconds) over the daily mean; at least 0.2."""
        return max(_LOWEST, 1.0 + float(_waves(np.array([time]), self.day)[0] @ self.coefficients))


def _waves(times: Array, day: float) -> Array:
    angle = times[:, None] * (2 * pi / day) * np.arange(1, _HARMONICS + 1)
    return np.concatenate((np.cos(angle), np.sin(angle)), axis=1)


def season_of(times: Array, labels: Array, means: Array, tempo: Tempo) -> tuple[Season, Array]:
    """Fits blocks of `labels` labels each with these mean losses; gives the season and the fitted means, shape (B,).

    Flat when the history is short, or where the harmonics explain no more than noise would (section 6).
    """
    overall = float(labels @ means / labels.sum())
    flat = np.full(len(means), overall)
    if len(times) < 4 * _HARMONICS or times[-1] - times[0] < tempo.season:
        return Season(tempo.day), flat
    root = np.sqrt(labels)
    design = np.concatenate((np.ones((len(times), 1)), _waves(times, tempo.day)), axis=1)
    found, *_ = np.linalg.lstsq(design * root[:, None], means * root, rcond=None)
    fit = design @ found
    rest = float((labels * (means - fit) ** 2).sum()) / max(1, len(times) - design.shape[1])
    gain = float((labels * (means - flat) ** 2).sum()) - float((labels * (means - fit) ** 2).sum())
    if found[0] <= 0 or rest <= 0 or gain <= _LEAST_GAIN * 2 * _HARMONICS * rest:
        return Season(tempo.day), flat
    return Season(tempo.day, found[1:] / found[0]), fit
