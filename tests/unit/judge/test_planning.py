"""The planning rule: numbers of the study, what must be monotone, and an inverse that inverts."""

from __future__ import annotations

from math import inf, log, log1p

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from modelslo.judge.planning import (
    LARGEST_MARGIN,
    Course,
    Luck,
    Outcome,
    Promise,
    Traffic,
    forecast,
    labels_needed,
    least_labels,
    smallest_margin,
)
from modelslo.judge.verdict import DOUBT_PROMOTION, DOUBT_ROLLBACK

PROMISE = Promise(0.1)
NO_LIMIT = 1.0  # `top`: losses that cannot be large forbid no bet

promises = st.builds(Promise, st.floats(0.01, 0.5), st.floats(0.005, 0.3), st.floats(0.005, 0.3))
traffics = st.builds(Traffic, st.floats(0.005, 100), st.floats(0.01, 20), st.floats(1, 8), st.floats(1.25, 200))
shares = st.lists(st.floats(0.01, 0.5), min_size=1, max_size=4, unique=True).map(lambda found: tuple(sorted(found)))
courses = st.builds(
    Course,
    shares,
    step_duration=st.floats(60, 3600),
    warmup=st.floats(0, 900),
    delay=st.floats(0, 7200),
    least_labels=st.floats(1, 500),
)
effects = st.floats(0.5, 3)
lucks = st.sampled_from(Luck)


def seconds(promise: Promise, traffic: Traffic, course: Course, ratio: float, luck: Luck = Luck.TYPICAL) -> float:
    found = forecast(promise, traffic, course, ratio, luck)
    return inf if found is None else found.seconds


@pytest.mark.parametrize(("ratio", "share"), [(1.0, 0.1), (0.9, 0.5), (1.25, 0.1), (2.0, 0.25)])
def test_the_rule_of_section_8(ratio: float, share: float) -> None:
    kappa, r, cv2, phi = share / (1 - share), 1.1, 2.0, 1.5

    def per_nat(ratio: float) -> float:
        return 2 * cv2 * (ratio**2 + r**2 * kappa) / (ratio - r) ** 2

    traffic = Traffic(2.0, cv2, phi, NO_LIMIT if ratio < r else 1.25)
    found = labels_needed(PROMISE, traffic, share, ratio)
    # What is kept back goes by what the labels were worth on a canary a margin off the margin.
    kept = log1p(found / per_nat(1.0) / DOUBT_PROMOTION if ratio < r else found / per_nat(1.2) / DOUBT_ROLLBACK)
    assert found == pytest.approx(phi * (log(20) + 1.5 + kept) * per_nat(ratio))
    assert least_labels(PROMISE, traffic, share, ratio) == pytest.approx(log(20) * per_nat(ratio))


def test_large_losses_forbid_large_bets() -> None:
    """The exact bound of `same-exponential` in the simulator is 1,773 labels; the rule without a limit says 682."""
    assert least_labels(PROMISE, Traffic(8.0, 1.0, 1.0, NO_LIMIT), 0.1, 1.0) == pytest.approx(680, rel=0.01)
    assert least_labels(PROMISE, Traffic(8.0, 1.0, 1.0, 48.2), 0.1, 1.0) == pytest.approx(1773, rel=0.06)


def test_each_error_rate_belongs_to_its_verdict() -> None:
    strict = Promise(0.1, alpha=0.01, beta=0.2)
    assert (strict.outcome(1.0), strict.outcome(1.2)) == (Outcome.PROMOTE, Outcome.ROLLBACK)
    traffic = Traffic(2.0, 1.0)
    assert labels_needed(strict, traffic, 0.1, 1.0) < labels_needed(PROMISE, traffic, 0.1, 1.0)
    assert labels_needed(strict, traffic, 0.1, 1.2) > labels_needed(PROMISE, traffic, 0.1, 1.2)


def test_at_the_margin_there_is_no_verdict() -> None:
    traffic, course = Traffic(2.0, 1.0), Course((0.1,))
    assert forecast(PROMISE, traffic, course, 1.1) is None
    assert labels_needed(PROMISE, traffic, 0.1, 1 + 0.1) == inf
    assert least_labels(PROMISE, traffic, 0.1, 1.1) == inf
    assert seconds(PROMISE, traffic, course, 1.1 + 1e-6) > 1e9


def test_time_is_labels_over_their_rate_and_the_waits() -> None:
    traffic, course = Traffic(2.0, 1.0), Course((0.1,), warmup=300, delay=600)
    found = forecast(PROMISE, traffic, course, 1.2)
    assert found is not None
    assert found.seconds == pytest.approx(900 + found.labels / 0.2)
    assert found.labels == pytest.approx(0.85 * labels_needed(PROMISE, traffic, 0.1, 1.2))


def test_with_many_labels_the_waits_are_left() -> None:
    flood = Traffic(1e6, 1.0)
    course = Course((0.1,), warmup=300, interval=60, least_age=600)
    assert seconds(PROMISE, flood, course, 5.0) == pytest.approx(300 + 2 * 60)  # two blocks
    assert seconds(PROMISE, flood, course, 0.5) == pytest.approx(600)  # five blocks, and the least age
    assert seconds(PROMISE, flood, Course((0.1,), warmup=600), 0.5) == pytest.approx(600 + 5 * 60)


