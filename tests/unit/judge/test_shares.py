"""When the canary's share changes, its labels are of another age than stable's."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.betting import Array
from modelslo.judge.shares import Counted, Shares, ages, recent, shared, unseen
from tests.unit.judge.series import RIPE, Rollout

DT = 30.0
SPAN = 300.0
EDGES = (60.0, 600.0, 1800.0, 3600.0)


def run(
    predictions: Iterable[tuple[float, float]], shares: Shares | None = None, at: float = 0.0, dt: float = DT
) -> Shares:
    """One scrape of (canary, stable) after the other, `dt` apart."""
    found = shares or Shares()
    for canary, stable in predictions:
        at += dt
        found = shared(found, at, dt, canary, stable, SPAN)
    return found


def at_random(chance: np.random.Generator, rate: float, share: float, scrapes: int) -> list[tuple[float, float]]:
    return [(float(chance.poisson(rate * share)), float(chance.poisson(rate * (1 - share)))) for _ in range(scrapes)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("rate", [2.0, 30.0, 1000.0])
def test_chance_is_no_change(rate: float, share: float) -> None:
    chance = np.random.default_rng(3)
    changes = [len(run(at_random(chance, rate, share, 2880)).stretches) - 1 for _ in range(10)]
    assert sum(changes) <= 4, changes  # in ten days, and to odds that are hardly others


@pytest.mark.parametrize(("before", "after"), [(0.01, 0.05), (0.05, 0.25), (0.25, 0.5), (0.5, 0.05)])
def test_a_step_is_seen_within_minutes(before: float, after: float) -> None:
    chance = np.random.default_rng(4)
    for _ in range(10):
        usual = run(at_random(chance, 150.0, before, 60))
        now = run(at_random(chance, 150.0, after, 20), usual, 60 * DT)
        assert 60 * DT <= now.since <= 70 * DT
        assert now.stretches[-1].odds == pytest.approx(after / (1 - after), rel=0.4)


@pytest.mark.parametrize("dt", [60.0, 120.0, 300.0])
@pytest.mark.parametrize(("before", "after"), [(0.1, 0.3), (0.3, 0.1)])
def test_a_step_is_seen_within_four_scrapes_that_are_far_apart(before: float, after: float, dt: float) -> None:
    chance = np.random.default_rng(7)
    for _ in range(10):
        usual = run(at_random(chance, 1000.0, before, 60), dt=dt)
        now = run(at_random(chance, 1000.0, after, 4), usual, 60 * dt, dt)
        assert 60 * dt <= now.since <= 61 * dt  # in a window that began before it, the first scrape may not stand out
        # And one scrape is no step
        assert run(at_random(chance, 1000.0, after, 1), usual, 60 * dt, dt).since == usual.since


def test_clusters_of_predictions_are_no_change() -> None:
    """Ten of one user at once."""
    chance = np.random.default_rng(5)
    found = run([(10 * a, 10 * b) for a, b in at_random(chance, 6.0, 0.25, 2880)])
    # What is taken for one is so rare and short that hardly any label is of it
    assert len(found.stretches) <= 3


@pytest.mark.parametrize("pods", [1, 2, 4])
@pytest.mark.parametrize("rate", [20.0, 100.0, 1000.0])
def test_a_scrape_that_comes_late_is_no_change(rate: float, pods: int) -> None:
    """A pod's counter stands still for once, and makes up for it with the next scrape."""
    # Given both arms' pods, each of which is not scraped in one of thirty rounds, never twice in a row
    chance = np.random.default_rng(6)
    found, late = Shares(), np.zeros((2, pods))
    for number in range(2880):
        made = late + chance.poisson(rate / pods * np.array([[0.2], [0.8]]), (2, pods))
        missed = (chance.random((2, pods)) < 1 / 30) & (late == 0)
        late = np.where(missed, made, 0.0)
        canary, stable = (made - late).sum(axis=1).tolist()
        found = shared(found, (number + 1) * DT, DT, canary, stable, SPAN)
    # Then in a day hardly anything is taken for another share
    assert len(found.stretches) <= 4


