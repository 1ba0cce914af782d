"""From evidence to a judgement: verdicts, what is never judged, and replay."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.judge.judgement import Memory, Verdict, judge
from modelslo.judge.problem import Unknown
from modelslo.judge.scale import Data
from modelslo.judge.scene import Scene, Span, settled
from modelslo.judge.shadow import Shadow
from modelslo.observe.evidence import Evidence, Gap, Increment, NoEvidence
from tests.unit.judge.make import cell, evidence, judged, parameters, scene, spec_of


def stream(looks: int, ratio: float = 1.0, seed: int = 1, **of_canary: float) -> list[Evidence]:
    """One piece of evidence per evaluation."""
    chance = random.Random(seed)

    def losses(mean: float, count: int) -> list[float]:
        return [chance.expovariate(1 / mean) for _ in range(count)]

    return [
        evidence([cell(k, "v1", losses(1.0, 30)), cell(k, "v2", losses(ratio, 10), **of_canary)])  # type: ignore[arg-type]
        for k in range(1, looks + 1)
    ]


@pytest.mark.parametrize(("ratio", "verdict"), [(1.5, Verdict.WORSE), (0.7, Verdict.NOT_WORSE)])
def test_a_clear_difference_is_found(ratio: float, verdict: Verdict) -> None:
    judgement, _ = judged(stream(100, ratio), scene())
    assert judgement.problem is None
    assert judgement.canary is not None
    assert judgement.canary.verdict is verdict


def test_no_verdict_before_the_label_delay_has_passed() -> None:
    # Given labels that take ten minutes, and a canary three times as bad
    labels = {"loss": {"metric": "m", "matchLabels": {"model_name": "x"}}, "labels": {"delay": "10m"}}
    of = parameters(spec_of(indicator=labels))
    # When eleven minutes (delay and warm-up) have passed, nothing was compared; soon after it is found
    early, _ = judged(stream(11, 3.0), scene(), of)
    late, _ = judged(stream(40, 3.0), scene(), of)
    assert early.canary is not None
    assert early.canary.verdict is Verdict.IMMATURE
    assert late.canary is not None
    assert late.canary.verdict is Verdict.WORSE


def with_delays(pieces: list[Evidence], quick: float, late: float) -> list[Evidence]:
    """So many labels came within a minute, so many took up to ten."""
    return [
        replace(
            one,
            increments=tuple(replace(each, delays=(quick, late, 0.0)) for each in one.increments),
            delay_edges=(60.0, 600.0),
        )
        for one in pieces
    ]


@pytest.mark.parametrize(("late", "first"), [(0.0, 2), (1.0, 10)])
def test_with_a_histogram_of_delays_no_more_is_waited_for_than_labels_take(late: float, first: int) -> None:
    """The stated delay is half an hour."""
    labels = {
        "loss": {"metric": "m", "matchLabels": {"model_name": "x"}},
        "labels": {"delay": "30m", "delayMetric": "lag"},
    }
    of = parameters(spec_of(indicator=labels))
    pieces = with_delays(stream(50, 3.0), 10.0, late)
    # Until the warm-up is over and the labels have had their time, nothing is compared
    early, _ = judged(pieces[:first], scene(), of)
    assert early.canary is not None
    assert early.canary.verdict is Verdict.IMMATURE
    # Then the canary is found to be worse, long before half an hour is over
    late_one, _ = judged(pieces[: first + 10], scene(), of)
    assert late_one.canary is not None
    assert late_one.canary.verdict is Verdict.WORSE
    assert late_one.canary.compared.delay == pytest.approx(600 - 540 * 0.02 * 11 if late else 58.8)
    # Without the histogram it would not yet be
    without, _ = judged([replace(one, delay_edges=()) for one in pieces[: first + 10]], scene(), of)
    assert without.canary is not None
    assert without.canary.verdict is Verdict.IMMATURE


def test_labels_around_a_change_of_share_are_left_out() -> None:
    """Predictions count since the last change ended, since the first one after the warm-up of a minute."""
    seen = Scene("v1", "v2", 0.0, (Span(0.0, 30.0), Span(2000.0, 2100.0), Span(5000.0, None)))
    assert settled(seen, 10.0, 60.0) < 0
    assert settled(seen, 30.0 + 59, 60.0) == -1
    assert settled(seen, 30.0 + 60 + 600, 60.0) == 600
    assert settled(seen, 2000.0, 60.0) == -100
    assert settled(seen, 2100.0 + 599, 60.0) == 599
    assert settled(seen, 5000.0, 60.0) == -inf
    assert settled(Scene("v1", "v2", 0.0), 100.0, 60.0) == inf


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 39), st.sampled_from([0.8, 1.0, 1.4]))
def test_replay_in_one_piece_gives_the_same_numbers_bit_for_bit(cut: int, ratio: float) -> None:
    pieces = stream(40, ratio)
    live, _ = judged(pieces, scene())

    def join(some: list[Evidence]) -> Evidence:
        return replace(some[-1], since=some[0].since, increments=tuple(one for each in some for one in each.increments))

    replayed, _ = judged([join(pieces[:cut]), join(pieces[cut:])], scene())
    assert live.canary == replayed.canary
    assert live.arms == replayed.arms


def test_counted_invalid_losses_of_the_canary_alone_speak_against_it() -> None:
    judgement, _ = judged(stream(6, 1.0, invalid=5), scene())
    assert judgement.canary is not None
    assert judgement.canary.verdict is Verdict.INVALID_LOSSES


def test_invalid_losses_of_both_roles_speak_against_nobody() -> None:
    pieces = [
        evidence([cell(k, "v1", [1.0] * 30, invalid=15), cell(k, "v2", [1.0] * 10, invalid=5)]) for k in range(1, 60)
    ]
    judgement, _ = judged(pieces, scene())
    assert judgement.canary is not None
    assert judgement.canary.verdict is not Verdict.INVALID_LOSSES
    assert not judgement.canary.harm


def test_a_sum_that_is_nan_in_both_roles_holds_and_recovers() -> None:
    good = stream(30, 0.7)
    broken = evidence([cell(31, "v1", [1.0] * 30, nan=True), cell(31, "v2", [1.0] * 10, nan=True)])
    during, memory = judged([*good, broken], scene())
    assert during.problem is not None
    assert during.problem.reason is Unknown.NAN_LOSS
    after, _ = judge(parameters(), memory, evidence([cell(32, "v1", [1.0] * 30), cell(32, "v2", [0.7] * 10)]), scene())
    assert after.problem is None


def test_a_canary_whose_sum_alone_is_nan_is_never_good() -> None:
    pieces = stream(100, 0.5, nan=True)
    judgement, _ = judged(pieces, scene())
    assert judgement.canary is not None
    assert judgement.canary.canary_nan
    assert judgement.canary.verdict is not Verdict.NOT_WORSE


@pytest.mark.parametrize("reason", list(NoEvidence))
def test_missing_evidence_is_a_problem_with_its_own_reason(reason: NoEvidence) -> None:
    pieces = [*stream(100, 3.0), evidence([], at=6060.0, gap=Gap(reason, "why"))]
    judgement, _ = judged(pieces, scene())
    assert judgement.problem is not None
    assert str(judgement.problem.reason) == str(reason)


def fresh(*increments: Increment, **change: object) -> Evidence:
    return evidence(increments, **change)


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (fresh(cell(1, "v1", [1.0] * 30)), Unknown.VERSION_NOT_SEEN),
        (fresh(cell(1, "v2", [1.0] * 30)), Unknown.VERSION_NOT_SEEN),
        (fresh(cell(10, "v1", [1.0]), cell(10, "v2", [1.0]), newest={"v1": 600.0, "v2": 300.0}), Unknown.STALE),
        (fresh(cell(1, "v1", []), cell(1, "v2", [1.0])), Unknown.NO_DATA),
    ],
)
def test_half_the_series_or_old_ones_are_a_problem(piece: Evidence, reason: Unknown) -> None:
    judgement, _ = judged([piece], scene())
    assert judgement.problem is not None
    assert judgement.problem.reason is reason


def test_labels_that_stop_are_a_problem_after_max_age() -> None:
    pieces = [evidence([cell(1, "v1", [1.0] * 10)])]
    pieces += [evidence([cell(k, "v1", [])]) for k in range(2, 8)]
    judgement, _ = judged(pieces, scene(None))
    assert judgement.problem is not None
    assert judgement.problem.reason is Unknown.STALE


def test_without_roles_all_versions_are_watched() -> None:
    """A ModelSLO without a rollout."""
    nobody = Scene(None)
    pieces = [evidence([cell(k, "v1", [1.0] * 20), cell(k, "v2", [1.0] * 20)]) for k in range(1, 8)]
    # Given one of two versions that goes
    pieces += [evidence([cell(k, "v2", [1.0] * 20)], newest={"v1": 420.0, "v2": 60.0 * k}) for k in range(8, 20)]
    judgement, memory = judged(pieces, nobody)
    assert judgement.problem is None
    # When no label comes, or a sum is no number, or there is no sample, then that is said
    for piece, reason in (
        (evidence([cell(20, "v2", [1.0], nan=True)]), Unknown.NAN_LOSS),
        (evidence([cell(20, "v2", [1.0])], newest={"v2": 300.0}), Unknown.STALE),
        (evidence([cell(30, "v2", [])]), Unknown.STALE),
    ):
        found, _ = judge(parameters(), memory, piece, nobody)
        assert found.problem is not None
        assert found.problem.reason is reason
        assert "None" not in found.problem.message
    nothing, _ = judged([evidence([cell(1, "v1", []), cell(1, "v2", [])])], nobody)
    assert nothing.problem is not None
    assert nothing.problem.reason is Unknown.NO_DATA


def test_without_roles_only_what_serves_users_counts() -> None:
    """Not a version that has gone, and no shadow."""
    # Given a version that went with a sum that was no number
    pieces = [evidence([cell(k, "v1", [1.0] * 20, nan=k == 5), cell(k, "v2", [1.0] * 20)]) for k in range(1, 6)]
    for k in range(6, 20):
        pieces.append(evidence([cell(k, "v2", [1.0] * 20)], newest={"v1": 300.0, "v2": 60.0 * k}))
    assert judged(pieces[:6], Scene(None))[0].problem is not None
    assert judged(pieces, Scene(None))[0].problem is None
    # And a shadow whose sum is no number
    hidden = Scene(None, shadows=(Shadow("v3", 0.0),))
    shadowed = [evidence([cell(k, "v2", [1.0] * 20), cell(k, "v3", [1.0], nan=True)]) for k in range(1, 9)]
    assert judged(shadowed, hidden)[0].problem is None
    # When the shadow alone has samples, or labels, also from before it began to serve
    alone = evidence([cell(20, "v3", [1.0] * 9)], newest={"v2": 480.0, "v3": 1200.0})
    found = judged([*shadowed, alone], hidden)[0].problem
    assert found is not None
    assert found.reason is Unknown.STALE
    ended = Scene(None, shadows=(Shadow("v3", 0.0, until=480.0),))
    only = [evidence([cell(k, "v3", [1.0] * 20)]) for k in range(1, 9)]
    nothing = judged(only, ended)[0].problem
    assert nothing is not None
    assert nothing.reason is Unknown.NO_DATA


def test_without_roles_the_labels_of_all_versions_are_covered_together() -> None:
    loss = {"metric": "ml_huber_loss", "matchLabels": {"model_name": "fraud"}}
    asked = parameters(spec_of(indicator={"loss": loss, "labels": {"delay": "1m", "minCoverage": "60%"}}))
    for labelled, expected in ((20, None), (4, Unknown.LOW_COVERAGE)):
        judgement, memory = None, Memory()
        for k in range(1, 30):
            half = [replace(cell(k, one, [1.0] * labelled), predictions=20.0) for one in ("v1", "v2")]
            judgement, memory = judge(asked, memory, evidence(half), Scene(None))
        assert judgement is not None
        assert (judgement.problem and judgement.problem.reason) == expected


def test_other_versions_or_another_start_begin_at_e_1() -> None:
    before, memory = judged(stream(50, 3.0), scene())
    assert before.canary is not None
    assert before.canary.compared.blocks > 0
    again = replace(scene(), judged_since=3000.0)
    after, _ = judge(parameters(), memory, evidence([cell(51, "v1", [1.0]), cell(51, "v2", [1.0])]), again)
    assert after.canary is not None
    compared = after.canary.compared
    assert (compared.blocks, compared.log_e_rollback, compared.log_e_promote) == (0, 0.0, 0.0)


@pytest.mark.parametrize("told", [False, True])
def test_delays_that_know_no_segments_are_no_losses_without_squares(told: bool) -> None:
    """And so are predictions that are counted for all segments together."""
    pieces = []
    for number in range(1, 61):
        chance = random.Random(number)
        versions = ("v1", "v2") if number > 30 else ("v1",)
        increments = [
            replace(cell(number, version, [chance.expovariate(1) for _ in range(30)]), segment=segment)
            for version in versions
            for segment in ("a", "b")
        ]
        if told:
            increments += [
                replace(cell(number, version, []), predictions=60, delays=(60.0, 0.0)) for version in versions
            ]
            increments = [
                replace(one, losses=replace(one.losses, squares=one.losses.squares if one.segment else None))
                for one in increments
            ]
        pieces.append(evidence(increments, delay_edges=(60.0,) if told else ()))
    found, _ = judged(pieces, Scene("v1", "v2", 1800.0, (Span(1800.0, 1800.0),)))
    assert found.canary is not None
    assert found.canary.compared.data is Data.SQUARES


def test_segments_are_compared_each_within_itself() -> None:
    """Simpson: the canary serves mostly the hard segment, and is as good there, and better in the other."""
    chance = random.Random(7)

    def part(number: int, version: str, segment: str, mean: float, count: int) -> Increment:
        losses = [chance.expovariate(1 / mean) for _ in range(count)]
        return replace(cell(number, version, losses), segment=segment)

    pieces = [
        evidence(
            [
                part(k, "v1", "easy", 1.0, 60),
                part(k, "v1", "hard", 4.0, 40),
                part(k, "v2", "easy", 0.6, 40),
                part(k, "v2", "hard", 2.4, 60),
            ]
        )
        for k in range(1, 120)
    ]
    judgement, _ = judged(pieces, scene())
    assert judgement.canary is not None
    assert judgement.canary.verdict is Verdict.NOT_WORSE
    assert [one.name for one in judgement.canary.compared.segments][:2] == ["easy", "hard"]
