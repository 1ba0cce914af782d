"""What the kubelet and Prometheus ask: /healthz, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

# Says what is wrong, or nothing.
Check = Callable[[], str | None]

PRUNE_LIMIT: Final = 900.0


class Health:
    """Named checks: a failing ``live`` check restarts the pod, a failing ``ready`` check takes it out of rollouts."""

    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check], metrics: CollectorRegistry) -> None:
        self._live, self._ready, self._metrics = live, ready, metrics

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        return app

    async def _healthz(self, _: web.Request) -> web.Response:
        return _answer(self._live)

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._ready)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._metrics), headers={"Content-Type": content_type})


def _answer(checks: Mapping[str, Check]) -> web.Response:
    found = {name: check() for name, check in checks.items()}
    text = "".join(f"{name}: {problem or 'ok'}\n" for name, problem in found.items())
    return web.Response(text=text, status=500 if any(found.values()) else 200)


async def serve(health: Health, host: str, port: int) -> web.AppRunner:
    """Listen; the caller cleans the runner up."""
    runner = web.AppRunner(health.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
