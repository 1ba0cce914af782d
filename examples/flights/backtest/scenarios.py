"""What is replayed: which versions, which days, and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from examples.flights import data, model, versions
from examples.flights.backtest.trace import Flags, Served, Times, Trace
from examples.flights.data import Flights, Floats, event_time
from examples.flights.versions import VERSIONS, Recipe

CANARY_SHARE: Final = 0.25
_MARCH: Final = Times("2013-03-10T04:00", "2013-03-17T08:00", "2013-04-14T08:00")
_JANUARY: Final = Recipe("all of January", "2013-01-01", "2013-02-01")
RECIPES: Final[Mapping[str, Recipe]] = {**VERSIONS, "v0": _JANUARY}
"""How the versions are trained. `v0` is what could be in service when the blizzard came."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A rollout of `canary`, or `stable` alone. ``watched`` are the days of an incident."""

    name: str
    text: str
    stable: str
    canary: str | None
    times: Times
    right: frozenset[str]
    watched: tuple[str, str] | None = None


SCENARIOS: Final = (
    Scenario("v2-bad", "`v2-bad` (1.3 x) from 17 March", "v1", "v2-bad", _MARCH, frozenset({"rollback"})),
    Scenario("v1-aa", "A/A: `v1-aa` from 17 March", "v1", "v1", _MARCH, frozenset({"promote", "hold"})),
    Scenario("v2-5pct", "`v2-5pct` (1.06 x) from 17 March", "v1", "v2-5pct", _MARCH, frozenset({"promote", "hold"})),
    Scenario("v2-good", "`v2-good` from 17 March", "v1", "v2-good", _MARCH, frozenset({"promote"})),
    Scenario(
        "blizzard",
        "A/A from 7 February; blizzard on the 8th and 9th",
        "v0",
        "v0",
        Times("2013-02-01T04:00", "2013-02-07T08:00", "2013-03-07T08:00"),
        frozenset({"promote", "hold"}),
        ("2013-02-08T12:00", "2013-02-10T08:00"),
    ),
    Scenario(
        "spring",
        "`v1` alone, 17 March to 1 June",
        "v1",
        None,
        Times("2013-03-10T04:00", "2013-03-17T08:00", "2013-06-01T08:00", dt=300.0),
        frozenset({"retrain"}),
        ("2013-03-17T08:00", "2013-04-27T00:00"),
    ),
)


class Year:
    """The flights of the year and the losses of every version on all of them, trained when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds what `examples.flights.versions` writes; what is missing is made there."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        stored = folder / versions.DATA_FILE
        if not stored.exists():
            data.save(data.convert(data.package_archive()), stored)
        self.flights = data.load(stored)
        self._losses: dict[str, Floats] = {}

    def losses(self, version: str) -> Floats:
        """Huber losses of `version` on all flights, minutes^2; NaN where there is no label."""
        if version not in self._losses:
            path = self._folder / f"{version}.pkl"
            if not path.exists():
                model.write(versions.train(self.flights, RECIPES[version]), path)
            predicted = model.read(path)[0].predict(model.features_of(self.flights))
            self._losses[version] = model.huber_losses(predicted, self.flights.air_time)
        return self._losses[version]


def drawn(flights: Flights, share: float, since: str, seed: int) -> Flags:
    """Which flights go to the canary: each with probability `share`, from `since` on."""
    chance = np.random.default_rng(seed).random(len(flights))
    found: Flags = (chance < share) & (flights.departure >= event_time(since))
    return found


def trace(scenario: Scenario, year: Year, seed: int) -> Trace:
    """One split of the scenario's flights. Without a canary the seed draws the flights that stable gets: as many."""
    inside = (year.flights.departure >= event_time(scenario.times.begin)) & (
        year.flights.departure <= event_time(scenario.times.end)
    )
    flights, stable = year.flights.select(inside), year.losses(scenario.stable)[inside]
    name = f"{scenario.name}-{seed}"
    if scenario.canary is None:
        kept = ~drawn(flights, CANARY_SHARE, scenario.times.begin, seed)
        served = Served.of(flights.select(kept), stable[kept], None, np.zeros(int(kept.sum()), dtype=np.bool_))
        return Trace(name, scenario.times, served, has_canary=False)
    to_canary = drawn(flights, CANARY_SHARE, scenario.times.rollout, seed)
    served = Served.of(flights, stable, year.losses(scenario.canary)[inside], to_canary)
    return Trace(name, scenario.times, served)
