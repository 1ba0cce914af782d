"""The endpoints over real HTTP."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from modelslo.controller.health import Check, Health, serve


def ask(health: Health, path: str) -> tuple[int, str, str]:
    async def run() -> tuple[int, str, str]:
        runner = await serve(health, "127.0.0.1", 0)
        try:
            host, port = runner.addresses[0][:2]
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{host}:{port}{path}") as answer,
            ):
                return answer.status, await answer.text(), answer.headers["Content-Type"]
        finally:
            await runner.cleanup()

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_all_well(path: str) -> None:
    checks: dict[str, Check] = {"scheduler": lambda: None}
    assert ask(Health(checks, checks, CollectorRegistry()), path)[:2] == (200, "scheduler: ok\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_failing_check_is_named(path: str) -> None:
    checks: dict[str, Check] = {"scheduler": lambda: None, "list": lambda: "no complete list for 1000 s"}
    status, text, _ = ask(Health(checks, checks, CollectorRegistry()), path)
    assert (status, text) == (500, "scheduler: ok\nlist: no complete list for 1000 s\n")


def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    Gauge("modelslo_test", "A gauge.", registry=registry).set(3)
    status, text, content_type = ask(Health({}, {}, registry), "/metrics")
    assert status == 200
    assert "modelslo_test 3.0" in text
    assert content_type.startswith("text/plain")
