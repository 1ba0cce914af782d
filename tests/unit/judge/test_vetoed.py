"""What comes while a veto stands is no evidence, and the diagnosis says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from modelslo.judge.cause import Cause
from modelslo.judge.judgement import Judgement, Verdict
from modelslo.judge.parameters import Parameters
from modelslo.judge.problem import Unknown
from modelslo.judge.scene import Scene, Span
from modelslo.observe.evidence import Evidence, Gap, Increment, NoEvidence, Stood, VetoSeen
from tests.unit.judge.make import INTERVAL, cell, evidence, judged, parameters, scene, spec_of

VETO = "features-stale"


def vetoed_spec(minutes: int = 0) -> Parameters:
    """A ModelSLO with a veto, whose labels take so many minutes."""
    labels = {"labels": {"delay": f"{minutes}m"}} if minutes else {}
    return parameters(
        spec_of(
            guardrails={"vetoes": [{"name": VETO, "query": "lag > 900"}]},
            indicator={"loss": {"metric": "m", "matchLabels": {"model_name": "x"}}} | labels,
        )
    )


def both(looks: Iterable[int], mean: float, of: float = 1.0) -> list[list[Increment]]:
    """Both versions; the canary's mean loss is `mean`, stable's `of`. The same number gives the same losses."""
    found = []
    for number in looks:
        chance = np.random.default_rng(number)
        of_stable, of_canary = chance.exponential(of, 40), chance.exponential(mean, 40)
        found.append([cell(number, "v1", of_stable), cell(number, "v2", of_canary)])
    return found


def seen(looks: Sequence[list[Increment]], stood: Iterable[int], size: int = 1) -> list[Evidence]:
    """Evidence in pieces of `size` looks; the veto stood at the ends of the looks `stood`."""
    pieces = [[one for look in looks[start : start + size] for one in look] for start in range(0, len(looks), size)]
    stands = set(stood)
    found = []
    for piece in pieces:
        one = evidence(piece)
        numbers = [number for number in sorted({round(x.end / INTERVAL) for x in piece}) if number in stands]
        at = tuple(Stood(number * INTERVAL, 1200.0, 1) for number in numbers)
        found.append(replace(one, vetoes=(VetoSeen(VETO, at),)))
    return found


def compared(looks: list[list[Increment]], stood: Iterable[int], of: Parameters, size: int = 1) -> Judgement:
    return judged(seen(looks, stood, size), scene(), of)[0]


def labels(found: Judgement) -> float:
    assert found.canary is not None
    return found.canary.compared.canary


def test_without_a_standing_veto_a_worse_canary_is_worse() -> None:
    found = compared(both(range(1, 61), 3.0), (), vetoed_spec())
    assert found.canary is not None
    assert (found.canary.verdict, found.cause) == (Verdict.WORSE, Cause.BAD_VERSION)
    assert f"no veto stands: {VETO}" in found.explanations[1].evidence


def test_no_evidence_is_taken_while_a_veto_stands() -> None:
    # Given a canary that is as good as stable, but for an hour in which the data upstream are broken
    of = vetoed_spec()
    sound, broken = both(range(1, 31), 1.0), both(range(31, 91), 9.0)
    # When a veto stands in that hour
    before, while_it_stands = compared(sound, (), of), compared(sound + broken, range(31, 91), of)
    # Then nothing of it is in the comparison
    assert labels(while_it_stands) == labels(before)
    assert while_it_stands.canary is not None
    assert before.canary is not None
    assert while_it_stands.canary.compared.log_e_rollback == before.canary.compared.log_e_rollback
    # And the data are what is said to be broken, by name and value
    assert while_it_stands.cause is Cause.DATA_INCIDENT
    assert f"veto '{VETO}' stands (value 1200)" in while_it_stands.explanations[1].evidence
    assert [one.name for one in while_it_stands.standing] == [VETO]
    # And without the veto that hour would have decided
    without = compared(sound + broken, (), of)
    assert without.canary is not None
    assert without.canary.verdict is Verdict.WORSE


def test_a_veto_that_lifts_within_a_cell_takes_it_along() -> None:
    # Given a veto that stood at the end of look 30 and not at that of look 31, without a label delay
    of, sound = vetoed_spec(), both(range(1, 31), 1.0)
    behind = both(range(31, 40), 1.0)
    for number, counted in ((0, 0), (1, 40)):
        # When data that are broken until then are no numbers to the canary
        looks = [*sound, *behind]
        stable, canary = looks[30 + number]
        looks[30 + number] = [stable, replace(canary, invalid=40.0)]
        found = compared(looks, [29, 30], of)
        # Then those of look 31 do not count
        assert found.canary is not None
        assert found.canary.invalid.canary == counted


@pytest.mark.parametrize("mean", [0.1, 9.0])
def test_what_came_while_a_veto_stood_is_not_what_stable_usually_loses(mean: float) -> None:
    """Else stable's own loss would have jumped when the data are sound again, and nothing be compared for hours."""
    of, stood = vetoed_spec(2), range(31, 151)
    sound, behind = both(range(1, 31), 1.0), both(range(151, 271), 1.0)
    # Given two hours of a veto in which both versions lose less, or more, than they do
    usual, other = (compared(sound + both(stood, one, one) + behind, stood, of) for one in (1.0, mean))
    # Then behind them it is as if they had not
    assert other.canary == usual.canary
    assert other.canary is not None
    assert other.canary.verdict is Verdict.NOT_WORSE


