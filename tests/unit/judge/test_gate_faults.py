"""The gate on recorded series: what a fault of the telemetry costs, and that no series breaks it."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.judge.increments import Meters
from modelslo.judge.verdict import GateVerdict
from tests.unit.judge.series import (
    DT,
    HOLDS,
    HOUR,
    RIPE,
    Narrow,
    Process,
    Rollout,
    bits,
    first,
    ripe,
    rules_of,
    together,
)

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


def test_a_sum_that_is_no_number_leaves_the_buckets() -> None:
    """The histogram is still usable (section 3.3); only what it might misread is not told any more."""
    clean, broken = ripe(), ripe()
    broken.stable.total[:] = nan
    broken.canary.total[:] = nan
    clean.run(60, 1.2)
    broken.run(60, 1.2)
    assert broken.trial.misread.ratio(1.1) == 1.1
    assert broken.e.tail == clean.e.tail
    assert broken.e.rollback == pytest.approx(clean.e.rollback, abs=1)
    assert broken.e.promote == pytest.approx(clean.e.promote, abs=1)


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


@pytest.mark.parametrize("kind", [Rollout, Narrow])
def test_losses_that_turn_nan_are_rolled_back_where_the_client_counts_them(kind: type[Rollout]) -> None:
    """Also where squares are judged by, since the buckets are too wide for the losses."""
    rollout = kind()
    rollout.run(HOUR)
    found = []
    for _ in range(20):
        rollout.serve(n_c=5)
        rollout.canary.serve([nan] * 5)
        found.append(rollout.look())
    assert first(found, GateVerdict.ROLLBACK) <= 5


@pytest.mark.parametrize("kind", [Rollout, Narrow])
def test_nan_losses_in_both_arms_are_a_fault_of_the_telemetry(kind: type[Rollout]) -> None:
    rollout = kind()
    rollout.run(HOUR)
    found = []
    for _ in range(10):
        rollout.serve(n_c=8)
        rollout.stable.serve([nan] * 8)
        rollout.canary.serve([nan] * 4)
        found.append(rollout.look())
    found += rollout.run(2 * HOUR)
    assert GateVerdict.ROLLBACK not in found


def test_blocks_without_a_sum_are_no_reason_to_promote() -> None:
    """Both arms' sums turn to no number, before enough labels are there for losses that are judged by squares."""
    rollout = Narrow()
    rollout.run(RIPE)
    while rollout.compared[1] < 400:
        assert rollout.run(1) != [GateVerdict.PROMOTE]
    promote, compared = rollout.e.promote, rollout.compared
    assert promote > 3
    rollout.stable.serve([nan])
    rollout.canary.serve([nan])
    found = rollout.run(4 * HOUR)
    assert GateVerdict.PROMOTE not in found
    assert (rollout.e.promote, rollout.compared) == (promote, compared)


def test_sums_alone_that_are_no_numbers_decide_nothing() -> None:
    """Section 5: without buckets NaN losses are not seen, and nothing is promoted by them."""
    rollout = Rollout(rules_of(edges=(), has_squares=False))
    rollout.run(HOUR)
    rollout.canary.total[:] = nan
    before = bits(rollout.e)
    found = rollout.run(3 * HOUR)
    assert set(found) <= HOLDS
    assert bits(rollout.e) == before


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
