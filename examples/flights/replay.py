"""The traffic: flights in the order in which they left, at many times the speed. `python -m examples.flights.replay`.

Each departure asks the model Service on a connection of its own; the answer goes to the joiner as a prediction,
and at the landing (event time) the air time follows as its label. Cancelled flights never get one.

    GET  /position                         where the replay is, and its counts
    POST /jump   {"date": "2013-04-20"}    go there; labels still in the air are dropped
    POST /pause  {"paused": true}          POST /speed {"speed": 7200}
    POST /faults {"nanLabels": 0.5}        share of labels sent as NaN; true, false (only where REPLAY_FAULTS=1)

Predictions and labels carry the wall-clock time of their sending: the label delay that Prometheus sees is the
flight's air time divided by the speed, in seconds of Prometheus' own clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import os
import random
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from examples.flights import data, web
from examples.flights.data import Flights

_log = logging.getLogger("flights.replay")
TICK = 0.02  # wall s between looks at the clock
SEND_EVERY = 0.2  # wall s between batches to the joiner
KEEP_SECONDS = 10.0  # wall s that records wait for a joiner that does not answer
MAX_SPEED = 1e6


@dataclass
class EventClock:
    """Event time as a line over the wall clock; jumping, pausing and changing speed bend it."""

    event: float
    """Event time at `wall`, s."""
    speed: float
    """Event seconds per wall second."""
    wall: Callable[[], float] = time.monotonic
    paused: bool = False
    _since: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self.wall()

    def now(self) -> float:
        """Event time, s."""
        return self.event if self.paused else self.event + (self.wall() - self._since) * self.speed

    def set(self, *, event: float | None = None, speed: float | None = None, paused: bool | None = None) -> None:
        """Go on from here with something changed."""
        here = self.now()
        self.event = here if event is None else event
        self.speed = self.speed if speed is None else speed
        self.paused = self.paused if paused is None else paused
        self._since = self.wall()


@dataclass
class Outbox:
    """Records on their way to the joiner; what waits longer than KEEP_SECONDS is given up."""

    url: str
    predictions: deque[dict[str, object]] = field(default_factory=deque)
    labels: deque[dict[str, object]] = field(default_factory=deque)
    given_up: int = 0

    async def send(self) -> None:
        """Send what waits: predictions first, because labels refer to them."""
        await self._send("predictions", self.predictions)
        await self._send("labels", self.labels)

    async def _send(self, name: str, records: deque[dict[str, object]]) -> None:
        batch = list(records)[:5000]
        if not batch:
            return
        try:
            await web.call("POST", f"{self.url}/{name}", {name: batch}, timeout=5.0)
        except (OSError, TimeoutError, web.WebError) as error:
            self._give_up(records)
            if isinstance(error, web.WebError):
                _log.warning("the joiner refused %s: %s", name, error)
            return
        for _ in batch:
            records.popleft()

    def _give_up(self, records: deque[dict[str, object]]) -> None:
        old = time.time() - KEEP_SECONDS
        while records and float(str(records[0]["time"])) < old:
            records.popleft()
            self.given_up += 1


@dataclass
class Counts:
    """What happened to the flights so far."""

    predicted: int = 0
    labelled: int = 0
    failed: int = 0
    """Requests without an answer."""
    overloaded: int = 0
    """Flights left out because too many requests were open."""
    dropped: int = 0
    """Labels dropped by a jump."""


class Replay:
    """Walks the flights; everything happens on one event loop."""

    def __init__(
        self,
        flights: Flights,
        clock: EventClock,
        *,
        service: str,
        joiner: str,
        timeout: float = 5.0,
        most_open: int = 256,
    ) -> None:
        self.flights = flights
        self.clock = clock
        self.counts = Counts()
        self.outbox = Outbox(web.checked(joiner))
        self.nan_labels = 0.0
        self._service = f"{web.checked(service)}/predict"
        self._timeout = timeout
        self._most_open = most_open
        self._next = self._index_at(clock.now())
        self._epoch = 0  # grows with each jump: answers from before it are nobody's
        self._landings: list[tuple[float, str, float]] = []  # heap of (event time, id, minutes)
        self._open: set[asyncio.Task[None]] = set()
        self._random = random.Random(0)

    async def run(self, stop: asyncio.Event) -> None:
        """Replay until told to stop."""
        sender = asyncio.create_task(self._sending())
        try:
            while not stop.is_set():
                self.step()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), TICK)
        finally:
            under_way = [sender, *self._open]
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def step(self) -> None:
        """Start what has left and label what has landed by now."""
        now = self.clock.now()
        last = self._index_at(now)
        while self._next < last:
            self._depart(self._next)
            self._next += 1
        self._land(now)

    def _land(self, now: float) -> None:
        while self._landings and self._landings[0][0] <= now:
            _, key, minutes = heapq.heappop(self._landings)
            spoilt = self.nan_labels > 0 and self._random.random() < self.nan_labels
            self.outbox.labels.append({"id": key, "label": None if spoilt else minutes, "time": time.time()})
            self.counts.labelled += 1

    def jump(self, event: float) -> None:
        """Go on at another time; flights under way are forgotten, and so are their labels."""
        self.counts.dropped += len(self._landings)
        self._landings.clear()
        self._epoch += 1
        self.clock.set(event=event)
        self._next = self._index_at(event)

    def position(self) -> dict[str, object]:
        """Where the replay is."""
        return {
            "time": data.event_text(self.clock.now()),
            "eventSeconds": self.clock.now(),
            "speed": self.clock.speed,
            "paused": self.clock.paused,
            "finished": self._next >= len(self.flights),
            "nanLabels": self.nan_labels,
            "inTheAir": len(self._landings),
            "open": len(self._open),
            "givenUp": self.outbox.given_up,
            **vars(self.counts),
        }

    def _index_at(self, event: float) -> int:
        return int(np.searchsorted(self.flights.departure, event, side="left"))

    def _depart(self, index: int) -> None:
        if len(self._open) >= self._most_open:
            self.counts.overloaded += 1
            return
        task = asyncio.get_running_loop().create_task(self._predict(index, self._epoch))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _predict(self, index: int, epoch: int) -> None:
        try:
            answer = await web.call("POST", self._service, self.flights.request(index), timeout=self._timeout)
        except (OSError, TimeoutError, web.WebError):
            self.counts.failed += 1
            return
        if epoch != self._epoch:
            return
        self.counts.predicted += 1
        key = str(answer["id"])
        self.outbox.predictions.append(
            {
                "id": key,
                "version": answer["version"],
                "segment": data.segment_of(float(self.flights.distance[index])),
                "prediction": answer["prediction"],
                "time": time.time(),
            }
        )
        landing = float(self.flights.landing[index])
        if np.isfinite(landing):
            heapq.heappush(self._landings, (landing, key, float(self.flights.air_time[index])))
            self._land(self.clock.now())  # a late answer may come after the landing

    async def _sending(self) -> None:
        while True:
            await asyncio.sleep(SEND_EVERY)
            await self.outbox.send()


@dataclass
class Control:
    """The replay's own little API."""

    replay: Replay
    faults: bool = False

    def routes(self) -> web.Routes:
        """(method, path) -> handler."""
        routes: web.Routes = {
            ("GET", "/position"): self._position,
            ("GET", "/healthz"): self._position,
            ("POST", "/jump"): self._jump,
            ("POST", "/pause"): self._pause,
            ("POST", "/speed"): self._speed,
        }
        if self.faults:
            routes["POST", "/faults"] = self._faults
        return routes

    async def _position(self, path: str, body: bytes) -> object:
        return self.replay.position()

    async def _jump(self, path: str, body: bytes) -> object:
        date = web.json_object(body).get("date")
        try:
            self.replay.jump(data.event_time(str(date)))
        except ValueError as error:
            raise web.WebError(400, f"date: {error}") from None
        return self.replay.position()

    async def _pause(self, path: str, body: bytes) -> object:
        paused = web.json_object(body).get("paused")
        if not isinstance(paused, bool):
            raise web.WebError(400, f"paused is {paused!r}; send true or false")
        self.replay.clock.set(paused=paused)
        return self.replay.position()

    async def _speed(self, path: str, body: bytes) -> object:
        self.replay.clock.set(speed=_number(web.json_object(body), "speed", 1e-3, MAX_SPEED))
        return self.replay.position()

    async def _faults(self, path: str, body: bytes) -> object:
        request = web.json_object(body)
        if isinstance(request.get("nanLabels"), bool):  # true: all of them
            request["nanLabels"] = float(request["nanLabels"])
        self.replay.nan_labels = _number(request, "nanLabels", 0.0, 1.0)
        return self.replay.position()


