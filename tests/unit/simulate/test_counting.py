"""How traces are driven and counted: verdicts against the truth, the lower bound, goals, resuming."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest

from tests.simulate.__main__ import main
from tests.simulate.bound import information, klinf, labels_needed
from tests.simulate.deciders import Holding, Piped, RepeatedTest, decider
from tests.simulate.drive import Row, drive
from tests.simulate.exporter import number
from tests.simulate.goals import figures
from tests.simulate.kind import Effect
from tests.simulate.kinds import KINDS
from tests.simulate.losses import EXPONENTIAL
from tests.simulate.report import Order, read, run
from tests.simulate.results import Results, clopper_pearson, count
from tests.simulate.truth import Truth, Verdict
from tests.simulate.truth import count as judged
from tests.simulate.words import Action

_SMALL = replace(KINDS["large-exponential"], history=(5, 5), hours=0.5, rate=4.0)
_TRUTH = Truth(
    kind="-", group="canary", right=frozenset({"promote"}), rollout=1000.0, deadline=60.0, onset=1000.0, ratio=1.0,
    regression=False, drift=False, incidents=((2000.0, 3000.0),),
)  # fmt: skip


class At:
    """Answers `action` at scrape `k` and later, as a judge that repeats itself does."""

    def __init__(self, action: Action, k: int) -> None:
        self.action = action
        self.k = k
        self.fed = 0

    def __call__(self, meta: Mapping[str, object]) -> At:
        return self

    def feed(self, scrape: Mapping[str, object]) -> Mapping[str, object]:
        self.fed += 1
        due = scrape["k"] >= self.k  # type: ignore[operator]
        return {"action": self.action if due else "hold", "reason": "Due" if due else "NotYet"}


def test_a_right_promotion() -> None:
    counted = judged(_TRUTH, Verdict("promote", 1600.0), None)
    assert (counted.right, counted.wrong, counted.missed, counted.delay) == (True, False, False, 10.0)


def test_a_false_rollback_is_missed_too() -> None:
    counted = judged(_TRUTH, Verdict("rollback", 1600.0), None)
    assert (counted.false_rollback, counted.wrong, counted.missed, counted.right) == (True, True, True, False)


def test_a_verdict_in_an_incident_is_wrong_even_if_right() -> None:
    counted = judged(_TRUTH, Verdict("promote", 2500.0), None)
    assert (counted.in_incident, counted.wrong, counted.right) == (True, True, True)


def test_no_verdict_is_missed_unless_holding_is_right() -> None:
    assert judged(_TRUTH, None, None).missed
    assert not judged(replace(_TRUTH, right=frozenset({"promote", "hold"})), None, None).missed


def test_a_retrain_without_drift_is_wrong() -> None:
    assert judged(_TRUTH, None, Verdict("retrain", 1600.0)).false_retrain


def test_a_regression_counts_from_its_onset() -> None:
    truth = replace(_TRUTH, right=frozenset({"rollback"}), regression=True, onset=1900.0, incidents=())
    early, late = judged(truth, Verdict("promote", 1600.0), None), judged(truth, Verdict("promote", 1960.0), None)
    assert (early.moot, early.wrong, early.missed) == (True, False, False)
    assert (late.moot, late.false_promote, late.missed) == (False, True, True)
    assert judged(truth, Verdict("rollback", 1600.0), None).false_rollback
    assert judged(truth, Verdict("rollback", 1960.0), None).delay == 1.0


def test_drift_asks_for_a_retrain_and_lets_a_sound_canary_be_promoted() -> None:
    truth = replace(_TRUTH, group="stable", right=frozenset({"retrain"}), drift=True, onset=1600.0, incidents=())
    good = judged(truth, Verdict("promote", 1500.0), Verdict("retrain", 2200.0))
    assert (good.right, good.wrong, good.delay) == (True, False, 10.0)
    assert judged(truth, Verdict("rollback", 1700.0), Verdict("retrain", 2200.0)).false_rollback
    assert judged(truth, None, Verdict("retrain", 1500.0)).false_retrain
    assert judged(truth, None, None).missed


def test_at_the_boundary_every_verdict_is_an_error() -> None:
    truth = replace(_TRUTH, group="boundary", right=frozenset({"hold"}), incidents=())
    assert judged(truth, Verdict("rollback", 1700.0), None).false_rollback
    assert judged(truth, Verdict("promote", 1700.0), None).false_promote
    assert not judged(truth, None, None).wrong


def test_driving_stops_at_the_verdict() -> None:
    judge = At("rollback", 20)
    row = drive(_SMALL, 0, judge)
    assert (row.canary, row.canary_at, row.reason, row.scrapes, judge.fed) == ("rollback", 7.5, "Due", 21, 21)
    assert row.count.right
    assert 0 < row.labels < row.labels_all


def test_answers_before_the_rollout_do_not_count() -> None:
    assert drive(_SMALL, 0, At("rollback", 0)).canary_at == 0.0


def test_without_a_verdict_the_trace_runs_to_its_deadline() -> None:
    row = drive(_SMALL, 0, Holding)
    assert (row.canary, row.scrapes, row.count.missed) == (None, 5 + 1 + 60, True)


def test_an_unknown_action_is_an_error() -> None:
    with pytest.raises(ValueError, match="'restart'"):
        drive(_SMALL, 0, At("restart", 8))  # type: ignore[arg-type]


def test_a_row_survives_json() -> None:
    row = drive(_SMALL, 0, At("rollback", 20))
    assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row


def test_repeated_testing_errs_at_the_boundary() -> None:
    kind = "boundary-lognormal"
    results = count([kind], 8, RepeatedTest)
    assert results.wrong.x >= 3
    assert count([kind], 2, Holding).wrong.x == 0


_ECHO = """
import json, sys
for line in sys.stdin:
    line = json.loads(line)
    if line["type"] == "scrape":
        action = "rollback" if line["k"] > 9 else "hold"
        print(json.dumps({"trace": line["trace"], "k": line["k"] + %d, "action": action}))
        sys.stdout.flush()
