"""The replay interface (section 12): lines in, answers out, nothing of one trace in the next."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from modelslo.backtest import replay
from modelslo.backtest.jsonl import replay_lines
from modelslo.judge.drift import Health
from tests.simulate.words import Mode
from tests.unit.backtest.lines import Line, answers, changed, text, trace

KINDS = ("one-segment", "small-binary", "gaps", "stable-healthy", "resets", "nan-dropped")
ACTIONS = {"hold", "promote", "rollback", "retrain"}


def scrapes(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["type"] == "scrape"]


def first(found: list[dict[str, Any]], action: str) -> int | None:
    return next((answer["k"] for answer in found if answer["action"] == action), None)


@pytest.mark.parametrize("kind", KINDS)
def test_every_scrape_has_one_answer_in_order(kind: str) -> None:
    lines = trace(kind)
    found = answers(text(lines))
    assert [(one["trace"], one["k"]) for one in found] == [(one["trace"], one["k"]) for one in scrapes(lines)]
    assert {one["action"] for one in found} <= ACTIONS
    assert all(one["reason"] for one in found)


def test_before_the_rollout_the_answer_is_to_hold() -> None:
    lines = trace("large-exponential", history=60, hours=0.2)
    assert {one["action"] for one in answers(text(lines))[:60]} == {"hold"}


def test_an_answer_carries_the_evidence() -> None:
    lines = trace("large-exponential", hours=1.0)
    found = answers(text(lines))
    k = first(found, "rollback")
    assert k is not None
    assert found[k]["e_rollback"] >= 20
    assert all(one["e_rollback"] == one["e_promote"] == 1.0 for one in found[40 : 40 + 10])


def test_nothing_of_one_trace_is_left_in_the_next() -> None:
    """The same trace alone, after others of other shapes, and after itself: the same answers."""
    lines = {kind: text(trace(kind)) for kind in KINDS}
    lines["sums"], lines["squares"] = (
        text(trace("one-segment", mode="sums")),
        text(trace("one-segment", mode="squares")),
    )
    alone = {kind: answers(one) for kind, one in lines.items()}
    order = [*lines, *reversed(lines)]
    together = answers([line for kind in order for line in lines[kind]])
    assert together == [answer for kind in order for answer in alone[kind]]


def test_a_trace_may_end_early_and_the_input_without_an_end() -> None:
    lines = trace("small-binary")
    meta, *rest = text(lines)
    whole = answers(text(lines))
    cut = [meta, *rest[:5], text(lines)[-1]]
    assert answers([*cut, *text(lines)]) == [*whole[:5], *whole]
    assert answers([meta, *rest[:7]]) == whole[:7]
    assert answers([meta]) == answers([]) == []


def deep(value: Any) -> Any:
    """With a key that nobody knows in every object, but for those whose keys are names."""
    if isinstance(value, list):
        return [deep(one) for one in value]
    if isinstance(value, dict):
        return {key: deep(one) for key, one in value.items()} | {"colour": {"of": ["the", "pods"]}}
    return value


def test_unknown_keys_are_ignored() -> None:
    lines = trace("one-segment", hours=0.3)
    assert answers(text([deep(line) for line in lines])) == answers(text(lines))


def test_squares_that_are_not_promised_are_ignored() -> None:
    lines = trace("small-binary", mode="sums")
    assert all("loss_sumsq" not in line["arms"]["stable"] for line in scrapes(lines))
    noise = [
        changed(line, "arms.stable.loss_sumsq", "nonsense") if line["type"] == "scrape" else line for line in lines
    ]
    assert answers(text(noise)) == answers(text(lines))


def test_an_arm_that_is_absent_was_not_scraped() -> None:
    lines = trace("same-exponential", hours=0.4)
    absent, null = (
        [changed(line, "arms.canary", value) if line.get("k", 0) in range(60, 70) else line for line in lines]
        for value in (..., None)
    )
    found = answers(text(absent))
    assert found == answers(text(null))
    # The evidence waits
    assert len({(one["e_rollback"], one["e_promote"]) for one in found[60:70]}) == 1


@pytest.mark.parametrize("special", ["NaN", "+Inf", "-Inf"])
@pytest.mark.parametrize(
    "key", ["loss_sum", "loss_sumsq", "loss_count", "predictions_total", "buckets.2", "lag_buckets.1"]
)
def test_what_json_cannot_hold_is_a_string_and_decides_nothing(key: str, special: str) -> None:
    lines = trace("same-exponential", hours=0.4)
    broken = [
        changed(line, f"arms.canary.{key}", special) if line["type"] == "scrape" and line["k"] >= 45 else line
        for line in lines
    ]
    found = answers(text(broken))
    assert {one["action"] for one in found} == {"hold"}
    json.dumps(found, allow_nan=False)


def test_the_same_lines_give_the_same_bytes() -> None:
    lines = text(trace("one-segment"))
    assert json.dumps(answers(lines)) == json.dumps(answers(lines))


def test_bytes_are_lines_too() -> None:
    lines = text(trace("small-binary", hours=0.2))
    assert answers(line.encode() for line in lines) == answers(lines)


def test_lines_are_read_one_by_one() -> None:
    """After a scrape nothing is sent before its answer: a reader that asks for more would wait for ever."""
    lines, sent = text(trace("small-binary", hours=0.2)), 0

    class Lockstep:
        answered = 0

        def write(self, line: str) -> None:
            self.answered += 1

        def flush(self) -> None:
            """Counted in `write`."""

    output = Lockstep()

    def feed() -> Any:
        nonlocal sent
        for line in lines:
            assert output.answered == max(0, sent - 1)
            sent += 1
            yield line

    replay_lines(feed(), output)  # type: ignore[arg-type]
    assert output.answered == len(lines) - 2


# Both verdicts


def drifting(k0: int = 60, scrapes: int = 120) -> list[Line]:
    """Scrapes five minutes apart: from the rollout on stable is far above its SLO, and the canary far above stable."""
    edges, lags = [2.0**k for k in range(-5, 6)], [60.0, 600.0]
    meta = {
        "type": "meta", "trace": "both", "dt": 300.0, "k0": k0, "edges": edges, "lag_edges": lags, "margin": 0.1,
        "segment_margin": 0.3, "alpha": 0.05, "beta": 0.05, "warmup_s": 300.0, "slo_loss": 1.2, "has_canary": True,
        "segments": [], "false_retrain_days": 90.0, "retrain_persist_s": 3600.0, "has_sumsq": False,
    }  # fmt: skip
    totals: dict[str, list[float]] = {"stable": [0.0] * 4, "canary": [0.0] * 4}
    lines: list[Line] = [meta]
    for k in range(scrapes):
        for name, arm in totals.items():
            # 300 labels of 0.75 before, of 1.5 and some 3 after; the canary's first come after the alarm is due
            if name == "canary" and k < k0 + 10:
                continue
            low, middle, high = (300, 0, 0) if k < k0 else (0, 200, 100) if name == "stable" else (0, 0, 300)
            for bucket, labels in enumerate((low, middle, high)):
                arm[bucket] += labels
            arm[3] += 0.75 * low + 1.5 * middle + 3.0 * high
        arms: dict[str, Any] = {
            name: {
                "loss_sum": arm[3], "loss_count": sum(arm[:3]), "predictions_total": sum(arm[:3]), "lag_sum": 0.0,
                "buckets": [0.0] * 5 + [arm[0], arm[0] + arm[1], *[sum(arm[:3])] * 5],
                "lag_buckets": [sum(arm[:3])] * 3, "segments": {},
            }
            for name, arm in totals.items()
            if name == "stable" or k >= k0
        }  # fmt: skip
        lines.append(
            {"type": "scrape", "trace": "both", "k": k, "t": 300.0 * k, "rollout_started": k >= k0, "arms": arms}
        )
    return lines


def test_when_both_verdicts_are_due_one_comes_now_and_the_other_next() -> None:
    # Given a stable version that drifts, and a canary that is much worse
    found = answers(text(drifting()))
    back, retrain = first(found, "rollback"), first(found, "retrain")
    # When both verdicts are due
    assert back is not None
    assert retrain is not None
    both = found[max(back, retrain) :]
    # Then neither starves the other
    said = [one["action"] for one in both]
    assert {"rollback", "retrain"} <= set(said)
    assert all({one, other} == {"rollback", "retrain"} for one, other in pairwise(said[:11]))


def test_an_alarm_that_is_over_by_the_next_scrape_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a canary that is rolled back, and an alarm at that one scrape
    lines = trace("large-exponential", hours=1.0)
    back = first(answers(text(lines)), "rollback")
    assert back is not None
    at = next(line["t"] for line in scrapes(lines) if line["k"] == back)
    monkeypatch.setattr(
        replay, "health_of", lambda _detector, _rules, now, _quiet: Health.DRIFT if now == at else Health.HEALTHY
    )
    # Then the next answer is the one that was owed
    assert [one["action"] for one in answers(text(lines))[back : back + 3]] == ["rollback", "retrain", "rollback"]


def test_the_lines_in_the_documentation_are_taken() -> None:
    page = (Path(__file__).parents[3] / "docs/backtest.md").read_text()
    given, answer, *_ = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (found,) = answers(given.splitlines(keepends=True))
    assert (found["trace"], found["action"]) == ("t1", "hold")
    assert set(json.loads(answer)) == {*found, "e_rollback", "e_promote"}


def test_all_numbers_that_the_format_allows_are_taken() -> None:
    """Whole or not; segments may be judged by a wider margin."""
    meta, *rest = trace("one-segment", hours=0.05)
    usual = answers(text([meta, *rest]))
    whole = dict(meta) | {"k0": float(meta["k0"]), "dt": int(meta["dt"]), "warmup_s": int(meta["warmup_s"])}
    assert answers(text([whole, *rest])) == usual
    for key, value in (("segment_margin", 3), ("margin", 1), ("margin", 0.001), ("alpha", 0.5), ("beta", 1e-6)):
        assert len(answers(text([dict(meta) | {key: value}, *rest]))) == len(usual)
    rounded = [dict(line) | {"t": line["t"] * (1 + 1e-15)} if line["type"] == "scrape" else line for line in rest]
    assert len(answers(text([meta, *rounded]))) == len(usual)


@pytest.mark.parametrize("mode", ["histogram", "sums", "squares"])
def test_a_segment_that_is_not_there_has_counted_nothing(mode: Mode) -> None:
    """A client library makes a labelled series with its first label."""
    lines = trace("one-segment", hours=1.0, mode=mode)
    meta = lines[0]

    def without(line: Line, gone: Callable[[Any, str], None]) -> Line:
        """One segment of the canary has no label in the first twenty scrapes of the rollout, no other has in five."""
        if line["type"] != "scrape" or line["k"] < meta["k0"]:
            return line
        copy = changed(line, "trace", line["trace"])
        for number, name in enumerate(meta["segments"]):
            if line["k"] < meta["k0"] + (20 if number == 0 else 5):
                gone(copy["arms"].get("canary", {}).get("segments", {}), name)
        return copy

    def zeros(segments: Any, name: str) -> None:
        if name in segments:
            one = segments[name]
            segments[name] = {key: [0] * len(value) if key == "buckets" else 0 for key, value in one.items()}

    def absent(segments: Any, name: str) -> None:
        segments.pop(name, None)

    # Given a canary whose segments come one by one, as zeros or not at all
    expected = answers(text([without(line, zeros) for line in lines]))
    assert {one["action"] for one in expected} >= {"hold", "rollback"}
    found = [without(line, absent) for line in lines]
    emptied = [
        changed(line, "arms.canary.segments", ...)
        if line["type"] == "scrape" and line["arms"].get("canary", {}).get("segments") == {}
        else line
        for line in found
    ]
    # When they are replayed, then it makes no difference
    assert answers(text(found)) == expected
    assert emptied != found
    assert answers(text(emptied)) == expected


def test_an_e_value_that_is_no_number_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has no NaN."""
    monkeypatch.setattr("modelslo.backtest.replay.e_value", lambda log_e: float("nan"))
    lines = text(trace("same-exponential", hours=0.05))
    assert answers(lines)[-1]["e_rollback"] is None
    assert "NaN" not in json.dumps(answers(lines))


