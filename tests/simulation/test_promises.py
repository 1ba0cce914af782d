"""Single promises and faults that were mended, each on the kind that shows it; all kinds: `test_every_kind.py`."""

from __future__ import annotations

import pytest

from tests.simulate.mixed import by_sort, run
from tests.simulate.words import Mode
from tests.simulation.promise import ERRORS, RATE, Judged, kept


@pytest.mark.parametrize("kind", ["no-canary-traffic", "no-labels-yet"])
def test_without_labels_nothing_is_decided(judged: Judged, kind: str) -> None:
    found = judged(kind, 5)
    assert (found.promoted.x, found.rolled_back.x) == (0, 0)
    assert {row.reason for row in found} <= {"InsufficientData", "Immature"}


def test_nan_losses_that_the_client_drops_are_not_promoted(judged: Judged) -> None:
    found = judged("nan-dropped", 5)
    assert found.false_promote.x == 0


def test_after_a_step_of_its_share_quick_labels_flatter_no_canary(judged: Judged) -> None:
    found = judged("lag-loss-ramp-worse", 6)
    assert (found.rolled_back.x, found.promoted.x) == (6, 0)


@pytest.mark.parametrize("kind", ["lag-loss-boundary", "lag-loss-ramp-boundary"])
def test_labels_that_come_the_later_the_worse_they_are_break_no_promise(judged: Judged, kind: str) -> None:
    found = judged(kind, 6)
    assert kept(found.false_promote, RATE), found.false_promote
    assert kept(found.false_rollback, RATE), found.false_rollback


def test_a_share_that_flaps_hides_few_regressions(judged: Judged) -> None:
    """What is not known of late labels holds some up until the deadline; without that knowledge two of five."""
    found = judged("flapping-medium", 8)
    assert found.rolled_back.x >= 6
    assert found.promoted.x == 0


def test_errors_that_are_known_late_are_no_drift_where_stable_loses_traffic(judged: Judged) -> None:
    found = judged("late-errors", 5)
    assert (found.false_retrain.x, found.rolled_back.x) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "minutes"),
    [("jump-after-hours", 200), ("rare-huge", 700), ("scrapes-late-large", 250), ("rare-errors-new-worse", 400)],
)
def test_regressions_that_were_held_are_rolled_back(judged: Judged, kind: str, minutes: float) -> None:
    """A late jump passed for a cluster, rare catastrophes for nothing, a late scrape for another share, and labels of
    rare errors for worth far more than they are."""
    found = judged(kind, 6)
    assert found.rolled_back.x == 6
    assert sorted(found.delays)[3] < minutes


@pytest.mark.parametrize(("kind", "minutes"), [("share-falls", 350), ("scrapes-missed", 115)])
def test_scrapes_that_are_few_or_missing_hide_no_share_and_invent_none(
    judged: Judged, kind: str, minutes: float
) -> None:
    """Two minutes apart, a share that fell was never seen: the same model was rolled back each time."""
    found = judged(kind, 8)
    assert (found.rolled_back.x, found.promoted.x) == (0, 8)
    assert sorted(found.delays)[4] < minutes


@pytest.mark.parametrize("mode", ["histogram", "squares"])
def test_rare_errors_that_no_history_tells_of_are_no_incidents(judged: Judged, mode: Mode) -> None:
    """Frozen by chance a quarter of the time, stable lacked its errors: three of ten same models were rolled back."""
    found = judged("rare-errors-new", 8, mode)
    assert found.rolled_back.x == 0


@pytest.mark.parametrize("kind", ["sharp-edge-boundary", "two-humps-boundary", "narrow-boundary"])
def test_what_buckets_misread_breaks_no_promise(judged: Judged, kind: str) -> None:
    found = judged(kind, 8)
    assert kept(found.false_rollback, RATE), found.false_rollback
    assert kept(found.false_promote, RATE), found.false_promote


@pytest.mark.timeout(240)  # twenty seconds where nothing else runs
def test_kinds_that_nobody_thought_of_are_judged_as_promised() -> None:
    for sort, found in by_sort(run(24)):
        allowed = RATE if sort == "boundary" else ERRORS
        assert kept(found.false_rollback, allowed), (sort, found.false_rollback)
        assert kept(found.false_promote, allowed), (sort, found.false_promote)


@pytest.mark.parametrize("mode", ["sums", "squares"])
@pytest.mark.parametrize("kind", ["same-exponential", "large-exponential"])
def test_without_buckets_the_same_is_found(judged: Judged, kind: str, mode: Mode) -> None:
    found = judged(kind, 8, mode)
    assert kept(found.wrong, RATE), found.wrong
    assert kept(found.missed, RATE), found.missed
