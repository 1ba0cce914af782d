"""The ModelSLO on whose behalf something is done. All acts stay in its own namespace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modelslo.api.spec import ModelSLOSpec, Rollout

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    namespace: str
    name: str
    uid: str
    spec: ModelSLOSpec

    @property
    def rollout(self) -> Rollout:
        if self.spec.rollout is None:
            raise ActError("spec.rollout is gone: there is nothing to act on.")
        return self.spec.rollout


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a step: fields for the operation's record, and objects as the API server has them now."""

    fields: dict[str, Any] = field(default_factory=dict)
    deployments: tuple[Body, ...] = ()
    jobs: tuple[Body, ...] = ()


class ActError(Exception):
    """It cannot be done, and trying again changes nothing until a person mends something. The message says what."""


class NoResultError(ActError):
    """The Job succeeded without telling what it made."""
