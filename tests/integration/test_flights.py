"""The flights example without Kubernetes: server, joiner, replay and trainer as processes on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.flights import data, model, replay, versions
from examples.flights.data import Flights
from tests.cluster.access import Cluster
from tests.cluster.ports import free_port

REPO = Path(__file__).resolve().parents[2]
START = "2013-03-18T06:00"
pytestmark = pytest.mark.timeout(300)  # a second or two each on an idle machine, most of it importing scikit-learn
USED = ("v1", "v2-good", "v2-nan")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The year's flights and the versions that these tests use."""
    folder = tmp_path_factory.mktemp("flights")
    data.save(data.convert(data.package_archive()), folder / versions.DATA_FILE)
    flights = data.load(folder / versions.DATA_FILE)
    for name in USED:
        model.write(versions.train(flights, versions.VERSIONS[name]), folder / f"{name}.pkl")
    return folder


@pytest.fixture(scope="session")
def flights(built: Path) -> Flights:
    return data.load(built / versions.DATA_FILE)


def until(what: str, true: Callable[[], bool], within: float = 90.0) -> None:
    """Wait for a condition; fail with its name."""
    deadline = time.monotonic() + within
    while True:
        with contextlib.suppress(OSError):
            if true():
                return
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.02)


def call(port: int, method: str, path: str, body: object = None) -> Any:
    """JSON (or text) of one request; the status first."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, json.loads(text) if answer.headers["Content-Type"] == "application/json" else text
    finally:
        connection.close()


@dataclass
class House:
    """The processes of one test; every one of them ends with it."""

    folder: Path
    processes: list[subprocess.Popen[bytes]]
    server: int
    joiner: int
    replay: int

    def launch(self, module: str, port: int, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=REPO,
            env={**os.environ, "PORT": str(port), "PYTHONPATH": str(REPO / "operator"), **environment},
        )
        self.processes.append(process)
        return process

    def start(self, module: str, port: int, **environment: str) -> subprocess.Popen[bytes]:
        process = self.launch(module, port, **environment)

        def ready() -> bool:
            assert process.poll() is None, f"{module} ended with {process.returncode}"
            return bool(call(port, "GET", "/healthz")[0] == 200)

        until(f"{module} is ready", ready)
        return process

    def serve(self, version: str, **environment: str) -> subprocess.Popen[bytes]:
        where = {} if environment else {"MODEL_PATH": str(self.folder / f"{version}.pkl")}
        return self.start(
            "examples.flights.serve",
            self.server,
            MODEL_VERSION=version,
            DRAIN_SECONDS="0",
            **where,
            **environment,
        )

    def position(self) -> dict[str, Any]:
        position: dict[str, Any] = call(self.replay, "GET", "/position")[1]
        return position

    def metric(self, name: str, **labels: str) -> float:
        """Sum over the joiner's samples of that name and those labels."""
        text = call(self.joiner, "GET", "/metrics")[1]
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and all(sample.labels[key] == value for key, value in labels.items())
        )

    def settled(self) -> bool:
        """All that the paused replay has sent is in the metrics."""
        position = self.position()
        return bool(
            position["open"] == 0
            and self.metric("ml_predictions_total") == position["predicted"]
            and self.metric("ml_labels_total") + self.metric("ml_labels_dropped_total") == position["labelled"]
        )


