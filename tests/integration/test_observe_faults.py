"""A Prometheus that is down, hangs, trickles, warns or lies: a Gap with a reason, in time, without a storm."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelslo.observe.client import PrometheusClient
from modelslo.observe.evidence import Evidence, Increment, ModelKey, NoEvidence
from modelslo.observe.failure import QueryError, QueryTimeout
from modelslo.observe.observer import Observer
from tests.cluster.ports import free_port
from tests.cluster.prometheus import Prometheus, start
from tests.integration.exporters import steady
from tests.integration.faulty import between, raw, saying, silent, trickling
from tests.integration.remote_write import CONFIG, FLAG, push
from tests.integration.test_observe import END, ask, exporter, observed, times

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with start(CONFIG, flags=[FLAG]) as running:
        for number in range(40):
            push(running.url, steady(exporter("n", f"m{number}"), times(5), 2, 0.3))
        for pod in ("a", "b"):
            push(running.url, steady(exporter("n", "pods", pod=pod), times(5), 2, 0.3))
        yield running


@pytest.mark.parametrize(
    "talk",
    [
        silent,
        trickling(b""),
        trickling(b"HTTP/1.1 200 OK\r\nX-"),
        trickling(HEAD + b"Content-Length: 1000000\r\n\r\n"),
        trickling(HEAD + b"\r\n"),
    ],
    ids=["silent", "status line", "headers", "body", "body without length"],
)
def test_no_server_keeps_us_longer_than_the_timeout(talk: Callable[[socket.socket, threading.Event], None]) -> None:
    with raw(talk) as url:
        client = PrometheusClient(url, timeout=0.6)
        began = time.monotonic()
        with pytest.raises(QueryTimeout, match=r"within 0\.6 s"):
            client.samples("up[1m]", 1000)
        assert time.monotonic() - began < 5
        client.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (HEAD + b"\r\nnot json", "not JSON"),
        (HEAD + b"\r\n[]", "not an object"),
        (HEAD + b'\r\n{"status":"success","data":{"resultType":"vector","result":[]}}', "'vector'"),
        (HEAD + b'\r\n{"status":"success","data":{"resultType":"matrix","result":[{}]}}', "malformed series"),
        (HEAD + b'Content-Length: 100\r\n\r\n{"status"', "Cannot talk"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", "redirects"),
        (b"HTTP/1.1 503 Down\r\nContent-Length: 4\r\n\r\nbusy", "HTTP 503: busy"),
        (b"", "Cannot talk"),
        (HEAD + b"Content-Length: 5000\r\n\r\n" + b" " * 5000, "larger than 4096 bytes"),
    ],
)
def test_answers_that_are_none(answer: bytes, message: str) -> None:
    with raw(saying(answer)) as url:
        client = PrometheusClient(url, timeout=5, most_bytes=4096)
        with pytest.raises(QueryError, match=message):
            client.samples("up[1m]", 1000)
        client.close()


def test_a_dead_prometheus_is_not_asked_again_and_again() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    asks = [ask(url, "n", f"m{number}") for number in range(500)]

    async def run() -> dict[ModelKey, Evidence]:
        observer = Observer(2)
        found = await observer.observe(asks)
        assert observer.stats.queries.total() <= 2
        observer.close()
        return found

    for evidence in asyncio.run(run()).values():
        assert evidence.gap is not None
        assert evidence.gap.reason is NoEvidence.QUERY_ERROR
        assert "refused" in evidence.gap.message
        assert evidence.slice_gap is not None


def warning(_: str, answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"warnings": ["PromQL warning: store is away"]}


def test_a_prometheus_that_always_warns(prometheus: Prometheus) -> None:
    with between(prometheus.url, warning) as (url, queries):
        asks = [ask(url, "n", f"m{number}") for number in range(40)]

        async def run() -> None:
            observer = Observer(2)
            found = await observer.observe(asks)
            for evidence in found.values():
                assert evidence.gap is not None
                assert evidence.gap.reason is NoEvidence.QUERY_WARNING
                assert "store is away" in evidence.gap.message
                assert evidence.increments == ()
            first = len(queries)
            assert first <= 2 * 17
            await observer.observe(asks)
            assert len(queries) - first == 2  # halving was in vain and is not tried again soon
            observer.close()

        asyncio.run(run())


def spoiling(name: str, fault: dict[str, Any]) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def change(query: str, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | fault if f'"{name}"' in query or f"{name}|" in query or f'{name}"' in query else answer

    return change


@pytest.mark.parametrize(
    "fault",
    [
        {"warnings": ["this series is odd"]},
        {"status": "error", "errorType": "execution", "error": "too many samples", "httpStatus": 422},
    ],
    ids=["warning", "error"],
)
def test_one_bad_model_does_not_spoil_its_batch(prometheus: Prometheus, fault: dict[str, Any]) -> None:
    with between(prometheus.url, spoiling("m17", fault)) as (url, queries):
        asks = [ask(url, "n", f"m{number}") for number in range(40)]

        async def run() -> None:
            observer = Observer(2)
            for turn in range(2):
                before = len(queries)
                found = await observer.observe(asks)
                gapped = {model.name for model, evidence in found.items() if evidence.gap or evidence.slice_gap}
                assert gapped == {"m17"}
                # The second time the culprit is asked apart: nothing is halved, and good slices are cached.
                assert len(queries) - before <= (2 * 13 if turn == 0 else 4)
            observer.close()

        asyncio.run(run())


def test_infos_are_ignored(prometheus: Prometheus) -> None:
    with between(prometheus.url, lambda _, answer: answer | {"infos": ["might not be a counter"]}) as (url, _):
        evidence = observed([ask(url, "n", "m1")])[ModelKey("n", "m1")]
    assert evidence.gap is evidence.slice_gap is None
    assert len(evidence.increments) == 5


def test_half_of_the_series_gives_no_invented_numbers(prometheus: Prometheus) -> None:
    """Without the second pod only the first one's losses are there; without any sum there is none."""

    def half(_: str, answer: dict[str, Any]) -> dict[str, Any]:
        series = [one for one in answer["data"]["result"] if one["metric"].get("pod") != "b"]
        return answer | {"data": answer["data"] | {"result": series}}

    def no_sum(_: str, answer: dict[str, Any]) -> dict[str, Any]:
        series = [one for one in answer["data"]["result"] if one["metric"].get("__name__") != "ml_huber_loss_sum"]
        return answer | {"data": answer["data"] | {"result": series}}

    with between(prometheus.url, half) as (url, _):
        found = observed([ask(url, "n", "pods", since=END - 60)])[ModelKey("n", "pods")]
    assert [one.losses.count for one in found.increments] == [8.0]
    with between(prometheus.url, no_sum) as (url, _):
        found = observed([ask(url, "n", "pods", since=END - 60)])[ModelKey("n", "pods")]
    assert [one.losses.count for one in found.increments] == [16.0]
    assert found.increments[0].losses.total != found.increments[0].losses.total  # NaN


