from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from modelslo.api.spec import Mode, Severity
from modelslo.api.status import Budget, BurnRateStatus, Drift, ModelSLOStatus, OperationType, Role, Sli
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Action, Reason
from modelslo.engine.metrics import Metrics
from modelslo.engine.plan import Plan, plan_of
from modelslo.engine.settings import Settings
from modelslo.engine.views import model_of
from modelslo.judge.judgement import Judgement, Memory, Verdict, judge
from modelslo.judge.scene import Scene
from modelslo.judge.vetoed import Standing
from modelslo.observe.evidence import Evidence, Gap, ModelKey, NoEvidence
from tests.unit.decide.make import rolling
from tests.unit.engine.bodies import model

KEY = ModelKey("ns", "fraud")


def judged(plan: Plan) -> Judgement:
    """A judgement without evidence, while a canary is there."""
    gap = Gap(NoEvidence.QUERY_TIMEOUT, "no answer")
    evidence = Evidence(KEY, 0.0, 10.0, gap=gap, slice_gap=gap)
    return judge(plan.parameters, Memory(), evidence, Scene("v1", "v2", 0.0))[0]


def shown(metrics: Metrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def told(canary: ModelSLOStatus | None = None) -> Metrics:
    body = model_of(model())
    plan = plan_of(body, Settings())
    assert isinstance(plan, Plan)
    assert body.spec is not None
    status = ModelSLOStatus(
        sli=Sli(value=0.3, target=0.35, samples=50),
        budget=Budget(remaining=-0.5),
        burn_rates=[BurnRateStatus(severity=Severity.FAST, long=2.0, short=None, factor=1.0)],
        drift=Drift(state="Healthy", e_value=3.0, threshold=26000.0),
        stable=Role(version="v1", loss=0.25, samples=40),
    )
    if canary is not None:
        status = status.model_copy(update={"rollout": canary.rollout, "canary": canary.canary})
    metrics = Metrics()
    metrics.evaluated(KEY, body.spec, status, judged(plan), at=1000.0, late=0.2)
    metrics.decided(KEY, Decision(Action.ROLLBACK, Reason.CANARY_WORSE, ""), Mode.DRY_RUN)
    metrics.acted(KEY, OperationType.ROLLBACK, "Succeeded")
    metrics.request("patch", "ConflictError")
    return metrics


@pytest.mark.parametrize(("shadow", "weight"), [(False, 0.5), (True, 0.0)])
def test_a_shadow_has_no_share_of_the_users_traffic(shadow: bool, weight: float) -> None:
    """Half of the predictions are its own: a mirror copies everything."""
    canary = rolling(shadow=shadow).model_copy(update={"canary": Role(version="v2", traffic_share=0.5)})
    line = f'modelslo_canary_weight_ratio{{slo="fraud",slo_namespace="ns"}} {weight}'
    assert line in shown(told(canary)).splitlines()


def test_a_standing_veto_is_shown_and_no_verdict_is() -> None:
    body = model_of(model())
    plan = plan_of(body, Settings())
    assert isinstance(plan, Plan)
    assert body.spec is not None
    metrics = Metrics()
    found = replace(judged(plan), problem=None, standing=(Standing("features-stale", 1, 9.0),))
    assert found.canary is not None
    found = replace(found, canary=replace(found.canary, verdict=Verdict.WORSE))
    metrics.evaluated(KEY, body.spec, ModelSLOStatus(), found, at=1000.0, late=0.2)
    text = shown(metrics)
    assert 'modelslo_veto_standing{slo="fraud",slo_namespace="ns",veto="features-stale"} 1.0' in text
    assert 'modelslo_canary_verdict{slo="fraud",slo_namespace="ns"} 0.0' in text


def test_a_model_is_shown_as_it_is() -> None:
    text = shown(told())
    whose = 'slo="fraud",slo_namespace="ns"'
    for line in (
        f"modelslo_objective{{{whose}}} 0.35",
        f'modelslo_sli_value{{{whose},version_role="union"}} 0.3',
        f'modelslo_sli_value{{{whose},version_role="stable"}} 0.25',
        f"modelslo_error_budget_remaining_ratio{{{whose}}} -0.5",
        f'modelslo_burn_rate{{severity="fast",{whose},window="long"}} 2.0',
        f"modelslo_drift_e_value{{{whose}}} 3.0",
        f"modelslo_drift_threshold{{{whose}}} 26000.0",
        f"modelslo_canary_verdict{{{whose}}} 0.0",
        f'modelslo_no_data{{reason="QueryTimeout",{whose}}} 1.0',
        f"modelslo_last_evaluation_timestamp_seconds{{{whose}}} 1000.0",
        f'modelslo_decisions_total{{action="Rollback",mode="dry_run",reason="CanaryWorse",{whose}}} 1.0',
        f'modelslo_actions_total{{action="Rollback",result="Succeeded",{whose}}} 1.0',
        'modelslo_api_requests_total{outcome="ConflictError",verb="patch"} 1.0',
        'modelslo_evaluation_lateness_seconds_bucket{le="0.25"} 1.0',
        "modelslo_evaluation_lateness_seconds_sum 0.2",
    ):
        assert line in text.splitlines(), line
    # What is unknown is absent, not zero.
    assert 'window="short"' not in text


def test_the_series_of_a_model_vanish_with_it() -> None:
    metrics = told()
    metrics.forget(KEY)
    assert 'slo="fraud"' not in shown(metrics)
