"""Losses of every version by day, on the real flights: `python -m examples.flights.measure [FOLDER]`.

Prints the tables of README.md. FOLDER holds what `examples.flights.versions` wrote (a temporary one by default).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from examples.flights import data, model, train, versions
from examples.flights.data import DAY, Flights, Floats

PERIODS = (("2013-03-17", "2013-04-07"), ("2013-04-22", "2013-05-13"))
RETRAINS = ("2013-04-30", "2013-05-01", "2013-05-02", "2013-05-03", "2013-05-04", "2013-05-05")
OTHERS = ("v1-aa", "v2-5pct", "v2-bad", "v2-good", "v2-nan")
TARGET = 65.0


def days(start: str, end: str) -> Iterator[float]:
    """The midnights from `start` until before `end`, event time."""
    yield from np.arange(data.event_time(start), data.event_time(end), DAY).tolist()


def losses_on(models: dict[str, model.AirTimeModel], flights: Flights) -> dict[str, Floats]:
    """Losses of the same flights under each model, without those that are NaN."""
    features = model.features_of(flights)
    found = {name: model.huber_losses(one.predict(features), flights.air_time) for name, one in models.items()}
    return {name: losses[np.isfinite(losses)] for name, losses in found.items()}


def daily(models: dict[str, model.AirTimeModel], flights: Flights) -> Iterator[str]:
    """One row a day: labelled flights, loss of v1, its variation, and the others' loss as a multiple of v1's."""
    yield f"| day | flights | loss v1 | CV v1 | {' | '.join(OTHERS)} | loss v2-good |"
    yield "|---" * (5 + len(OTHERS)) + "|"
    for start, end in PERIODS:
        for day in days(start, end):
            yield _row(data.event_date(day)[5:], losses_on(models, flights.labelled(day, day + DAY)))
        whole = flights.labelled(data.event_time(start), data.event_time(end))
        yield _row(f"**{start[5:]} to {end[5:]}**", losses_on(models, whole))


def _row(name: str, found: dict[str, Floats]) -> str:
    base = found["v1"]
    ratios = " | ".join(f"{found[other].mean() / base.mean():.2f}" for other in OTHERS)
    return (
        f"| {name} | {len(base)} | {base.mean():.1f} | {base.std() / base.mean():.2f} | {ratios} "
        f"| {found['v2-good'].mean():.1f} |"
    )


def retrained(models: dict[str, model.AirTimeModel], flights: Flights, folder: Path) -> Iterator[str]:
    """What the trainer makes at noon of a day, with v2-good in service, and how it fares in the week after."""
    yield "| retrained at noon of | held back: candidate / v2-good | next 7 days: candidate | v2-good | v1 | worst |"
    yield "|---|---|---|---|---|---|"
    task = train.Task(flights, 0.0, folder, folder, "v2-good")
    for day in RETRAINS:
        now = data.event_time(f"{day}T12:00")
        result = train.train(replace(task, now=now))
        metrics = result["metrics"]
        assert isinstance(metrics, dict)
        candidate = model.read(Path(str(result["modelUri"])), str(result["sha256"]))[0]
        among = {"candidate": candidate, "v2-good": models["v2-good"], "v1": models["v1"]}
        means = {name: found.mean() for name, found in losses_on(among, flights.labelled(now, now + 7 * DAY)).items()}
        worst = max(
            losses_on(among, flights.labelled(start, start + DAY))["candidate"].mean()
            for start in np.arange(now, now + 7 * DAY, DAY).tolist()
        )
        yield (
            f"| {day} | {metrics['candidateLoss']:.1f} / {metrics['currentLoss']:.1f} | {means['candidate']:.1f} "
            f"| {means['v2-good']:.1f} | {means['v1']:.1f} | {worst:.1f} |"
        )


def targets(models: dict[str, model.AirTimeModel], flights: Flights) -> Iterator[str]:
    """How many days a version misses the target."""
    yield f"| days above {TARGET:g} | v1 | v2-good |"
    yield "|---|---|---|"
    for start, end in (*PERIODS[:1], ("2013-04-07", "2013-04-27"), ("2013-04-27", "2013-05-13")):
        found = [losses_on(models, flights.labelled(day, day + DAY)) for day in days(start, end)]
        missed = [sum(one[name].mean() > TARGET for one in found) for name in ("v1", "v2-good")]
        yield f"| {start} to {end} | {missed[0]} of {len(found)} | {missed[1]} of {len(found)} |"


def cohorts(models: dict[str, model.AirTimeModel], flights: Flights) -> Iterator[str]:
    """Share and loss of the segments, for v1 in the first period."""
    whole = flights.labelled(*(data.event_time(text) for text in PERIODS[0]))
    losses = model.huber_losses(models["v1"].predict(model.features_of(whole)), whole.air_time)
    names = np.array([data.segment_of(float(distance)) for distance in whole.distance])
    yield "| segment | share of flights | loss of v1 | mean air time, min |"
    yield "|---|---|---|---|"
    for segment in data.SEGMENTS:
        inside = names == segment
        yield f"| {segment} | {inside.mean():.0%} | {losses[inside].mean():.1f} | {whole.air_time[inside].mean():.0f} |"


def report(folder: Path) -> Iterator[str]:
    """All tables."""
    versions.build(folder, say=lambda _: None)
    flights = data.load(folder / versions.DATA_FILE)
    models = {name: model.read(folder / f"{name}.pkl")[0] for name in versions.VERSIONS}
    for number, table in enumerate(
        (
            daily(models, flights),
            targets(models, flights),
            retrained(models, flights, folder),
            cohorts(models, flights),
        )
    ):
        if number:
            yield ""
        yield from table


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Losses of every version by day.")
    parser.add_argument("folder", type=Path, nargs="?")
    folder = parser.parse_args(argv).folder
    with tempfile.TemporaryDirectory() as temporary:
        for line in report(Path(temporary) if folder is None else folder):
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
