"""What the operator reports: the ``status`` of a ModelSLO. All state lives here and nowhere else (DESIGN section 10).

Times are RFC 3339 in UTC. Lists and words have bounds; `engine/fit.py` keeps all of them together under 16 KiB.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from modelslo.api.spec import Part, Severity, VetoName

HISTORY_LENGTH = 10
MOST_TRANSITIONS: Final = 10
# A shadow that is forgotten while the window still holds its losses would count as seen by users.
MOST_SHADOWS: Final = 30
MESSAGE_LENGTH = 512


def _cut(message: object) -> object:
    """A message that is too long loses its end: it must not stop a status from being written."""
    if isinstance(message, str) and len(message) > MESSAGE_LENGTH:
        return message[: MESSAGE_LENGTH - 1] + "…"
    return message


Message = Annotated[str, BeforeValidator(_cut), Field(max_length=MESSAGE_LENGTH)]
Code = Annotated[str, Field(max_length=64)]  # a word of a closed list, a digest, an id
Name = Annotated[str, Field(max_length=253)]  # of an object
Version = Annotated[str, Field(max_length=256)]
SegmentName = Annotated[str, Field(max_length=64)]
MOST_SEGMENTS: Final = 8
MOST_VETOES: Final = 8
ResultText = Annotated[str, Field(max_length=1024)]


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

    type: Code = Field(description="One of Ready, Stalled, SLOMet, DataSufficient, CanaryInProgress ...")
    status: str = Field(max_length=7, pattern="^(True|False|Unknown)$", description="True, False or Unknown.")
    reason: Code = Field(description="A stable word to write alerts on.")
    message: Message = Field("", description="The same in words.")
    last_transition_time: datetime = Field(description="When status became what it is.")
    observed_generation: int = Field(0, description="Generation of the spec that this speaks of.")


class Sli(StatusPart):
    """The service level indicator over the newest closed slice, all versions that users see, weighted by traffic."""

    value: float | None = Field(None, description="The statistic; absent when it could not be measured.")
    target: float = Field(description="What it must not exceed.")
    samples: int = Field(0, description="Labelled samples in the slice.")
    slice_end: datetime | None = Field(None, description="End of the slice.")


class Budget(StatusPart):
    """The error budget over the window; remaining is 1 when untouched and below 0 when overdrawn."""

    remaining: float | None = Field(None, description="Share of the budget that is left.")
    good: int = Field(0, description="Slices that met the target.")
    bad: int = Field(0, description="Slices that missed it.")
    missing: int = Field(0, description="Slices without enough samples.")


class BurnRateStatus(StatusPart):
    """How fast the budget burns: 1 uses it up in exactly one window."""

    severity: Severity
    long: float | None = Field(None, description="Burn rate over the long window.")
    short: float | None = Field(None, description="Burn rate over the short window.")
    factor: float = Field(description="What both must reach to count as burning.")
    burning: bool = Field(False, description="Both do.")


class Role(StatusPart):
    """One arm: its version and what was measured of it since judging began, or in the last slice."""

    version: Version | None = Field(None, description="Value of the version label.")
    replicas: int = Field(0, description="Ready pods.")
    loss: float | None = Field(None, description="Mean loss.")
    samples: int = Field(0, description="Labelled samples.")
    traffic_share: float | None = Field(None, description="Measured share of the predictions, a shadow's among them.")


class LossData(StrEnum):
    """What the exporter offers of the loss, best first."""

    HISTOGRAM = "Histogram"
    SQUARES = "Squares"
    SUMS = "Sums"


class Drift(StatusPart):
    """Drift of stable, where spec.retrain.trigger.type is Drift."""

    state: Code = Field(description="Healthy, Drift, or Insufficient: too few labels, or too little history, to tell.")
    e_value: float = Field(description="Evidence that stable's mean loss is above the target.")
    threshold: float = Field(description="An alarm from here on: falseAlarmInterval in slices.")


class Explanation(StatusPart):
    """One of the three ways to get worse, and what speaks for it or against it."""

    cause: Code = Field(description="BadVersion, DataIncident or Drift.")
    supported: bool
    evidence: Message


class Diagnosis(StatusPart):
    """Why a loss is high, if it is: a bad version, drift, or broken data."""

    cause: Code = Field(description="The probable one, first in the order above; None when there is none.")
    explanations: list[Explanation] = Field(
        max_length=3, description="All that were weighed, so that one can disagree."
    )


class Vetoed(StatusPart):
    """When vetoes of spec.guardrails stood last. It outlives a restart: slices of that time trigger no retrain."""

    names: list[VetoName] = Field(max_length=MOST_VETOES, description="Those that stand, or stood last.")
    since: datetime = Field(description="Since when one of them stands, or stood.")
    lifted_at: datetime | None = Field(None, description="When none stood any more; absent while one stands.")


class Comparison(StatusPart):
    """Canary against stable: ratio of mean losses with its anytime-valid interval, and the two e-values."""

    ratio: float | None = Field(None, description="Mean loss of canary over mean loss of stable.")
    ratio_low: float | None = Field(None, description="Lower end of the interval.")
    ratio_high: float | None = Field(None, description="Upper end of the interval.")
    e_rollback: float = Field(1.0, description="Evidence that the canary is worse than the margin allows.")
    e_promote: float = Field(1.0, description="Evidence that the canary is within the margin.")
    stable_samples: int = Field(0, description="Compared samples of stable.")
    canary_samples: int = Field(0, description="Compared samples of canary.")
    data: LossData | None = Field(
        None, description="What the comparison rests on. Without a histogram a verdict takes longer."
    )
    guilty_segments: list[SegmentName] | None = Field(
        None, max_length=MOST_SEGMENTS, description="Segments in which the canary is worse."
    )


class RolloutPhase(StrEnum):
    PROGRESSING = "Progressing"
    AWAITING_APPROVAL = "AwaitingApproval"


class Transition(StatusPart):
    """The canary's share changes: wished for at ``startedAt``, all its pods available at ``readyAt``.

    In between and for the label delay behind it the canary's labels are younger than stable's and are not compared.
    ``askedAt`` is when the pods were asked for, later than ``startedAt`` after a dry run; ``share`` is the spec's.
    """

    started_at: datetime
    ready_at: datetime | None = None
    asked_at: datetime | None = None
    share: str | None = Field(None, max_length=16)


class RolloutStatus(StatusPart):
    """A canary in progress. The last transition belongs to ``step``.

    ``judgedSince``, ``transitions`` and ``parameters`` are the checkpoint; the rest is replayed.
    """

    revision: Code = Field(description="Digest of the canary's pod template.")
    version: Version = Field(description="Version of the canary.")
    stable_version: Version = Field(description="Version that it is compared with.")
    phase: RolloutPhase = RolloutPhase.PROGRESSING
    shadow: bool = Field(False, description="It gets copies of requests and answers no user: spec.rollout.shadow.")
    step: int = Field(0, description="Index of the step in spec.rollout.steps.")
    started_at: datetime
    transitions: list[Transition] = Field(min_length=1, max_length=MOST_TRANSITIONS)
    judged_since: datetime
    parameters: Code = Field(description="Digest of the gate's parameters; another one starts judging afresh.")


class ShadowRun(StatusPart):
    """A version that no user saw for a time: its losses of that time are not in the SLI."""

    version: Version
    since: datetime
    until: datetime | None = Field(None, description="From when on it served users; absent while it never did.")


class OperationType(StrEnum):
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    RETRAIN = "Retrain"


class OperationStatus(StatusPart):
    """A decision being carried out. It is written before the first outside write, and `step` before each next one."""

    id: Name = Field(max_length=63)
    type: OperationType
    step: Code = Field(description="The step that is to be done or is being done.")
    reason: Code
    message: Message = ""
    started_at: datetime
    step_started_at: datetime
    revision: Code = ""
    version: Version = ""
    previous_replica_set: Name = Field("", description="Promote: stable's ReplicaSet to return to.")
    replaces: Code = Field("", description="Promote: digest of stable's template before.")
    job: Name = Field("", description="Retrain: name of the Job.")
    result: dict[Code, ResultText] = Field(
        default_factory=dict, max_length=32, description="Retrain: what the Job reported."
    )
    failure: Code = Field("", description="Reason code when the operation is on its way back.")


class DecisionStatus(StatusPart):
    """A decision that changed something, or that a guardrail stopped."""

    id: Code
    action: Code
    reason: Code
    message: Message = ""
    at: datetime
    version: Version = ""
    mode: Code = Field("Enforce", description="Mode in which it was decided: in DryRun nothing was done.")
    evidence: Code = Field("", description="SHA-256 of the evidence line in the operator's log.")


class RejectedRevision(StatusPart):
    """A canary template that was rolled back. The same template does not start again."""

    revision: Code
    version: Version
    reason: Code
    at: datetime


class PromotedStatus(StatusPart):
    """The last promotion. The same one is not done a third time when somebody puts stable's template back each time."""

    revision: Code = Field(description="Digest of the template that was promoted.")
    version: Version
    replaced: Code = Field(description="Digest of stable's template before.")
    times: int = Field(description="How often in a row this was put in the place of that.")
    at: datetime


