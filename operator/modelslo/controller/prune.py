"""Now and then a complete list of everything watched, to mend what the watch has missed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import Protocol

from modelslo.act.kube import Kube, KubeError
from modelslo.controller.feed import Body, Feed
from modelslo.controller.kinds import KINDS, Kind

log = logging.getLogger(__name__)


class Lister(Protocol):
    """Lists a kind in pages, as of now: no older than the call."""

    def pages(self, kind: Kind) -> AsyncIterator[Sequence[Body]]: ...


class KubeLister:
    """Lists from the API server, in these namespaces or in all."""

    def __init__(self, kube: Kube, namespaces: Collection[str] = ()) -> None:
        self._kube, self._namespaces = kube, tuple(namespaces)

    async def pages(self, kind: Kind) -> AsyncIterator[Sequence[Body]]:
        # Without a resourceVersion the API server answers as of now.
        selector = {kind.label: ""} if kind.label else None
        for path in kind.paths(self._namespaces):
            async for page in self._kube.pages(path, selector):
                yield page


class Pruner:
    """Lists at the start, then every ``interval`` seconds; after a failure again after ``retry`` seconds."""

    def __init__(
        self,
        feed: Feed,
        lister: Lister,
        interval: float = 600.0,
        retry: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed, self._lister, self._clock = feed, lister, clock
        self._interval, self._retry = interval, retry
        self.succeeded_at: float | None = None
        self.mended = 0

    def age(self) -> float:
        """Seconds since the last complete pass; infinite before the first."""
        return float("inf") if self.succeeded_at is None else self._clock() - self.succeeded_at

    async def once(self) -> None:
        """One pass over all kinds. Raises what the lister raises, and then drops nothing of that kind."""
        for kind in KINDS:
            listing = self._feed.listing(kind)
            async for page in self._lister.pages(kind):
                listing.page(page)
            mended = listing.finish()
            if mended and self.succeeded_at is not None:
                self.mended += mended.added + mended.changed + mended.dropped
                log.warning(
                    "The watch had missed something; mended by a list",
                    extra={
                        "kind": str(kind),
                        "added": mended.added,
                        "changed": mended.changed,
                        "dropped": mended.dropped,
                    },
                )
        self.succeeded_at = self._clock()

    async def until_done(self, retry: float) -> None:
        """One pass, however often it has to be tried. Failures are logged; :meth:`age` shows that they go on."""
        while True:
            try:
                await self.once()
            except KubeError as error:
                log.warning("A complete list failed; again in %g s: %s", retry, error)
                await asyncio.sleep(retry)
            else:
                return

    async def run(self) -> None:
        """For ever, from one interval after the first pass."""
        while True:
            await asyncio.sleep(self._interval)
            await self.until_done(self._retry)
