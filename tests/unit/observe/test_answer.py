"""Prometheus' answers are believed only when every field is what it should be."""

from __future__ import annotations

import json
from math import inf, isnan
from typing import Any

import pytest

from modelslo.observe.answer import answer_of
from modelslo.observe.evidence import NoEvidence
from modelslo.observe.failure import QueryError, QueryFailure, QueryWarning


def body(result: Any, **more: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}} | more).encode()


def test_values_that_are_no_numbers_are_read() -> None:
    answer = answer_of(200, body([{"metric": {"a": "b"}, "values": [[1.5, "NaN"], [2, "+Inf"], [3, "-Inf"]]}]))
    (one,) = answer.series
    assert one.labels == {"a": "b"}
    assert one.times == [1500, 2000, 3000]
    assert isnan(one.values[0])
    assert one.values[1:] == [inf, -inf]
    assert answer.samples == 3


def test_a_native_histogram_has_no_samples() -> None:
    assert answer_of(200, body([{"metric": {}, "histograms": [[1, {"count": "3"}]]}])).samples == 0


@pytest.mark.parametrize(
    "series",
    [
        None,
        [],
        {"values": []},
        {"metric": [], "values": []},
        {"metric": {"a": 1}, "values": []},
        {"metric": {}, "values": [[1]]},
        {"metric": {}, "values": [[1, 2.0]]},
        {"metric": {}, "values": [[1, "x"]]},
        {"metric": {}, "values": [["1", "2"]]},
        {"metric": {}, "values": [[1e400, "2"]]},
        {"metric": {}, "values": 7},
    ],
)
def test_malformed_series_are_errors(series: Any) -> None:
    with pytest.raises(QueryError, match="malformed series") as caught:
        answer_of(200, body([series]))
    assert not caught.value.culprit


@pytest.mark.parametrize(
    ("status", "message", "reason", "culprit"),
    [
        (422, {"status": "error", "errorType": "execution", "error": "too many"}, NoEvidence.QUERY_ERROR, True),
        (400, {"status": "error", "errorType": "bad_data", "error": "parse"}, NoEvidence.QUERY_ERROR, True),
        (503, {"status": "error", "errorType": "timeout", "error": "slow"}, NoEvidence.QUERY_TIMEOUT, False),
        (500, {"status": "error", "errorType": "internal", "error": "broken"}, NoEvidence.QUERY_ERROR, False),
        (401, {"message": "who are you"}, NoEvidence.QUERY_ERROR, False),
        (200, {"status": "error"}, NoEvidence.QUERY_ERROR, False),
        (500, {"status": "success", "data": {"resultType": "matrix", "result": []}}, NoEvidence.QUERY_ERROR, False),
    ],
)
def test_errors_have_a_reason(status: int, message: dict[str, Any], reason: NoEvidence, culprit: bool) -> None:
    with pytest.raises(QueryFailure) as caught:
        answer_of(status, json.dumps(message).encode())
    assert caught.value.gap.reason is reason
    assert caught.value.culprit is culprit


def test_warnings_make_an_answer_worthless_and_infos_do_not() -> None:
    with pytest.raises(QueryWarning, match="store is away; more"):
        answer_of(200, body([], warnings=["store is away", "more"]))
    assert answer_of(200, body([], warnings=[], infos=["might not be a counter"])).series == ()


def test_other_types_of_results_are_refused() -> None:
    results: tuple[Any, ...] = (None, [], {"resultType": "vector", "result": []}, {"resultType": "matrix"})
    for wrong in results:
        with pytest.raises(QueryError, match="matrix"):
            answer_of(200, json.dumps({"status": "success", "data": wrong}).encode())
