"""What is promised (section 1), counted over twenty traces of every kind of the simulator, with exact binomial bounds.

A share of wrong verdicts breaks the promise when its lower 95 % bound is above what the study allows: more than chance
could do. It takes a few minutes of two cores; `python -m tests.simulate report --traces 200` is the large one.
"""

from __future__ import annotations

import pytest

from tests.simulate.kinds import KINDS
from tests.simulate.results import Results
from tests.simulation.promise import ERRORS, MISSED, RATE, STRONG, Judged, kept

pytestmark = pytest.mark.timeout(300)  # ten seconds where nothing else runs


def names(group: str) -> list[str]:
    return [name for name, kind in KINDS.items() if kind.group == group]


@pytest.mark.parametrize("kind", names("canary"))
def test_a_canary_is_judged_rightly(judged: Judged, kind: str) -> None:
    found = judged(kind)
    assert kept(found.wrong, ERRORS), found.wrong
    assert kept(found.missed, MISSED), found.missed


def test_all_canaries_together_keep_the_promise(judged: Judged) -> None:
    """Three wrong actions of 1,100 would be two too many, though no kind alone could tell."""
    together = Results(tuple(row for kind in names("canary") for row in judged(kind)))
    assert kept(together.wrong, ERRORS), together.wrong
    assert kept(together.missed, MISSED), together.missed
    assert together.false_promote.x == 0


@pytest.mark.parametrize("kind", names("boundary"))
def test_at_the_boundary_errors_are_as_rare_as_promised(judged: Judged, kind: str) -> None:
    found, allowed = judged(kind), STRONG if KINDS[kind].strong else RATE
    assert kept(found.false_rollback, allowed), found.false_rollback
    assert kept(found.false_promote, allowed), found.false_promote


@pytest.mark.parametrize("kind", names("extra"))
def test_what_was_once_judged_wrongly_keeps_the_promise(judged: Judged, kind: str) -> None:
    found = judged(kind)
    assert kept(found.false_rollback, RATE), found.false_rollback
    assert kept(found.false_promote, RATE), found.false_promote


@pytest.mark.parametrize("kind", names("stable"))
def test_stable_is_retrained_where_it_drifts_and_only_there(judged: Judged, kind: str) -> None:
    found = judged(kind)
    assert kept(found.false_retrain, 1 / 2_000), found.false_retrain
    assert kept(found.missed, MISSED), found.missed
    assert found.wrong.x == 0
    # An alarm needs an hour
    assert min(found.delays, default=60.0) >= 55.0
