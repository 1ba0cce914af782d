"""Somebody else sets a field that is ours. After the second time we stop, say who it is, and wait (DESIGN 11)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from modelslo.act.kube import DEPLOYMENTS, Kube
from modelslo.engine.managers import other_manager
from modelslo.engine.views import Ref

MOST_REVERTS: Final = 2
# Real seconds: how long we stay away, and after which a revert is forgotten.
TRUCE: Final = 600.0
FORGOTTEN: Final = 3600.0


class FightError(Exception):
    """Somebody else sets a field that is ours, again and again."""


@dataclass(slots=True)
class _Fight:
    written: int
    reverts: int = 0
    at: float = 0.0


class Fights:
    """Over ``spec.replicas`` of the canaries."""

    def __init__(self) -> None:
        self._fights: dict[Ref, _Fight] = {}

    def lost(self, ref: Ref, wanted: int, now: float) -> bool:
        """Call it when the field is not as wanted, before it is written. True: leave it alone for now."""
        fight = self._fights.get(ref)
        if fight is None or fight.written != wanted:
            return False
        if fight.reverts >= MOST_REVERTS and now - fight.at < TRUCE:
            return True
        if fight.reverts >= MOST_REVERTS or now - fight.at > FORGOTTEN:
            fight.reverts = 0
        fight.reverts, fight.at = fight.reverts + 1, now
        return fight.reverts >= MOST_REVERTS

    def wrote(self, ref: Ref, value: int) -> None:
        """The field was written."""
        fight = self._fights.get(ref)
        if fight is None or fight.written != value:
            self._fights[ref] = _Fight(value)

    async def avoid(self, kube: Kube, ref: Ref, wanted: int, found: int, now: float) -> None:
        """FightError, naming the other side, when the field should be left alone."""
        if not self.lost(ref, wanted, now):
            return
        who = other_manager(await kube.get(DEPLOYMENTS, ref.namespace, ref.name), "replicas")
        raise FightError(
            f"spec.replicas of Deployment {ref.name!r} has to be {wanted} and is set to {found} by {who!r} again and "
            "again. Leave replicas out of the canary's manifest."
        )
