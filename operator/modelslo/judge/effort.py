"""What a label is worth, before anything is seen of the canary (decision-statistics section 8).

With f the canary's true mean loss over stable's, r = 1 + margin, kappa = n_c / n_s and V = CV^2 (f^2 + r^2 kappa), the
best bet gains K nats per label of the canary,

    K = b |f - r| - b^2 V / 2,    b = |f - r| / V,

so that any test with an error rate a needs ln(1/a) / K labels on average (Wald 1945; Garivier & Kaufmann 2016). A bet
must leave 5 % of the wealth whatever the loss (section 4.2), which forbids that one where single losses may be large:
with losses up to B times the mean, b <= 0.95 / (B - r) for "not worse". Then K is the gain of the largest bet allowed.
"""

from __future__ import annotations

from typing import Final

from modelslo.judge.betting import FLOOR

_LARGEST_STAKE: Final = 1 - FLOOR
_SMALLEST_STAKE: Final = 1e-9


def labels_per_nat(ratio: float, r: float, cv2: float, kappa: float, top: float) -> float:
    """1/K at the true `ratio` f, which is not `r`.

    `cv2` is the squared coefficient of variation of one loss, `top` the largest loss that counts, over the mean loss.
    """
    effect, variance = abs(ratio - r), cv2 * (ratio**2 + r**2 * kappa)
    # What one label may lose at most, per unit of the bet: losses lie between 0 and `top` times the mean, and on each
    # of stable's is bet r kappa times as much, the other way.
    worst = max(top - r, r * kappa) if ratio < r else max(r, r * kappa * (top - 1))
    largest = _LARGEST_STAKE / max(worst, _SMALLEST_STAKE)
    bet = min(effect / variance, largest)
    return 1 / (bet * effect - bet * bet * variance / 2)
