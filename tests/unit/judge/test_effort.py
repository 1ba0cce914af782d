"""What a label is worth: the gain of the best bet that is allowed."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelslo.judge.betting import Array
from modelslo.judge.contrast import Contrast
from modelslo.judge.effort import labels_per_nat
from modelslo.judge.scale import CV2_UNKNOWN, Data
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
        found = [worth(rollout.trial, rollout.trial.contrast, worse) for rollout in (one, other)]
        assert found[0] == pytest.approx(found[1], rel=1e-9)
        one_more = replace(one.trial.contrast, canary=one.trial.contrast.canary + 1)
        assert worth(one.trial, one_more, worse) > found[0] > 0
        # And none nothing
        assert worth(one.trial, Contrast(), worse) == 0


class RareErrors(Rollout):
    """Losses of which one in fifty is not zero."""

    def draw(self, n: int, arm: str = "stable") -> Array:
        return np.where(super().draw(n, arm) > log(50.0), 50.0, 0.0)


@pytest.mark.parametrize("data", [Data.HISTOGRAM, Data.SUMS, Data.SQUARES])
def test_without_history_labels_are_worth_what_is_seen_of_them(data: Data) -> None:
    # Given rare errors, and no history that tells of them
    edges = (0.01, 10.0, 100.0) if data is Data.HISTOGRAM else ()
    rollout = RareErrors(rules_of(edges=edges, has_squares=data is Data.SQUARES), history=0)
    assert rollout.run(2)
    assert rollout.trial.scale.data is data
    # Then at first they pass for usual losses
    assert rollout.trial.cv2 == CV2_UNKNOWN
    # When many are seen
    rollout.run(2000)
    # Then it is known how much they vary, (1 - p) / p, and they are worth as much less
    assert rollout.trial.cv2 == pytest.approx(49.0, rel=0.5)
    guessed = labels_per_nat(measure(1.1, worse=True), 1.1, CV2_UNKNOWN, 0.25, rollout.trial.top)
    compared = rollout.trial.contrast
    assert worth(rollout.trial, compared, worse=True) < compared.canary / guessed / 10


def test_a_history_is_believed() -> None:
    rollout = RareErrors(rules_of(edges=(0.01, 10.0, 100.0)))
    rollout.run(50)
    before = rollout.trial.cv2
    rollout.run(50)
    assert rollout.trial.cv2 == before == rollout.trial.scale.cv2
