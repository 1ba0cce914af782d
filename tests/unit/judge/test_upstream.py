"""Signs that the data broke and not a model, and what is concluded from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.judge.arms import Arms, seen
from modelslo.judge.cause import Cause, explain
from modelslo.judge.comparison import Compared
from modelslo.judge.judgement import Judgement
from modelslo.judge.parameters import Parameters
from modelslo.judge.problem import Unknown
from modelslo.judge.scene import Scene, Span
from modelslo.judge.upstream import Sign, signs_of
from modelslo.observe.evidence import Evidence, Increment, Losses
from tests.unit.judge.make import INTERVAL, evidence, judged, parameters, scene, spec_of

EDGES = (60.0, 600.0)


def delayed(minutes: int = 10) -> Parameters:
    labels = {"loss": {"metric": "m", "matchLabels": {"model_name": "x"}}, "labels": {"delay": f"{minutes}m"}}
    return parameters(spec_of(indicator=labels))


def increment(number: int, predictions: float, labels: float, version: str = "v1", **change: object) -> Increment:
    one = Increment(
        (number - 1) * INTERVAL,
        number * INTERVAL,
        version,
        "",
        Losses(labels, labels),
        predictions,
        delays=(labels, 0, 0),
    )
    return replace(one, **change)  # type: ignore[arg-type]


def arms(cells: Iterable[tuple[Increment, ...]], of: Parameters | None = None) -> Arms:
    found = Arms()
    for cell in cells:
        found = seen(found, cell, of or delayed(), EDGES)
    return found


def served(change: Callable[[int, Increment], Increment], minutes: int = 60, since: int = 46) -> Arms:
    """An hour of a hundred predictions and ninety labels a minute; `change` from minute `since` on."""
    usual = (increment(number, 100.0, 90.0) for number in range(1, minutes + 1))
    return arms((change(number, one),) if number >= since else (one,) for number, one in enumerate(usual, 1))


def broken(signs: Iterable[Sign]) -> list[str]:
    return [one.words for one in signs if one.broken]


def test_steady_traffic_has_no_sign_of_trouble_and_says_what_was_seen() -> None:
    signs = signs_of(served(lambda _, one: one), delayed())
    assert broken(signs) == []
    assert [one.words for one in signs] == [
        "predictions come at 1.00 times their pace before",
        "labels come at 1.00 times their pace before",
        "90% of the predictions get labels, 90% before",
        "0% of the labels take longer than 600 s, 0% before",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _, one: replace(one, predictions=10.0), "predictions come at 0.1"),
        (lambda _, one: replace(one, predictions=900.0), "predictions come at 9.0"),
        (lambda _, one: replace(one, losses=Losses(9.0, 9.0), delays=(9.0, 0, 0)), "labels come at 0.1"),
        (lambda _, one: replace(one, losses=Losses(40.0, 40.0)), "40% of the predictions get labels, 86% before"),
        (lambda _, one: replace(one, delays=(10.0, 0.0, 80.0)), "89% of the labels take longer than 600 s, 0% before"),
    ],
)
def test_what_breaks_upstream_is_found(change: Callable[[int, Increment], Increment], words: str) -> None:
    signs = signs_of(served(change), delayed())
    assert any(one.startswith(words) for one in broken(signs)), signs
    cause, explanations = explain(delayed(), served(change), None, canary_worse=False)
    assert cause is Cause.DATA_INCIDENT
    assert words in next(one.evidence for one in explanations if one.supported)


def test_losses_that_are_no_numbers_are_labels_that_came() -> None:
    found = served(lambda _, one: replace(one, losses=Losses(0.0, 0.0), invalid=90.0, delays=(90.0, 0, 0)))
    assert broken(signs_of(found, delayed())) == []


def test_a_version_that_takes_over_is_no_incident() -> None:
    """A promotion: all traffic goes from one version to the other within a minute."""
    cells = [(increment(number, 100.0, 90.0, "v1" if number < 50 else "v2"),) for number in range(1, 61)]
    assert broken(signs_of(arms(cells), delayed())) == []


def test_few_labels_are_chance() -> None:
    cells = [(increment(number, 1.0, 1.0 if number < 46 else 0.0),) for number in range(1, 61)]
    assert signs_of(arms(cells), delayed()) == ()


def test_a_short_window_says_nothing() -> None:
    assert signs_of(Arms(), delayed()) == ()
    assert signs_of(served(lambda _, one: one, minutes=19), delayed()) == ()
    _, explanations = explain(delayed(), Arms(), None, canary_worse=False)
    assert [(one.cause, one.supported) for one in explanations] == [
        (Cause.BAD_VERSION, False),
        (Cause.DATA_INCIDENT, False),
        (Cause.DRIFT, False),
    ]
    assert "too little was seen" in explanations[1].evidence


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)), max_size=80))
def test_whatever_is_counted_it_is_no_error(counts: list[tuple[float, float, float]]) -> None:
    cells = [
        (increment(number, predictions, labels, delays=(late, late, 0.0)),)
        for number, (predictions, labels, late) in enumerate(counts, 1)
    ]
    for one in signs_of(arms(cells), delayed()):
        assert "nan" not in one.words


def test_a_bad_version_is_explained_by_ratio_and_segments_before_all_else() -> None:
    compared = Compared(ratio=1.31, segments=())
    cause, explanations = explain(delayed(), Arms(), None, None, compared, canary_worse=True, jumped=True)
    assert cause is Cause.BAD_VERSION
    assert "1.310 times stable's" in explanations[0].evidence
    # And that stable's loss stands out is kept beside it, for a person to disagree
    assert (explanations[1].supported, explanations[1].evidence) == (True, "stable's own loss has jumped")


# Arms of which other shares have labels


def rollout(of_canary: float, looks: int = 40, **change: float) -> list[Evidence]:
    """Ten predictions a minute of the canary, of which such a share gets labels; of stable's all do."""
    found = []
    for number in range(1, looks + 1):
        labels = 10 * of_canary
        canary = increment(number, 10.0, labels, "v2", delays=(), losses=Losses(labels, labels), **change)
        stable = increment(number, 30.0, 30.0, "v1", delays=())
        found.append(evidence([stable, canary]))
    return found


@pytest.mark.parametrize(("share", "held"), [(1.0, False), (0.6, False), (0.4, True), (0.0, True)])
def test_a_canary_whose_labels_are_missing_is_not_judged(share: float, held: bool) -> None:
    judgement, _ = judged(rollout(share), scene(), delayed())
    assert (problem_of(judgement) is Unknown.COVERAGE_DIFFERS) is held


def test_losses_that_are_no_numbers_do_not_hold_the_rollback_up() -> None:
    judgement, _ = judged(rollout(0.1, invalid=9.0), scene(), delayed())
    assert problem_of(judgement) is None


def test_it_is_not_said_while_pods_start_nor_before_the_delay_has_passed() -> None:
    starting = Scene("v1", "v2", 0.0, (Span(0.0, 0.0), Span(1800.0, None)))
    assert problem_of(judged(rollout(0.1), starting, delayed())[0]) is None
    assert problem_of(judged(rollout(0.1, looks=12), scene(), delayed())[0]) is None


def problem_of(judgement: Judgement) -> Unknown | None:
    return None if judgement.problem is None else judgement.problem.reason
