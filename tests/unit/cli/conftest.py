"""A Prometheus with a history, for the tests of `modelslo backtest`."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence
from tests.unit.backtest.history import BEGIN, HOUR
from tests.unit.cli.test_backtest import BAD, FILE, HOURS


@pytest.fixture
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the ModelSLO; it is the end of what Prometheus has of it."""
    (tmp_path / "fraud.yaml").write_text(FILE)

    async def observed(ask: Ask) -> Evidence:
        return BAD.evidence(ask)

    monkeypatch.setattr("modelslo.cli.backtest_read.observed", observed)
    monkeypatch.setattr("time.time", lambda: BEGIN + HOURS * HOUR)
