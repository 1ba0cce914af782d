"""The client against a server on loopback: what is sent, and what each kind of failure becomes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration

from modelslo.act.kube import (
    DEPLOYMENTS,
    MODELSLOS,
    PODS,
    AlreadyExistsError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    Kube,
    KubeError,
    NotFoundError,
    UnavailableError,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def serving(handler: Handler, *, timeout: float = 5.0, concurrency: int = 16) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        async with Kube(settings, timeout, concurrency) as kube:
            yield kube
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidError),
        (401, ForbiddenError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, InvalidError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
def test_each_refusal_has_its_own_error_with_the_servers_words(status: int, expected: type[KubeError]) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"message": "spec.replicas is no number", "reason": "X"}, status=status)

    async def run() -> None:
        counted: list[tuple[str, str]] = []
        async with serving(handler) as kube:
            kube.count = lambda verb, outcome: counted.append((verb, outcome))
            with pytest.raises(expected, match=r"spec\.replicas is no number") as error:
                await kube.merge(DEPLOYMENTS, "ns", "x", {"spec": {}})
        assert type(error.value) is expected
        assert error.value.status == status
        assert counted == [("patch", expected.__name__)]

    asyncio.run(run())


def test_a_create_of_what_is_there_is_told_apart_from_a_lost_race() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"message": "exists"}, status=409)

    async def run() -> None:
        async with serving(handler) as kube:
            with pytest.raises(AlreadyExistsError):
                await kube.create(DEPLOYMENTS, "ns", {"metadata": {"name": "x"}})

    asyncio.run(run())


def test_a_server_that_hangs_or_talks_nonsense_is_unavailable() -> None:
    async def hangs(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def babbles(_: web.Request) -> web.Response:
        return web.Response(text="<html>proxy</html>")

    async def run() -> None:
        for handler in (hangs, babbles):
            async with serving(handler, timeout=0.2) as kube:
                with pytest.raises(UnavailableError):
                    await kube.get(DEPLOYMENTS, "ns", "x")
        async with Kube(Configuration(host="http://127.0.0.1:1")) as nobody:
            with pytest.raises(UnavailableError):
                await nobody.get(DEPLOYMENTS, "ns", "x")

    asyncio.run(run())


def test_every_write_names_us_and_a_patch_of_status_goes_to_status() -> None:
    seen: list[tuple[str, str, str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        manager = request.query.get("fieldManager", "")
        seen.append((request.method, request.path, manager, request.headers["Content-Type"]))
        return web.json_response({})

    async def run() -> None:
        async with serving(handler) as kube:
            await kube.merge(MODELSLOS, "ns", "x", {"status": {}}, "status")
            await kube.create(DEPLOYMENTS, "ns", {"metadata": {"name": "x"}})
            await kube.get(PODS, "ns", "x")

    asyncio.run(run())
    assert seen == [
        (
            "PATCH",
            "/apis/modelslo.dev/v1alpha1/namespaces/ns/modelslos/x/status",
            "modelslo-operator",
            "application/merge-patch+json",
        ),
        ("POST", "/apis/apps/v1/namespaces/ns/deployments", "modelslo-operator", "application/json"),
        ("GET", "/api/v1/namespaces/ns/pods/x", "", "application/json"),
    ]


def test_a_long_list_is_read_in_pages() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "a=b,c"
        if request.query.get("continue") == "more":
            return web.json_response({"items": [{"n": 2}], "metadata": {}})
        return web.json_response({"items": [{"n": 1}], "metadata": {"continue": "more"}})

    async def run() -> None:
        async with serving(handler) as kube:
            assert await kube.list(PODS, "ns", {"a": "b", "c": ""}) == [{"n": 1}, {"n": 2}]

    asyncio.run(run())


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    flying = most = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.01)
        flying -= 1
        return web.json_response({})

    async def run() -> None:
        async with serving(handler, concurrency=3) as kube:
            await asyncio.gather(*(kube.get(PODS, "ns", str(number)) for number in range(12)))

    asyncio.run(run())
    assert most == 3