def test_few_labels_make_long_blocks() -> None:
    """A block waits for five labels of both arms, ten minutes at most, and for one in any case."""
    course = Course((0.1,), warmup=0)
    assert seconds(PROMISE, Traffic(0.02 / 0.1, 1e-6), course, 50.0) == pytest.approx(2 * 5 / 0.02)
    assert seconds(PROMISE, Traffic(0.004 / 0.1, 1e-6), course, 50.0) == pytest.approx(2 * 600)
    assert seconds(PROMISE, Traffic(0.001 / 0.1, 1e-6), course, 50.0) == pytest.approx(2 * 1000)


def test_the_steps_lie_between_their_shares() -> None:
    traffic = Traffic(2.0, 1.0)
    course = Course((0.1, 0.25, 0.5), warmup=0)
    staged, slow, fast = (seconds(PROMISE, traffic, one, 1.0) for one in (course, course.at(0.1), course.at(0.5)))
    assert fast < staged < slow


def test_a_step_waits_for_least_labels_and_every_change_for_the_delay() -> None:
    # 100 labels at 0.01/s take 10,000 s on the first step; the last one has no end.
    traffic = Traffic(0.1, 1.0)
    course = Course((0.1, 0.5), step_duration=600, warmup=0, delay=50, least_labels=100)
    found = forecast(PROMISE, traffic, course, 1.2)
    assert found is not None
    assert found.labels == pytest.approx(100 + (found.seconds - 10_050 - 50) * 0.05)


@given(promises, traffics, courses, effects, lucks, st.floats(1.01, 4))
def test_more_labels_never_take_longer(
    promise: Promise, traffic: Traffic, course: Course, ratio: float, luck: Luck, factor: float
) -> None:
    """At one share: an earlier step up interrupts the judging for the label delay."""
    assume(abs(ratio - promise.r) > 1e-3)
    course = course.at(course.shares[0])
    more = Traffic(traffic.rate * factor, traffic.cv2, traffic.phi, traffic.top)
    assert seconds(promise, more, course, ratio, luck) <= seconds(promise, traffic, course, ratio, luck) * (1 + 1e-9)


@given(promises, traffics, courses, effects, lucks, st.floats(1.01, 4))
def test_variance_and_clustering_never_help(
    promise: Promise, traffic: Traffic, course: Course, ratio: float, luck: Luck, factor: float
) -> None:
    assume(abs(ratio - promise.r) > 1e-3)
    least = seconds(promise, traffic, course, ratio, luck) * (1 - 1e-9)
    wilder = Traffic(traffic.rate, traffic.cv2 * factor, traffic.phi, traffic.top)
    clustered = Traffic(traffic.rate, traffic.cv2, traffic.phi * factor, traffic.top)
    assert seconds(promise, wilder, course, ratio, luck) >= least
    assert seconds(promise, clustered, course, ratio, luck) >= least


@given(promises, traffics, courses, st.floats(0.5, 1), lucks, st.floats(1.01, 4))
def test_a_wider_margin_promotes_no_later(
    promise: Promise, traffic: Traffic, course: Course, ratio: float, luck: Luck, factor: float
) -> None:
    wider = Promise(promise.margin * factor, promise.alpha, promise.beta)
    assert seconds(wider, traffic, course, ratio, luck) <= seconds(promise, traffic, course, ratio, luck) * (1 + 1e-9)


@given(promises, traffics, courses, effects)
def test_nine_of_ten_is_no_sooner_than_typical_and_nothing_beats_the_bound(
    promise: Promise, traffic: Traffic, course: Course, ratio: float
) -> None:
    assume(abs(ratio - promise.r) > 1e-3)
    typical, nine = (seconds(promise, traffic, course, ratio, luck) for luck in Luck)
    assert typical <= nine
    share = course.shares[0]
    assert least_labels(promise, traffic, share, ratio) < labels_needed(promise, traffic, share, ratio)


@settings(max_examples=40)
@given(promises, traffics, courses, lucks)
def test_the_smallest_margin_inverts_the_time(promise: Promise, traffic: Traffic, course: Course, luck: Luck) -> None:
    within = seconds(promise, traffic, course, 1.0, luck)
    margin = smallest_margin(promise, traffic, course, within * (1 + 1e-9), luck)
    assert margin is not None
    assert margin <= promise.margin * (1 + 1e-5)
    again = Promise(margin, promise.alpha, promise.beta)
    # It keeps the time, and one a little smaller would not, unless the waits alone take that long.
    assert seconds(again, traffic, course, 1.0, luck) <= within * (1 + 1e-8)
    tighter = Promise(margin * 0.999, promise.alpha, promise.beta)
    if margin > 1.01e-4:
        assert seconds(tighter, traffic, course, 1.0, luck) > within


def test_what_no_margin_can_keep() -> None:
    traffic, course = Traffic(2.0, 1.0), Course((0.1,), warmup=300, delay=600)
    assert smallest_margin(PROMISE, traffic, course, 900) is None
    assert smallest_margin(PROMISE, Traffic(1e-4, 1.0), course, 86_400) is None
    found = smallest_margin(PROMISE, traffic, course, 7200)
    assert found is not None
    assert 0 < found < LARGEST_MARGIN
