"""Losses of zero: a stable version, or a canary, that never errs so far is a case of every kind of data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelslo.judge.betting import Array
from modelslo.judge.verdict import GateVerdict
from tests.unit.judge.series import DT, Rollout, rules_of

COINS: dict[str, Any] = {"edges": (0.0, 0.5, 1.0)}
FINE: dict[str, Any] = {"edges": tuple(2.0**k for k in range(-5, 3))}
DATA: list[dict[str, Any]] = [COINS, FINE, {"edges": ()}, {"edges": (), "has_squares": False}]
NAMES = ["coins", "buckets", "squares", "sums"]


def judged(change: dict[str, Any], *, stable: float, later: float, canary: float) -> tuple[Rollout, set[GateVerdict]]:
    """An hour of history and an hour of rollout: how often a loss is one, in the history, later and of the canary."""
    chance = np.random.default_rng(1)
    rollout, found = Rollout(rules_of(**change), history=0), set()

    def losses(n: int, often: float) -> Array:
        return (chance.random(n) < often).astype(float)

    for number in range(240):
        rollout.started = number >= 120
        rollout.now += DT
        rollout.stable.serve(losses(40, later if rollout.started else stable))
        if rollout.started:
            rollout.canary.serve(losses(10, canary))
        found.add(rollout.look())
        if rollout.started:
            assert np.isfinite([rollout.e.rollback, rollout.e.promote]).all()
    return rollout, found


@pytest.mark.parametrize("change", DATA, ids=NAMES)
@pytest.mark.parametrize("later", [0.0, 0.1])
def test_a_stable_version_without_a_loss_so_far_breaks_nothing(change: dict[str, Any], later: float) -> None:
    _, found = judged(change, stable=0.0, later=later, canary=1.0)
    assert GateVerdict.PROMOTE not in found


@pytest.mark.parametrize("change", DATA, ids=NAMES)
def test_a_canary_without_a_loss_is_not_rolled_back(change: dict[str, Any]) -> None:
    _, found = judged(change, stable=0.2, later=0.2, canary=0.0)
    assert GateVerdict.ROLLBACK not in found
    assert GateVerdict.PROMOTE in found


@pytest.mark.parametrize("change", DATA, ids=NAMES)
def test_two_versions_without_a_loss_are_never_told_apart(change: dict[str, Any]) -> None:
    """0 is not more than 1.1 times 0, and not less either."""
    rollout, found = judged(change, stable=0.0, later=0.0, canary=0.0)
    assert found <= {GateVerdict.INSUFFICIENT_DATA, GateVerdict.IMMATURE, GateVerdict.NEAR_MARGIN}
    assert rollout.e.rollback < 0.1
