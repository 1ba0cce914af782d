"""All models of the scenarios behind one address: `python -m tests.integration.scenarios.town KUBECONFIG`.

Prints its port. It sees in the cluster which versions have ready pods, and gives these the traffic. What is inside an
image is told on standard input, one JSON object a line, such as {"namespace": "a", "versions": {"v1": {"mean": 0.3}}}
or {"namespace": "a", "restart": "careless"}. {"namespace": "a", "mirror": true} takes the canary's pods out of the
users' Service and has a mirror copy every request to them. It ends when standard input does.

    GET /metrics/NAMESPACE     the joiner of the model in that namespace
    GET /targets               all of them, for Prometheus' http_sd
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST
from urllib3.exceptions import HTTPError

from tests.cluster.access import Cluster
from tests.integration.scenarios.traffic import Quality, Traffic
from tests.integration.standin import Api

Pods = tuple[str, str]
"""Of one role and version."""

_TICK: Final = 0.25
_LOOK: Final = 0.5


class Town:
    """The traffic of every model, by namespace."""

    def __init__(self) -> None:
        self._models: dict[str, Traffic] = {}
        self._lock = threading.Lock()

    def order(self, order: Mapping[str, Any]) -> None:
        namespace = order["namespace"]
        with self._lock:
            model = self._models.setdefault(namespace, Traffic(namespace))
            for version, quality in order.get("versions", {}).items():
                model.qualities[version] = Quality(**quality)
            model.mirror = order.get("mirror", model.mirror)
            if "restart" in order:
                model.restart(careless=order["restart"] == "careless")

    def serve(self, ready: Mapping[str, Counter[Pods]]) -> None:
        with self._lock:
            for namespace, model in self._models.items():
                model.serving, model.shadows = Counter(), Counter()
                for (role, version), count in ready.get(namespace, Counter()).items():
                    behind = model.shadows if model.mirror and role == "canary" else model.serving
                    behind[version] += count

    def advance(self, now: float) -> None:
        with self._lock:
            models = list(self._models.values())
        for model in models:
            with self._lock:
                model.advance(now)

    def metrics(self, namespace: str) -> bytes | None:
        with self._lock:
            model = self._models.get(namespace)
            return model.exporter.render() if model is not None else None

    def targets(self, address: str) -> list[dict[str, Any]]:
        with self._lock:
            return [
                {"targets": [address], "labels": {"namespace": one, "__metrics_path__": f"/metrics/{one}"}}
                for one in sorted(self._models)
            ]


def ready_pods(pods: list[dict[str, Any]]) -> dict[str, Counter[Pods]]:
    """Ready pods of each role and version, by namespace."""
    found: dict[str, Counter[Pods]] = {}
    for pod in pods:
        conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", ())}
        if "deletionTimestamp" in pod["metadata"] or conditions.get("Ready") != "True":
            continue
        environment = {one["name"]: one.get("value") for one in pod["spec"]["containers"][0].get("env", ())}
        version = environment.get("MODEL_VERSION")
        if version:
            role = pod["metadata"].get("labels", {}).get("role", "")
            found.setdefault(pod["metadata"]["namespace"], Counter())[role, version] += 1
    return found


def _handler(town: Town) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/targets":
                targets = town.targets(self.headers["Host"])
                self._answer(json.dumps(targets).encode(), "application/json")
            else:
                self._answer(town.metrics(self.path.removeprefix("/metrics/")), CONTENT_TYPE_LATEST)

        def _answer(self, body: bytes | None, kind: str) -> None:
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    return Handler


def _orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def _look(town: Town, api: Api) -> None:
    while True:
        with suppress(HTTPError, OSError):  # a busy machine: the next look will see it
            town.serve(ready_pods(api.get("/api/v1/pods?resourceVersion=0")["items"]))
        time.sleep(_LOOK)


def _run(town: Town) -> None:
    while True:
        town.advance(time.time())
        time.sleep(_TICK)


def main(kubeconfig: str) -> None:
    town = Town()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(town))
    server.daemon_threads = True
    with Api(Cluster(Path(kubeconfig), "bare")) as api:
        for work, arguments in ((server.serve_forever, ()), (_look, (town, api)), (_run, (town,))):
            threading.Thread(target=work, args=arguments, daemon=True).start()
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        for order in _orders():
            town.order(order)


if __name__ == "__main__":
    main(sys.argv[1])
