"""The gate on recorded series: what is found and what is not, clusters, segments."""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import pytest

from modelslo.judge.betting import Array, cap_of, log_mean_exp
from modelslo.judge.frozen import changed
from modelslo.judge.gate import advance
from modelslo.judge.trial import Trial
from modelslo.judge.verdict import HARM, GateVerdict, harmful, said_by
from modelslo.judge.wagers import Sample, Spread, wagers
from tests.unit.judge.series import (
    DT,
    ENOUGH,
    HOLDS,
    HOUR,
    RIPE,
    Rollout,
    bits,
    first,
    ripe,
    rules_of,
)

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
    assert log_mean_exp(wealth.rows[0], wealth.mass[0]) < 0


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


class Wide(Rollout):
    """Losses of mean one with a squared coefficient of variation of twelve."""

    def draw(self, n: int, arm: str = "stable") -> Array:
        chance = self._of_stable if arm == "stable" else self._of_canary
        return chance.lognormal(-1.28, 1.6, n)


@pytest.mark.parametrize(
    "change",
    [{}, {"edges": ()}, {"edges": (), "has_squares": False}],
    ids=["buckets", "squares", "sums"],
)
@pytest.mark.parametrize("history", [0, 120])
def test_losses_that_vary_much_are_told_apart_without_history_too(history: int, change: dict[str, object]) -> None:
    """Nothing tells then how much they vary, and bets that are made for less lose all."""
    rollout = Wide(rules_of(margin=0.3, **change), history=history)
    found = rollout.run(8 * HOUR, 1.6, n_s=60, n_c=30)
    assert GateVerdict.ROLLBACK in found
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
        shares = [one.share for one in before.tail_forecasts]
        found = wagers(
            before.scale, canary, stable, before.forecast.mean, shares, before.scale.r, Spread(1.0, 1.0, 1.0), False
        )
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


def test_a_segment_without_any_traffic_holds_no_promotion_up() -> None:
    _, found = segmented({"easy": 0.6, "unheard": 1.0}, n_c={"easy": 60, "unheard": 0}, n_s={"easy": 120, "unheard": 0})
    assert GateVerdict.PROMOTE in found


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