class RetrainResult(StrEnum):
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    NO_RESULT = "NoResult"


class RetrainRun(StatusPart):
    """One entry of the ledger of retrains, which the limits count."""

    id: Code
    job: Name
    started_at: datetime
    finished_at: datetime | None = None
    result: RetrainResult = RetrainResult.RUNNING
    version: Version = ""
    message: Message = ""


class LastActions(StatusPart):
    """When each kind of action last began, for the cooldowns."""

    rollback: datetime | None = None
    promote: datetime | None = None
    retrain: datetime | None = None


class ModelSLOStatus(StatusPart):
    """What the operator has seen, judged and done. It is all that the operator remembers."""

    observed_generation: int = Field(0, description="Generation of the spec that this status speaks of.")
    conditions: list[Condition] = Field(
        default_factory=list,
        description="Ready means that the operator can work; SLOMet that the promise is kept.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    sli: Sli | None = None
    budget: Budget | None = None
    burn_rates: list[BurnRateStatus] = Field(default_factory=list, max_length=4)
    drift: Drift | None = None
    diagnosis: Diagnosis | None = None
    vetoed: Vetoed | None = None
    stable: Role | None = None
    stable_since: datetime | None = Field(None, description="Since when stable serves its version, as far as known.")
    canary: Role | None = None
    comparison: Comparison | None = None
    rollout: RolloutStatus | None = None
    shadows: list[ShadowRun] = Field(
        default_factory=list, max_length=MOST_SHADOWS, description="Whose losses no user had, and when; newest last."
    )
    operation: OperationStatus | None = None
    breach_since: datetime | None = Field(None, description="Since when the retrain trigger is met.")
    last_decision: DecisionStatus | None = None
    last_actions: LastActions = Field(default_factory=LastActions)
    promoted: PromotedStatus | None = None
    rejected_revisions: list[RejectedRevision] = Field(
        default_factory=list, max_length=HISTORY_LENGTH, description="Revisions that do not start again, newest last."
    )
    retrains: list[RetrainRun] = Field(
        default_factory=list, max_length=HISTORY_LENGTH, description="Ledger of retrains, newest last."
    )
    history: list[DecisionStatus] = Field(
        default_factory=list, max_length=HISTORY_LENGTH, description="Decisions, newest last."
    )
    last_evaluation_time: datetime | None = None
