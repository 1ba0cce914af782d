"""The gate on recorded series: which labels are compared, when it is silent, and what a fault costs."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.judge.betting import cap_of, log_mean_exp
from modelslo.judge.changed import changed
from modelslo.judge.gate import advance
from modelslo.judge.increments import Meters
from modelslo.judge.trial import Trial
from modelslo.judge.verdict import HARM, GateVerdict, harmful, said_by
from modelslo.judge.wagers import Sample, Spread, wagers
from tests.unit.judge.series import DT, Process, Rollout, bits, rules_of, together

HOLDS = {
    GateVerdict.INSUFFICIENT_DATA,
    GateVerdict.IMMATURE,
    GateVerdict.INCIDENT,
    GateVerdict.NEAR_MARGIN,
    GateVerdict.NAN_LOSS,
}
HOUR = round(3600 / DT)
ENOUGH = log(20)
RIPE = 13
"""Scrapes of the canary until its warm-up is over and labels of now may be compared."""


def first(found: list[GateVerdict], verdict: GateVerdict) -> int:
    """Number of looks until that verdict."""
    return found.index(verdict) + 1


def ripe(**change: object) -> Rollout:
    """A rollout whose labels are compared from the next scrape on."""
    rollout = Rollout(rules_of(**change))
    rollout.run(RIPE)
    assert rollout.trial.ripe
    return rollout


# Verdicts


@pytest.mark.parametrize("change", [{}, {"edges": ()}, {"edges": (), "has_squares": False}, {"lag_edges": ()}])
@pytest.mark.parametrize(
    ("ratio", "verdict", "never"),
    [
        (2.0, GateVerdict.ROLLBACK, GateVerdict.PROMOTE),
        (0.8, GateVerdict.PROMOTE, GateVerdict.ROLLBACK),
    ],
)
def test_what_is_there_is_found(
    change: dict[str, object], ratio: float, verdict: GateVerdict, never: GateVerdict
) -> None:
    rollout = Rollout(rules_of(**change))
    found = rollout.run(3 * HOUR, ratio)
    assert verdict in found
    assert never not in found


def test_at_the_margin_the_gate_holds() -> None:
    """One stream of the thousand: with this seed nothing is decided in six hours."""
    found = Rollout(seed=3).run(6 * HOUR, 1.1)
    assert set(found) <= HOLDS
    assert found[-1] is GateVerdict.NEAR_MARGIN


def test_a_regression_after_clean_hours_is_found_by_a_restarted_copy() -> None:
    """Section 4.3: what was won on the clean hours does not have to be lost first."""
    rollout = Rollout()
    rollout.run(5 * HOUR)
    assert rollout.trial.wealth.copies >= 20
    for _ in range(40):
        if rollout.run(1, 2.0) == [GateVerdict.ROLLBACK]:
            break
    assert rollout.e.rollback >= ENOUGH
    # The first process alone would still be waiting
    wealth = rollout.trial.wealth
    assert log_mean_exp(wealth.back[0], wealth.back_mass[0]) < 0


def test_the_more_labels_a_verdict_needs_the_more_evidence_it_needs() -> None:
    # Given a canary at its margin, at every look of a long walk
    rollout = ripe()
    kept = []
    for _ in range(40):
        rollout.run(10, 1.1)
        trial, said = rollout.trial, said_by(rollout.trial)
        kept.append((trial.e.rollback - said.rollback, trial.e.promote - said.promote))
    # Then an e-value only gets smaller, by more and more, and an early one by next to nothing
    assert [back for back, _ in kept] == sorted(back for back, _ in kept)
    assert [forth for _, forth in kept] == sorted(forth for _, forth in kept)
    assert all(back > forth > 0 for back, forth in kept)
    assert kept[0][0] < 0.1
    assert kept[-1][0] > 0.5
    # And harm, which forbids a promotion, counts in full
    assert harmful(replace_e(trial, log(HARM)))


def replace_e(trial: Trial, rollback: float) -> Trial:
    """With this evidence for worse."""
    return changed(trial, e=replace(trial.e, rollback=rollback))


def test_a_huge_regression_needs_two_blocks() -> None:
    rollout = ripe()
    assert rollout.run(1, 1000.0) != [GateVerdict.ROLLBACK]
    found = rollout.run(6, 1000.0)
    assert GateVerdict.ROLLBACK in found


def test_one_poisoned_scrape_cannot_decide() -> None:
    """Section 4.3: however many labels it holds."""
    rollout = ripe()
    before = rollout.trial.contrast.blocks
    found = [*rollout.run(1, 1000.0, n_c=100_000), *rollout.run(HOUR)]
    assert rollout.trial.contrast.blocks > before
    assert GateVerdict.ROLLBACK not in found


def test_no_promotion_in_the_first_ten_minutes() -> None:
    rollout = Rollout(rules_of(warmup=0.0))
    found = rollout.run(HOUR, 0.2, n_s=4000, n_c=4000)
    assert rollout.e.promote >= ENOUGH
    assert first(found, GateVerdict.PROMOTE) * DT > 600.0
    assert all(one not in found for one in (GateVerdict.ROLLBACK, GateVerdict.INCIDENT))


def test_no_promotion_by_fewer_than_five_blocks() -> None:
    """However many labels came at once."""
    rollout, early = ripe(), 0
    for number in range(2 * HOUR):
        (verdict,) = rollout.run(1, 0.2, n_c=3000 if number % 20 == 19 else 0)
        if rollout.blocks < 5 and rollout.e.promote >= ENOUGH:
            early += 1
            assert verdict is GateVerdict.INSUFFICIENT_DATA
    assert early > 0
    assert verdict is GateVerdict.PROMOTE


def test_a_canary_that_may_be_harmful_is_not_promoted() -> None:
    """E_R < 5: the evidence that it is good is older."""
    rollout = Rollout()
    assert GateVerdict.PROMOTE in rollout.run(3 * HOUR, 0.9)
    # When it turns bad
    worrying = 0
    for _ in range(HOUR):
        (verdict,) = rollout.run(1, 2.0)
        if rollout.e.promote >= ENOUGH > rollout.e.rollback >= log(5):
            worrying += 1
            assert verdict is GateVerdict.NEAR_MARGIN
    # Then there was a time when the old evidence was still there
    assert worrying > 0


def test_a_canary_whose_raw_losses_are_worse_is_not_promoted() -> None:
    """What lies beyond the last bucket counts as B in the bets; the raw contrast of section 4.7 sees it."""
    rollout = Rollout(rules_of(tail=False))
    found = []
    for _ in range(2 * HOUR):
        rollout.serve(0.5, n_c=150)
        rollout.canary.serve([1e5])
        found.append(rollout.look())
    assert rollout.e.promote >= ENOUGH
    assert GateVerdict.PROMOTE not in found


def test_a_rare_catastrophe_is_found_by_the_tail() -> None:
    """Section 4.5: 3 % of the losses are thirty times as large, and the mean grows little beside its noise."""
    with_tail, without = Rollout(), Rollout(rules_of(tail=False))
    looks = []
    for rollout in (with_tail, without):
        found = []
        for number in range(3 * HOUR):
            rollout.serve(n_c=9)
            rollout.canary.serve([9.0 if number % 3 == 0 else 0.1])
            found.append(rollout.look())
        looks.append(first(found, GateVerdict.ROLLBACK) if GateVerdict.ROLLBACK in found else len(found))
    assert looks[0] < looks[1]
    assert with_tail.e.tail is not None
    assert with_tail.e.tail > with_tail.e.mean


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


# Faults of the telemetry


def faulty(fault: str, rollout: Rollout) -> None:
    """One scrape with a fault, after half a minute of traffic."""
    if fault == "whole restart of stable":
        rollout.stable = Process(rollout.rules)
    if fault == "whole restart of the canary":
        rollout.canary = Process(rollout.rules)
    rollout.serve()
    stable, canary = rollout.stable.counters(), rollout.canary.counters()
    if fault.startswith("gap"):
        rollout.look(stable=fault == "gap of the canary", canary=fault == "gap of stable")
    elif fault.startswith("clock"):
        rollout.take(stable, canary, at=rollout.now - (DT if fault == "clock a scrape back" else 3600.0))
    elif fault == "counts that are no numbers":
        stable.values[0] = canary.values[0] = nan
        rollout.take(stable, canary)
    else:
        rollout.look()
    if fault == "same scrape twice":
        rollout.look()


FAULTS = (
    "whole restart of stable",
    "whole restart of the canary",
    "gap of stable",
    "gap of the canary",
    "gap of both",
    "counts that are no numbers",
    "clock an hour back",
    "clock a scrape back",
    "same scrape twice",
)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_loses_no_label_and_counts_none_twice(fault: str) -> None:
    """Section 11.4: these leave the labels to the next scrape."""
    # Given the same traffic with and without the fault
    good, bad = ripe(), ripe()
    good.run(10)
    bad.run(10)
    # When the fault happens
    good.run(1)
    faulty(fault, bad)
    good.run(10)
    bad.run(10)
    # Then all labels were compared once
    assert bad.compared == good.compared
    assert good.blocks - 1 <= bad.blocks <= good.blocks
    assert bad.e.rollback == pytest.approx(good.e.rollback, abs=0.2)


@pytest.mark.parametrize("fault", [one for one in FAULTS if "gap" in one or "clock" in one or "numbers" in one])
def test_at_the_faulty_scrape_the_evidence_stays_as_it_is(fault: str) -> None:
    rollout = ripe()
    rollout.run(10)
    before = bits(rollout.e)
    faulty(fault, rollout)
    assert bits(rollout.e) == before


def test_the_same_scrape_twice_changes_no_bit() -> None:
    once, twice = ripe(), ripe()
    for _ in range(40):
        once.run(1, 1.3)
        twice.serve(1.3)
        assert twice.look() == twice.look()
    assert bits(once.trial) == bits(twice.trial)


@pytest.mark.parametrize("restarted", ["stable", "canary"])
def test_a_pod_of_several_that_restarts_costs_one_block(restarted: str) -> None:
    # Given arms of two pods whose counts are large, one of which restarts
    rollout = ripe()
    other = {name: Process(rollout.rules).serve([1.0] * 9000) for name in ("stable", "canary")}

    def look() -> None:
        rollout.take(together(rollout.stable, other["stable"]), together(rollout.canary, other["canary"]))

    rollout.meters = Meters()
    for _ in range(4):
        rollout.serve()
        look()
    before, blocks = bits(rollout.e), rollout.blocks
    other[restarted] = Process(rollout.rules)
    rollout.serve(50.0)
    look()
    # Then that scrape says nothing, neither then nor later
    assert (bits(rollout.e), rollout.blocks) == (before, blocks)
    rollout.serve()
    look()
    assert rollout.blocks == blocks + 1
    assert rollout.e.rollback < 1.0


def test_a_sum_that_is_no_number_changes_no_e_value() -> None:
    """The histogram is still usable (section 3.3)."""
    clean, broken = ripe(), ripe()
    broken.stable.total[:] = nan
    broken.canary.total[:] = nan
    clean.run(60, 1.2)
    broken.run(60, 1.2)
    assert bits(clean.e) == bits(broken.e)


def test_a_canary_whose_sum_is_no_number_is_never_promoted() -> None:
    """The veto holds at once, however good the buckets are, as long as stable's sum is a number."""
    rollout = Rollout()
    assert GateVerdict.PROMOTE in rollout.run(3 * HOUR, 0.7)
    rollout.canary.total[:] = nan
    found = rollout.run(HOUR, 0.7)
    assert set(found) == {GateVerdict.NAN_LOSS}
    # In both arms it is a fault of the telemetry
    rollout.stable.total[:] = nan
    assert rollout.run(2, 0.7)[-1] is GateVerdict.PROMOTE


