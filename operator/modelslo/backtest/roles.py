"""Who was stable and who was the canary, read from the traffic itself. Pure.

Prometheus' history knows versions and no Deployments. The version that serves alone is stable, one that joins it is a
canary; when stable is gone, the canary was promoted. What the backtest decides goes first: it has promoted or rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from modelslo.observe.cells import Cell

_FIRST_CELLS: Final = 10
# A share of the traffic that has changed by this factor is another step of the rollout.
_STEP: Final = 1.5
_SMOOTHED: Final = 5
_LEAST_SEEN: Final = 20.0


@dataclass(frozen=True, slots=True)
class Cast:
    """The versions in both roles; None: nobody. ``stepped``: the canary's share of the traffic has just changed."""

    stable: str | None
    canary: str | None
    stepped: bool = False


@dataclass(slots=True)
class Roles:
    """A fold over grid cells. ``named`` limits it to versions that a person chose: stable, then canary.

    A version that served nothing for ``quiet`` seconds is gone.
    """

    quiet: float
    named: tuple[str | None, str | None] = (None, None)
    stable: str | None = None
    canary: str | None = None
    _seen: dict[str, float] = field(default_factory=dict)
    _since: dict[str, float] = field(default_factory=dict)
    _old: set[str] = field(default_factory=set)
    _shares: list[tuple[float, float]] = field(default_factory=list)
    _share: float | None = None

    def take(self, at: float, cells: Iterable[Cell]) -> Cast:
        """Takes what was served in the cell that ends at `at`."""
        served = _served(cells)
        for version, amount in served.items():
            if amount > 0 and version and self._allowed(version):
                self._seen[version] = at
                self._since.setdefault(version, at)
        self._recast(at)
        stepped = self._stepped(served)
        return Cast(self.stable, self.canary, stepped)

    def promoted(self) -> None:
        """The backtest promoted the canary; whoever was stable is no newcomer any more."""
        if self.stable is not None:
            self._old.add(self.stable)
        self.stable, self.canary = self.canary, None

    def _allowed(self, version: str) -> bool:
        stable, canary = self.named
        return canary is None or version in (stable, canary)

    def _recast(self, at: float) -> None:
        there = [version for version, seen in self._seen.items() if at - seen <= self.quiet]
        if self.stable is None:
            self.stable = self.named[0] if self.named[0] is not None else min(there, key=self._age, default=None)
        elif self.stable not in there and there:
            self.stable = self.canary if self.canary in there else min(there, key=self._age)
            self.canary = None
        if self.canary is not None and (self.canary not in there or self.canary == self.stable):
            self.canary = None
        if self.canary is None:
            new = [version for version in there if version != self.stable and version not in self._old]
            self.canary = max(new, key=self._age, default=None)
            self._shares, self._share = [], None

    def _age(self, version: str) -> tuple[float, str]:
        return self._since[version], version

    def _stepped(self, served: dict[str, float]) -> bool:
        if self.canary is None or self.stable is None:
            return False
        mine, all_ = served.get(self.canary, 0.0), sum(served.get(one, 0.0) for one in (self.canary, self.stable))
        self._shares = [*self._shares[-_SMOOTHED + 1 :], (mine, all_)]
        whole = sum(one for _, one in self._shares)
        if len(self._shares) < _SMOOTHED or whole < _LEAST_SEEN:
            return False
        share = sum(one for one, _ in self._shares) / whole
        before, least = self._share, 1 / whole
        if before is None:
            self._share = share
            return False
        if max(share, least) < _STEP * max(before, least) and max(before, least) < _STEP * max(share, least):
            return False
        self._share = share
        return True


def first_stable(cells: Sequence[Cell]) -> str | None:
    """The version that served most in the first cells."""
    ends = sorted({cell.increment.end for cell in cells})[:_FIRST_CELLS]
    served = _served(cell for cell in cells if ends and cell.increment.end <= ends[-1])
    return max(sorted(served), key=served.__getitem__, default=None)


def _served(cells: Iterable[Cell]) -> dict[str, float]:
    """Predictions of each version, or labels where predictions are not counted."""
    found: dict[str, float] = {}
    for cell in cells:
        one = cell.increment
        found[one.version] = found.get(one.version, 0.0) + max(one.predictions, one.losses.count)
    return found
