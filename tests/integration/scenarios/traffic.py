"""What one model serves: predictions shared among its pods, and losses whose labels come late.

Deterministic for one seed and one sequence of times. The loss of a version is gamma-distributed around its mean; a
difficulty that comes and goes is shared by all versions (the season), and small losses get their labels first.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections import Counter
from dataclasses import dataclass, field
from math import nan, sin
from typing import Final

from modelslo.exporter import LossExporter, geometric_buckets, loss_kind
from modelslo.exporter.loss_exporter import InvalidPolicy

MODEL_NAME: Final = "fraud"
SEGMENT: Final = "default"
RATE: Final = 80.0
LONGEST_DELAY: Final = 1.9
_SHAPE: Final = 4.0
# By more a rollout without history takes it for clusters, for longer than a test waits.
_SEASON: Final = 0.05
_SEASON_SECONDS: Final = 11.0
_BUCKETS: Final = geometric_buckets(0.5, ratio=1.3, count=20)
_AGES: Final = (0.8, 1.2, 2.0)


@dataclass(frozen=True, slots=True)
class Quality:
    """What is inside an image: its mean loss, and the share of its predictions that are NaN."""

    mean: float
    nan: float = 0.0


@dataclass(order=True, slots=True)
class _Label:
    due: float
    number: int
    version: str = field(compare=False)
    loss: float = field(compare=False)
    predicted_at: float = field(compare=False)


def new_exporter() -> LossExporter:
    return LossExporter(MODEL_NAME, loss_kind("huber", 1.0), buckets=_BUCKETS, ages=_AGES)


@dataclass
class Traffic:
    """The traffic of one model. ``serving`` counts the ready pods of each version.

    ``shadows`` counts those that stand behind a mirror: they get a copy of every request, and no user.
    """

    seed: str
    qualities: dict[str, Quality] = field(default_factory=dict)
    serving: Counter[str] = field(default_factory=Counter)
    shadows: Counter[str] = field(default_factory=Counter)
    mirror: bool = False
    exporter: LossExporter = field(default_factory=new_exporter)
    _pending: list[_Label] = field(default_factory=list)
    _owed: float = 0.0
    _number: int = 0
    _at: float | None = None
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(zlib.crc32(self.seed.encode()))

    def restart(self, *, careless: bool) -> None:
        """The joiner starts again: its counters are at zero. A careless one lets NaN into its sums."""
        self.exporter = new_exporter()
        self.exporter.invalid = InvalidPolicy.OBSERVE if careless else InvalidPolicy.REJECT
        self._pending.clear()

    def advance(self, now: float) -> None:
        """Serve what came since the last call, and join the labels that are due (Unix s)."""
        before, self._at = self._at if self._at is not None else now, now
        served, copied = self._known(self.serving), self._known(self.shadows)
        for version in served | copied:
            self.exporter.touch(version)
        self._owed += RATE * (now - before) if served else 0.0
        count, self._owed = int(self._owed), self._owed % 1
        chosen = self._rng.choices(list(served), list(served.values()), k=count) if served else []
        for position, version in enumerate(chosen):
            at = before + (now - before) * (position + 1) / count
            self._predict(version, at)
            for shadow in copied:
                self._predict(shadow, at)
        while self._pending and self._pending[0].due <= now:
            label = heapq.heappop(self._pending)
            self.exporter.scored(
                label.version, SEGMENT, label.loss, predicted_at=label.predicted_at, labelled_at=label.due
            )

    def _known(self, pods: Counter[str]) -> dict[str, int]:
        return {version: ready for version, ready in pods.items() if version in self.qualities and ready > 0}

    def _predict(self, version: str, at: float) -> None:
        quality = self.qualities[version]
        self.exporter.predicted(version, SEGMENT)
        loss = self._rng.gammavariate(_SHAPE, quality.mean / _SHAPE) * (1 + _SEASON * sin(at / _SEASON_SECONDS))
        quick = min(1.0, loss / quality.mean / 2)
        delay = LONGEST_DELAY * (0.1 + 0.3 * self._rng.random() + 0.6 * quick)
        if self._rng.random() < quality.nan:
            loss = nan
        self._number += 1
        heapq.heappush(self._pending, _Label(at + delay, self._number, version, loss, at))