def test_losses_that_turn_nan_are_rolled_back_where_the_client_counts_them() -> None:
    rollout = Rollout()
    rollout.run(HOUR)
    found = []
    for _ in range(20):
        rollout.serve(n_c=5)
        rollout.canary.serve([nan] * 5)
        found.append(rollout.look())
    assert first(found, GateVerdict.ROLLBACK) <= 5


def test_nan_losses_in_both_arms_are_a_fault_of_the_telemetry() -> None:
    rollout = Rollout()
    rollout.run(HOUR)
    found = []
    for _ in range(10):
        rollout.serve(n_c=8)
        rollout.stable.serve([nan] * 8)
        rollout.canary.serve([nan] * 4)
        found.append(rollout.look())
    found += rollout.run(2 * HOUR)
    assert GateVerdict.ROLLBACK not in found


def test_sums_alone_that_are_no_numbers_decide_nothing() -> None:
    """Section 5: without buckets NaN losses are not seen, and nothing is promoted by them."""
    rollout = Rollout(rules_of(edges=(), has_squares=False))
    rollout.run(HOUR)
    rollout.canary.total[:] = nan
    before = bits(rollout.e)
    found = rollout.run(3 * HOUR)
    assert set(found) <= HOLDS
    assert bits(rollout.e) == before


