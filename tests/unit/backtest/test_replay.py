"""What a replay asks, and how often."""

from __future__ import annotations

import pytest

from modelslo.backtest import replay
from modelslo.judge.gate import Gate
from modelslo.judge.scale import Rules
from tests.unit.backtest.lines import answers, text, trace


def test_whether_stables_loss_is_swollen_is_asked_once_a_block_of_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs a twentieth of a scrape, and changes by the hour."""
    # Given a rollout of 72 scrapes, ten of them in each block of five minutes
    asked: list[float] = []

    def swollen(gate: Gate, rules: Rules, at: float) -> bool:
        asked.append(at)
        return False

    monkeypatch.setattr(replay, "swollen", swollen)
    lines = trace("large-exponential")
    # When it is replayed
    answers(text(lines))
    # Then it was asked once in each of its blocks
    blocks = [int(at / 300 - 1e-9) for at in asked]
    assert len(blocks) >= 7
    assert blocks == sorted(set(blocks))
