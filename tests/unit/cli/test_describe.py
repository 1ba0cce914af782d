"""The text of `modelslo describe` and the lines of `modelslo get`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from modelslo.cli.describe import description
from modelslo.cli.get import listing
from tests.unit.api.bad_resources import GONE, GOOD, changed
from tests.unit.api.full_status import full_status_json

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


def body(status: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    resource = changed(changes or {})
    created = {"namespace": "team", "name": "fraud", "generation": 4, "creationTimestamp": "2026-11-20T20:00:00Z"}
    return resource | {"metadata": created} | ({} if status is None else {"status": status})


FULL = """\
ModelSLO team/fraud
SLO: mean of ml_huber_loss{model_name="fraud"} is at most 0.35 in 90% of the 5m slices of 28d

Objective
  loss    0.31 (target 0.35, 420 samples, slice ended 30m ago)
  budget  [############..................] 41% left: 40 bad, 8000 good, 24 missing slices
  burn    Fast: 14.5 over the long and 20 over the short window, limit 13.44: burning
  drift   Healthy: e-value 3.2 of 25920
  breach  for 30m
  judged  30m ago

Roles
  ROLE     VERSION   PODS   LOSS   SAMPLES   SHARE
  stable   v7        3      0.3    380       90%
  canary   v8        1      0.39   40        10%

Canary
  v8 against v7 for 30m, AwaitingApproval
  shadow: gets copies of 11.1% of stable's requests, no user sees its answers; pods available for 30m
  loss ratio 1.3 (between 1.2 and 1.4), tolerated up to 1.1
  evidence for rollback  18.5 of 20 [############################..]
  evidence for promotion 0.01 of 20 [..............................]
  compared 40 samples of canary with 380 of stable, at least 100 for a promotion

Diagnosis
  CAUSE        SUPPORTED   EVIDENCE
  BadVersion   no          there is no canary
  Drift        yes         burning

Operation
  Retrain, step ReadResult for 30m (begun 30m ago, id op-1)
  why     Drift: burning for 2 h
  version v9
  job     fraud-retrain-1
  result  uri=models/9, version=v9
  failed  RetrainFailed: on its way back

Conditions
  TYPE     STATUS   SINCE   REASON         MESSAGE
  Ready    True     30m     Judging        The model is judged.
  SLOMet   False    30m     BurnRateHigh   41% of the error budget is left.

Decisions
  AGE   ACTION               VERSION   REASON        MESSAGE
  30m   Rollback (dry run)   v8        CanaryWorse   v8 is 1.31 times as bad as v7

Rejected revisions
  AGE   VERSION   REVISION   REASON
  30m   v6        aa         CanaryWorse

Retrains
  at most 2 in 7d
  AGE   JOB               RESULT      TOOK   VERSION   MESSAGE
  30m   fraud-retrain-0   Succeeded   0s     v6        done"""


def test_everything() -> None:
    assert "\n".join(description(body(full_status_json()), NOW)) == FULL


def test_before_the_operator_came() -> None:
    lines = description(body(), NOW)
    assert lines[-3:] == ["No operator has looked at it yet.", "", "The operator has not seen the newest spec yet."]


def test_suspended_dry_run() -> None:
    lines = description(body(changes={"spec.suspend": True, "spec.mode": "DryRun"}), NOW)
    assert "Suspended: it is judged, and nothing is begun." in lines
    assert "Dry run: it is decided and reported, and nothing is done." in lines


def test_unsound_spec_does_not_hide_the_status() -> None:
    lines = description(body(full_status_json(), {"spec.objective.goal": "100%"}), NOW)
    assert lines[1] == "Spec is invalid:"
    assert lines[2].startswith("  spec.objective.goal: 100% leaves no error budget")
    assert "  v8 against v7 for 30m, AwaitingApproval" in lines
    assert "  evidence for rollback  18.5" in lines


def test_what_is_not_understood_is_named() -> None:
    lines = description(body(full_status_json() | {"budget": "lots"}), NOW)
    assert lines[-1] == "Not understood in status and left out here: budget"


def test_a_canary_that_users_see_has_steps() -> None:
    status = full_status_json()
    status["rollout"] |= {"shadow": False}
    assert "  step 2 of 2 (50%) for 30m, pods available for 30m" in description(body(status), NOW)
    # And without steps in the spec, those of the default
    lines = description(body(status, {"spec.rollout.steps": GONE}), NOW)
    assert "  step 2 of 3 (25%) for 30m, pods available for 30m" in lines


def test_a_list_tells_a_shadow_from_a_canary_that_users_see() -> None:
    status = full_status_json()
    assert "v8 (shadow)" in listing([body(status)], NOW, with_namespace=False)[1]
    status["rollout"] |= {"shadow": False}
    assert "(shadow)" not in listing([body(status)], NOW, with_namespace=False)[1]


def test_sparse_status() -> None:
    status = {
        "observedGeneration": 4,
        "lastEvaluationTime": "2026-11-22T19:59:00Z",
        "sli": {"target": 0.35},
        "budget": {"good": 0},
        "rollout": full_status_json()["rollout"]
        | {"shadow": False, "step": 7, "transitions": [{"startedAt": "2026-11-22T19:59:00Z"}]},
    }
    lines = description(body(status), NOW)
    assert "  loss    - (target 0.35, 0 samples)" in lines
    assert "  budget  unknown: 0 bad, 0 good, 0 missing slices" in lines
    assert "  step 8 for 1m, waiting for its pods" in lines
    assert "  not compared so far" in lines


def test_listing() -> None:
    full = body(full_status_json())
    assert listing([full, body()], NOW, with_namespace=True) == [
        "NAMESPACE   NAME    READY     SLOMET    LOSS   TARGET   BUDGET   CANARY        LAST               AGE",
        "team        fraud   True      False     0.31   0.35     41%      v8 (shadow)   Rollback 30m ago   2d",
        "team        fraud   Unknown   Unknown   -      0.35     -        -             -                  2d",
    ]
    assert listing([full], NOW, with_namespace=False)[0].startswith("NAME ")


def test_good_resource_stays_as_it_is() -> None:
    before = repr(GOOD)
    description(body(full_status_json()), NOW)
    assert repr(GOOD) == before


def test_a_standing_veto_is_told_with_its_time() -> None:
    vetoed = {"names": ["features-stale", "switch"], "since": "2026-11-22T19:30:00Z"}
    lines = description(body(full_status_json() | {"vetoed": vetoed}), NOW)
    assert "  veto    features-stale, switch: stands for 30m" in lines