# Tempering and cap


def test_a_block_is_tempered_by_what_was_known_before_it() -> None:
    """phi from past blocks only, and the gain of a block at most the cap."""
    rollout = ripe()
    for ratio in (3.0, 0.3) * 10:  # it scatters as clustered labels do
        rollout.run(1, ratio)
    for ratio in (1.0, 30.0):
        before = rollout.trial
        rollout.run(1, ratio)
        step = rollout.steps[-1][0]
        assert step.stable is not None
        assert step.canary is not None
        canary, stable = (
            Sample(delta.count[:1], delta.total[:1], None, delta.buckets[:1]) for delta in (step.canary, step.stable)
        )
        tail = before.tail_forecast.share
        found = wagers(before.scale, canary, stable, before.forecast.mean, tail, Spread(1.0, 1.0, 1.0), segments=False)
        number = len(before.scale.back.sizes)
        gained = (rollout.trial.wealth.back - before.wealth.back)[0, :number]
        expected = np.minimum(found.mean[:number] / before.tempering.phi, cap_of(0.05))
        assert gained == pytest.approx(expected, abs=1e-9)
        assert rollout.trial.tempering.phi != before.tempering.phi


def phi_of(kind: str, scrapes: int = 160) -> float:
    """Overdispersion that is believed after so many blocks."""
    chance = np.random.default_rng(11)
    rollout = Rollout(history=0)
    rollout.started = False
    for number in range(120 + RIPE + scrapes):
        rollout.started = number >= 120
        canary = chance.lognormal(-1.125, 1.5, 24) if kind == "wider canary" else chance.exponential(size=24)
        stable = chance.exponential(size=48)
        if kind == "clusters":
            # Eight labels of one user share their loss
            canary, stable = np.repeat(canary[:3], 8), np.repeat(stable[:6], 8)
        rollout.now += DT
        rollout.stable.serve(stable)
        if rollout.started:
            rollout.canary.serve(canary)
        rollout.look()
    return rollout.trial.tempering.phi