@given(st.sampled_from([30.0, 60.0, 120.0]), st.lists(st.sampled_from(["", "canary", "stable", "both"]), max_size=30))
def test_arms_that_stand_still_in_turn_are_no_change(dt: float, stills: list[str]) -> None:
    """Each makes up for it at the next scrape, at which the other may stand still."""
    found, at = run([(10.0, 90.0)] * 60, dt=dt), 60 * dt
    late = {"canary": 0.0, "stable": 0.0}
    for still in [*stills, "", ""]:
        shown = []
        for arm, made in (("canary", 10.0), ("stable", 90.0)):
            made += late[arm]
            stands = still in (arm, "both") and not late[arm]  # never twice in a row
            late[arm], made = (made, 0.0) if stands else (0.0, made)
            shown.append(made)
        at += dt
        found = shared(found, at, dt, shown[0], shown[1], SPAN)
    assert len(found.stretches) == 1


def scraped(
    chance: np.random.Generator, shares: Iterable[float], dt: float, *, late: float = 0.0, missing: float = 0.0
) -> list[Shares]:
    """800 predictions a minute at these shares. So many samples of an arm are those of before, or none."""
    found, history, made = Shares(), [], np.zeros(2)
    seen = np.zeros(2)
    for number, share in enumerate(shares):
        made = made + chance.poisson(800 / 60 * dt * np.array([share, 1 - share]))
        if (chance.random(2) < missing).any():
            found = unseen(found)
        else:
            shown = np.where(chance.random(2) < late, seen, made)
            canary, stable = (shown - seen).tolist()
            found, seen = shared(found, (number + 1) * dt, dt, canary, stable, SPAN), shown
        history.append(found)
    return history


@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_scrapes_that_come_late_or_not_at_all_hardly_invent_a_share(missing: float) -> None:
    """Were an arm that stands still not waited for, 75 times; not after a missing scrape, 20 times."""
    # Given five days at one share, of whose scrapes one in twenty is late
    days = [
        scraped(np.random.default_rng(seed), [0.3] * 1440, 60.0, late=0.05, missing=missing)[-1] for seed in range(5)
    ]
    # Then nearly nothing is taken for another share
    assert sum(len(one.stretches) - 1 for one in days) <= 12


@pytest.mark.parametrize("missing", [0.0, 0.1])
@pytest.mark.parametrize("dt", [15.0, 30.0, 60.0, 120.0])
def test_that_an_arm_gets_nothing_any_more_is_seen(dt: float, missing: float) -> None:
    """A wait that begins anew with each missing scrape would never end."""
    scrapes = round(5400 / dt)
    for seed in range(20):
        # Given a share of a fifth, and then none
        shares = [0.2] * scrapes + [0.0] * scrapes
        history = scraped(np.random.default_rng(seed), shares, dt, missing=missing)
        # Then that is seen within minutes, or some scrapes
        seen = next(number for number, one in enumerate(history) if len(one.stretches) > 1)
        assert scrapes <= seen
        assert (seen + 1 - scrapes) * dt <= max(720.0, 15 * dt)


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_an_arm_that_is_missing_is_no_change(seen: list[bool]) -> None:
    """Its next increment is of all the time in between."""
    found, at, waiting = run([(10.0, 90.0)] * 60), 60 * DT, 0
    for one in [*seen, True, True]:
        at += DT
        waiting += 1
        if not one:
            found = unseen(found)
            continue
        found, waiting = shared(found, at, DT, 10.0 * waiting, 90.0, SPAN), 0
    assert len(found.stretches) == 1


def of(*stretches: tuple[float, float, float]) -> Shares:
    return Shares(tuple(Counted(*one) for one in stretches))


def distance(shares: Shares, counts: Array, at: float) -> float:
    return ages(shares, counts, EDGES, at).apart


def test_from_nothing_to_something_it_is_the_part_of_the_labels_from_before() -> None:
    """The study's rule for the first prediction."""
    counts = np.array([500.0, 300.0, 150.0, 50.0, 0.0])
    shares = of((0.0, 0.0, 1e9), (5000.0, 1e6, 9e6))
    for age, older in ((600.0, 0.2), (1800.0, 0.05), (3600.0, 0.0)):
        assert distance(shares, counts, 5000.0 + age) == pytest.approx(older, abs=1e-3)


