"""Which versions were shadows, and until when: what no user saw is not in the SLI (DESIGN section 6).

The record outlives the rollout: labels of a shadow's predictions come after its end, and the budget looks back over the
whole window.
"""

from __future__ import annotations

from collections.abc import Container
from datetime import datetime

from modelslo.api.status import MOST_SHADOWS, ModelSLOStatus, ShadowRun
from modelslo.judge.shadow import Shadow


def with_shadow(status: ModelSLOStatus, version: str, now: datetime) -> ModelSLOStatus:
    """`version` begins as a shadow."""
    if any(one.version == version and one.until is None for one in status.shadows):
        return status
    shadows = [*status.shadows, ShadowRun(version=version, since=now)]
    return status.model_copy(update={"shadows": shadows[-MOST_SHADOWS:]})


def with_users(status: ModelSLOStatus, version: str | None, now: datetime) -> ModelSLOStatus:
    """Users see `version` from now on, however it came to that."""
    return _ended(status, {version}, now)


def with_users_of_all(status: ModelSLOStatus, now: datetime) -> ModelSLOStatus:
    """Nobody says any more who plays which role: whatever serves, serves users."""
    return _ended(status, {one.version for one in status.shadows}, now)


def _ended(status: ModelSLOStatus, versions: Container[str | None], now: datetime) -> ModelSLOStatus:
    def ends(one: ShadowRun) -> bool:
        return one.until is None and one.version in versions

    if not any(map(ends, status.shadows)):
        return status
    shadows = [one.model_copy(update={"until": now}) if ends(one) else one for one in status.shadows]
    return status.model_copy(update={"shadows": shadows})


def hidden_of(status: ModelSLOStatus) -> tuple[Shadow, ...]:
    """The record as the judge takes it."""
    return tuple(
        Shadow(one.version, one.since.timestamp(), None if one.until is None else one.until.timestamp())
        for one in status.shadows
    )
