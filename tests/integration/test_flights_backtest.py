"""The real flights through the judge: verdicts on one split of each scenario, scraped every five minutes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from examples.flights.backtest.__main__ import main, write
from examples.flights.backtest.compare import CANARY_JUDGES, Factory, Outcome, cell, judges_of, run, table
from examples.flights.backtest.scenarios import SCENARIOS, Scenario, Year, trace
from examples.flights.data import event_time

pytestmark = pytest.mark.timeout(300)  # 3 s a trace on an idle machine
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
OURS = {"modelslo": CANARY_JUDGES["modelslo"]}


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Year:
    return Year(tmp_path_factory.mktemp("models"))


def coarse(name: str, *, end: str | None = None) -> Scenario:
    """The scenario with a scrape every five minutes."""
    times = replace(BY_NAME[name].times, dt=300.0)
    return replace(BY_NAME[name], times=replace(times, end=end or times.end))


def outcomes(scenario: Scenario, year: Year, judges: Mapping[str, Factory]) -> dict[str, Outcome]:
    return run(scenario, trace(scenario, year, 0), judges)


@pytest.mark.parametrize("name", ["v2-bad", "v1-aa", "v2-good"])
def test_the_bad_one_is_rolled_back_and_the_others_are_promoted(name: str, year: Year) -> None:
    found = outcomes(coarse(name), year, OURS)["modelslo"]
    assert found.action == ("rollback" if name == "v2-bad" else "promote")
    assert found.labels > 300
    assert found.minutes > 6 * 60  # the longest flights of the rollout have to land first


def test_the_blizzard_rolls_nothing_back(year: Year) -> None:
    scenario = coarse("blizzard", end="2013-02-14T08:00")
    found = outcomes(scenario, year, judges_of(scenario))
    assert found["modelslo"].action in ("hold", "promote")
    assert "Rollback" not in found["modelslo"].reasons
    assert found["modelslo"].retrain_at is None
    documented = found["Argo-like, documented"]
    assert (documented.action, documented.labels) == ("rollback", 0)


def test_the_drift_is_found_when_spring_comes_and_not_before(year: Year) -> None:
    scenario = BY_NAME["spring"]
    found = outcomes(scenario, year, judges_of(scenario))
    ours = found["modelslo"]
    assert ours.at is not None
    assert event_time("2013-04-27") < ours.at < event_time("2013-05-08")
    assert all(found[name].minutes < ours.minutes for name in found if name != "modelslo")
    assert cell(scenario, [ours]).startswith("retrained 1 of 1: 05-0")
    assert "**retrained** 1 of 1: 04-" in table("-", found, [(scenario, [found])])


def test_the_lines_go_through_the_command(year: Year, tmp_path: Path) -> None:
    scenario = coarse("v2-bad", end="2013-03-18T08:00")
    path = write(trace(scenario, year, 0), tmp_path / "lines")
    command = [sys.executable, "-m", "modelslo.cli.main", "backtest", "--jsonl"]
    with path.open() as lines:
        done = subprocess.run(command, stdin=lines, capture_output=True, text=True, timeout=120, check=True)
    assert len(done.stdout.splitlines()) == scenario.times.scrapes


def test_seeds_below_one_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--seeds", "0"])
    assert "give 1 or more" in capsys.readouterr().err
