"""Losses too rare for bets on the mean: which edges they are counted above, and what is tolerated there."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.betting import Array, Bets
from modelslo.judge.history import History
from modelslo.judge.scale import Data, Rules, scale_of
from modelslo.judge.tails import Tail, Tails, tails_of
from modelslo.judge.verdict import GateVerdict
from tests.unit.judge.series import EDGES, Constant, Rollout, rules_of

HOUR = 120  # scrapes


def history(rules: Rules) -> History:
    """Exponential losses of mean one."""
    return Rollout(rules).gate.history


FINE = tuple(1.3**k for k in range(-8, 14))


class Pareto(Rollout):
    """Losses of mean one with a variance of an eighth: no bet on their mean is small enough for rare catastrophes."""

    def draw(self, n: int, arm: str = "stable") -> Array:
        chance = self._of_stable if arm == "stable" else self._of_canary
        return 0.75 * (1 + chance.pareto(4.0, n))


def run(rollout: Rollout, hours: int, every: int, also_stable: bool = False) -> list[GateVerdict]:
    """With one catastrophe, forty times the mean, among `every` losses of the canary."""
    found = []
    for number in range(hours * HOUR):
        rollout.serve(n_c=20)
        if number % (every // 20) == 0:
            rollout.canary.serve([40.0])
            if also_stable:
                rollout.stable.serve([40.0, 40.0])
        found.append(rollout.look())
    return found


@pytest.mark.parametrize("margin", [0.05, 0.1, 0.5])
def test_the_tail_begins_where_at_most_a_hundredth_of_stables_losses_are(margin: float) -> None:
    """Section 4.5: the smallest edge that at most 1.2 % exceed, and the growth that an allowed rescaling explains."""
    rules = rules_of(margin=margin)
    found = history(rules)
    tail = scale_of(rules, found).tails.each[0]
    above = {cut: found.buckets[0, cut + 1 :].sum() / found.labels for cut in range(len(EDGES))}
    assert above[tail.cut] <= 0.012 < above[tail.cut - 1]
    assert tail.share == pytest.approx(above[tail.cut], abs=1 / found.labels)
    usual = max(1.5, 1.25 * tail.share ** (-margin / (1 + margin)))
    assert usual <= tail.ratio <= 1.3 * usual


@pytest.mark.parametrize("edge", [0.7, 0.85, 1.0, 1.2])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.standard_exponential(20_000),
        lambda rng: rng.standard_gamma(3.0, 20_000) / 3.0,
        lambda rng: rng.standard_gamma(25.0, 20_000) / 25.0,
        lambda rng: rng.standard_gamma(100.0, 20_000) / 100.0,
        lambda rng: rng.standard_gamma(25.0, 20_000) / 25.0 * np.where(rng.random(20_000) < 0.2, 3.4, 0.4),
        lambda rng: np.exp(rng.standard_normal(20_000) - 0.5),
        lambda rng: (1 + rng.pareto(2.5, 20_000)) * 0.6,
    ],
    ids=["exponential", "gamma 3", "gamma 25", "gamma 100", "two humps", "lognormal", "pareto"],
)
def test_a_canary_worse_by_the_margin_has_no_more_of_the_tail_than_is_tolerated(
    draw: Callable[[np.random.Generator], Array], edge: float
) -> None:
    """A light tail is left behind within the margin: an edge beyond it is taken."""
    # Given stable's history, and the same losses a tenth larger
    rules = rules_of(edges=tuple(edge * 1.9**k for k in range(-6, 8)))
    rollout, rng = Rollout(rules, history=0), np.random.default_rng(3)
    rollout.started = False
    for _ in range(5):
        rollout.now += 30.0
        rollout.stable.serve(draw(rng))
        rollout.look()
    tails = scale_of(rules, rollout.gate.history).tails.each
    worse = 1.1 * draw(np.random.default_rng(4))
    # Then what exceeds an edge is within what is tolerated
    assert tails
    for tail in tails:
        assert (worse > rules.edges[tail.cut]).mean() <= max(1.1 * tail.ratio * tail.share, tail.tolerated)


@pytest.mark.parametrize("squares", [True, False])
@pytest.mark.parametrize("history", [3, 120])
@pytest.mark.parametrize(
    "edges", [(1.0, 2.0, 5.0, 10.0), (0.5, 1.0, 2.0, 4.0, 8.0), (0.33, 1.0, 3.0, 9.0), EDGES], ids=str
)
def test_losses_just_below_an_edge_have_no_tail_there(edges: tuple[float, ...], history: int, squares: bool) -> None:
    """A little more of all of them is much more above the edge, and no catastrophe."""
    rollout = Constant(rules_of(edges=edges, has_squares=squares), history=history, mean=0.9)
    found = rollout.run(240, 1.05)
    assert GateVerdict.ROLLBACK not in found
    assert rollout.e.tail is None or rollout.e.tail < 1


def test_there_is_no_tail_where_only_means_matter_or_none_can_be_seen() -> None:
    rules = rules_of(tail=False)
    assert scale_of(rules, history(rules)).tails.each == ()
    coin = rules_of(edges=(0.0, 0.5))
    assert scale_of(coin, history(coin)).tails.each == ()


def test_catastrophes_begin_at_twenty_times_the_mean() -> None:
    rules = rules_of(edges=FINE)
    large, catastrophes = scale_of(rules, Pareto(rules).gate.history).tails.each
    assert FINE[large.cut] < 4
    assert 20 <= FINE[catastrophes.cut] < 26
    # A quarter of the margin
    assert catastrophes.tolerated * FINE[catastrophes.cut] == pytest.approx(0.1 / 4, rel=0.05)
    assert (large.tolerated, len(large.bets), len(catastrophes.bets)) == (0.0, 1, 2)


def test_one_edge_does_where_no_other_tells_more() -> None:
    edges, counts = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0), np.array([4000.0, 3000, 2000, 900, 90, 10, 2, 0])
    assert [tail.cut for tail in tails_of(edges, counts, 1.2, 0.1)] == [3, 6]
    # Buckets that do not reach twenty times the mean, and nothing between the two edges
    assert [tail.cut for tail in tails_of(edges[:-1], np.array([*counts[:-2], 2]), 1.2, 0.1)] == [3]
    counts[4:7] = 0.0
    assert [tail.cut for tail in tails_of(edges, counts, 1.2, 0.1)] == [4]


def test_rare_catastrophes_of_losses_that_vary_little_are_rolled_back() -> None:
    """One of 240, a sixth more loss: bets for so small a variance lose all on the many, whatever the few say."""
    rollout = Pareto(rules_of(edges=FINE))
    found = run(rollout, 6, 240)
    assert rollout.trial.scale.data is Data.HISTOGRAM
    assert GateVerdict.ROLLBACK in found
    assert GateVerdict.PROMOTE not in found[: found.index(GateVerdict.ROLLBACK)]


@pytest.mark.parametrize(("every", "also_stable"), [(240, True), (2400, False)], ids=["of the world", "too few"])
def test_catastrophes_that_say_nothing_are_held_against_no_canary(every: int, also_stable: bool) -> None:
    """Where stable has as many, and where they are a sixth of the margin."""
    rollout = Pareto(rules_of(edges=FINE))
    assert GateVerdict.ROLLBACK not in run(rollout, 6, every, also_stable)
    assert rollout.e.tail is not None
    assert rollout.e.tail < log(2)


def bet(ratio: float, tolerated: float, share: float, canary: tuple[int, int], stable: tuple[int, int]) -> Array:
    """ln e per row and bet, of labels and bad events of each arm. Losses are bad in the second of two buckets."""
    bets = Bets(np.array([1e-4, 0.01, 0.1, 0.3, 0.6, 0.9]), np.zeros(6))
    tails = Tails.of((Tail(0, share, ratio, (bets, bets), tolerated),), 2)
    of_canary, of_stable = (
        (np.array([float(n)]), np.array([[n - bad, bad]], dtype=float)) for n, bad in (canary, stable)
    )
    return tails.log_e(of_canary, of_stable, [share])


@given(
    share=st.floats(1e-5, 0.2),
    r=st.floats(1.05, 4.0),
    tolerated=st.floats(1e-6, 0.5),
    wrong=st.floats(-3, 3),
    n_c=st.integers(1, 10**5),
    n_s=st.integers(1, 10**5),
)
def test_rare_events_give_no_favourable_bet(
    share: float, r: float, tolerated: float, wrong: float, n_c: int, n_s: int
) -> None:
    """At the boundary: the canary's tail is r times as likely as stable's, or just what is tolerated."""

    def found(bad_c: int, bad_s: int) -> Array:
        return bet(r, tolerated, min(0.9, share * exp(wrong)), (n_c, bad_c), (n_s, bad_s))

    base = found(0, 0)
    of_canary, of_stable = np.exp((found(n_c, 0) - base) / n_c), np.exp((found(0, n_s) - base) / n_s)
    for row, bad in enumerate((r * share, tolerated)):
        mean = base[row] + n_c * np.log1p(bad * (of_canary[row] - 1)) + n_s * np.log1p(share * (of_stable[row] - 1))
        assert (mean <= 1e-6).all()


@pytest.mark.parametrize("share", [1e-300, 1e-320, 0.0])
def test_a_tail_that_was_not_seen_for_a_month_is_still_bet_on(share: float) -> None:
    """The forecast fades by the hour, and underflows."""
    found = bet(1.5, 0.001, share, (100, 3), (900, 0))
    assert np.isfinite(found).all()
    assert (found[:, :3] > 0).all()


def test_bad_events_are_added_over_strata() -> None:
    tails = Tails.of(tails_of(FINE, Pareto(rules_of(edges=FINE)).gate.history.buckets[0], 1.0, 0.1), len(FINE) + 1)
    chance, shares = np.random.default_rng(2), [0.3, 0.1]
    canary, stable = (
        (np.full(2, float(n)), chance.multinomial(n, np.ones(23) / 23, 2).astype(float)) for n in (30, 70)
    )
    one, other = (
        tails.log_e((canary[0][row], canary[1][row]), (stable[0][row], stable[1][row]), shares) for row in ([0], [1])
    )
    assert tails.log_e(canary, stable, shares) == pytest.approx(one + other)
    assert one.shape == tails.sizes.shape == (3, 6)
