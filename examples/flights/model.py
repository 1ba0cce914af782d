"""The model of air time, and the file that carries it from trainer to server."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from examples.flights.data import Flights, Floats

# OpenMP's threads spin while they wait for each other: on a busy machine two of them take 80 times as long as one.
threadpool_limits(limits=1, user_api="openmp")

HUBER_DELTA = 10.0  # minutes
FEATURES = ("carrier", "origin", "dest", "distance", "hour")
_SCHEDULE = (0, 1, 2, 4)  # the columns of FEATURES that say which scheduled flight this is
_EXPECTED = "a flight's features: carrier, origin, dest (texts), distance (miles), hour (0-23)"


class FeatureError(ValueError):
    """A request's feature that the model cannot take."""


class ModelFileError(RuntimeError):
    """A model file that is missing, unreadable or not the one that was asked for."""


@dataclass(frozen=True, slots=True)
class AirTimeModel:
    """Gradient boosting on carrier, origin, destination, distance and hour; predicts minutes in the air."""

    regressor: Any
    carriers: tuple[str, ...]
    origins: tuple[str, ...]
    dests: tuple[str, ...]
    data_from: str
    """First and last day of the training data, `2013-01-01`."""
    data_to: str
    means: dict[tuple[float, ...], float] | None = None
    """Mean air time by (carrier, origin, dest, hour), when the regressor predicts the distance from it."""

    def predict(self, features: Floats) -> Floats:
        """Minutes in the air, shape (n,), for rows of FEATURES, shape (n, 5); categories as codes."""
        predicted: Floats = np.asarray(self.regressor.predict(features), dtype=np.float64)
        if self.means is None:
            return predicted
        return predicted + _look_up(self.means, features)

    def encode(self, flights: Sequence[Mapping[str, object]]) -> Floats:
        """Requests as rows of FEATURES. An unknown carrier or airport is NaN, which the model knows as missing."""
        rows = [
            (
                _code(flight, "carrier", self.carriers),
                _code(flight, "origin", self.origins),
                _code(flight, "dest", self.dests),
                _number(flight, "distance", 10_000),
                _number(flight, "hour", 24),
            )
            for flight in flights
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))


def features_of(flights: Flights) -> Floats:
    """Rows of FEATURES, shape (n, 5)."""
    return np.column_stack([flights.carrier, flights.origin, flights.dest, flights.distance, flights.hour]).astype(
        np.float64
    )


def fit(flights: Flights, *, data_from: str, data_to: str, schedule_means: bool = False) -> AirTimeModel:
    """Train on labelled flights. Deterministic: the same flights give the same bytes.

    `schedule_means` predicts the distance from the mean of the same scheduled flight instead of the air time.
    """
    features = features_of(flights)
    means = _means(features, flights.air_time) if schedule_means else None
    target = flights.air_time if means is None else flights.air_time - _look_up(means, features)
    regressor = HistGradientBoostingRegressor(categorical_features=[0, 1, 2], random_state=0)
    regressor.fit(features, target)
    return AirTimeModel(regressor, flights.carriers, flights.origins, flights.dests, data_from, data_to, means)


def huber_losses(predicted: Floats, truth: Floats, delta: float = HUBER_DELTA) -> Floats:
    """Huber's loss by row, minutes^2; the same as `modelslo.exporter.huber`, over arrays."""
    residual = np.abs(predicted - truth)
    return np.where(residual <= delta, residual**2 / 2, delta * (residual - delta / 2))


def mean_loss(model: AirTimeModel, flights: Flights) -> float:
    """Mean Huber loss over labelled flights, minutes^2."""
    return float(np.mean(huber_losses(model.predict(features_of(flights)), flights.air_time)))


def to_bytes(model: AirTimeModel) -> bytes:
    """The model as bytes whose hash names it."""
    return pickle.dumps(model, protocol=5)


def sha256_of(data: bytes) -> str:
    """The hash that names a model file, in hex."""
    return hashlib.sha256(data).hexdigest()


def write(data: bytes, path: Path) -> None:
    """Write a model file so that no reader ever sees half of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_bytes(data)
    part.replace(path)


def read(path: Path, sha256: str | None = None) -> tuple[AirTimeModel, str]:
    """The model in a file and its hash; refused before it is opened when it is not the one expected.

    A model file is a pickle, that is a program: give the hash wherever others can write to the folder.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"the model file {path} cannot be read: {error.strerror}") from error
    found = sha256_of(data)
    if sha256 and found != sha256.lower():
        raise ModelFileError(f"the model file {path} has sha256 {found}, but {sha256} was asked for")
    model = pickle.loads(data)  # noqa: S301 - ours, and checked above where a hash was given
    if not isinstance(model, AirTimeModel):
        raise ModelFileError(f"the file {path} holds a {type(model).__name__}, not a model of air time")
    return model, found


def _means(features: Floats, truth: Floats) -> dict[tuple[float, ...], float]:
    keys, inverse = np.unique(features[:, _SCHEDULE], axis=0, return_inverse=True)
    sums = np.bincount(inverse, weights=truth)
    counts = np.bincount(inverse)
    return {tuple(key): float(mean) for key, mean in zip(keys.tolist(), sums / counts, strict=True)}


def _look_up(means: dict[tuple[float, ...], float], features: Floats) -> Floats:
    """The mean of each row's scheduled flight; NaN where none was seen, as after a left join."""
    return np.array([means.get(tuple(key), np.nan) for key in features[:, _SCHEDULE].tolist()])


def _code(flight: Mapping[str, object], field: str, names: tuple[str, ...]) -> float:
    value = flight.get(field)
    if not isinstance(value, str):
        raise FeatureError(f"{field} is {value!r}: send {_EXPECTED}")
    return float(names.index(value)) if value in names else np.nan


def _number(flight: Mapping[str, object], field: str, below: float) -> float:
    value = flight.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        raise FeatureError(f"{field} is {value!r}: send {_EXPECTED}")
    return float(value)
