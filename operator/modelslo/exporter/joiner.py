"""The joiner as a service: `python -m modelslo.exporter.joiner`.

    POST /predictions  {"predictions": [{"id", "version", "segment", "prediction", "time"?}, ...]}
    POST /labels       {"labels": [{"id", "label", "time"?}, ...]}
    GET  /metrics      GET /healthz
    POST /faults       {"invalid": "observe" | "reject"}   (only where JOINER_FAULTS=1: for demos and tests)

A batch is taken whole or refused whole. One replica only: it owns the counters, and a join needs both halves.
Its memory is lost with the process; counters then start at zero, which Prometheus reads as a reset.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import prometheus_client
from prometheus_client import CONTENT_TYPE_LATEST

from modelslo.exporter.buckets import geometric_buckets
from modelslo.exporter.join import Joiner
from modelslo.exporter.loss_exporter import InvalidPolicy, LossExporter, checked_ages
from modelslo.exporter.losses import loss_kind
from modelslo.exporter.records import BadRequestError, parse_choice, parse_labels, parse_predictions

MAX_BODY = 8 * 1024 * 1024
IDLE_SECONDS = 60.0
_log = logging.getLogger("modelslo.joiner")


class JoinerServer(ThreadingHTTPServer):
    """Serves one joiner; one thread per connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], joiner: Joiner, *, faults: bool = False) -> None:
        super().__init__(address, _Handler)
        self.joiner = joiner
        self.faults = faults

    def service_actions(self) -> None:
        """Called between requests, twice a second: labels that wait in vain are counted without traffic."""
        self.joiner.expire()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    wbufsize = -1  # head and body in one packet, or delayed ACKs cost 40 ms a batch
    disable_nagle_algorithm = True
    server: JoinerServer

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, self.server.joiner.exporter.render(), CONTENT_TYPE_LATEST)
        elif self.path == "/healthz":
            self._json(200, {"status": "ok", **self.server.joiner.sizes()})
        else:
            self._json(404, {"error": f"nothing is served at GET {self.path}; try /metrics or /healthz"})

    def do_POST(self) -> None:
        routes: dict[str, Callable[[bytes], object]] = {"/predictions": self._predictions, "/labels": self._labels}
        if self.server.faults:
            routes["/faults"] = self._faults
        body = self._body()
        if body is None:
            return
        route = routes.get(self.path)
        if route is None:
            self._json(404, {"error": f"nothing is served at POST {self.path}; try {', '.join(routes)}"})
            return
        try:
            self._json(200, route(body))
        except BadRequestError as error:
            self._json(400, error.answer)

    def _predictions(self, body: bytes) -> object:
        joiner = self.server.joiner
        return joiner.predict(parse_predictions(body, time.time(), joiner.exporter.segments))

    def _labels(self, body: bytes) -> object:
        return self.server.joiner.label(parse_labels(body, time.time()))

    def _faults(self, body: bytes) -> object:
        policy = InvalidPolicy(parse_choice(body, "invalid", [policy.value for policy in InvalidPolicy]))
        self.server.joiner.exporter.invalid = policy
        _log.warning("invalid losses: %s", policy)
        return {"invalid": policy.value}

    def _body(self) -> bytes | None:
        """The request's body; None when it was refused (and the connection is to be closed)."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            self.close_connection = True
            self._json(411, {"error": "send a Content-Length header"})
            return None
        if int(length) > MAX_BODY:
            self.close_connection = True
            self._json(413, {"error": f"the body has {length} bytes; send at most {MAX_BODY} at a time"})
            return None
        return self.rfile.read(int(length))

    def _json(self, status: int, answer: object) -> None:
        self._answer(status, json.dumps(answer).encode(), "application/json")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Requests are counted, not logged: one line per batch would be most of the log."""


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line, each option with an environment variable as default."""
    parser = argparse.ArgumentParser(prog="joiner", description="Join predictions with labels; export losses.")

    def add(flag: str, env: str, kind: Callable[[str], object], default: str | None, text: str) -> None:
        value = os.environ.get(env, default)
        parser.add_argument(flag, type=kind, default=value, required=value is None, help=f"{text} ({env})")

    add("--model-name", "MODEL_NAME", str, None, "value of the label model_name")
    add("--loss", "LOSS", str, "squared", "huber, squared, absolute, log or quantile")
    add("--loss-parameter", "LOSS_PARAMETER", _optional_float, "", "Huber's delta or the quantile")
    add("--target", "LOSS_TARGET", float, None, "the objective's loss: a bucket bound falls on it")
    add("--segments", "SEGMENTS", _names, "default", "disjoint cohorts, comma-separated")
    add("--ages", "AGES", _ages, "", "edges in seconds, comma-separated: losses by the age of their labels")
    add("--framework", "FRAMEWORK", str, "", "shown in ml_model_info")
    add("--expire-after", "EXPIRE_AFTER_SECONDS", float, "86400", "how long a prediction waits for its label")
    add("--early-for", "EARLY_FOR_SECONDS", float, "60", "how long a label waits for its prediction")
    add("--capacity", "CAPACITY", int, "200000", "most predictions waiting at a time")
    add("--host", "HOST", str, "0.0.0.0", "address to listen on")  # noqa: S104 - a pod serves its Service
    add("--port", "PORT", int, "9100", "port to listen on")
    add("--faults", "JOINER_FAULTS", _flag, "0", "1 opens POST /faults")
    return parser.parse_args(argv)


def make_server(chosen: argparse.Namespace) -> JoinerServer:
    """The service, bound and ready to `serve_forever`."""
    exporter = LossExporter(
        chosen.model_name,
        loss_kind(chosen.loss, chosen.loss_parameter),
        buckets=geometric_buckets(chosen.target),
        segments=chosen.segments,
        ages=chosen.ages,
        framework=chosen.framework,
    )
    joiner = Joiner(exporter, expire_after=chosen.expire_after, early_for=chosen.early_for, capacity=chosen.capacity)
    return JoinerServer((chosen.host, chosen.port), joiner, faults=chosen.faults)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # `_created` series double the number, for times that nobody asks for.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    server = make_server(options(argv))

    def stop(number: int, frame: object) -> None:
        threading.Thread(target=server.shutdown).start()  # shutdown() waits for this very thread

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    _log.info("joining on port %d", server.server_address[1])
    server.serve_forever()
    server.server_close()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _ages(text: str) -> tuple[float, ...]:
    return checked_ages([float(edge) for edge in _names(text)])


def _optional_float(text: str) -> float | None:
    return float(text) if text else None


def _flag(text: str) -> bool:
    return text == "1"


if __name__ == "__main__":
    main()
