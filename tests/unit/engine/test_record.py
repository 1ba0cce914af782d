from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from modelslo.api.status import ModelSLOStatus
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Action, Reason
from modelslo.engine.record import digest_of, record_line
from modelslo.engine.views import model_of
from modelslo.observe.evidence import Evidence, Increment, Losses, ModelKey, QueryRecord
from tests.unit.engine.bodies import model

EVIDENCE = Evidence(
    model=ModelKey("ns", "fraud"),
    since=0.0,
    at=10.0,
    increments=(Increment(0.0, 10.0, "v1", "", Losses(5.0, float("nan"), (1.0, 4.0))),),
    queries=(QueryRecord("up", 0.0, 10.0, 1, 2, 0.5),),
)


def test_the_same_evidence_has_the_same_digest_however_long_the_query_took() -> None:
    slower = replace(EVIDENCE, queries=(replace(EVIDENCE.queries[0], seconds=9.0),))
    assert digest_of(slower) == digest_of(EVIDENCE)
    assert digest_of(replace(EVIDENCE, at=11.0)) != digest_of(EVIDENCE)


def test_a_record_is_one_line_of_json_even_with_numbers_that_are_none() -> None:
    spec = model_of(model()).spec
    assert spec is not None
    decision = Decision(Action.ROLLBACK, Reason.CANARY_WORSE, "line one\nline two", "v2", "r")
    now = datetime(2026, 11, 22, tzinfo=UTC)
    line = record_line(EVIDENCE, decision, spec, ModelSLOStatus(), "id-1", now)
    assert "\n" not in line
    parsed = json.loads(line)
    assert parsed["digest"] == digest_of(EVIDENCE)
    assert parsed["outcome"]["action"] == "Rollback"
    assert parsed["evidence"]["increments"][0]["losses"]["total"] == "nan"
