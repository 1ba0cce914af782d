"""Operations as lists of steps. Which step comes next is a pure function of the record and of what is seen.

An operation is a record in status (:class:`modelslo.api.status.OperationStatus`). Its `step` is written before
that step's outside write. Every step is idempotent: after a crash the same step is simply done again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from modelslo.api.status import OperationType


class Step(StrEnum):
    # Rollback
    SCALE_CANARY_DOWN = "ScaleCanaryDown"
    AWAIT_CANARY_GONE = "AwaitCanaryGone"
    # Promote
    COPY_TEMPLATE = "CopyTemplate"
    AWAIT_STABLE = "AwaitStable"
    RESTORE_TEMPLATE = "RestoreTemplate"  # only on the way back
    AWAIT_RESTORED = "AwaitRestored"
    # Retrain
    CREATE_JOB = "CreateJob"
    AWAIT_JOB = "AwaitJob"
    READ_RESULT = "ReadResult"
    APPLY_CANDIDATE = "ApplyCandidate"
    # all
    FINISH = "Finish"


STEPS: Final[dict[OperationType, tuple[Step, ...]]] = {
    OperationType.ROLLBACK: (Step.SCALE_CANARY_DOWN, Step.AWAIT_CANARY_GONE, Step.FINISH),
    OperationType.PROMOTE: (
        Step.COPY_TEMPLATE,
        Step.AWAIT_STABLE,
        Step.SCALE_CANARY_DOWN,
        Step.AWAIT_CANARY_GONE,
        Step.FINISH,
    ),
    OperationType.RETRAIN: (
        Step.CREATE_JOB,
        Step.AWAIT_JOB,
        Step.READ_RESULT,
        Step.APPLY_CANDIDATE,
        Step.FINISH,
    ),
}
# A promotion that cannot finish goes back this way.
RETREAT: Final = (
    Step.RESTORE_TEMPLATE,
    Step.AWAIT_RESTORED,
    Step.SCALE_CANARY_DOWN,
    Step.AWAIT_CANARY_GONE,
    Step.FINISH,
)


def following(kind: OperationType, step: Step, *, retreating: bool = False) -> Step:
    """The step after `step`; ``ValueError`` after the last one."""
    steps = RETREAT if retreating else STEPS[kind]
    position = steps.index(step)
    if position + 1 == len(steps):
        raise ValueError(f"{step} is the last step of {kind}")
    return steps[position + 1]
