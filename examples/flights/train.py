"""The trainer that a retrain Job runs: `python -m examples.flights.train`.

It asks the replay what time it is, trains on the most recent weeks of flights that have landed by then, and
judges the candidate against the version in service on the last of them, which neither has seen. The model that
was judged is the model that is written: there is no refit afterwards.

Environment
    MODELSLO_STABLE_VERSION   the version in service (from the operator)
    MODELSLO_OPERATION_ID, MODELSLO_MODEL   named in the log (from the operator)
    DATA_PATH, MODELS_DIR     the flights; the shared volume to write to
    BUILTIN_MODELS_DIR        where the image keeps the models it came with
    REPLAY_URL                answers GET /position; or EVENT_TIME says it (2013-05-03T12:00)
    SERVICE_URL               asked for predictions when the model in service is in neither folder
    TRAIN_DAYS (14)  HOLDBACK_DAYS (1)  MIN_FLIGHTS (2000)
    TERMINATION_LOG           where the result goes; /dev/termination-log

Result (JSON): version, modelUri, sha256, dataFrom, dataTo, metrics.candidateLoss, metrics.currentLoss ...
Exit codes: 0 trained (better or not: whoever asked decides), 2 cannot train, with the reason in the message.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from examples.flights import data, model, web
from examples.flights.data import DAY, Flights, Floats

_log = logging.getLogger("flights.train")
MESSAGE_LIMIT = 4096  # bytes that Kubernetes keeps of a termination message


class CannotTrainError(RuntimeError):
    """Why there is no candidate, for the person who reads the Job."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to train, and with what."""

    flights: Flights
    now: float
    """Event time: nothing after it is known."""
    models: Path
    builtin: Path | None
    stable_version: str
    service: str | None = None
    train_days: float = 14.0
    holdback_days: float = 1.0
    min_flights: int = 2000


def train(task: Task) -> dict[str, object]:
    """Train, judge and write a candidate; returns the Job's result."""
    cut = task.now - task.holdback_days * DAY
    start = task.now - task.train_days * DAY
    recent = task.flights.labelled(start, cut, known_at=task.now)
    held_back = task.flights.labelled(cut, task.now, known_at=task.now)
    _enough(task, recent, held_back)
    candidate = model.fit(recent, data_from=data.event_date(start), data_to=data.event_date(cut))
    candidate_loss = model.mean_loss(candidate, held_back)
    current_loss = _finite_mean(model.huber_losses(current_predictions(task, held_back), held_back.air_time))
    content = model.to_bytes(candidate)
    sha256 = model.sha256_of(content)
    version = f"{data.event_date(task.now)}-{sha256[:8]}"
    path = task.models / f"{version}.pkl"
    model.write(content, path)
    return {
        "version": version,
        "modelUri": str(path),
        "sha256": sha256,
        "dataFrom": data.event_text(start),
        "dataTo": data.event_text(cut),
        "metrics": {
            "candidateLoss": round(candidate_loss, 3),
            "currentLoss": round(current_loss, 3),
            "trainedOn": len(recent),
            "validatedOn": len(held_back),
        },
        "stableVersion": task.stable_version,
    }


def current_predictions(task: Task, flights: Flights) -> Floats:
    """What the version in service predicts: from its file if we have it, else by asking the service."""
    for folder in (task.models, task.builtin):
        path = None if folder is None else folder / f"{task.stable_version}.pkl"
        if path is not None and path.exists():
            _log.info("version in service: %s", path)
            return model.read(path)[0].predict(model.features_of(flights))
    if task.service is None:
        raise CannotTrainError(
            f"no model file of the version in service ({task.stable_version}) in {task.models} or {task.builtin}, "
            "and SERVICE_URL is not set to ask for its predictions"
        )
    _log.info("version in service: asking %s", task.service)
    return asyncio.run(_ask_service(task.service, task.stable_version, flights))


