"""A status in which every field is set, to something else than its default."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from modelslo.api.spec import Severity
from modelslo.api.status import (
    Budget,
    BurnRateStatus,
    Comparison,
    Condition,
    DecisionStatus,
    Diagnosis,
    Drift,
    Explanation,
    LastActions,
    LossData,
    ModelSLOStatus,
    OperationStatus,
    OperationType,
    PromotedStatus,
    RejectedRevision,
    RetrainResult,
    RetrainRun,
    Role,
    RolloutPhase,
    RolloutStatus,
    ShadowRun,
    Sli,
    Transition,
    Vetoed,
)

_AT: Final = datetime(2026, 11, 22, 19, 30, tzinfo=UTC)
_DECISION: Final = DecisionStatus(
    id="d-1",
    action="Rollback",
    reason="CanaryWorse",
    message="v8 is 1.31 times as bad as v7",
    at=_AT,
    version="v8",
    mode="DryRun",
    evidence="e" * 64,
)

FULL_STATUS: Final = ModelSLOStatus(
    observed_generation=4,
    conditions=[
        Condition(
            type="Ready",
            status="True",
            reason="Judging",
            message="The model is judged.",
            last_transition_time=_AT,
            observed_generation=4,
        ),
        Condition(
            type="SLOMet",
            status="False",
            reason="BurnRateHigh",
            message="41% of the error budget is left.",
            last_transition_time=_AT,
            observed_generation=4,
        ),
    ],
    sli=Sli(value=0.31, target=0.35, samples=420, slice_end=_AT),
    budget=Budget(remaining=0.41, good=8000, bad=40, missing=24),
    burn_rates=[BurnRateStatus(severity=Severity.FAST, long=14.5, short=20.0, factor=13.44, burning=True)],
    diagnosis=Diagnosis(
        cause="Drift",
        explanations=[
            Explanation(cause="BadVersion", supported=False, evidence="there is no canary"),
            Explanation(cause="Drift", supported=True, evidence="burning"),
        ],
    ),
    vetoed=Vetoed(names=["features-stale"], since=_AT, lifted_at=_AT),
    drift=Drift(state="Healthy", e_value=3.2, threshold=25920.0),
    stable=Role(version="v7", replicas=3, loss=0.3, samples=380, traffic_share=0.9),
    stable_since=_AT,
    canary=Role(version="v8", replicas=1, loss=0.39, samples=40, traffic_share=0.1),
    comparison=Comparison(
        ratio=1.3,
        ratio_low=1.2,
        ratio_high=1.4,
        e_rollback=18.5,
        e_promote=0.01,
        stable_samples=380,
        canary_samples=40,
        data=LossData.HISTOGRAM,
        guilty_segments=["mobile"],
    ),
    rollout=RolloutStatus(
        revision="0123456789abcdef",
        version="v8",
        stable_version="v7",
        phase=RolloutPhase.AWAITING_APPROVAL,
        shadow=True,
        step=1,
        started_at=_AT,
        transitions=[Transition(started_at=_AT, ready_at=_AT, asked_at=_AT, share="10%")],
        judged_since=_AT,
        parameters="fedcba",
    ),
    operation=OperationStatus(
        id="op-1",
        type=OperationType.RETRAIN,
        step="ReadResult",
        reason="Drift",
        message="burning for 2 h",
        started_at=_AT,
        step_started_at=_AT,
        revision="0123456789abcdef",
        version="v9",
        previous_replica_set="fraud-stable-5d9",
        job="fraud-retrain-1",
        result={"version": "v9", "uri": "models/9"},
        failure="RetrainFailed",
    ),
    shadows=[ShadowRun(version="v8", since=_AT, until=_AT)],
    breach_since=_AT,
    last_decision=_DECISION,
    last_actions=LastActions(rollback=_AT, promote=_AT, retrain=_AT),
    promoted=PromotedStatus(revision="bb", version="v7", replaced="cc", times=1, at=_AT),
    rejected_revisions=[RejectedRevision(revision="aa", version="v6", reason="CanaryWorse", at=_AT)],
    retrains=[
        RetrainRun(
            id="r-1",
            job="fraud-retrain-0",
            started_at=_AT,
            finished_at=_AT,
            result=RetrainResult.SUCCEEDED,
            version="v6",
            message="done",
        )
    ],
    history=[_DECISION],
    last_evaluation_time=_AT,
)


def full_status_json() -> dict[str, Any]:
    """The same as JSON."""
    loaded: dict[str, Any] = json.loads(FULL_STATUS.model_dump_json(by_alias=True))
    return loaded
