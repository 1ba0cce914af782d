"""The gate on recorded series: which labels are compared, and when it is silent."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from modelslo.judge.gate import advance
from modelslo.judge.verdict import GateVerdict
from tests.unit.judge.series import (
    DT,
    HOLDS,
    HOUR,
    RIPE,
    Rollout,
    bits,
    ripe,
    rules_of,
)

# Which labels are compared


def test_no_label_counts_before_the_first_prediction_and_the_warm_up() -> None:
    # Given a canary that gets its first prediction ten minutes after the rollout, and is terrible
    rollout = Rollout()
    found = rollout.run(20, n_c=0)
    # When its warm-up of five minutes runs
    found += rollout.run(10, 50.0)
    # Then nothing was compared
    assert set(found) == {GateVerdict.INSUFFICIENT_DATA}
    assert (rollout.blocks, rollout.compared) == (0, (0.0, 0.0))
    # And what came in the warm-up does not count later
    rollout.run(3, 50.0)
    assert rollout.compared[1] <= 3 * 10


def test_predictions_without_labels_begin_the_warm_up() -> None:
    rollout = Rollout()
    for _ in range(RIPE):
        rollout.serve(n_c=0)
        rollout.canary.serve([], predictions=10)
        rollout.look()
    rollout.run(3)
    assert rollout.blocks > 0


def test_a_block_is_five_labels_of_both_arms() -> None:
    rollout = ripe()
    blocks, (_, canary) = rollout.blocks, rollout.compared
    for number in range(1, 41):
        rollout.run(1, n_c=1)
        assert rollout.blocks - blocks == number // 5
    assert rollout.compared[1] - canary == 40


def test_a_block_of_few_labels_is_closed_after_ten_minutes() -> None:
    rollout = ripe()
    blocks = rollout.blocks
    for number in range(1, 61):
        rollout.run(1, n_c=1 if number % 12 == 1 else 0)
        expected = number // 20
        assert expected - 1 <= rollout.blocks - blocks <= expected
    assert rollout.blocks - blocks >= 2


@pytest.mark.parametrize("lost", ["stable", "canary"])
def test_a_block_covers_the_same_time_of_both_arms(lost: str) -> None:
    # Given a rollout that is compared, and a block that is nearly full
    rollout = ripe()
    rollout.run(1, n_s=3 if lost == "canary" else 40, n_c=3 if lost == "stable" else 10)
    before = bits(rollout.e), rollout.blocks
    # When one arm is not scraped for three minutes, in which the other one serves enough
    for _ in range(6):
        rollout.serve(n_s=400 if lost == "canary" else 40)
        rollout.look(stable=lost != "stable", canary=lost != "canary")
        # Then nothing is compared
        assert (bits(rollout.e), rollout.blocks) == before
    # Until both are back, and then everything is one block
    rollout.run(1)
    assert rollout.blocks == before[1] + 1


def test_labels_of_another_age_are_not_compared() -> None:
    """Section 3.7: labels take ten minutes; the canary's first ones say nothing before stable's are as young."""
    rollout = Rollout(seed=2, history=0)
    rollout.started = False
    rollout.run(120, lag=600.0, n_c=0)
    rollout.started = True
    began = rollout.now + DT
    found = rollout.run(60, 50.0, lag=600.0)
    before = [verdict for number, verdict in enumerate(found) if began + number * DT <= began + 300 + 580]
    assert set(before) == {GateVerdict.INSUFFICIENT_DATA, GateVerdict.IMMATURE}
    assert GateVerdict.ROLLBACK in found


def test_a_flood_of_old_labels_is_discarded() -> None:
    """A backfill brings labels of predictions that were made before the rollout, of a better time."""
    # Given a rollout that is compared
    rollout = ripe()
    rollout.run(10)
    before, blocks = bits(rollout.e), rollout.blocks
    # When hundreds of labels two hours old come with those of now, in both arms
    rollout.serve(3.0, n_c=40)
    rollout.stable.serve(0.01 * rollout.draw(600), lag=7000.0)
    rollout.look()
    # Then that scrape says nothing
    assert (bits(rollout.e), rollout.blocks) == (before, blocks)
    # And those after it do again
    rollout.run(60)
    assert rollout.blocks > blocks + 10


def test_an_old_label_now_and_then_is_chance() -> None:
    """To refuse batches with a late label would select for quick ones."""
    rollout = ripe()
    blocks = rollout.blocks
    for number in range(60):
        rollout.serve()
        if number % 5 == 0:
            rollout.stable.serve(rollout.draw(1), lag=1000.0)
        rollout.look()
    assert rollout.blocks - blocks == 60


def test_without_delays_the_stated_one_is_waited_for() -> None:
    rollout = Rollout(rules_of(lag_edges=(), delay=900.0))
    rollout.run(1 + 10 + 29)
    assert rollout.blocks == 0
    rollout.run(3)
    assert rollout.blocks > 0


@pytest.mark.parametrize("settled", [-inf, -1.0, 0.0, 5.0])
def test_labels_of_predictions_before_the_shares_of_now_are_left_out(settled: float) -> None:
    """Pods that start, or did five seconds ago: labels of both arms are of different ages for a reason outside."""
    rollout = ripe()
    before = bits(rollout.e)
    rollout.serve(50.0)
    _, step = rollout.look(), rollout.steps[-1][0]
    again = advance(ripe().gate, rollout.rules, replace(step, settled=settled), True)
    assert again.trial is not None
    assert bits(again.trial.e) == before
    assert bits(rollout.e) != before
    long_ago = advance(ripe().gate, rollout.rules, replace(step, settled=3600.0), True)
    assert long_ago.trial is not None
    assert bits(long_ago.trial.e) == bits(rollout.e)


# Nothing to go by


def silent(rollout: Rollout) -> bool:
    """Every e-value is exactly one."""
    e = rollout.e
    return [e.rollback, e.promote, e.mean, e.tail or 0.0] == [0.0] * 4


@pytest.mark.parametrize("case", ["never scraped", "no traffic", "no labels", "stable without labels"])
def test_without_labels_of_both_arms_nothing_is_ever_said(case: str) -> None:
    """Section 11.5."""
    rollout = Rollout()
    for _ in range(4 * HOUR):
        rollout.serve(
            n_s=0 if case == "stable without labels" else 40, n_c=10 if case == "stable without labels" else 0
        )
        if case == "no labels":
            rollout.canary.serve([], predictions=10)
        assert rollout.look(canary=case != "never scraped") in HOLDS
        assert silent(rollout)
    assert rollout.blocks == 0


def test_labels_older_than_the_rollout_say_nothing() -> None:
    """Section 11.5: labels take four hours; in the first four no label is of a prediction that both arms made."""
    rollout = Rollout(rules_of(), history=0)
    rollout.started = False
    rollout.run(240, n_c=0, lag=14_000.0)
    rollout.started = True
    for verdict in rollout.run(round(14_000 / DT), 50.0, lag=14_000.0):
        assert verdict in HOLDS
        assert silent(rollout)
    assert rollout.blocks == 0


def test_without_history_the_first_block_only_makes_the_forecast() -> None:
    rollout = Rollout(history=0)
    found = rollout.run(2 * HOUR, 2.0)
    assert GateVerdict.ROLLBACK in found
    assert GateVerdict.PROMOTE in Rollout(history=0).run(4 * HOUR, 0.7)


def test_nothing_is_judged_before_the_rollout() -> None:
    rollout = Rollout()
    rollout.started = False
    assert set(rollout.run(50)) == {GateVerdict.INSUFFICIENT_DATA}
    assert rollout.gate.trial is None


# Incidents


def test_an_incident_freezes_the_gate_and_releases_it() -> None:
    """Section 3.8: both arms are hit, the canary half as hard again."""
    # Given a rollout that is compared
    rollout = Rollout(seed=4)
    rollout.run(HOUR)
    # When losses triple for a quarter of an hour
    hit: list[tuple[GateVerdict, object]] = []
    for _ in range(30):
        rollout.stable.serve(3 * rollout.draw(40))
        rollout.canary.serve(4.5 * rollout.draw(10, "canary"))
        rollout.now += DT
        hit.append((rollout.look(), bits(rollout.e)))
    # Then the gate is soon silent, and nothing of it counts
    began = next(number for number, (verdict, _) in enumerate(hit) if verdict is GateVerdict.INCIDENT)
    assert began <= 3
    before = hit[began - 1][1]
    assert hit[began:] == [(GateVerdict.INCIDENT, before)] * (30 - began)
    # And it judges again soon after
    after = rollout.run(40)
    assert after[-1] is not GateVerdict.INCIDENT
    assert bits(rollout.e) != before


def test_a_shift_that_stays_ends_the_freeze_by_itself() -> None:
    rollout = Rollout(seed=5)
    rollout.run(HOUR)
    found = []
    for _ in range(6 * HOUR):
        rollout.stable.serve(3 * rollout.draw(40))
        rollout.canary.serve(3 * rollout.draw(10, "canary"))
        rollout.now += DT
        found.append(rollout.look())
    assert found[4] is GateVerdict.INCIDENT
    assert found[-1] is not GateVerdict.INCIDENT
    assert GateVerdict.ROLLBACK not in found


def test_a_bad_canary_is_no_incident() -> None:
    """The freeze looks at stable alone."""
    assert GateVerdict.INCIDENT not in Rollout().run(HOUR, 5.0)
