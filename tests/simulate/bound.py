"""How few labels any gate can do with (study, section 8)."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from math import inf, log
from typing import Final

import numpy as np

from tests.simulate.kind import Kind
from tests.simulate.words import Floats

_SAMPLES: Final = 200_000
_ATOMS: Final = 800
_GOLDEN: Final = (5.0**0.5 - 1.0) / 2.0


def klinf(values: Floats, weights: Floats, mean: float, top: float) -> float:
    """Least KL(P, Q) over laws Q on [0, top] with mean `mean` (Honda & Takemura 2010), in nats.

    P has atoms `values` of probability `weights`. Dual: the largest E ln(1 + b(mean - X)), or b of the other sign when
    the mean of P lies above, over the b that keep the logarithm's argument positive on [0, top].
    """
    apart = mean - values
    if float(weights @ values) > mean:
        apart, largest = -apart, 1.0 / mean
    elif mean >= top:
        return inf
    else:
        largest = 1.0 / (top - mean)

    def slope(bet: float) -> float:
        return float(weights @ (apart / np.maximum(1.0 + bet * apart, 1e-300)))

    low, high = 0.0, largest
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if slope(middle) > 0.0 else (low, middle)
    return max(0.0, float(weights @ np.log(np.maximum(1.0 + low * apart, 1e-300))))


def information(
    canary: tuple[Floats, Floats], stable: tuple[Floats, Floats], *, r: float, per_canary: float, top: float
) -> float:
    """K of section 8: nats that one canary label, with `per_canary` stable labels, gives against the ratio `r`.

    Args:
        canary: Atoms and their probabilities.
        stable: The same of the stable version.
        r: 1 + margin.
        per_canary: n_s / n_c.
        top: Largest possible loss.
    """
    ends = sorted((float(canary[0] @ canary[1]), r * float(stable[0] @ stable[1])))

    def cost(common: float) -> float:
        return klinf(*canary, common, top) + per_canary * klinf(*stable, common / r, top)

    return _least(cost, ends[0], min(ends[1], top * (1.0 - 1e-9)))


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """Minimum of a convex function by golden section."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(36):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return min(at_left, at_right)


def _atoms(kind: Kind, *, canary: bool, top: float) -> tuple[Floats, Floats]:
    """The law of one arm's winsorised loss as few atoms: the means of many narrow bins of a big sample."""
    if kind.loss.family == "binary":
        mean = kind.typical * (kind.ratio if canary else 1.0)
        return np.array([0.0, 1.0]), np.array([1.0 - mean, mean])
    rng = np.random.Generator(np.random.PCG64([zlib.crc32(kind.name.encode()), int(canary)]))
    loss = kind.loss.draw(rng, np.full(_SAMPLES, kind.typical))
    if canary:
        loss *= kind.effect.ratio
        if kind.effect.rare is not None:
            loss[rng.random(_SAMPLES) < kind.effect.rare[0]] *= kind.effect.rare[1]
    # The gate's promise is about the loss winsorised at B.
    loss = np.minimum(loss, top)
    edges = np.geomspace(top * 1e-6, top, _ATOMS)
    bins = np.searchsorted(edges, loss, side="left")
    counts = np.bincount(bins, minlength=_ATOMS)
    sums = np.bincount(bins, weights=loss, minlength=_ATOMS)
    there = counts > 0
    return sums[there] / counts[there], counts[there] / _SAMPLES


@lru_cache(maxsize=256)
def labels_needed(kind: Kind, alpha: float = 0.05) -> float | None:
    """Expected canary labels that the right verdict needs at least: ln(1/alpha) / K.

    None for kinds without one constant effect, one split and independent losses, or where holding is right.
    """
    if not kind.plain or kind.group == "boundary" or "hold" in kind.right:
        return None
    top = 1.0 if kind.loss.family == "binary" else 1.25 * kind.edges[-1]
    share = kind.split[0][1]
    nats = information(
        _atoms(kind, canary=True, top=top),
        _atoms(kind, canary=False, top=top),
        r=1.0 + kind.margin,
        per_canary=(1.0 - share) / share,
        top=top,
    )
    return log(1.0 / alpha) / nats
