"""Traces are what they say: reproducible, in the form of the replay interface, with the effect that they state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice, pairwise
from math import sqrt
from typing import cast

import numpy as np
import pytest

from tests.simulate.kind import Effect, Faults, Kind, NanLosses, Reset
from tests.simulate.kinds import KINDS, choose
from tests.simulate.lag import Lag
from tests.simulate.plan import make_plan
from tests.simulate.stream import Predictions, Stream
from tests.simulate.trace import CHUNK, build, generators
from tests.simulate.words import CANARY, MODES, STABLE, Floats, Mode

_Arm = Mapping[str, object]

_PLAIN = replace(KINDS["small-gamma"], name="plain", history=(10, 10), rate=1.0, hours=1.0)
_META_KEYS = {
    "type", "trace", "dt", "k0", "edges", "lag_edges", "margin", "segment_margin", "alpha", "beta", "warmup_s",
    "slo_loss", "has_canary", "segments", "false_retrain_days", "retrain_persist_s", "has_sumsq",
}  # fmt: skip
_LOSS_KEYS = {"loss_sum", "loss_sumsq", "loss_count", "buckets"}
_ARM_KEYS = _LOSS_KEYS | {"predictions_total", "lag_sum", "lag_buckets", "segments"}


def text(kind: Kind, number: int, lines: int, *, seed: int = 0, mode: Mode = "histogram") -> str:
    return "\n".join(
        json.dumps(line, allow_nan=False) for line in islice(build(kind, number, seed=seed, mode=mode).lines(), lines)
    )


def arms(kind: Kind, number: int, scrapes: int, mode: Mode = "histogram") -> list[Mapping[str, _Arm]]:
    trace = build(kind, number, mode=mode)
    return [cast(Mapping[str, _Arm], scrape["arms"]) for scrape in islice(trace.scrapes, scrapes)]


def numbers(rows: list[Mapping[str, _Arm]], arm: str, key: str) -> list[float]:
    return [cast(float, row[arm][key]) for row in rows if arm in row]


def test_a_trace_is_the_same_whenever_it_is_made() -> None:
    kind = KINDS["gaps"]
    first = text(kind, 3, 600)
    text(kind, 4, 600)
    assert text(kind, 3, 600) == first


def test_kind_number_and_seed_make_other_traces() -> None:
    traces = {
        text(KINDS["gaps"], 0, 30),
        text(KINDS["gaps"], 1, 30),
        text(KINDS["gaps"], 0, 30, seed=1),
        text(replace(KINDS["gaps"], name="other"), 0, 30).replace("other", "gaps"),
    }
    assert len(traces) == 4


def test_the_modes_show_the_same_trace() -> None:
    counts = [numbers(arms(_PLAIN, 0, 60, mode), "stable", "loss_count") for mode in MODES]
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_lines_are_in_the_form_of_the_replay_interface(kind: Kind) -> None:
    kind = replace(kind, history=(8, 8), rate=min(kind.rate, 1.0))
    meta, *scrapes = [json.loads(line) for line in text(kind, 0, 40).splitlines()]
    assert set(meta) == _META_KEYS
    assert meta["k0"] == 8
    assert meta["edges"] == sorted(set(meta["edges"]))
    assert meta["lag_edges"] == sorted(set(meta["lag_edges"]))
    for k, scrape in enumerate(scrapes):
        assert set(scrape) == {"type", "trace", "k", "t", "rollout_started", "arms"}
        assert (scrape["type"], scrape["trace"], scrape["k"]) == ("scrape", meta["trace"], k)
        assert scrape["t"] == k * meta["dt"]
        assert scrape["rollout_started"] == (meta["has_canary"] and k >= 8)
        assert set(scrape["arms"]) <= ({"stable", "canary"} if scrape["rollout_started"] else {"stable"})
        for arm in scrape["arms"].values():
            assert set(arm) == _ARM_KEYS
            assert len(arm["lag_buckets"]) == len(meta["lag_edges"]) + 1
            assert list(arm["segments"]) == meta["segments"]
            for part in (arm, *arm["segments"].values()):
                assert set(part) >= _LOSS_KEYS
                assert len(part["buckets"]) == len(meta["edges"]) + 1
                assert part["buckets"] == sorted(part["buckets"])
                assert part["buckets"][-1] == part["loss_count"]


def test_without_a_histogram_the_count_alone_is_left() -> None:
    modes: tuple[Mode, ...] = ("sums", "squares")
    for mode in modes:
        trace = build(_PLAIN, 0, mode=mode)
        row = cast(Mapping[str, _Arm], list(islice(trace.scrapes, 5))[4]["arms"])["stable"]
        assert trace.meta["edges"] == []
        assert trace.meta["has_sumsq"] == (mode == "squares") == ("loss_sumsq" in row)
        assert row["buckets"] == [row["loss_count"]]


def test_a_trace_ends_after_the_deadline_and_with_its_end() -> None:
    lines = list(build(_PLAIN, 0).lines())
    assert lines[-1] == {"type": "end", "trace": "plain-0"}
    assert lines[-2]["t"] == 10 * 30.0 + 3600.0


def test_counters_never_fall_without_a_reset() -> None:
    rows = arms(replace(_PLAIN, clusters=KINDS["same-clustered"].clusters, lag=Lag("loss", 300.0)), 0, 2 * CHUNK)
    for arm in ("stable", "canary"):
        for key in ("loss_sum", "loss_sumsq", "loss_count", "predictions_total", "lag_sum"):
            values = numbers(rows, arm, key)
            assert values == sorted(values)
            assert values[-1] > 0


def test_segments_add_up_to_their_arm() -> None:
    for row in arms(KINDS["one-segment"], 0, 300):
        for arm in row.values():
            parts = cast(Mapping[str, _Arm], arm["segments"]).values()
            assert sum(cast(float, part["loss_count"]) for part in parts) == arm["loss_count"]
            assert sum(cast(float, part["loss_sum"]) for part in parts) == pytest.approx(arm["loss_sum"])


def test_a_reset_takes_the_counters_to_zero_and_loses_nothing_else() -> None:
    kind = replace(_PLAIN, faults=Faults(resets=(Reset("stable", (0.5, 0.5)),)))
    reset, whole = (numbers(arms(each, 0, 130), "stable", "loss_count") for each in (kind, _PLAIN))
    at = 10 + 60
    assert reset[:at] == whole[:at]
    assert reset[at] == whole[at] - whole[at - 1]
    assert [now - before for before, now in pairwise(reset[at:])] == [now - old for old, now in pairwise(whole[at:])]


def test_one_pod_of_three_takes_a_third_away() -> None:
    kind = replace(_PLAIN, rate=4.0, faults=Faults(pods=3, resets=(Reset("stable", (0.9, 0.9), partly=True),)))
    values = numbers(arms(kind, 0, 130), "stable", "loss_count")
    falls = [(before, now) for before, now in pairwise(values) if now < before]
    assert len(falls) == 1
    assert falls[0][1] / falls[0][0] == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize("counted", [True, False])
def test_nan_losses_are_counted_above_all_edges_or_dropped(counted: bool) -> None:
    kind = replace(_PLAIN, nan=NanLosses(counted=counted, share=1.0, at=(0.25, 0.25)))
    rows = arms(kind, 0, 130)
    canary = [row["canary"] for row in rows if "canary" in row]
    sums = [each["loss_sum"] for each in canary]
    first = sums.index("NaN")
    assert all(each == "NaN" for each in sums[first:])
    assert all(isinstance(row["stable"]["loss_sum"], float) for row in rows)
    counts = numbers(rows, "canary", "loss_count")
    # The count stands still when the client drops what is NaN.
    assert (counts[-1] > counts[first] + 10) == counted
    if counted:
        buckets = cast(list[float], canary[-1]["buckets"])
        assert buckets[-1] - buckets[-2] > 10
    assert cast(float, canary[-1]["predictions_total"]) > cast(float, canary[first]["predictions_total"])


def test_labels_used_are_those_of_predictions_after_the_warm_up() -> None:
    trace = build(_PLAIN, 0)
    rows = [cast(Mapping[str, _Arm], each["arms"]) for each in trace.scrapes]
    counts = numbers(rows, "canary", "loss_count")
    assert trace.used.all[10:] == counts
    # The first prediction comes soon, and the warm-up is ten scrapes of 30 s.
    assert trace.used.warm[19] == 0
    assert 0 < counts[-1] - trace.used.warm[-1] <= counts[12]


def drawn(kind: Kind, scrapes: int) -> Predictions:
    """The first predictions after the rollout."""
    kind = replace(kind, history=(0, 0))
    for_plan, for_stream, _ = generators(kind, 0, 0)
    stream = Stream(kind, make_plan(kind, for_plan), for_stream)
    stream.draw(-1, 1)
    return stream.draw(1, scrapes)


def mean_and_error(made: Predictions, arm: int) -> tuple[float, float]:
    """Mean loss over what the traffic alone makes of it, and the standard error of that."""
    mine = made[made.arm == arm]
    ratio = float(mine.loss.sum() / mine.base.sum())
    rest: Floats = mine.loss - ratio * mine.base
    return ratio, float(np.sqrt((rest**2).sum())) / float(mine.base.sum())


_CONSTANT = [
    kind
    for kind in KINDS.values()
    if kind.has_canary and kind.effect.onset == (0.0, 0.0) and not kind.effect.ramp and kind.nan is None
    and kind.wander is None and kind.name != "no-canary-traffic" and not kind.drift
]  # fmt: skip


@pytest.mark.parametrize("kind", _CONSTANT, ids=lambda kind: kind.name)
def test_the_true_ratio_is_the_ratio_of_the_drawn_losses(kind: Kind) -> None:
    share = max(kind.split[-1][1], 0.25)
    # Single labels: a cluster shares its factor, and the error below knows nothing of that.
    kind = replace(kind, rate=60_000 / (120 * kind.dt), split=((0.0, share),), clusters=None)
    made = drawn(kind, 121)
    stable, stable_error = mean_and_error(made, STABLE)
    canary, canary_error = mean_and_error(made, CANARY)
    assert stable == pytest.approx(1.0, abs=4.5 * stable_error)
    assert canary == pytest.approx(kind.ratio, abs=4.5 * canary_error)
    assert sqrt(stable_error**2 + canary_error**2) < 0.1


def test_clusters_keep_the_mean_and_share_a_factor() -> None:
    kind = replace(KINDS["boundary-large-clusters"], rate=40.0)
    made = drawn(kind, 600)
    mine = made[made.arm == STABLE]
    alone = drawn(replace(kind, clusters=None), 600)
    assert mine.loss.size == pytest.approx(alone.loss[alone.arm == STABLE].size, rel=0.05)
    assert float((mine.loss / mine.base).mean()) == pytest.approx(1.0, abs=0.03)
    # The second moment grows by the variance of the shared factor.
    assert float(((mine.loss / mine.base) ** 2).mean()) == pytest.approx(2.0 * 1.15, rel=0.1)


def test_the_wander_has_mean_one_and_its_variance() -> None:
    kind = KINDS["wander-same"]
    for_plan, for_stream, _ = generators(kind, 0, 0)
    stream = Stream(kind, make_plan(kind, for_plan), for_stream)
    path = np.concatenate([stream._wandering(20_000) for _ in range(2)], axis=1)
    assert path.mean(axis=1) == pytest.approx([1.0, 1.0], abs=0.02)
    assert np.log(path).std(axis=1) == pytest.approx([0.03, 0.03], rel=0.15)


def test_in_a_batch_all_labels_arrive_together() -> None:
    kind = replace(_PLAIN, lag=Lag("batch", 1200.0), dt=60.0, hours=3.0)
    values = numbers(arms(kind, 0, 190), "stable", "loss_count")
    growing = [k for k, (before, now) in enumerate(pairwise(values)) if now > before]
    assert 8 <= len(growing) <= 10
    assert {later - earlier for earlier, later in pairwise(growing)} == {20}


def test_labels_of_predictions_before_the_first_scrape_arrive_too() -> None:
    values = numbers(arms(replace(_PLAIN, lag=Lag("fixed", 3600.0)), 0, 9), "stable", "loss_count")
    assert values[-1] > 100


def test_a_backfill_arrives_at_once_and_is_old() -> None:
    kind = KINDS["backfill"]
    rows = arms(kind, 0, 600)
    values = numbers(rows, "stable", "loss_count")
    steps = [now - before for before, now in pairwise(values)]
    flood = int(np.argmax(steps))
    assert kind.history[0] + 16 <= flood + 1 <= kind.history[0] + 81
    assert steps[flood] > 20 * float(np.median(steps))
    old = cast(list[float], rows[flood + 1]["stable"]["lag_buckets"])
    assert old[-1] - old[6] > 1000


def test_the_onset_is_where_the_effect_passes_the_margin_or_the_slo_level() -> None:
    creeping = replace(KINDS["creeping"], effect=Effect(1.8, ramp=1.0))
    truth = build(creeping, 0).truth
    assert truth.onset - truth.rollout == pytest.approx(3600.0 / 8.0)
    drift = replace(KINDS["drift-slow"], drift=replace(KINDS["drift-slow"].drift, onset=(2.0, 2.0)))  # type: ignore[type-var]
    truth = build(drift, 0).truth
    assert truth.onset - truth.rollout == pytest.approx(3600.0 * (2.0 + 12.0 / 3.0))


def test_kinds_are_chosen_by_pattern_and_group() -> None:
    assert {kind.name for kind in choose(["nan-*"], "extra")} == {"nan-dropped"}
    with pytest.raises(ValueError, match="no kind matches 'nothing'"):
        choose(["nothing"])


def test_every_group_has_the_kinds_that_the_study_counts() -> None:
    canary = choose(group="canary")
    assert sum(not kind.regression for kind in canary) >= 33
    assert sum(kind.regression for kind in canary) == 21
    boundary = choose(group="boundary")
    assert (sum(not kind.strong for kind in boundary), sum(kind.strong for kind in boundary)) == (8, 2)
    assert all(kind.ratio == pytest.approx(1.0 + kind.margin) for kind in boundary)
    stable = choose(group="stable")
    assert (sum(kind.drift is None for kind in stable), sum(kind.drift is not None for kind in stable)) == (10, 6)


def test_shares_of_segments_add_up() -> None:
    for kind in KINDS.values():
        if kind.segments:
            assert sum(segment.stable for segment in kind.segments) == pytest.approx(1.0)
            assert sum(segment.canary for segment in kind.segments) == pytest.approx(1.0)
            assert sum(segment.stable * segment.level for segment in kind.segments) == pytest.approx(1.0)
