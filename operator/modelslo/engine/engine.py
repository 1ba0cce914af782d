"""The engine: judges every ModelSLO of its registry on the grid and carries decisions out. One per process.

It acts from the moment :meth:`Engine.run` is called: call it only while leading. Feed the registry before and during.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket

from modelslo.act.events import Events
from modelslo.act.kube import Kube
from modelslo.act.steps import Tools
from modelslo.engine.clock import Clock, SystemClock
from modelslo.engine.failpoint import Failpoint
from modelslo.engine.fights import Fights
from modelslo.engine.metrics import Metrics
from modelslo.engine.operations import Driver, Ended
from modelslo.engine.record import Recorder
from modelslo.engine.registry import Change, Registry
from modelslo.engine.scheduler import Observer, Scheduler
from modelslo.engine.settings import PodSecurity, Settings
from modelslo.engine.state import States
from modelslo.engine.status import StatusWriter
from modelslo.engine.worker import Parts, Worker
from modelslo.observe.evidence import ModelKey

log = logging.getLogger(__name__)


class Engine:
    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        kube: Kube,
        observer: Observer,
        metrics: Metrics,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
        failpoint: Failpoint | None = None,
    ) -> None:
        clock = clock or SystemClock()
        failpoint = failpoint or Failpoint(settings.failpoint)
        kube.count, kube.concurrency = metrics.request, settings.writes
        self._registry, self._clock = registry, clock
        writer = StatusWriter(kube, registry, clock, interval=settings.status_interval, heartbeat=settings.heartbeat)
        events = Events(kube, os.environ.get("POD_NAME") or socket.gethostname(), clock.now)
        tools = Tools(kube, frozenset(settings.service_accounts), settings.pod_security is PodSecurity.BASELINE)
        fights = Fights()
        driver = Driver(registry, writer, tools, events, clock, failpoint, fights, self._ended)
        parts = Parts(registry, kube, writer, events, driver, failpoint, metrics, clock, fights, recorder or Recorder())
        states = States(settings)
        self._worker = Worker(parts, states, self._again)
        self._scheduler = Scheduler(registry, states, self._worker, writer, observer, metrics, clock)
        registry.subscribe(self._scheduler.changed)

    async def run(self, stop: asyncio.Event) -> None:
        """Judge and act until `stop` is set. What the registry holds already is judged first."""
        for model in self._registry:
            self._scheduler.changed(model.key, Change.MODEL)
        log.info("Engine begins", extra={"models": len(self._registry)})
        await self._scheduler.run(stop)
        log.info("Engine ended")

    def lateness(self) -> float:
        """By how many of its intervals the most overdue evaluation is late; for the liveness probe."""
        return self._scheduler.lateness()

    def _again(self, key: ModelKey, delay: float) -> None:
        self._scheduler.later(key, delay)

    def _ended(self, key: ModelKey, ended: Ended) -> None:
        self._worker.ended(key, ended)
