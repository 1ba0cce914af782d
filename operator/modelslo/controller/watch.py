"""The watch, by kopf: every event goes into the feed, and nothing else happens here.

kopf runs in a thread with an event loop of its own, because on its way out it cancels every task of its loop, and
because a first list of thousands of objects must not keep anything else waiting.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection
from typing import Any, cast

import kopf

from modelslo.act.names import GROUP
from modelslo.controller.feed import Body, Feed
from modelslo.controller.kinds import KINDS, Kind
from modelslo.controller.kubelease import configuration

log = logging.getLogger(__name__)


class _NoEssence(kopf.AnnotationsDiffBaseStorage):
    """Nobody here asks what has changed in an object: kopf need not copy each one to find out."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()


def settings() -> kopf.OperatorSettings:
    """kopf watches and does nothing else: no finalizers, no annotations, no Events, no peering, no CRD watch."""
    result = kopf.OperatorSettings()
    result.persistence.finalizer = f"{GROUP}/finalizer"
    result.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP, v1=False)
    result.persistence.diffbase_storage = _NoEssence(prefix=GROUP, key="last", v1=False)
    result.watching.server_timeout, result.watching.client_timeout = 300, 330
    result.watching.connect_timeout = result.networking.connect_timeout = 10
    result.watching.chunk_size = 500
    result.networking.request_timeout = 30
    # A worker per object at list time is what sets the memory; the two settings only work together.
    result.queueing.worker_limit, result.queueing.idle_timeout = 200, 0.2
    result.scanning.disabled = True
    result.posting.enabled = False
    result.peering.standalone = True
    for kind in KINDS:
        if kind.label:
            result.watching.label_selectors[kind.group, kind.version, kind.plural] = kind.label
    return result


def login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
    """The same way to the API server as the Lease's; asked again whenever the token is refused."""
    found = configuration()
    header = found.get_api_key_with_prefix("BearerToken") or found.get_api_key_with_prefix("authorization") or ""
    scheme, _separator, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        username=found.username or None,
        password=found.password or None,
        scheme=scheme or None,
        token=token or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        trust_env=settings.networking.trust_env,
    )


def handlers(take: Callable[[Kind, bool, Body], None]) -> kopf.OperatorRegistry:
    """One handler per kind."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(id="login", registry=registry)(login)
    for kind in KINDS:
        kopf.on.event(kind.group, kind.version, kind.plural, id=kind.plural, registry=registry)(_handler(kind, take))
    return registry


def _handler(kind: Kind, take: Callable[[Kind, bool, Body], None]) -> Callable[..., Any]:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        take(kind, event["type"] == "DELETED", event["object"])

    return handle


class Watch:
    """Runs kopf in a thread; events reach the feed in the event loop that made this object.

    ``ended`` is set in that loop when kopf ends, asked or not. An unasked end is for the owner to act on: what is
    decided on a picture that no longer moves is worse than nothing decided.
    """

    def __init__(self, feed: Feed, namespaces: Collection[str] = ()) -> None:
        self._feed, self._namespaces = feed, tuple(namespaces)
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.ended = asyncio.Event()
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    async def stop(self, timeout: float) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, timeout)

    @property
    def running(self) -> bool:
        return self._ready.is_set() and self._thread.is_alive()

    def _take(self, kind: Kind, deleted: bool, body: Body) -> None:
        self._loop.call_soon_threadsafe(self._feed.event, kind, deleted, body)

    def _run(self) -> None:
        try:
            asyncio.run(self._operate())
        except BaseException as error:
            self.failure = error
            log.exception("The watch ended with an error")
        finally:
            self._loop.call_soon_threadsafe(self.ended.set)

    async def _operate(self) -> None:
        try:
            await kopf.operator(
                registry=handlers(self._take),
                settings=settings(),
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                standalone=True,
                # kopf would ask for the user's name, which a container's user need not have.
                identity=cast(Any, GROUP),
                stop_flag=self._stop,
                ready_flag=self._ready,
            )
        finally:
            # kopf waits for the flag in a thread of the loop's executor, and the loop waits for its threads.
            self._stop.set()
