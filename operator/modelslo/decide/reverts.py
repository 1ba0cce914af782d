"""Somebody, such as Git, puts stable's template back after each promotion: the third one is not begun (DESIGN 11).

Otherwise a good canary is promoted for ever, and stable's pods are replaced each time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from modelslo.api.status import ModelSLOStatus, OperationStatus, OperationType, PromotedStatus
from modelslo.decide.reasons import Reason
from modelslo.decide.revision import revision_of
from modelslo.decide.snapshot import Workload

MOST_REVERTS: Final = 2


def with_promotion(status: ModelSLOStatus, operation: OperationStatus, now: datetime) -> ModelSLOStatus:
    """A promotion is over: what it put in the place of what, and how often in a row it did. One in the middle of which
    stable's template was changed counts too."""
    if operation.type is not OperationType.PROMOTE or operation.failure not in ("", Reason.STABLE_CHANGED):
        return status
    before, times = status.promoted, 1
    if before is not None and (before.revision, before.replaced) == (operation.revision, operation.replaces):
        times = before.times + 1
    promoted = PromotedStatus(
        revision=operation.revision, version=operation.version, replaced=operation.replaces, times=times, at=now
    )
    return status.model_copy(update={"promoted": promoted})


def with_amnesty(status: ModelSLOStatus, suspended: bool) -> ModelSLOStatus:
    """A ModelSLO that is suspended, and resumed, tries anew."""
    return status.model_copy(update={"promoted": None}) if suspended and status.promoted else status


def taken_back(status: ModelSLOStatus, stable: Workload, canary: Workload) -> str:
    """Why the canary's template is not to be promoted over stable's once more; empty: it may be."""
    promoted = status.promoted
    if promoted is None or promoted.times < MOST_REVERTS:
        return ""
    if (promoted.revision, promoted.replaced) != (revision_of(canary.template), revision_of(stable.template)):
        return ""
    return (
        f"Version {promoted.version!r} was promoted {promoted.times} times, and each time {stable.template_manager!r} "
        f"put the template before back into Deployment {stable.name!r}. Give it the template of {canary.name!r} "
        "there, or have it leave spec.template alone (docs/install.md), then set spec.suspend and take it away again."
    )
