"""The joiner over real HTTP on loopback."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from modelslo.exporter.joiner import JoinerServer, make_server, options

ARGUMENTS = ["--model-name", "m", "--loss", "huber", "--loss-parameter", "10", "--target", "60"]


@pytest.fixture
def server() -> Iterator[JoinerServer]:
    made = make_server(
        options([*ARGUMENTS, "--segments", "a,b", "--host", "127.0.0.1", "--port", "0", "--faults", "1"])
    )
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def call(server: JoinerServer, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    connection.request(method, path, data)
    answer = connection.getresponse()
    raw = answer.read().decode()
    connection.close()
    is_json = answer.headers["Content-Type"] == "application/json"
    return answer.status, json.loads(raw) if is_json else raw


def predictions(**change: object) -> dict[str, object]:
    return {"predictions": [{"id": "x", "version": "v1", "segment": "a", "prediction": 30.0} | change]}


def test_predictions_and_labels_become_losses(server: JoinerServer) -> None:
    assert call(server, "POST", "/predictions", predictions(time=100.0)) == (200, {"waiting": 1})
    assert call(server, "POST", "/labels", {"labels": [{"id": "x", "label": 10.0, "time": 104.5}]}) == (
        200,
        {"joined": 1},
    )
    status, text = call(server, "GET", "/metrics")
    assert status == 200
    c = 'model_name="m",model_version="v1"'
    assert f'ml_huber_loss_sum{{{c},segment="a"}} 150.0' in text
    assert f"ml_label_delay_seconds_sum{{{c}}} 4.5" in text
    assert call(server, "GET", "/healthz")[1] == {"status": "ok", "waiting": 0, "early": 0, "done": 1}


def test_ages_are_options_of_the_service() -> None:
    assert options(ARGUMENTS).ages == ()
    assert options([*ARGUMENTS, "--ages", "60, 600,3600"]).ages == (60.0, 600.0, 3600.0)
    with pytest.raises(SystemExit):
        options([*ARGUMENTS, "--ages", "600,60"])


@pytest.mark.parametrize(
    ("path", "body", "field", "mend"),
    [
        ("/predictions", b"{nonsense", "body", "send JSON"),
        ("/predictions", [1], "body", "send a JSON object"),
        ("/predictions", {"rows": []}, "predictions", "send a list of records"),
        ("/predictions", {"predictions": [3]}, "predictions[0]", "send an object"),
        ("/predictions", {"predictions": [{}] * 10_001}, "predictions", "at most 10000"),
        ("/predictions", predictions(id=""), "predictions[0].id", "1 to 253 characters"),
        ("/predictions", predictions(version=7), "predictions[0].version", "1 to 253 characters"),
        ("/predictions", predictions(segment="c"), "predictions[0].segment", "use one of a, b"),
        ("/predictions", predictions(prediction="30"), "predictions[0].prediction", "send a number, or null"),
        ("/predictions", predictions(prediction=True), "predictions[0].prediction", "send a number, or null"),
        ("/predictions", predictions(time=-1), "predictions[0].time", "send Unix seconds"),
        ("/predictions", predictions(modelVersion="v1"), "predictions[0].modelVersion", "leave it out"),
        ("/labels", {"labels": [{"id": "x"}]}, "labels[0].label", "send a number, or null"),
        ("/faults", {"invalid": "maybe"}, "invalid", "use one of reject, observe"),
    ],
)
def test_a_bad_batch_is_refused_whole_with_field_value_and_mend(
    server: JoinerServer, path: str, body: object, field: str, mend: str
) -> None:
    status, answer = call(server, "POST", path, body)
    assert status == 400
    assert answer["field"] == field
    assert mend in answer["mend"]
    assert field in answer["error"]
    assert call(server, "GET", "/healthz")[1]["waiting"] == 0


def test_a_batch_with_one_bad_record_changes_nothing(server: JoinerServer) -> None:
    good, bad = predictions()["predictions"], predictions(id="y", segment="z")["predictions"]
    assert isinstance(good, list)
    assert isinstance(bad, list)
    assert call(server, "POST", "/predictions", {"predictions": good + bad})[0] == 400
    assert "v1" not in call(server, "GET", "/metrics")[1]


def test_null_is_not_a_number(server: JoinerServer) -> None:
    call(server, "POST", "/predictions", predictions(prediction=None))
    call(server, "POST", "/labels", {"labels": [{"id": "x", "label": 10}]})
    text = call(server, "GET", "/metrics")[1]
    assert 'ml_loss_invalid_total{model_name="m",model_version="v1",reason="nan",segment="a"} 1.0' in text


def test_the_fault_switch_poisons_the_sum(server: JoinerServer) -> None:
    assert call(server, "POST", "/faults", {"invalid": "observe"}) == (200, {"invalid": "observe"})
    call(server, "POST", "/predictions", predictions())
    call(server, "POST", "/labels", {"labels": [{"id": "x", "label": None}]})
    text = call(server, "GET", "/metrics")[1]
    assert 'ml_huber_loss_sum{model_name="m",model_version="v1",segment="a"} NaN' in text


def test_the_fault_switch_is_closed_unless_asked_for(server: JoinerServer) -> None:
    server.faults = False
    status, answer = call(server, "POST", "/faults", {"invalid": "observe"})
    assert status == 404
    assert "try /predictions, /labels" in answer["error"]


def test_unknown_paths_and_missing_or_huge_bodies_are_named(server: JoinerServer) -> None:
    assert call(server, "GET", "/")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest("POST", "/labels")
    connection.putheader("Content-Length", str(9 * 1024 * 1024))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"at most 8388608" in answer.read()
    connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
    connection.putrequest("POST", "/labels")
    connection.endheaders()
    assert connection.getresponse().status == 411
    connection.close()


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_NAME", "flights")
    monkeypatch.setenv("LOSS_TARGET", "60")
    monkeypatch.setenv("SEGMENTS", "short, long")
    chosen = options([])
    assert (chosen.model_name, chosen.target, chosen.segments) == ("flights", 60.0, ("short", "long"))
    assert not chosen.faults