def test_independent_labels_are_hardly_tempered() -> None:
    assert phi_of("independent") < 1.5


def test_clustered_labels_are_tempered_by_about_the_design_effect() -> None:
    assert 5.0 < phi_of("clusters") < 16.0


def test_a_canary_whose_losses_spread_more_is_not_clustered() -> None:
    assert phi_of("wider canary") < 1.7


# Segments

NAMES = ("easy", "hard")


def segmented(
    ratios: dict[str, float],
    *,
    scrapes: int = 3 * HOUR,
    levels: dict[str, float] | None = None,
    n_c: dict[str, int] | None = None,
    n_s: dict[str, int] | None = None,
    seed: int = 6,
    **change: object,
) -> tuple[Rollout, list[GateVerdict]]:
    """A rollout over segments: ratio, level of the loss and labels per scrape of each."""
    names = tuple(ratios)
    rollout = Rollout(rules_of(segments=names, **change), seed=seed, history=0)
    found = []
    for number in range(120 + scrapes):
        rollout.started = number >= 120
        rollout.now += DT
        for name in names:
            level = (levels or {}).get(name, 1.0)
            rollout.stable.serve(level * rollout.draw((n_s or {}).get(name, 30)), segment=name)
            if rollout.started:
                losses = ratios[name] * level * rollout.draw((n_c or {}).get(name, 10), "canary")
                rollout.canary.serve(losses, segment=name)
        verdict = rollout.look()
        if rollout.started:
            found.append(verdict)
    return rollout, found


