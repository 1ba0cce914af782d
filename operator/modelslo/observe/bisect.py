"""Finds the models that spoil a shared query, without a storm of queries.

A query with one bad model fails as a whole. Its halves are asked, and so on; the model that fails alone is the
culprit and is asked apart from the others afterwards. When everything fails, nobody is the culprit: then nothing is
halved for a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Gap, ModelKey
from modelslo.observe.failure import QueryFailure

Piece = TypeVar("Piece")
Failed = list[tuple[Ask, Gap]]

# Twice log2 of the largest batch: enough to single one model out.
MOST_EXTRA: Final = 16
_PAUSE: Final = 10


@dataclass(slots=True)
class Bisection:
    """What one batch may still spend on halving, and whether it ever helped."""

    left: int = MOST_EXTRA
    tried: bool = False
    helped: bool = False

    def take(self) -> bool:
        """Allows one halving, which costs two queries."""
        if self.left < 2:
            return False
        self.left -= 2
        self.tried = True
        return True


@dataclass(slots=True)
class Suspects:
    """Models whose last query failed because of themselves, and Prometheuses where halving is in vain."""

    models: set[ModelKey] = field(default_factory=set)
    _pauses: dict[str, int] = field(default_factory=dict)

    def bisection(self, url: str) -> Bisection:
        """What a batch at this Prometheus may spend."""
        paused = self._pauses.get(url, 0)
        if paused > 0:
            self._pauses[url] = paused - 1
            return Bisection(left=0)
        return Bisection()

    def learn(self, bisection: Bisection, asks: Sequence[Ask], failed: Failed) -> None:
        """Takes the end of one batch: who was asked and who could not be read."""
        bad = {ask.model for ask, _ in failed}
        self.models.difference_update(ask.model for ask in asks if ask.model not in bad)
        if bisection.helped:
            self.models.update(bad)
        elif bisection.tried:
            self._pauses[asks[0].source.url] = _PAUSE


async def in_pieces(
    asks: Sequence[Ask],
    pieces: Sequence[Piece],
    read: Callable[[Sequence[Ask], Piece], Awaitable[QueryFailure | None]],
    bisection: Bisection,
) -> Failed:
    """Reads `pieces` one after the other for all `asks`, halving these where one of them spoils the query.

    Returns the asks that could not be read to the end, and why.
    """
    for position, piece in enumerate(pieces):
        failure = await read(asks, piece)
        if failure is None:
            continue
        if not failure.culprit or len(asks) == 1 or not bisection.take():
            return [(ask, failure.gap) for ask in asks]
        failed: Failed = []
        for half in (asks[: len(asks) // 2], asks[len(asks) // 2 :]):
            found = await in_pieces(half, pieces[position:], read, bisection)
            bisection.helped = bisection.helped or len(found) < len(half)
            failed += found
        return failed
    return []