def _number(request: Mapping[str, object], name: str, low: float, high: float) -> float:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise web.WebError(400, f"{name} is {value!r}; send a number from {low:g} to {high:g}")
    return float(value)


async def served(service: str, stop: asyncio.Event) -> None:
    """Wait until a model server answers: no flight of the first day is lost to a house that is still waking up."""
    while not stop.is_set():
        try:
            await web.call("GET", f"{service}/healthz", timeout=2.0)
            return
        except (OSError, TimeoutError, web.WebError) as error:
            _log.info("no model server yet: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.5)


async def serve(environment: Mapping[str, str]) -> None:
    """Replay as the environment says, until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    flights = data.load(Path(environment["DATA_PATH"]))
    paused = environment.get("REPLAY_PAUSED", "0") == "1"
    if not paused:
        await served(environment["SERVICE_URL"], stop)
    clock = EventClock(
        data.event_time(environment.get("REPLAY_START", "2013-03-17")),
        float(environment.get("REPLAY_SPEED", "7200")),
        paused=paused,
    )
    replay = Replay(
        flights,
        clock,
        service=environment["SERVICE_URL"],
        joiner=environment["JOINER_URL"],
        timeout=float(environment.get("REPLAY_TIMEOUT_SECONDS", "5")),
        most_open=int(environment.get("REPLAY_MAX_OPEN", "256")),
    )
    control = Control(replay, faults=environment.get("REPLAY_FAULTS", "0") == "1")
    listening = await web.start(control.routes(), "0.0.0.0", int(environment.get("PORT", "8080")))  # noqa: S104
    _log.info("replaying from %s at %g x", data.event_text(clock.now()), clock.speed)
    await replay.run(stop)
    listening.close()
    await listening.wait_closed()


def main() -> int:
    """Entry point: environment only (SERVICE_URL, JOINER_URL, DATA_PATH, REPLAY_START, REPLAY_SPEED)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    missing = [name for name in ("SERVICE_URL", "JOINER_URL", "DATA_PATH") if not os.environ.get(name)]
    if missing:
        _log.error("set %s in the environment", ", ".join(missing))
        return 2
    asyncio.run(serve(os.environ))
    return 0


if __name__ == "__main__":
    sys.exit(main())