@pytest.fixture
def house(built: Path) -> Iterator[House]:
    """Joiner and a paused replay; the test starts the server that it wants."""
    made = House(built, [], free_port(), free_port(), free_port())
    try:
        made.start(
            "modelslo.exporter.joiner",
            made.joiner,
            HOST="127.0.0.1",
            MODEL_NAME="flights",
            LOSS="huber",
            LOSS_PARAMETER=str(model.HUBER_DELTA),
            LOSS_TARGET="60",
            SEGMENTS=",".join(data.SEGMENTS),
            JOINER_FAULTS="1",
        )
        made.start(
            "examples.flights.replay",
            made.replay,
            DATA_PATH=str(built / versions.DATA_FILE),
            SERVICE_URL=f"http://127.0.0.1:{made.server}",
            JOINER_URL=f"http://127.0.0.1:{made.joiner}",
            REPLAY_START=START,
            REPLAY_PAUSED="1",
            REPLAY_FAULTS="1",
            REPLAY_TIMEOUT_SECONDS="60",  # a busy machine may be slow, but no flight gets lost
            REPLAY_MAX_OPEN="10000",
        )
        yield made
    finally:
        for process in made.processes:
            process.terminate()
        for process in made.processes:
            process.wait(10)


def run_for(house: House, labels: int) -> None:
    """Let the replay run until so many more labels, and everything about them is in the metrics."""
    goal = house.position()["labelled"] + labels
    call(house.replay, "POST", "/pause", {"paused": False})
    until(f"{labels} labels", lambda: house.position()["labelled"] >= goal)
    call(house.replay, "POST", "/pause", {"paused": True})
    until("all is counted", house.settled)


def flown(flights: Flights, start: str, now: float) -> Flights:
    """What had left since `start` and landed by `now`."""
    return flights.labelled(data.event_time(start), now, known_at=now)


def test_losses_in_the_metrics_are_the_losses_of_the_flights(house: House, flights: Flights) -> None:
    house.serve("v1")
    run_for(house, 250)
    position = house.position()
    assert position["failed"] == position["overloaded"] == position["givenUp"] == 0

    landed = flown(flights, START, position["eventSeconds"])
    losses = model.huber_losses(
        model.read(house.folder / "v1.pkl")[0].predict(model.features_of(landed)), landed.air_time
    )
    assert house.metric("ml_labels_total", model_version="v1") == len(landed) >= 250
    assert house.metric("ml_huber_loss_sum", model_version="v1") == pytest.approx(losses.sum())
    assert house.metric("ml_huber_loss_squares_total", model_version="v1") == pytest.approx((losses**2).sum())
    segments = np.array([data.segment_of(float(distance)) for distance in landed.distance])
    for segment in data.SEGMENTS:
        assert house.metric("ml_huber_loss_count", segment=segment) == np.sum(segments == segment)

    # A label comes after its flight's air time, which the speed has shrunk to wall seconds (a late answer shortens it).
    delay = house.metric("ml_label_delay_seconds_sum") / house.metric("ml_label_delay_seconds_count")
    assert 0 < delay < 1.3 * float(np.mean(landed.air_time)) * 60 / position["speed"]

    # A jump forgets what is in the air, and goes on from there.
    in_the_air = position["inTheAir"]
    assert in_the_air > 0
    status, there = call(house.replay, "POST", "/jump", {"date": "2013-05-06T06:00"})
    assert (status, there["time"], there["inTheAir"]) == (200, "2013-05-06T06:00:00", 0)
    assert there["dropped"] == in_the_air
    before = house.metric("ml_huber_loss_sum"), house.metric("ml_huber_loss_count")
    run_for(house, 250)
    grown = house.metric("ml_huber_loss_sum") - before[0]
    count = house.metric("ml_huber_loss_count") - before[1]
    spring = flown(flights, "2013-05-06T06:00", house.position()["eventSeconds"])
    assert count == len(spring)
    assert grown / count > 2 * losses.mean()


def test_a_replay_waits_for_the_first_server_and_loses_no_flight(house: House) -> None:
    house.replay = free_port()
    house.launch(
        "examples.flights.replay",
        house.replay,
        DATA_PATH=str(house.folder / versions.DATA_FILE),
        SERVICE_URL=f"http://127.0.0.1:{house.server}",
        JOINER_URL=f"http://127.0.0.1:{house.joiner}",
        REPLAY_START=START,
        REPLAY_TIMEOUT_SECONDS="60",
    )
    house.serve("v1")
    until("flights depart", lambda: house.position()["predicted"] > 20)
    assert house.position()["failed"] == 0


