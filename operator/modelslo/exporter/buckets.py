"""Bucket bounds for a loss histogram."""

from __future__ import annotations

import math
from collections.abc import Iterable

MIN_BOUNDS = 10


def geometric_buckets(
    target: float, *, ratio: float = 2.0, top: float = 10.0, count: int = 11, also: Iterable[float] = ()
) -> tuple[float, ...]:
    """Ascending finite bounds target * ratio^k that hold `target` itself exactly, in the unit of the loss.

    The last bound is at least `top` times the target: a quantile cannot be read above it. Neighbours are at
    most `ratio` (in (1, 2]) apart, so that an interpolated quantile errs by less. `also` adds bounds that a
    ratio above a bound needs exactly. `count` bounds, or more where `top` asks for them.
    """
    if not (math.isfinite(target) and target > 0):
        raise ValueError(f"target must be a positive number, but is {target}")
    if not 1 < ratio <= 2:
        raise ValueError(f"ratio must lie in (1, 2], but is {ratio}")
    if not (math.isfinite(top) and top >= 10):
        raise ValueError(f"top must be at least 10 times the target, but is {top}")
    if count < MIN_BOUNDS:
        raise ValueError(f"count must be at least {MIN_BOUNDS}, but is {count}")
    above = math.ceil(math.log(top) / math.log(ratio))
    while target * ratio**above < top * target:  # the logarithm's last digit
        above += 1
    below = max(count - above - 1, 1)
    bounds = {target * ratio**k for k in range(-below, above + 1)}
    return tuple(sorted(bounds | {float(bound) for bound in also}))