def test_when_it_lifts_judging_goes_on_where_it_was() -> None:
    of, looks = vetoed_spec(), both(range(1, 121), 3.0)
    held = compared(looks[:40], range(1, 41), of)
    assert held.canary is not None
    assert (labels(held), held.canary.compared.blocks) == (0.0, 0)
    lifted = compared(looks, range(1, 41), of)
    assert lifted.canary is not None
    assert (lifted.canary.verdict, lifted.cause, lifted.standing) == (Verdict.WORSE, Cause.BAD_VERSION, ())


def test_what_was_worse_before_is_no_bad_version_while_it_stands() -> None:
    found = compared(both(range(1, 61), 3.0), [60], vetoed_spec())
    assert found.cause is Cause.DATA_INCIDENT
    assert not found.explanations[0].supported


def test_labels_of_predictions_from_that_time_are_left_out_too() -> None:
    """What is labelled up to a delay of ten minutes after the veto was predicted while it stood: up to look 51."""
    of, looks = vetoed_spec(10), both(range(1, 101), 1.0)
    counted = [labels(compared(looks[:length], range(41, 51), of)) for length in (40, 50, 61, 62, 100)]
    assert counted[0] == counted[1] == counted[2]
    assert counted[0] < counted[3] < counted[4]


def test_the_same_evidence_in_any_pieces_comes_to_the_same() -> None:
    of, looks = vetoed_spec(3), both(range(1, 91), 1.3)
    stood = [*range(20, 30), 45, 60, 61]
    expected = judged(seen(looks, stood), scene(), of)
    for size in (7, 30, 90):
        found = judged(seen(looks, stood, size), scene(), of)
        assert (found[0].canary, found[1].vetoed) == (expected[0].canary, expected[1].vetoed)
    assert expected[1].vetoed == 61 * INTERVAL


def test_a_veto_over_a_cell_without_losses_counts() -> None:
    of = vetoed_spec(5)
    quiet = replace(
        evidence([], vetoes=(VetoSeen(VETO, (Stood(31 * INTERVAL, 1.0, 1),)),)),
        since=30 * INTERVAL,
        at=31 * INTERVAL,
    )
    before, after = both(range(1, 31), 1.0), both(range(32, 37), 1.0)
    _, memory = judged([*seen(before, ()), quiet], scene(), of)
    assert memory.vetoed == 31 * INTERVAL
    counted = [judged([*seen(before, ()), quiet, *seen(more, ())], scene(), of)[0] for more in (after[:4], after)]
    assert labels(counted[0]) == labels(compared(before, (), of))


def test_invalid_losses_of_that_time_are_held_against_nobody() -> None:
    def broken(stood: Iterable[int]) -> Judgement:
        looks = [
            [cell(number, "v1", [1.0] * 40), cell(number, "v2", [1.0] * 20, invalid=20)] for number in range(1, 31)
        ]
        return compared(looks, stood, vetoed_spec())

    found = broken(())
    assert found.canary is not None
    assert found.canary.verdict is Verdict.INVALID_LOSSES
    found = broken(range(1, 31))
    assert found.canary is not None
    assert (found.canary.verdict, found.canary.invalid.canary) == (Verdict.IMMATURE, 0.0)


def test_stables_history_from_that_time_sets_no_scale() -> None:
    """Before the rollout: what stable lost on broken data is not what it usually loses."""
    at = Scene("v1", "v2", judged_since=60 * INTERVAL, transitions=(Span(60 * INTERVAL, 60 * INTERVAL),))
    usual = [[cell(number, "v1", [1.0] * 20)] for number in range(1, 31)]
    wild = [[cell(number, "v1", [50.0] * 20)] for number in range(31, 61)]
    _, memory = judged(seen(usual + wild, range(31, 61)), at, vetoed_spec())
    assert [one[0].end for one in memory.comparison.history] == [number * INTERVAL for number in range(1, 31)]


def test_a_veto_that_is_not_known_is_unknown() -> None:
    gap = Gap(NoEvidence.VETO_UNKNOWN, "spec.guardrails.vetoes[0].query ...: correct the PromQL")
    looks = both(range(1, 61), 3.0)
    silent = replace(evidence([]), since=60 * INTERVAL, at=61 * INTERVAL, gap=gap, newest={})
    found, memory = judged([*seen(looks, ()), silent], scene(), vetoed_spec())
    assert found.problem is not None
    assert (found.problem.reason, found.problem.message) == (Unknown.VETO_UNKNOWN, gap.message)
    assert found.unknown_vetoes == (VETO,)
    assert "not known whether a veto stands" in found.explanations[1].evidence
    assert memory.vetoed is None


def test_evidence_that_is_silent_about_a_veto_is_a_problem_too() -> None:
    found, _ = judged([evidence(one) for one in both(range(1, 31), 1.0)], scene(), vetoed_spec())
    assert found.problem is not None
    assert found.problem.reason is Unknown.VETO_UNKNOWN


def test_vetoes_are_no_parameters_of_the_gate() -> None:
    """With another veto the same history is judged again, and the comparison does not begin anew."""
    assert vetoed_spec().gate_digest() == replace(vetoed_spec(), vetoes=()).gate_digest()


def test_the_judgement_tells_when_a_veto_stood_last_and_which() -> None:
    looks = both(range(1, 31), 1.0)
    of, missed = vetoed_spec(), [*seen(looks[:5], ()), *seen(looks[5:25], [8, 9], 20)]
    found, _ = judged(missed, scene(), of)
    assert (found.standing, found.stood, found.vetoed_at) == ((), (VETO,), 9 * INTERVAL)
    found, _ = judged([*missed, *seen(looks[25:], ())], scene(), of)
    assert (found.stood, found.vetoed_at) == ((), 9 * INTERVAL)
