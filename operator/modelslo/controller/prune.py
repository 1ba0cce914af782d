"""Now and then a complete list of everything watched, to mend what the watch has missed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from modelslo.controller.feed import Body, Feed
from modelslo.controller.kinds import KINDS, Kind

log = logging.getLogger(__name__)

PAGE: Final = 500


class Lister(Protocol):
    """Lists a kind over all namespaces in pages, as of now and not from the API server's cache."""

    def pages(self, kind: Kind, limit: int) -> AsyncIterator[Sequence[Body]]: ...


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

    def age(self) -> float:
        """Seconds since the last complete pass; infinite before the first."""
        return float("inf") if self.succeeded_at is None else self._clock() - self.succeeded_at

    async def once(self) -> None:
        """One pass over all kinds. Raises what the lister raises, and then drops nothing of that kind."""
        for kind in KINDS:
            listing = self._feed.listing(kind)
            async for page in self._lister.pages(kind, PAGE):
                listing.page(page)
            mended = listing.finish()
            if mended and self.succeeded_at is not None:
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

    async def run(self) -> None:
        """For ever. Failures are logged; :meth:`age` shows that they go on."""
        while True:
            due = self._interval if self.succeeded_at is not None else self._retry
            await asyncio.sleep(due)
            while not await self._try():
                await asyncio.sleep(self._retry)

    async def _try(self) -> bool:
        try:
            await self.once()
        except Exception as error:
            log.warning("A complete list failed; again in %g s: %s", self._retry, error)
            return False
        return True
