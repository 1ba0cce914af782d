"""The model server: `python -m examples.flights.serve`.

    POST /predict  {"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400, "hour": 5}
                -> {"id": "...", "version": "v1", "prediction": 203.4}       (null: the model answered NaN)
    POST /predict  {"flights": [...]} -> {"version": "v1", "predictions": [...]}   (for validation; no ids)
    GET  /model    version, hash and training data of the model          GET /healthz

Environment: MODEL_VERSION (required; the value of the label model_version), and the model file: MODEL_URI (a
path on the shared volume, checked against MODEL_SHA256) or MODEL_PATH (set in the image).
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.flights import web
from examples.flights.data import Floats
from examples.flights.model import AirTimeModel, FeatureError, ModelFileError, read

_log = logging.getLogger("flights.serve")


class Batcher:
    """Predicts requests that arrive together in one go: a call costs 2.5 ms for one row as for fifty."""

    def __init__(self, model: AirTimeModel, *, window: float, limit: int) -> None:
        """`window` is how long the first request of a batch waits for others, s; `limit` rows go at once."""
        self._model = model
        self._window = window
        self._limit = limit
        self._rows: list[Floats] = []
        self._waiting: list[asyncio.Future[float]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def predict(self, row: Floats) -> float:
        """Minutes in the air for one row of features, shape (1, 5)."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[float] = loop.create_future()
        self._rows.append(row)
        self._waiting.append(answer)
        if len(self._rows) >= self._limit:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(self._window, self._flush)
        return await answer

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, waiting = self._rows, self._waiting
        self._rows, self._waiting = [], []
        if not rows:
            return
        for answer, minutes in zip(waiting, _predict(self._model, rows), strict=True):
            if not answer.done():
                answer.set_result(minutes)


@dataclass
class ModelServer:
    """What the routes of one server share."""

    model: AirTimeModel
    version: str
    sha256: str
    batcher: Batcher
    draining: bool = False

    def routes(self) -> web.Routes:
        """(method, path) -> handler."""
        return {
            ("POST", "/predict"): self._predict,
            ("GET", "/model"): self._model,
            ("GET", "/healthz"): self._healthz,
        }

    async def _predict(self, path: str, body: bytes) -> object:
        request = web.json_object(body)
        many = request.get("flights")
        if many is None:
            minutes = await self.batcher.predict(self._encode([request]))
            return {"id": str(uuid.uuid4()), "version": self.version, "prediction": json_number(minutes)}
        if not isinstance(many, list) or not all(isinstance(flight, dict) for flight in many):
            raise web.WebError(400, "flights: send a list of objects")
        answers = _predict(self.model, [self._encode(many)]) if many else []
        return {"version": self.version, "predictions": [json_number(minutes) for minutes in answers]}

    def _encode(self, flights: list[Mapping[str, object]]) -> Floats:
        try:
            return self.model.encode(flights)
        except FeatureError as error:
            raise web.WebError(400, str(error)) from None

    async def _model(self, path: str, body: bytes) -> object:
        return {
            "version": self.version,
            "sha256": self.sha256,
            "dataFrom": self.model.data_from,
            "dataTo": self.model.data_to,
        }

    async def _healthz(self, path: str, body: bytes) -> object:
        if self.draining:
            raise web.WebError(503, "shutting down")
        return {"status": "ok", "version": self.version}


def json_number(value: float) -> float | None:
    """A number for JSON, which has no NaN and no infinity."""
    return value if math.isfinite(value) else None


def _predict(model: AirTimeModel, rows: list[Floats]) -> list[float]:
    features = np.concatenate(rows)
    return [float(minutes) for minutes in model.predict(features)]


def load_model(environment: Mapping[str, str]) -> tuple[AirTimeModel, str]:
    """The model that the environment names, and its hash."""
    path = environment.get("MODEL_URI") or environment.get("MODEL_PATH")
    if not path:
        raise ModelFileError("neither MODEL_URI nor MODEL_PATH is set: name the model file")
    return read(Path(path), environment.get("MODEL_SHA256") or None)


def make(environment: Mapping[str, str]) -> ModelServer:
    """The server that the environment describes, not yet listening."""
    version = environment.get("MODEL_VERSION")
    if not version:
        raise ModelFileError("MODEL_VERSION is not set: it becomes the label model_version")
    model, sha256 = load_model(environment)
    window = float(environment.get("BATCH_SECONDS", "0.05"))
    return ModelServer(model, version, sha256, Batcher(model, window=window, limit=64))


async def serve(environment: Mapping[str, str]) -> None:
    """Serve until SIGTERM; then be unready, answer what still comes, and stop."""
    server = make(environment)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listening = await web.start(server.routes(), "0.0.0.0", int(environment.get("PORT", "8080")))  # noqa: S104
    _log.info("serving %s (sha256 %s) on port %d", server.version, server.sha256, web.port_of(listening))
    await stop.wait()
    server.draining = True
    await asyncio.sleep(float(environment.get("DRAIN_SECONDS", "3")))  # endpoints take a moment to forget us
    listening.close()
    await listening.wait_closed()


def main() -> int:
    """Entry point: environment only."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    try:
        asyncio.run(serve(os.environ))
    except ModelFileError as error:
        _log.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