def test_nan_of_the_model_nan_of_the_labels_and_a_poisoned_sum(house: House) -> None:
    house.serve("v2-nan")
    run_for(house, 150)
    invalid = house.metric("ml_loss_invalid_total", reason="nan", model_version="v2-nan")
    assert 0.02 < invalid / house.metric("ml_labels_total") < 0.5
    assert np.isfinite(house.metric("ml_huber_loss_sum"))

    call(house.replay, "POST", "/faults", {"nanLabels": True})
    run_for(house, 20)
    assert house.metric("ml_labels_dropped_total", reason="invalid") >= 20
    assert house.metric("ml_loss_invalid_total") == invalid

    call(house.joiner, "POST", "/faults", {"invalid": "observe"})
    call(house.replay, "POST", "/faults", {"nanLabels": 0.5})
    run_for(house, 100)
    assert np.isnan(house.metric("ml_huber_loss_sum"))


def test_retraining_in_spring_gives_a_better_model_that_can_be_served(house: House, tmp_path: Path) -> None:
    served = house.serve("v2-good")
    call(house.replay, "POST", "/jump", {"date": "2013-05-04T12:00"})
    environment = {
        **os.environ,
        "DATA_PATH": str(house.folder / versions.DATA_FILE),
        "MODELS_DIR": str(tmp_path),
        "REPLAY_URL": f"http://127.0.0.1:{house.replay}",
        "SERVICE_URL": f"http://127.0.0.1:{house.server}",
        "MODELSLO_STABLE_VERSION": "v2-good",
        "TERMINATION_LOG": str(tmp_path / "log"),
    }
    for _ in range(2):  # the same data give the same model, bit by bit
        subprocess.run([sys.executable, "-m", "examples.flights.train"], cwd=REPO, env=environment, check=True)
    message = (tmp_path / "log").read_bytes()
    result = json.loads(message)
    assert len(message) <= 4096
    assert [path.name for path in tmp_path.glob("*.pkl")] == [f"{result['version']}.pkl"]
    assert (result["dataFrom"], result["dataTo"]) == ("2013-04-20T12:00:00", "2013-05-03T12:00:00")
    assert result["metrics"]["candidateLoss"] < 0.8 * result["metrics"]["currentLoss"]
    assert result["version"] == f"2013-05-04-{result['sha256'][:8]}"

    served.terminate()
    assert served.wait(10) == 0
    house.serve(result["version"], MODEL_URI=result["modelUri"], MODEL_SHA256=result["sha256"])
    assert call(house.server, "GET", "/model")[1]["sha256"] == result["sha256"]
    run_for(house, 250)
    mean = house.metric("ml_huber_loss_sum") / house.metric("ml_huber_loss_count")
    assert mean < 0.8 * result["metrics"]["currentLoss"]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MODEL_VERSION": "v1", "MODEL_PATH": "v1.pkl", "MODEL_SHA256": "0" * 64}, "but 0000000000000000"),
        ({"MODEL_VERSION": "v1", "MODEL_URI": "gone.pkl"}, "cannot be read: No such file"),
        ({"MODEL_VERSION": "v1"}, "name the model file"),
        ({"MODEL_PATH": "v1.pkl"}, "MODEL_VERSION is not set"),
    ],
)
def test_a_server_without_its_model_does_not_start(built: Path, environment: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.flights.serve"],
        cwd=built,
        env={**os.environ, "PYTHONPATH": str(REPO), "PORT": "0", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"EVENT_TIME": "2013-01-02"}, "at least 2000 and 100 are needed"),
        ({"EVENT_TIME": "2013-05-01", "MODELSLO_STABLE_VERSION": "v9"}, "no model file of the version in service"),
        ({"EVENT_TIME": "spring"}, "'spring' is no date"),
        ({"REPLAY_URL": "http://127.0.0.1:1"}, "does not say what time it is"),
        ({}, "what time is it?"),
        ({"MODELSLO_STABLE_VERSION": ""}, "set MODELSLO_STABLE_VERSION"),
    ],
)
def test_a_trainer_that_cannot_train_says_why(
    built: Path, tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    from examples.flights import train

    complete = {
        "DATA_PATH": str(built / versions.DATA_FILE),
        "MODELS_DIR": str(tmp_path),
        "BUILTIN_MODELS_DIR": str(built),
        "MODELSLO_STABLE_VERSION": "v1",
        "TERMINATION_LOG": str(tmp_path / "log"),
    }
    assert train.main({**complete, **environment}) == 2
    assert said in json.loads((tmp_path / "log").read_text())["error"]
    assert not list(tmp_path.glob("*.pkl"))


def test_requests_that_cannot_be_served_are_named(house: House) -> None:
    house.serve("v1")
    flight = {"carrier": "UA", "origin": "EWR", "dest": "IAH", "distance": 1400, "hour": 5}
    status, answer = call(house.server, "POST", "/predict", flight)
    assert (status, answer["version"]) == (200, "v1")
    assert 150 < answer["prediction"] < 260
    assert call(house.server, "POST", "/predict", {**flight, "dest": "XXX"})[0] == 200  # unknown: missing, not fatal
    for wrong, said in ({**flight, "distance": "far"}, "distance is 'far'"), ({"carrier": 3}, "carrier is 3"):
        status, answer = call(house.server, "POST", "/predict", wrong)
        assert status == 400
        assert said in answer["error"]
    assert call(house.server, "GET", "/metrics")[0] == 404
    for path, body, said in (
        ("/jump", {"date": "spring"}, "'spring' is no date"),
        ("/pause", {"paused": 1}, "send true or false"),
        ("/speed", {"speed": 0}, "send a number from"),
        ("/faults", {"nanLabels": 2}, "send a number from 0 to 1"),
    ):
        status, answer = call(house.replay, "POST", path, body)
        assert status == 400
        assert said in answer["error"]


def test_the_image_holds_the_versions_that_the_tests_use() -> None:
    def pins(path: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (REPO / path).read_text(), re.MULTILINE))

    here, locked = pins("examples/flights/requirements.txt"), pins("requirements/dev.txt")
    assert here
    assert {name: locked.get(name) for name in here} == here