def test_a_change_of_the_mix_is_no_regression() -> None:
    """Simpson: the canary gets more of the hard segment, and within both segments it is as good as stable."""
    _, found = segmented(
        {"easy": 1.0, "hard": 1.0},
        levels={"hard": 5.0},
        n_c={"easy": 4, "hard": 16},
        n_s={"easy": 40, "hard": 8},
        scrapes=600,
    )
    assert GateVerdict.ROLLBACK not in found
    assert GateVerdict.PROMOTE in found


def test_a_regression_that_the_mix_hides_is_found() -> None:
    _, found = segmented(
        {"easy": 1.5, "hard": 1.5}, levels={"hard": 5.0}, n_c={"easy": 18, "hard": 2}, n_s={"easy": 10, "hard": 40}
    )
    assert GateVerdict.ROLLBACK in found
    assert GateVerdict.PROMOTE not in found


def test_one_bad_segment_rolls_back_and_is_named_by_its_e_value() -> None:
    rollout, found = segmented({"easy": 1.0, "hard": 2.5}, n_c={"easy": 40, "hard": 10}, n_s={"easy": 80, "hard": 20})
    assert GateVerdict.ROLLBACK in found
    easy, hard = rollout.e.segments_rollback
    assert hard > ENOUGH
    assert hard > easy


def test_a_promotion_needs_every_segment() -> None:
    """Good on the whole, and one segment of which nothing is known: its evidence has not come."""
    rollout, found = segmented(
        {"easy": 0.7, "hard": 1.0}, n_c={"easy": 60, "hard": 1}, n_s={"easy": 120, "hard": 20}, scrapes=40
    )
    easy, hard = rollout.e.segments_promote
    assert hard < ENOUGH <= easy
    assert GateVerdict.PROMOTE not in found
    _, found = segmented({"easy": 0.7, "hard": 0.7})
    assert GateVerdict.PROMOTE in found


def test_a_segment_that_the_canary_does_not_get_is_left_out() -> None:
    rollout, found = segmented({"easy": 2.0, "hard": 1.0}, n_c={"easy": 20, "hard": 0})
    assert GateVerdict.ROLLBACK in found
    easy, hard = rollout.e.segments_rollback
    assert hard == pytest.approx(0.0, abs=1e-9)
    assert easy > 1.0


def test_small_segments_are_judged_as_one() -> None:
    """Below a hundredth of the traffic: five rare segments together find what each alone could not."""
    names = {"main": 1.0} | {f"rare{number}": 1.0 for number in range(4)}
    n_c, n_s = dict.fromkeys(names, 1) | {"main": 300}, dict.fromkeys(names, 2) | {"main": 600}
    rollout, found = segmented(names, n_c=n_c, n_s=n_s, scrapes=HOUR)
    assert rollout.trial.scale.strata == 2
    assert len(rollout.e.segments_rollback) == len(rollout.e.segments_promote) == 2
    assert GateVerdict.ROLLBACK not in found


# Purity


@pytest.mark.parametrize("change", [{}, {"edges": ()}, {"segments": NAMES}])
def test_the_same_steps_give_the_same_bits_and_leave_the_past_alone(change: dict[str, object]) -> None:
    rollout = Rollout(rules_of(**change))
    rollout.run(HOUR, 1.2)
    states = []
    for _ in range(2):
        gate = type(rollout.gate)()
        for number, (step, started) in enumerate(rollout.steps):
            before = bits(gate) if number % 50 == 0 else None
            after = advance(gate, rollout.rules, step, started)
            assert before is None or bits(gate) == before
            gate = after
        states.append(bits(gate))
    assert states[0] == states[1] == bits(rollout.gate)


# Whatever comes

