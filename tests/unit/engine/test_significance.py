from __future__ import annotations

from typing import Any

import pytest

from modelslo.engine.significance import Significance, significance

BASE: dict[str, Any] = {
    "observedGeneration": 1,
    "conditions": [{"type": "Ready", "status": "True", "reason": "Judging", "message": "12 bad, 3.5 good"}],
    "sli": {"value": 0.3, "target": 0.35, "samples": 100, "sliceEnd": "2026-11-22T10:00:00Z"},
    "stable": {"version": "v1", "loss": 0.3},
    "burnRates": [{"severity": "Fast", "long": 1.0, "factor": 2.0, "burning": False}],
    "lastEvaluationTime": "2026-11-22T10:00:00Z",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Significance.NONE),
        ({"lastEvaluationTime": "2026-11-22T11:00:00Z"}, Significance.NONE),
        ({"sli": BASE["sli"] | {"sliceEnd": "2026-11-22T10:05:00Z"}}, Significance.NONE),
        ({"sli": BASE["sli"] | {"value": 0.303}}, Significance.NONE),
        ({"sli": BASE["sli"] | {"value": 0.32}}, Significance.FIGURES),
        ({"sli": {"target": 0.35}}, Significance.FIGURES),
        ({"stable": {"version": "v1", "loss": 0.4}}, Significance.FIGURES),
        ({"stable": {"version": "v2", "loss": 0.3}}, Significance.RECORDS),
        ({"burnRates": [BASE["burnRates"][0] | {"burning": True}]}, Significance.FIGURES),
        ({"conditions": [BASE["conditions"][0] | {"message": "13 bad, 7 good"}]}, Significance.NONE),
        ({"conditions": [BASE["conditions"][0] | {"message": "all is well"}]}, Significance.FIGURES),
        ({"conditions": [BASE["conditions"][0] | {"status": "False"}]}, Significance.RECORDS),
        ({"conditions": [BASE["conditions"][0] | {"reason": "Other"}]}, Significance.RECORDS),
        ({"breachSince": "2026-11-22T10:00:00Z"}, Significance.RECORDS),
        ({"operation": {"step": "CopyTemplate"}}, Significance.RECORDS),
        ({"observedGeneration": 2}, Significance.RECORDS),
    ],
)
def test_what_a_change_is_worth(change: dict[str, Any], expected: Significance) -> None:
    assert significance(BASE, BASE | change) is expected
    assert significance(BASE | change, BASE) is expected
