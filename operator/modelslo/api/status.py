"""What the operator reports: the ``status`` of a ModelSLO. All state lives here and nowhere else (DESIGN section 10).

Times are RFC 3339 in UTC. Lists have bounds, so that a status stays under 16 KiB.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelslo.api.spec import Part, Severity

HISTORY_LENGTH = 10
MESSAGE_LENGTH = 512

Message = Annotated[str, Field(max_length=MESSAGE_LENGTH)]


class StatusPart(Part):
    """Status is read leniently: an older operator must not stumble over a newer one's fields."""

    model_config = Part.model_config | {"extra": "ignore"}


class ConditionType(StrEnum):
    READY = "Ready"
    STALLED = "Stalled"
    SLO_MET = "SLOMet"
    DATA_SUFFICIENT = "DataSufficient"
    CANARY_IN_PROGRESS = "CanaryInProgress"
    RETRAIN_IN_PROGRESS = "RetrainInProgress"
    APPROVAL_REQUIRED = "ApprovalRequired"


class Condition(StatusPart):
    """metav1.Condition."""

    type: str = Field(max_length=64)
    status: str = Field(pattern="^(True|False|Unknown)$")
    reason: str = Field(max_length=64)
    message: Message = ""
    last_transition_time: datetime
    observed_generation: int = 0


class Sli(StatusPart):
    """The service level indicator over the newest closed slice, all versions together, weighted by traffic."""

    value: float | None = None
    target: float
    samples: int = 0
    slice_end: datetime | None = None


class Budget(StatusPart):
    """The error budget over the window; remaining is 1 when untouched and below 0 when overdrawn."""

    remaining: float | None = None
    good: int = 0
    bad: int = 0
    missing: int = 0


class BurnRateStatus(StatusPart):
    severity: Severity
    long: float | None = None
    short: float | None = None
    factor: float
    burning: bool = False


class Role(StatusPart):
    """One arm: its version and what was measured of it since judging began, or in the last slice."""

    version: str | None = None
    replicas: int = 0
    loss: float | None = None
    samples: int = 0
    traffic_share: float | None = None


class Comparison(StatusPart):
    """Canary against stable: ratio of mean losses with its anytime-valid interval, and the two e-values."""

    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    e_rollback: float = 1.0
    e_promote: float = 1.0
    stable_samples: int = 0
    canary_samples: int = 0


class RolloutPhase(StrEnum):
    PROGRESSING = "Progressing"
    AWAITING_APPROVAL = "AwaitingApproval"


class Transition(StatusPart):
    """The canary's share changes: wished for at ``startedAt``, all its pods available at ``readyAt``.

    In between and for the label delay behind it the canary's labels are younger than stable's and are not compared.
    """

    started_at: datetime
    ready_at: datetime | None = None


class RolloutStatus(StatusPart):
    """A canary in progress. ``judgedSince``, ``transitions`` and ``parameters`` are the checkpoint; the rest is replayed.

    The last transition belongs to ``step``.
    """

    revision: str
    version: str
    stable_version: str
    phase: RolloutPhase = RolloutPhase.PROGRESSING
    step: int = 0
    started_at: datetime
    transitions: list[Transition] = Field(min_length=1, max_length=10)
    judged_since: datetime
    parameters: str = Field(description="Digest of the gate's parameters; another one starts judging afresh.")


class OperationType(StrEnum):
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    RETRAIN = "Retrain"


class OperationStatus(StatusPart):
    """A decision being carried out. It is written before the first outside write, and `step` before each next one."""

    id: str = Field(max_length=63)
    type: OperationType
    step: str = Field(max_length=64, description="The step that is to be done or is being done.")
    reason: str = Field(max_length=64)
    message: Message = ""
    started_at: datetime
    step_started_at: datetime
    revision: str = ""
    version: str = ""
    previous_replica_set: str = Field("", description="Promote: stable's ReplicaSet to return to.")
    job: str = Field("", description="Retrain: name of the Job.")
    result: dict[str, str] = Field(default_factory=dict, description="Retrain: what the Job reported.")
    failure: str = Field("", max_length=64, description="Reason code when the operation is on its way back.")


class DecisionStatus(StatusPart):
    """A decision that changed something, or that a guardrail stopped."""

    id: str
    action: str = Field(max_length=32)
    reason: str = Field(max_length=64)
    message: Message = ""
    at: datetime
    version: str = ""
    mode: str = "Enforce"
    evidence: str = Field("", max_length=64, description="SHA-256 of the evidence line in the operator's log.")


class RejectedRevision(StatusPart):
    """A canary template that was rolled back. The same template does not start again."""

    revision: str
    version: str
    reason: str = Field(max_length=64)
    at: datetime


class RetrainResult(StrEnum):
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    NO_RESULT = "NoResult"


class RetrainRun(StatusPart):
    id: str
    job: str
    started_at: datetime
    finished_at: datetime | None = None
    result: RetrainResult = RetrainResult.RUNNING
    version: str = ""
    message: Message = ""


class LastActions(StatusPart):
    """When each kind of action last began, for the cooldowns."""

    rollback: datetime | None = None
    promote: datetime | None = None
    retrain: datetime | None = None


class ModelSLOStatus(StatusPart):
    observed_generation: int = 0
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    sli: Sli | None = None
    budget: Budget | None = None
    burn_rates: list[BurnRateStatus] = Field(default_factory=list, max_length=4)
    stable: Role | None = None
    stable_since: datetime | None = Field(None, description="Since when stable serves its version, as far as known.")
    canary: Role | None = None
    comparison: Comparison | None = None
    rollout: RolloutStatus | None = None
    operation: OperationStatus | None = None
    breach_since: datetime | None = Field(None, description="Since when the retrain trigger's burn rate burns.")
    last_decision: DecisionStatus | None = None
    last_actions: LastActions = Field(default_factory=LastActions)
    rejected_revisions: list[RejectedRevision] = Field(default_factory=list, max_length=HISTORY_LENGTH)
    retrains: list[RetrainRun] = Field(default_factory=list, max_length=HISTORY_LENGTH)
    history: list[DecisionStatus] = Field(default_factory=list, max_length=HISTORY_LENGTH)
    last_evaluation_time: datetime | None = None
