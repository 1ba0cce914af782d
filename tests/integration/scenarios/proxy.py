"""A Prometheus that can fail: a proxy on an address of its own before a real one, with a switch."""

from __future__ import annotations

import json
import sys
import threading
import urllib.error
import urllib.request
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Fault(StrEnum):
    NONE = "none"
    DOWN = "down"  # connections are refused
    HANGING = "hanging"  # accepts, never answers
    WARNING = "warning"  # status 200 with a warning
    HALF = "half"  # every second series is missing, and nothing says so


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what happens before a Prometheus that fails."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Proxy:
    """Listens until closed; `fault` says how it answers."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.fault = Fault.NONE
        self._healthy = threading.Event()
        self._healthy.set()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self._open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def switch(self, fault: Fault) -> None:
        before, self.fault = self.fault, fault
        if fault is Fault.HANGING:
            self._healthy.clear()
        else:
            self._healthy.set()
        if fault is Fault.DOWN:
            self._close()
        elif before is Fault.DOWN:
            self._open()

    def close(self) -> None:
        self._healthy.set()
        self._close()

    def answer(self, path: str, body: bytes) -> tuple[int, bytes] | None:
        """Status and body; None: the connection ends without an answer."""
        if self.fault is Fault.DOWN:
            return None
        if self.fault is Fault.HANGING:
            self._healthy.wait()
            return None
        try:
            request = urllib.request.Request(self.upstream + path, data=body)  # noqa: S310 - our own address
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                status, content = int(answer.status), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        return status, _spoiled(content, self.fault)

    def _open(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def _close(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None


def _spoiled(content: bytes, fault: Fault) -> bytes:
    if fault is Fault.NONE:
        return content
    message: dict[str, Any] = json.loads(content)
    if fault is Fault.WARNING:
        message["warnings"] = ["a store did not answer"]
    elif message.get("status") == "success":
        series = sorted(message["data"]["result"], key=lambda one: sorted(one["metric"].items()))
        message["data"]["result"] = series[::2]
    return json.dumps(message).encode()


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found = proxy.answer(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            if found is None:
                self.close_connection = True
                return
            status, body = found
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler
