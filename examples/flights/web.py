"""The little HTTP that the example speaks: JSON over asyncio, one request per connection.

One request per connection is on purpose: kube-proxy balances connections, so a kept connection would pin a
client to one pod and the canary would never see its share.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

MAX_HEAD = 16 * 1024
MAX_BODY = 4 * 1024 * 1024
READ_SECONDS = 10.0
RESOLVE_SECONDS = 5.0
_addresses: dict[str, tuple[float, str]] = {}
"""host -> (monotonic time of the look-up, address)"""
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Content Too Large", 503: "Service Unavailable"}

Handler = Callable[[str, bytes], Awaitable[object]]
Routes = dict[tuple[str, str], Handler]
"""(method, path) -> what answers it, given the path and the body."""


class WebError(Exception):
    """An answer other than 200; the text is for whoever sent the request."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def start(routes: Routes, host: str, port: int) -> asyncio.Server:
    """Serve `routes` until the returned server is closed. Port 0 takes a free one."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            status, answer = await _answer(routes, reader)
            _send(writer, status, answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the other side went away, or never said what it wanted
        finally:
            writer.close()

    return await asyncio.start_server(connected, host, port, limit=MAX_HEAD, backlog=512)


def port_of(server: asyncio.Server) -> int:
    """The port a server listens on."""
    return int(server.sockets[0].getsockname()[1])


def checked(url: str) -> str:
    """The address itself, or a ValueError that says how to write one."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise ValueError(f"{url!r} is no address; write http://HOST:PORT")
    return url


async def call(method: str, url: str, body: object = None, *, timeout: float) -> Any:
    """Ask `url` and return its JSON; OSError or TimeoutError when nobody answers, WebError when not 200."""
    parts = urlsplit(checked(url))
    async with asyncio.timeout(timeout):
        address = await _address(str(parts.hostname), parts.port or 80)
        reader, writer = await asyncio.open_connection(address, parts.port or 80)
        try:
            data = b"" if body is None else json.dumps(body).encode()
            head = (
                f"{method} {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
            )
            writer.write(head.encode() + data)
            raw = await reader.read(-1)
        finally:
            writer.close()
    return _parse_answer(raw)


async def _address(host: str, port: int) -> str:
    """The address of a host, looked up every RESOLVE_SECONDS and not for each of a hundred connections a second."""
    now = time.monotonic()
    known = _addresses.get(host)
    if known is not None and now - known[0] < RESOLVE_SECONDS:
        return known[1]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    address = str(found[0][4][0])
    _addresses[host] = now, address
    return address


def json_object(body: bytes) -> dict[str, Any]:
    """A request's JSON object, or a WebError that says what to send."""
    try:
        value = json.loads(body or b"{}")
    except ValueError as error:
        raise WebError(400, f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise WebError(400, "send a JSON object")
    return value


async def _answer(routes: Routes, reader: asyncio.StreamReader) -> tuple[int, object]:
    async with asyncio.timeout(READ_SECONDS):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
        length = _content_length(head)
        if length > MAX_BODY:
            return 413, {"error": f"send at most {MAX_BODY} bytes"}
        body = await reader.readexactly(length)
    path = urlsplit(target).path
    handler = routes.get((method, path))
    if handler is None:
        known = ", ".join(f"{verb} {route}" for verb, route in routes)
        return 404, {"error": f"nothing is served at {method} {path}; try {known}"}
    try:
        return 200, await handler(path, body)
    except WebError as error:
        return error.status, {"error": str(error)}


def _content_length(head: str) -> int:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length" and value.strip().isdigit():
            return int(value)
    return 0


def _send(writer: asyncio.StreamWriter, status: int, answer: object) -> None:
    data = json.dumps(answer).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + data)


def _parse_answer(raw: bytes) -> Any:
    head, separator, body = raw.partition(b"\r\n\r\n")
    if not separator:
        raise OSError("the server closed the connection without an answer")
    try:
        status = int(head.split(b" ", 2)[1])
        answer = json.loads(body) if body else None
    except (ValueError, IndexError) as error:
        raise OSError(f"the server's answer is not HTTP with JSON: {error}") from None
    if status != 200:
        text = answer.get("error", answer) if isinstance(answer, dict) else answer
        raise WebError(status, str(text))
    return answer
