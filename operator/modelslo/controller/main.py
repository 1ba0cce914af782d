"""``modelslo run``: the operator as a process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Final

from kubernetes.config import ConfigException
from prometheus_client import CollectorRegistry

from modelslo.act.kube import Kube, load_configuration
from modelslo.controller import logs
from modelslo.controller.feed import Feed
from modelslo.controller.gauges import ShellMetrics
from modelslo.controller.health import Health, serve
from modelslo.controller.kubelease import KubeLeaseStore
from modelslo.controller.lease import Election, Leadership, LeaseTiming
from modelslo.controller.operate import Exit, Life
from modelslo.controller.prune import KubeLister, Pruner
from modelslo.controller.watch import Watch
from modelslo.engine.engine import Engine
from modelslo.engine.metrics import Metrics
from modelslo.engine.registry import Registry
from modelslo.engine.settings import Settings, load_settings
from modelslo.observe.observer import Observer
from modelslo.observe.pool import OK

log = logging.getLogger(__name__)

# Less than the grace of manifests/operator/deployment.yaml.
LAST_CALL: Final = 25.0


def main() -> int:
    """Run until a signal or a failure; the return value is the exit code."""
    try:
        settings = load_settings()
        timing = lease_timing(settings)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"modelslo run: wrong settings: {error}\n")
        return Exit.MISUSE
    logs.configure(settings.log_format, settings.log_level)
    try:
        return asyncio.run(operate(settings, timing))
    except ConfigException as error:
        log.critical("No way to the API server, neither a kubeconfig nor a service account: %s", error)
        return Exit.MISUSE


def lease_timing(settings: Settings) -> LeaseTiming:
    return LeaseTiming(
        duration=settings.lease_duration,
        renew_deadline=settings.lease_renew_deadline,
        retry=settings.lease_retry,
        request_timeout=settings.lease_request_timeout,
    )


def identity() -> str:
    """The pod's name: a new container of the same pod goes on with its Lease. Elsewhere a name of its own."""
    return os.environ.get("POD_NAME") or f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"


async def operate(settings: Settings, timing: LeaseTiming) -> Exit:
    """Build everything, live, clean up."""
    stop = asyncio.Event()
    _on_signals(stop)
    store = await asyncio.to_thread(
        KubeLeaseStore, settings.lease_namespace, settings.lease_name, timing.request_timeout
    )
    who = identity()

    def lead(on_leading: Callable[[], object]) -> Leadership:
        return Leadership(Election(store, who, timing), timing, on_leading)

    registry, metrics = Registry(), Metrics()
    observer = Observer(settings.threads, seen=lambda outcome, seconds: _queried(metrics, outcome, seconds))
    async with Kube(await load_configuration(), settings.request_timeout) as kube:
        feed = Feed(registry)
        pruner = Pruner(feed, KubeLister(kube, settings.namespaces))
        engine = Engine(settings, registry, kube, observer, metrics)
        life = Life(engine, pruner, Watch(feed, settings.namespaces), lead)
        runner = await serve(_health(life, registry, metrics), settings.host, settings.port)
        log.info("Started", extra={"identity": who, "listening": [f"{a[0]}:{a[1]}" for a in runner.addresses]})
        try:
            return await life.live(stop)
        finally:
            observer.close()
            await runner.cleanup()


def _health(life: Life, registry: Registry, metrics: Metrics) -> Health:
    exported = CollectorRegistry()
    exported.register(metrics)
    exported.register(ShellMetrics(life, registry))
    return Health(life.live_checks(), life.ready_checks(), exported)


def _queried(metrics: Metrics, outcome: str, seconds: float) -> None:
    metrics.query_seconds.observe(seconds)
    if outcome != OK:
        metrics.query_errors[outcome] += 1


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(Exit.FAILED)
        log.info("Stopping on %s", number.name)
        stop.set()
        last_call = threading.Timer(LAST_CALL, os._exit, (Exit.FAILED,))
        last_call.daemon = True
        last_call.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)
