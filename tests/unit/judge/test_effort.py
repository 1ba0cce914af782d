"""What a label is worth: the gain of the best bet that is allowed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelslo.judge.contrast import Contrast
from modelslo.judge.effort import labels_per_nat
from modelslo.judge.verdict import measure, worth
from tests.unit.judge.series import Rollout, rules_of

ratios, margins = st.floats(0.3, 4.0), st.floats(0.01, 0.5)
variances, kappas, tops = st.floats(0.01, 20), st.floats(0.01, 3), st.floats(1.5, 200)


def gain(bet: float, ratio: float, r: float, cv2: float, kappa: float) -> float:
    """Nats per label of the canary, to second order."""
    return bet * abs(ratio - r) - bet * bet * cv2 * (ratio**2 + r**2 * kappa) / 2


@given(ratios, margins, variances, kappas, tops)
def test_no_bet_that_is_allowed_gains_more(ratio: float, margin: float, cv2: float, kappa: float, top: float) -> None:
    r = 1 + margin
    assume(abs(ratio - r) > 1e-3)
    found = 1 / labels_per_nat(ratio, r, cv2, kappa, top)
    sign = -1 if ratio < r else 1

    def floor(bet: float) -> float:
        """What is left at the worst of both arms' losses, which are 0 to `top`."""
        ends = np.array([0.0, top])
        return float(min((1 + sign * bet * (ends - r)).min(), (1 - sign * bet * r * kappa * (ends - 1)).min()))

    allowed = [bet for bet in np.geomspace(1e-6, 50, 400) if floor(bet) >= 0.05]
    assert found >= max(gain(bet, ratio, r, cv2, kappa) for bet in allowed) * (1 - 1e-9)


@given(ratios, margins, variances, kappas, tops, st.floats(1.01, 5))
def test_noise_and_large_losses_make_labels_worth_less(
    ratio: float, margin: float, cv2: float, kappa: float, top: float, factor: float
) -> None:
    r = 1 + margin
    assume(abs(ratio - r) > 1e-3)
    least = labels_per_nat(ratio, r, cv2, kappa, top) * (1 - 1e-9)
    assert labels_per_nat(ratio, r, cv2 * factor, kappa, top) >= least
    assert labels_per_nat(ratio, r, cv2, kappa * factor, top) >= least
    assert labels_per_nat(ratio, r, cv2, kappa, top * factor) >= least


def test_the_measure_is_a_margin_off_the_margin() -> None:
    assert measure(1.1, worse=True) == pytest.approx(1.2)
    assert measure(1.1, worse=False) == 1.0


def test_what_was_compared_is_worth_more_the_more_it_is_and_in_any_unit() -> None:
    # Given the same rollout in two units of the loss
    one, other = Rollout(), Rollout(rules_of(edges=tuple(1000 * edge for edge in rules_of().edges)), mean=1000.0)
    for rollout in (one, other):
        rollout.run(120)
    for worse in (True, False):
        # Then the labels are worth the same, and more of them more
        found = [worth(rollout.trial.contrast, rollout.trial.scale, worse) for rollout in (one, other)]
        assert found[0] == pytest.approx(found[1], rel=1e-9)
        one_more = replace(one.trial.contrast, canary=one.trial.contrast.canary + 1)
        assert worth(one_more, one.trial.scale, worse) > found[0] > 0
        # And none nothing
        assert worth(Contrast(), one.trial.scale, worse) == 0