async def _ask_service(service: str, version: str, flights: Flights) -> Floats:
    """Predictions of `version` through the Service, which may answer from another version while a canary runs."""
    rows = [flights.request(index) for index in range(len(flights))]
    seen = ""
    for _ in range(20):
        try:
            answer = await web.call("POST", f"{service}/predict", {"flights": rows}, timeout=30.0)
        except (OSError, TimeoutError, web.WebError) as error:
            raise CannotTrainError(f"{service} does not predict for validation: {error}") from error
        seen = str(answer["version"])
        if seen == version:
            return np.array([math.nan if value is None else value for value in answer["predictions"]])
    raise CannotTrainError(f"{service} answers as version {seen}, not as {version}; is that what is in service?")


def _finite_mean(losses: Floats) -> float:
    """Mean over the losses that are numbers: a version that answers NaN is judged by the rest."""
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        raise CannotTrainError("the version in service predicts NaN for every held-back flight")
    return float(np.mean(finite))


def _enough(task: Task, recent: Flights, held_back: Flights) -> None:
    least = max(task.min_flights // 20, 1)
    if len(recent) < task.min_flights or len(held_back) < least:
        raise CannotTrainError(
            f"{len(recent)} flights to train on and {len(held_back)} to judge by had landed by "
            f"{data.event_text(task.now)}; at least {task.min_flights} and {least} are needed "
            "(TRAIN_DAYS, HOLDBACK_DAYS, MIN_FLIGHTS)"
        )


def event_now(environment: Mapping[str, str]) -> float:
    """Event time: EVENT_TIME if set, else what the replay says."""
    text = environment.get("EVENT_TIME")
    if text:
        return data.event_time(text)
    url = environment.get("REPLAY_URL")
    if not url:
        raise CannotTrainError("neither REPLAY_URL nor EVENT_TIME is set: what time is it?")
    try:
        position = asyncio.run(web.call("GET", f"{url}/position", timeout=10.0))
        return float(position["eventSeconds"])
    except (OSError, TimeoutError, web.WebError, KeyError) as error:
        raise CannotTrainError(f"{url}/position does not say what time it is: {error}") from error


def task_of(environment: Mapping[str, str]) -> Task:
    """The task that the environment describes."""
    missing = [name for name in ("MODELSLO_STABLE_VERSION", "DATA_PATH", "MODELS_DIR") if not environment.get(name)]
    if missing:
        raise CannotTrainError(f"set {', '.join(missing)} in the environment")
    builtin = environment.get("BUILTIN_MODELS_DIR")
    return Task(
        flights=data.load(Path(environment["DATA_PATH"])),
        now=event_now(environment),
        models=Path(environment["MODELS_DIR"]),
        builtin=Path(builtin) if builtin else None,
        stable_version=environment["MODELSLO_STABLE_VERSION"],
        service=environment.get("SERVICE_URL") or None,
        train_days=float(environment.get("TRAIN_DAYS", "14")),
        holdback_days=float(environment.get("HOLDBACK_DAYS", "1")),
        min_flights=int(environment.get("MIN_FLIGHTS", "2000")),
    )


def report(result: Mapping[str, object], path: Path) -> None:
    """Leave the result where Kubernetes picks it up."""
    text = json.dumps(result)
    if len(text.encode()) > MESSAGE_LIMIT:
        raise CannotTrainError(f"the result has {len(text)} bytes; a termination message holds {MESSAGE_LIMIT}")
    path.write_text(text, encoding="utf-8")


def main(environment: Mapping[str, str] | None = None) -> int:
    """Entry point: environment only."""
    environment = os.environ if environment is None else environment
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    log = Path(environment.get("TERMINATION_LOG", "/dev/termination-log"))
    _log.info("operation %s of %s", environment.get("MODELSLO_OPERATION_ID"), environment.get("MODELSLO_MODEL"))
    try:
        result = train(task_of(environment))
        report(result, log)
    except (CannotTrainError, model.ModelFileError, OSError, ValueError) as error:
        _log.error("%s", error)
        report({"error": str(error)[:1000]}, log)
        return 2
    _log.info("%s", json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
