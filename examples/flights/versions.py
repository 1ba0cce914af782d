"""The versions that the demo and the tests serve: each an honest result of training, mistakes included.

`python -m examples.flights.versions FOLDER` writes `flights.npz` and one `VERSION.pkl` each, in ten seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.flights import data, model
from examples.flights.data import Flights

DATA_FILE = "flights.npz"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a version was trained."""

    text: str
    start: str
    """First day of training data."""
    end: str
    """The day after the last."""
    sample: int | None = None
    """Train on so many flights drawn at random (seed 0) instead of all."""
    schedule_means: bool = False


VERSIONS = {
    "v1": Recipe("all of January and February", "2013-01-01", "2013-03-01"),
    "v1-aa": Recipe("the same model as v1 under another name", "2013-01-01", "2013-03-01"),
    "v2-bad": Recipe(
        "January and February, but a sample of 1,200 flights was left in from a notebook",
        "2013-01-01",
        "2013-03-01",
        sample=1200,
    ),
    "v2-5pct": Recipe(
        "January and February, sampled down to 5,500 flights to save time", "2013-01-01", "2013-03-01", sample=5500
    ),
    "v2-good": Recipe("January, February and the first 16 days of March", "2013-01-01", "2013-03-17"),
    "v2-nan": Recipe(
        "distance from the mean of the same scheduled flight in January: NaN for what January did not see",
        "2013-01-01",
        "2013-02-01",
        schedule_means=True,
    ),
}


def train(flights: Flights, recipe: Recipe) -> bytes:
    """The model file of a version."""
    chosen = flights.labelled(data.event_time(recipe.start), data.event_time(recipe.end))
    if recipe.sample is not None:
        drawn = np.random.default_rng(0).choice(len(chosen), recipe.sample, replace=False)
        chosen = chosen.select(np.sort(drawn))
    last = data.event_date(data.event_time(recipe.end) - data.DAY)
    made = model.fit(chosen, data_from=recipe.start, data_to=last, schedule_means=recipe.schedule_means)
    return model.to_bytes(made)


def build(folder: Path, say: Callable[[str], None] = print) -> None:
    """Write data and models into `folder`; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / DATA_FILE
    if not stored.exists():
        data.save(data.convert(data.package_archive()), stored)
    flights = data.load(stored)
    say(f"{len(flights)} flights")
    for name, recipe in VERSIONS.items():
        path = folder / f"{name}.pkl"
        if not path.exists():
            model.write(train(flights, recipe), path)
        say(f"{name}: {recipe.text}; sha256 {model.sha256_of(path.read_bytes())[:12]}")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the data and the models of all versions.")
    parser.add_argument("folder", type=Path)
    build(parser.parse_args(argv).folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