def test_without_a_canary_stable_alone_is_judged() -> None:
    """Even if there are scrapes of one."""
    lines = trace("large-exponential", hours=1.0)
    alone = [changed(line, "has_canary", False) if line["type"] == "meta" else line for line in lines]
    assert first(answers(text(lines)), "rollback") is not None
    assert {one["action"] for one in answers(text(alone))} == {"hold"}


def test_the_rollout_begins_at_k0_and_what_was_before_is_history() -> None:
    """A canary that is scraped before k0 is not judged by it, and the history makes the verdict come sooner."""
    lines = trace("large-exponential", history=60, hours=1.0)
    late = [changed(line, "k0", 100) if line["type"] == "meta" else line for line in lines]
    usual, later = (first(answers(text(one)), "rollback") for one in (lines, late))
    assert usual is not None
    assert later is not None
    assert usual < 100 < later


def times(line: Line, unit: float) -> Line:
    """The same observation with losses in another unit."""
    if line["type"] == "meta":
        return dict(line) | {"edges": [edge * unit for edge in line["edges"]], "slo_loss": line["slo_loss"] * unit}
    if line["type"] == "end":
        return line

    def arm(series: Any) -> Any:
        return (
            series
            | {key: series[key] * unit**power for key, power in (("loss_sum", 1), ("loss_sumsq", 2)) if key in series}
            | {"segments": {name: arm(one) for name, one in series.get("segments", {}).items()}}
        )

    return dict(line) | {"arms": {name: arm(one) for name, one in line["arms"].items()}}


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *product(["one-segment", "same-exponential"], ["histogram", "sums", "squares"]),
        *product(["drift-sudden"], ["histogram", "squares"]),
    ],
)
def test_losses_in_another_unit_are_decided_at_the_same_scrape(kind: str, mode: Mode) -> None:
    """Section 11.3."""
    lines = trace(kind, hours=2.0 if kind != "drift-sudden" else 5.0, mode=mode)
    plain = [one["action"] for one in answers(text(lines))]
    other = [one["action"] for one in answers(text(times(line, 1000.0) for line in lines))]
    assert plain == other
    assert set(plain) != {"hold"}