def test_the_same_share_again_is_none_apart() -> None:
    counts = np.array([500.0, 300.0, 150.0, 50.0, 0.0])
    assert distance(of((0.0, 1e6, 9e6), (5000.0, 2e6, 18e6)), counts, 5100.0) == pytest.approx(0.0, abs=1e-5)
    # From 10 to 50 %: of labels that are half from before, a ninth as many of those are the canary's
    assert distance(of((0.0, 1e6, 9e6), (5000.0, 1e6, 1e6)), np.array([0.5, 0.5, 0.0, 0.0, 0.0]), 5060.0) == (
        pytest.approx(0.4, abs=1e-3)
    )


def test_what_the_canary_lacks_is_told_per_delay() -> None:
    counts = np.array([500.0, 300.0, 150.0, 50.0, 0.0])
    # From 10 to 50 % thirty minutes ago: of what takes longer it has a ninth
    grown = ages(of((0.0, 1e6, 9e6), (5000.0, 1e6, 1e6)), counts, EDGES, 6800.0)
    assert grown.missing == pytest.approx([0, 0, 0, 8 / 9, 8 / 9], abs=1e-5)
    # And back: of what is quicker
    shrunk = ages(of((0.0, 1e6, 1e6), (5000.0, 1e6, 9e6)), counts, EDGES, 6800.0)
    assert shrunk.missing == pytest.approx([8 / 9, 8 / 9, 8 / 9, 0, 0], abs=1e-5)


@given(
    st.lists(st.tuples(st.floats(1, 1e4), st.floats(0, 1e6), st.floats(0, 1e6)), min_size=2, max_size=12),
    st.lists(st.floats(0, 1e4), min_size=5, max_size=5).filter(lambda counts: sum(counts) > 1),
)
def test_what_is_missing_is_a_part_and_one_share_lacks_nothing(
    steps: list[tuple[float, float, float]], counts: list[float]
) -> None:
    at, stretches = 0.0, []
    for lasting, canary, stable in steps:
        stretches.append((at, canary, stable))
        at += lasting
    found = ages(of(*stretches), np.array(counts), EDGES, at)
    assert found.missing.min() == pytest.approx(0.0, abs=1e-9)
    assert found.missing.max() <= 1.0
    assert -1e-9 <= found.apart <= 1.0
    same = ages(of(*((since, 10.0, 90.0) for since, _, _ in stretches)), np.array(counts), EDGES, at)
    assert same.missing == pytest.approx(np.zeros(5), abs=1e-9)
    assert same.apart == pytest.approx(0.0, abs=1e-9)


def test_stretches_that_no_label_is_of_are_forgotten() -> None:
    shares, counts = of((0.0, 10.0, 90.0), (1000.0, 50.0, 50.0), (9000.0, 10.0, 90.0)), np.array([9.0, 1, 0, 0, 0])
    found = ages(shares, counts, EDGES, 9100.0)
    assert recent(shares, found).stretches == shares.stretches[1:]
    found = ages(shares, counts, EDGES, 20000.0)
    assert recent(shares, found).stretches == shares.stretches[2:]


def test_behind_a_step_of_the_share_nothing_is_compared_until_labels_are_of_it() -> None:
    """Its labels are quicker than stable's until then."""
    # Given labels after 20 minutes, and a canary that has been compared for a while
    rollout = Rollout(history=120)
    rollout.run(RIPE + 60, n_s=60, n_c=4, lag=1200.0)
    compared = rollout.blocks
    assert compared > 5
    # When its share goes from 6 to 40 %
    rollout.run(5, n_s=60, n_c=40, lag=1200.0)
    seen = rollout.blocks
    assert seen - compared <= 3
    # Then blocks begin again when nearly all labels are of predictions of then
    rollout.run(20, n_s=60, n_c=40, lag=1200.0)
    assert rollout.blocks == seen
    rollout.run(60, n_s=60, n_c=40, lag=1200.0)
    assert rollout.blocks > seen


def test_a_share_that_changes_before_the_first_label_is_known() -> None:
    """A new model whose labels take hours: there is no law of the delays so far."""
    rollout = Rollout(history=0)
    for canary, scrapes in ((2, 60), (40, 60)):
        for _ in range(scrapes):
            rollout.now += 30.0
            rollout.stable.serve([], predictions=60.0)
            rollout.canary.serve([], predictions=float(canary))
            rollout.look()
    assert len(rollout.trial.shares.stretches) == 2
    assert not rollout.trial.ripe
