"""The closed list of reasons. Each is CamelCase and stable: people write alerts on them."""

from __future__ import annotations

from enum import StrEnum


class Action(StrEnum):
    HOLD = "Hold"
    START = "Start"  # a canary begins its first step
    ADVANCE = "Advance"
    PROMOTE = "Promote"
    ROLLBACK = "Rollback"
    RETRAIN = "Retrain"
    ABANDON = "Abandon"  # the canary's template went back to stable's, or changed in the middle


class Reason(StrEnum):
    # Hold, all is well
    HEALTHY = "Healthy"
    NO_CANARY = "NoCanary"
    # Hold, the canary is being judged
    IMMATURE = "Immature"  # the label delay has not passed for both arms
    INSUFFICIENT_DATA = "InsufficientData"
    UNDECIDED = "Undecided"
    NEAR_MARGIN = "NearMargin"
    WAITING_FOR_PODS = "WaitingForPods"
    AWAITING_APPROVAL = "AwaitingApproval"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    # Hold, nothing can be said (the verdict law)
    NO_DATA = "NoData"
    STALE = "Stale"
    QUERY_ERROR = "QueryError"
    QUERY_TIMEOUT = "QueryTimeout"
    QUERY_WARNING = "QueryWarning"
    NAN_LOSS = "NaNLoss"
    LOW_COVERAGE = "LowCoverage"
    COVERAGE_DIFFERS = "CoverageDiffers"  # of the arms: what is missing may be the bad ones
    NO_TRAFFIC = "NoTraffic"
    DATA_INCIDENT = "DataIncident"
    VERSION_AMBIGUOUS = "VersionAmbiguous"
    VERSION_NOT_SEEN = "VersionNotSeen"
    VETO_UNKNOWN = "VetoUnknown"  # a query of spec.guardrails.vetoes cannot be read
    # Hold, the user has to mend something
    WORKLOAD_NOT_FOUND = "WorkloadNotFound"
    HPA_CONFLICT = "HPAConflict"
    WORKLOAD_SHARED = "WorkloadShared"
    FIELD_CONFLICT = "FieldConflict"  # stable's template is put back after each promotion
    INVALID_SPEC = "InvalidSpec"
    URL_NOT_ALLOWED = "URLNotAllowed"
    # Hold, a guardrail
    SUSPENDED = "Suspended"
    DRY_RUN = "DryRun"
    COOLDOWN = "Cooldown"
    OPERATION_IN_PROGRESS = "OperationInProgress"
    BREACH_NOT_SUSTAINED = "BreachNotSustained"
    RETRAIN_LIMIT = "RetrainLimit"
    REJECTED_REVISION = "RejectedRevision"
    # Act
    NEW_REVISION = "NewRevision"
    REVISION_CHANGED = "RevisionChanged"
    TRAFFIC_CHANGED = "TrafficChanged"  # a shadow becomes a canary that users see, or the other way round
    REVISION_WITHDRAWN = "RevisionWithdrawn"
    ROLLOUT_REMOVED = "RolloutRemoved"
    STEP_DONE = "StepDone"
    CANARY_WORSE = "CanaryWorse"
    CANARY_INVALID_LOSSES = "CanaryInvalidLosses"
    CANARY_UNAVAILABLE = "CanaryUnavailable"
    CANARY_NOT_WORSE = "CanaryNotWorse"
    APPROVED = "Approved"
    DRIFT = "Drift"
    # The evidence of a comparison begins again
    COMPARISON_RESTARTED = "ComparisonRestarted"
    HISTORY_LOST = "HistoryLost"
    # How an operation ended otherwise than hoped
    PROMOTION_FAILED = "PromotionFailed"
    RETRAIN_FAILED = "RetrainFailed"
    RETRAIN_NO_RESULT = "RetrainNoResult"
    STABLE_CHANGED = "StableChanged"
