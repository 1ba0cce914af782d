"""A shadow is compared like any canary; what users get is not its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.api.spec import Severity
from modelslo.judge.arms import Arms, seen
from modelslo.judge.budget import health_of
from modelslo.judge.judgement import Memory, judge
from modelslo.judge.problem import Unknown
from modelslo.judge.scene import Scene, Span
from modelslo.judge.shadow import Shadow, hidden
from modelslo.judge.upstream import signs_of
from modelslo.observe.evidence import Increment, Losses, Slice, SliceTable
from tests.unit.judge.make import INTERVAL, cell, evidence, judged, parameters, scene

GOOD, BAD = 1.0, 3.0


def both(stable: float, shadow: float, slices: int = 100) -> SliceTable:
    """Ten samples of either in each slice of a minute: a mirror copies everything."""
    sums = {"v1": (10 * stable, 10.0), "v2": (10 * shadow, 10.0)}
    return SliceTable(60.0, 0, slices - 1, tuple(Slice(number, sums) for number in range(slices)))


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [(0, 60, False), (60, 120, True), (90, 150, True), (200, 260, True), (290, 350, True), (300, 360, False)],
)
def test_a_version_is_hidden_while_it_is_a_shadow_in_a_part_of_the_time(start: float, end: float, found: bool) -> None:
    assert hidden([Shadow("v2", 100.0, 300.0)], start, end) == (frozenset({"v2"}) if found else frozenset())


def test_without_an_end_it_is_one_to_this_day() -> None:
    assert hidden([Shadow("v2", 0.0)], 1e9, 2e9) == {"v2"}
    assert hidden([], 0.0, 1.0) == frozenset()


def test_the_sli_and_the_budget_are_of_stable_alone() -> None:
    # Given a shadow that is far beyond the target, and stable that is not
    table, shadow = both(GOOD, BAD), [Shadow("v2", 0.0)]
    assert health_of(table, parameters()).sli.value == pytest.approx(2.0)
    # Then users got what stable said
    found = health_of(table, parameters(), shadows=shadow)
    assert found.sli.value == pytest.approx(GOOD)
    assert found.sli.samples == 10
    assert (found.good, found.bad, found.remaining) == (100, 0, 1.0)
    assert found.burning(Severity.FAST) is False
    # And a good shadow hides nothing
    assert health_of(both(BAD, 0.1), parameters(), shadows=shadow).bad == 100


def test_slices_before_and_behind_count_what_users_saw() -> None:
    # Given v2 as a shadow in slices 20 to 59, and promoted then
    found = health_of(both(GOOD, 2 * BAD), parameters(), shadows=[Shadow("v2", 1200.0, 3600.0)])
    assert (found.good, found.bad) == (40, 60)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=3), st.integers(1, 99))
def test_going_on_from_an_earlier_table_changes_nothing(times: list[tuple[int, int]], known: int) -> None:
    """A shadow begins, and ends, behind the slices that are closed by then."""
    shadows = [Shadow("v2", 60.0 * min(one), 60.0 * max(one)) for one in times]
    before = health_of(both(GOOD, 2 * BAD, known), parameters(), shadows=[
        Shadow(one.version, one.since, one.until if one.until is not None and one.until <= 60 * known else None)
        for one in shadows if one.since <= 60 * known
    ])  # fmt: skip
    table = both(GOOD, 2 * BAD)
    assert health_of(table, parameters(), before=before, shadows=shadows) == health_of(
        table, parameters(), shadows=shadows
    )


def increment(number: int, version: str, labels: float = 90.0) -> Increment:
    losses = Losses(labels, labels)
    return Increment((number - 1) * INTERVAL, number * INTERVAL, version, "", losses, labels / 0.9)


def test_a_mirror_is_no_change_of_the_volume() -> None:
    """Given a shadow from minute 56 on, while the users' requests fall to a quarter: half of them are seen in all."""
    arms = Arms()
    for number in range(1, 61):
        shadowed = number > 55
        labels = 90.0 / 4 if shadowed else 90.0
        versions = ("v1", "v2") if shadowed else ("v1",)
        arms = seen(
            arms, tuple(increment(number, one, labels) for one in versions), parameters(), (), frozenset({"v2"})
        )
    assert [one.words for one in signs_of(arms, parameters())][:3] == [
        "predictions come at 0.25 times their pace before",
        "labels come at 0.25 times their pace before",
        "90% of the predictions get labels, 90% before",
    ]
    # And what is shown of the versions has both
    assert arms.share("v2") == pytest.approx(5 / (5 + 5 + 4 * 15))


def test_a_cell_of_the_shadow_alone_is_time_in_which_users_asked_nothing() -> None:
    arms = seen(Arms(), (increment(1, "v2"),), parameters(), (), frozenset({"v2"}))
    assert (arms.counts[-1].end, arms.counts[-1].predictions) == (INTERVAL, 0.0)


def test_the_comparison_is_that_of_any_canary() -> None:
    looks = [
        evidence([cell(number, "v1", [0.9, 1.1] * 20), cell(number, "v2", [1.8, 2.2] * 20)]) for number in range(1, 30)
    ]
    plain, _ = judged(looks, scene())
    shadow, _ = judged(looks, Scene("v1", "v2", 0.0, (Span(0.0, 0.0),), (Shadow("v2", 0.0),)))
    assert shadow.canary == plain.canary
    assert shadow.arms.by_version == plain.arms.by_version
    assert shadow.arms.counts[-1].predictions * 2 == plain.arms.counts[-1].predictions


def test_a_shadow_that_nobody_sees_predict_asks_for_its_mirror() -> None:
    at = Scene("v1", "v2", 0.0, (Span(0.0, 0.0),), (Shadow("v2", 0.0),))
    found, _ = judge(parameters(), Memory(), evidence([cell(1, "v1", [1.0])]), at)
    assert found.problem is not None
    assert found.problem.reason is Unknown.VERSION_NOT_SEEN
    assert "Does the mirror copy requests to the shadow?" in found.problem.message
    other, _ = judge(parameters(), Memory(), evidence([cell(1, "v1", [1.0])]), scene())
    assert other.problem is not None
    assert "mirror" not in other.problem.message
