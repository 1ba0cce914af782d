"""A deadline that holds for a whole HTTP exchange.

The time-outs of `requests` are for one read: a server that sends a byte now and then keeps its client for ever. Here
the socket is shut down at the deadline, wherever the exchange is (TLS, headers, body).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.retry import Retry

_exchange = threading.local()


class Deadline:
    """Ends the exchange of the thread that entered it after `seconds`."""

    def __init__(self, seconds: float) -> None:
        self.passed = False
        self._lock = threading.Lock()
        self._connection: HTTPConnection | None = None
        # A response that ends with its connection takes the socket away from it.
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def watch(self, connection: HTTPConnection) -> None:
        with self._lock:
            self._connection, self._socket = connection, connection.sock
        if self.passed:
            self._expire()

    def _expire(self) -> None:
        with self._lock:
            self.passed = True
            sock = (self._connection.sock if self._connection is not None else None) or self._socket
        if sock is not None:
            with contextlib.suppress(OSError):
                # The plain socket's own method: TLS would try to say good-bye first.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @contextlib.contextmanager
    def holds(self) -> Iterator[None]:
        _exchange.deadline = self
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            with self._lock:
                self._connection = self._socket = None
            _exchange.deadline = None


def _watched(connection: HTTPConnection) -> None:
    deadline = getattr(_exchange, "deadline", None)
    if deadline is not None:
        deadline.watch(connection)


class _Plain(HTTPConnection):
    def connect(self) -> None:
        _watched(self)
        super().connect()
        _watched(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watched(self)
        super().request(*args, **kwargs)


class _Secure(HTTPSConnection):
    def connect(self) -> None:
        _watched(self)
        super().connect()
        _watched(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watched(self)
        super().request(*args, **kwargs)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


class DeadlineAdapter(HTTPAdapter):
    """Transport without retries, with one pooled connection per thread, whose exchanges a Deadline can end."""

    def __init__(self, threads: int) -> None:
        super().__init__(pool_connections=1, pool_maxsize=threads, max_retries=Retry(0, redirect=False))

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