def test_a_gap_in_the_middle_loses_nothing(prometheus: Prometheus) -> None:
    """After an outage the next ask from the same time on reads what was missed."""
    down = False

    def sometimes(_: str, answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"warnings": ["away"]} if down else answer

    async def run(url: str) -> None:
        nonlocal down
        observer, key = Observer(2), ModelKey("n", "m3")
        first = (await observer.observe([ask(url, "n", "m3", since=END - 240, until=END - 180)]))[key]
        down = True
        lost = (await observer.observe([ask(url, "n", "m3", since=END - 180, until=END - 120)]))[key]
        down = False
        rest = (await observer.observe([ask(url, "n", "m3", since=END - 180, until=END)]))[key]
        observer.close()
        assert lost.gap is not None
        assert len(rest.increments) == 3
        parts.extend(first.increments + rest.increments)

    parts: list[Increment] = []
    with between(prometheus.url, sometimes) as (url, _):
        asyncio.run(run(url))
        whole = observed([ask(url, "n", "m3", since=END - 240)])[ModelKey("n", "m3")]
    assert tuple(parts) == whole.increments


def test_an_address_that_never_connects_ends_in_time() -> None:
    """A listener whose queue is full drops connection attempts: connecting hangs."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        client = PrometheusClient(f"http://127.0.0.1:{port}", timeout=0.5)
        began = time.monotonic()
        with pytest.raises(QueryTimeout):
            client.samples("up[1m]", 1000)
        assert time.monotonic() - began < 5
        client.close()
        for filler in fillers:
            filler.close()
