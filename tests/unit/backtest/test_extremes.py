"""Numbers that nobody has, in a replay: an answer to each scrape all the same, and every one is a number."""

from __future__ import annotations

from itertools import product
from math import isfinite
from typing import Any

import pytest

from tests.simulate.words import Mode
from tests.unit.backtest.lines import Line, answers, text, trace
from tests.unit.backtest.test_jsonl import times

MODES: tuple[Mode, ...] = ("histogram", "sums", "squares")


def sound(found: list[dict[str, Any]], lines: list[Line]) -> bool:
    """Whether there is an answer to each scrape, and every e-value is a number."""
    values = [one[key] for one in found for key in ("e_rollback", "e_promote") if key in one]
    return len(found) == sum(one["type"] == "scrape" for one in lines) and all(map(isfinite, values))


def struck(lines: list[Line], role: str, k: int, loss: float) -> list[Line]:
    """One loss of `role` at scrape `k`, above every edge."""

    def arm(series: dict[str, Any]) -> dict[str, Any]:
        found = series | {
            "loss_sum": series["loss_sum"] + loss,
            "loss_count": series["loss_count"] + 1,
            "buckets": [*series["buckets"][:-1], series["buckets"][-1] + 1],
            "predictions_total": series["predictions_total"] + 1,
            "lag_buckets": [one + 1 for one in series["lag_buckets"]],
        }
        return found | ({"loss_sumsq": "+Inf"} if "loss_sumsq" in series else {})

    return [
        dict(one) | {"arms": dict(one["arms"]) | {role: arm(one["arms"][role])}}
        if one["type"] == "scrape" and one["k"] >= k and role in one["arms"]
        else one
        for one in lines
    ]


@pytest.mark.parametrize(("mode", "unit"), [*product(MODES, [1e-80, 1e60])])
def test_losses_of_any_size_have_answers(mode: Mode, unit: float) -> None:
    lines = [times(one, unit) for one in trace("same-exponential", hours=0.6, mode=mode)]
    assert sound(answers(text(lines)), lines)


@pytest.mark.parametrize(("mode", "role", "loss"), [*product(MODES, ["stable", "canary"], [1e20, 1e100, 1e160, 1e300])])
def test_one_loss_beyond_all_measure_decides_nothing(mode: Mode, role: str, loss: float) -> None:
    """From 10^19 times the mean on a counter takes no other loss up: its sum then says nothing of its buckets."""
    plain = trace("same-exponential", hours=1.5, mode=mode)
    lines = struck(plain, role, 55, loss)
    found = answers(text(lines))
    assert sound(found, lines)
    if mode == "histogram":
        assert {one["action"] for one in found} <= {"hold", "promote"}
