"""What keeps the operator from working for one ModelSLO, beyond what the decision itself says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from modelslo.api.status import MESSAGE_LENGTH, Condition, ConditionType, ModelSLOStatus


class TroubleReason(StrEnum):
    OPERATION_BLOCKED = "OperationBlocked"  # a step is refused again and again
    FIELD_CONFLICT = "FieldConflict"  # somebody else sets a field that is ours
    INTERNAL_ERROR = "InternalError"  # a mistake of the operator


@dataclass(frozen=True, slots=True)
class Trouble:
    reason: TroubleReason
    message: str


def with_trouble(status: ModelSLOStatus, trouble: Trouble | None, generation: int, now: datetime) -> ModelSLOStatus:
    """`status` with Stalled for `trouble`; as it is without one."""
    if trouble is None:
        return status
    ours = {ConditionType.READY: "False", ConditionType.STALLED: "True"}
    before = {one.type: one for one in status.conditions}
    said = [_condition(kind, state, trouble, before.get(kind), generation, now) for kind, state in ours.items()]
    others = [one for one in status.conditions if one.type not in ours]
    return status.model_copy(update={"conditions": [*said, *others], "observed_generation": generation})


def _condition(
    kind: str, state: str, trouble: Trouble, before: Condition | None, generation: int, now: datetime
) -> Condition:
    return Condition(
        type=kind,
        status=state,
        reason=trouble.reason,
        message=trouble.message[:MESSAGE_LENGTH],
        last_transition_time=before.last_transition_time if before and before.status == state else now,
        observed_generation=generation,
    )