"""


def test_another_program_is_driven_in_lock_step(tmp_path: Path) -> None:
    script = tmp_path / "echo.py"
    script.write_text(_ECHO % 0)
    pipe = decider(f"command:{sys.executable} {script}")
    assert isinstance(pipe, Piped)
    assert [drive(_SMALL, each, pipe).canary_at for each in range(2)] == [2.5, 2.5]
    assert pipe.stop() == 0


def test_an_answer_to_another_scrape_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "echo.py"
    script.write_text(_ECHO % 1)
    pipe = Piped(f"{sys.executable} {script}")
    with pytest.raises(RuntimeError, match="the answer to large-exponential-0, k = 0"):
        drive(_SMALL, 0, pipe)
    pipe.stop()


def test_klinf_of_coins_is_the_divergence_of_coins() -> None:
    def divergence(p: float, q: float) -> float:
        return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))

    for p, q in ((0.2, 0.3), (0.2, 0.05), (0.5, 0.9)):
        atoms = np.array([0.0, 1.0]), np.array([1.0 - p, p])
        assert klinf(*atoms, q, 1.0) == pytest.approx(divergence(p, q), rel=1e-9)


def test_information_on_coins_agrees_with_the_closed_form() -> None:
    def divergence(p: float, q: float) -> float:
        return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))

    canary, stable = 0.25, 0.2
    grid = np.linspace(0.2201, 0.2499, 4001)
    least = min(divergence(canary, c) + 3.0 * divergence(stable, c / 1.1) for c in grid)
    coins = [(np.array([0.0, 1.0]), np.array([1.0 - p, p])) for p in (canary, stable)]
    assert information(coins[0], coins[1], r=1.1, per_canary=3.0, top=1.0) == pytest.approx(least, rel=1e-4)
    kind = replace(KINDS["small-binary"], split=((0.0, 0.25),), effect=Effect(1.25))
    assert labels_needed(kind) == pytest.approx(log(20.0) / least, rel=1e-4)


def test_small_effects_need_what_the_planning_rule_says() -> None:
    kind = replace(KINDS["small-gamma"], effect=Effect(1.15), split=((0.0, 0.5),))
    rule = log(20.0) * 2.0 * 0.5 * (1.15**2 + 1.1**2) / 0.05**2
    assert labels_needed(kind) == pytest.approx(rule, rel=0.35)


def test_no_bound_where_none_is_known() -> None:
    for name in ("same-clustered", "split-ramp", "late-onset", "boundary-exponential", "stable-healthy", "mix-shift"):
        assert labels_needed(KINDS[name]) is None


def test_exact_binomial_bounds() -> None:
    assert clopper_pearson(0, 200) == pytest.approx((0.0, 1.0 - 0.025 ** (1 / 200)), abs=1e-6)
    assert clopper_pearson(8, 10) == pytest.approx((0.4439, 0.9748), abs=1e-4)
    assert clopper_pearson(10, 10)[1] == 1.0


def test_numbers_that_json_cannot_hold_are_words() -> None:
    assert [number(each) for each in (1.5, float("nan"), float("inf"), float("-inf"))] == [1.5, "NaN", "+Inf", "-Inf"]


def test_buckets_span_thirty_times_both_ways() -> None:
    edges = EXPONENTIAL.edges(0.6, 1.8)
    assert edges[0] == pytest.approx(0.02)
    assert edges[-1] >= 18.0
    assert len(edges) >= 10


def test_goals_know_what_was_not_run() -> None:
    rows = Results((drive(_SMALL, 0, At("promote", 20)),))
    lines = {line.what: line for line in figures({"histogram": rows})}
    assert lines["regressions promoted"].met == "no"
    assert lines["false retrain"].met == "no data"


def test_a_report_resumes_from_its_output(tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    kind = KINDS["no-canary-traffic"]
    order = Order((kind,), 2, ("histogram",), 0, "hold", 1, output)
    first = run(order)
    with output.open("a") as file:
        file.write('{"kind": "no-can')
    more = run(replace(order, traces=3))
    assert len(first["histogram"]) == 2
    assert [row.number for row in more["histogram"]] == [0, 1, 2]
    assert [row.number for row in read(output)] == [0, 1, 2]


def test_the_commands_print_lines_and_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "no-canary-traffic", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (lines[0]["type"], lines[-1]["type"]) == ("meta", "end")
    assert main(["kinds", "--group", "boundary"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 12
    assert main(["kinds", "--kinds", "nothing"]) == 2