MISHAPS = (
    "serve", "serve", "bad", "zeros", "huge", "nan", "restart stable", "restart canary", "gap", "no canary",
    "no stable", "late", "old", "none", "back", "infinite",
)  # fmt: skip


def mishap(rollout: Rollout, name: str) -> GateVerdict:
    """Half a minute with something in it."""
    rollout.serve(30.0 if name == "bad" else 1.0, n_s=0 if name == "none" else 40, n_c=0 if name == "none" else 10)
    losses = {"zeros": [0.0] * 400, "huge": [1e150] * 3, "nan": [nan] * 3, "infinite": [np.inf]}.get(name, [])
    rollout.canary.serve(losses)
    if len(rollout.steps) % 2:
        rollout.stable.serve(losses)
    if name == "restart stable":
        rollout.stable = Process(rollout.rules)
    if name == "restart canary":
        rollout.canary = Process(rollout.rules)
    if name == "old":
        rollout.stable.serve(rollout.draw(300), lag=10_000.0)
    if name == "late":
        rollout.now += 7 * 3600.0
    if name == "back":
        return rollout.take(rollout.stable.counters(), rollout.canary.counters(), at=rollout.now - 4 * 3600.0)
    return rollout.look(stable=name not in ("gap", "no stable"), canary=name not in ("gap", "no canary"))


@given(
    st.lists(st.sampled_from(MISHAPS), max_size=60),
    st.sampled_from([{}, {"edges": ()}, {"edges": (), "has_squares": False}, {"lag_edges": ()}]),
    st.sampled_from([0, 5, 40]),
)
@settings(max_examples=60)
def test_no_series_breaks_the_gate(names: list[str], change: dict[str, object], history: int) -> None:
    """Every e-value stays a number, every answer is of the closed list, and nothing warns."""
    rollout = Rollout(rules_of(**change), history=history)
    rollout.run(RIPE)
    for name in names:
        assert isinstance(mishap(rollout, name), GateVerdict)
        e = rollout.e
        assert np.isfinite([e.rollback, e.promote, e.mean, e.tail or 0.0]).all()
        assert rollout.trial.tempering.phi >= 1.0


# What is not yet so


def test_a_canary_that_always_errs_beside_a_stable_that_never_does_is_rolled_back() -> None:
    rollout = Rollout(rules_of(edges=(0.0, 0.5, 1.0)), history=0)
    found = []
    for number in range(120 + HOUR):
        rollout.started = number >= 120
        rollout.now += DT
        rollout.stable.serve([0.0] * 40)
        if rollout.started:
            rollout.canary.serve([1.0] * 10)
        found.append(rollout.look())
    assert GateVerdict.ROLLBACK in found


def test_a_segment_without_losses_does_not_silence_the_others() -> None:
    chance = np.random.default_rng(1)
    rollout = Rollout(rules_of(edges=(0.0, 0.5, 1.0), segments=NAMES), history=0)
    found = []
    for number in range(120 + HOUR):
        rollout.started = number >= 120
        rollout.now += DT
        rollout.stable.serve([0.0] * 40, segment="easy")
        rollout.stable.serve((chance.random(40) < 0.2).astype(float), segment="hard")
        if rollout.started:
            rollout.canary.serve([0.0] * 10, segment="easy")
            rollout.canary.serve((chance.random(10) < 0.8).astype(float), segment="hard")
        found.append(rollout.look())
    assert GateVerdict.ROLLBACK in found


def test_a_sum_that_the_buckets_do_not_allow_is_rejected() -> None:
    rollout = ripe()
    rollout.run(5)
    blocks = rollout.blocks
    for _ in range(5):
        rollout.serve()
        # Ten labels below the last edge, 32, and a sum of a million
        assert rollout.canary.buckets[0, -1] == 0
        rollout.canary.total += 1e6
        rollout.look()
    assert rollout.blocks == blocks


def test_a_segment_without_any_traffic_holds_no_promotion_up() -> None:
    _, found = segmented({"easy": 0.6, "unheard": 1.0}, n_c={"easy": 60, "unheard": 0}, n_s={"easy": 120, "unheard": 0})
    assert GateVerdict.PROMOTE in found
