from __future__ import annotations

import json
from typing import Any

import pytest

from modelslo.act.result import MAX_BYTES, parse_result, result_of
from modelslo.act.target import NoResultError


def pod(name: str, phase: str, message: str | None, finished: str) -> dict[str, Any]:
    terminated = {"finishedAt": finished, "exitCode": 0} | ({} if message is None else {"message": message})
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "trainer"}]},
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "trainer", "state": {"terminated": terminated}}],
        },
    }


def test_scalars_become_text() -> None:
    text = '{"version": "v3", "loss": 0.25, "rows": 1200, "sound": true}'
    assert parse_result(text, "pod") == {"version": "v3", "loss": "0.25", "rows": "1200", "sound": "true"}


def test_an_object_within_becomes_dotted_keys() -> None:
    text = '{"version": "v3", "metrics": {"candidateLoss": 38.5, "rows": 12}}'
    assert parse_result(text, "pod") == {"version": "v3", "metrics.candidateLoss": "38.5", "metrics.rows": "12"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ("trained well", "no JSON object"),
        ('["v3"]', "no JSON object"),
        ("{}", "has no 'version'"),
        ('{"version": ""}', "has no 'version'"),
        ('{"version": "v3", "loss": NaN}', "NaN is no JSON"),
        ('{"version": "v3", "loss": Infinity}', "Infinity is no JSON"),
        ('{"version": "v3", "data": {"days": {"from": "May"}}}', "'data.days'"),
        ('{"version": "v3", "data": null}', "'data'"),
        ('{"version": "v3", "": 1}', "a key with no"),
        (json.dumps({"version": "v3", "x": "y" * 1025}), "more than 1024 characters"),
        (json.dumps({"version": "v3", **{str(n): n for n in range(32)}}), "more than 32 keys"),
        (json.dumps({"version": "v3", "x": "y" * MAX_BYTES}), f"longer than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_no_result_is_refused_with_the_place_and_the_fault(text: str, fault: str) -> None:
    with pytest.raises(NoResultError, match=r"pod 'x'") as error:
        parse_result(text, "pod 'x'")
    assert fault in str(error.value)


def test_the_last_succeeded_pod_tells() -> None:
    pods = [
        pod("a", "Succeeded", '{"version": "old"}', "2026-11-22T10:00:00Z"),
        pod("b", "Succeeded", '{"version": "new"}', "2026-11-22T11:00:00Z"),
        pod("c", "Failed", '{"version": "broken"}', "2026-11-22T12:00:00Z"),
    ]
    assert result_of(pods, "job")["version"] == "new"


def test_a_job_without_a_succeeded_pod_has_no_result() -> None:
    with pytest.raises(NoResultError, match="no succeeded pod left"):
        result_of([pod("a", "Failed", "{}", "2026-11-22T10:00:00Z")], "job")


def test_a_side_car_may_be_silent() -> None:
    one = pod("a", "Succeeded", '{"version": "v3"}', "2026-11-22T10:00:00Z")
    one["spec"]["containers"].insert(0, {"name": "proxy"})
    assert result_of([one], "job") == {"version": "v3"}