@pytest.mark.api
def test_an_api_server_takes_the_manifests_without_a_warning(cluster: Cluster) -> None:
    """Warnings are where pod security says that a pod would be refused."""
    folder = str(REPO / "examples" / "flights" / "manifests")
    try:
        cluster.kubectl("apply", "--filename", f"{folder}/namespace.yaml")
        said = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "-k", folder)
        assert "deployment.apps/flights-canary serverside-applied" in said
    finally:
        cluster.kubectl("delete", "namespace", "flights", "--wait=false", "--ignore-not-found")


def test_event_time_goes_on_from_where_it_is_bent() -> None:
    wall = [0.0]
    clock = replay.EventClock(1000.0, 10.0, wall=lambda: wall[0])
    wall[0] = 5.0
    assert clock.now() == 1050.0
    clock.set(speed=100.0)
    wall[0] = 6.0
    assert clock.now() == 1150.0
    clock.set(paused=True)
    wall[0] = 60.0
    assert clock.now() == 1150.0
    clock.set(event=0.0, paused=False)
    wall[0] = 61.0
    assert clock.now() == 100.0


def test_records_for_a_joiner_that_is_gone_are_given_up_after_a_while() -> None:
    outbox = replay.Outbox(f"http://127.0.0.1:{free_port()}")
    now = time.time()
    for age in (30.0, replay.KEEP_SECONDS + 1, 1.0):
        outbox.labels.append({"id": f"{age}", "label": 1.0, "time": now - age})
    asyncio.run(outbox.send())
    assert [record["id"] for record in outbox.labels] == ["1.0"]
    assert outbox.given_up == 2
