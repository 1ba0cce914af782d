"""The replay of the flights: counters of a handful of flights by hand, and the plain rules on made-up scrapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
import yaml

from examples.flights.backtest.rules import (
    MINUTE,
    Alert,
    ArgoLike,
    ArgoSettings,
    FlaggerLike,
    FlaggerSettings,
    Judge,
    Ratio,
)
from examples.flights.backtest.trace import EDGES, LAG_EDGES, TARGET, Served, Settings, Times, Trace
from examples.flights.data import SEGMENTS, Flights, event_time
from modelslo.api.quantity import ratio, seconds
from modelslo.backtest.replay import Replay

REPO = Path(__file__).resolve().parents[3]
TIMES = Times("2013-03-01T06:00", "2013-03-01T07:00", "2013-03-01T10:00")
SIX = event_time("2013-03-01T06:00")


def flights(*rows: tuple[float, float, float]) -> Flights:
    """(minutes after six, minutes in the air, miles)."""
    none = np.zeros(len(rows), dtype=np.uint8)
    departure, air_time, distance = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    names = ("X",)
    return Flights(SIX + departure * 60, air_time, none, none, none, distance, none.astype(float), names, names, names)


def three() -> Trace:
    """A short and a long flight by stable, a cancelled one by the canary, and a medium one whose loss is 3."""
    some = flights((1, 30, 200), (2, 90.5, 2000), (70, nan, 800), (71, 40, 800))
    by_canary = np.array([False, False, True, True])
    served = Served.of(some, np.array([1.0, 70.0, nan, 9.0]), np.array([9.0, 9.0, nan, 3.0]), by_canary)
    return Trace("t", TIMES, served)


def arms(trace: Trace, k: int) -> Mapping[str, Mapping[str, object]]:
    found = list(trace.scrapes())[k]["arms"]
    assert isinstance(found, dict)
    return found


def test_a_prediction_counts_at_departure_and_its_loss_at_landing() -> None:
    trace = three()
    assert [arms(trace, k)["stable"]["predictions_total"] for k in (0, 1, 2)] == [0, 1, 2]
    assert [arms(trace, k)["stable"]["loss_count"] for k in (30, 31, 92, 93)] == [0, 1, 1, 2]
    last = arms(trace, 180)["stable"]
    assert (last["loss_sum"], last["loss_sumsq"], last["lag_sum"]) == (71.0, 4901.0, 120.5 * 60)


def test_buckets_are_cumulative_and_the_segments_make_up_the_whole() -> None:
    last = arms(three(), 180)["stable"]
    buckets, lags, segments = last["buckets"], last["lag_buckets"], last["segments"]
    assert isinstance(buckets, list)
    assert isinstance(lags, list)
    assert isinstance(segments, dict)
    assert buckets == [1 if edge < 70 else 2 for edge in EDGES] + [2]
    assert lags == [0 if edge < 1800 else 1 if edge < 90.5 * 60 else 2 for edge in LAG_EDGES] + [2]
    assert [segments[name]["loss_sum"] for name in SEGMENTS] == [1.0, 0.0, 70.0]
    assert [sum(segments[name]["buckets"][b] for name in SEGMENTS) for b in range(len(buckets))] == buckets


def test_the_canary_is_there_from_the_rollout_on_and_a_cancelled_flight_never_gets_a_label() -> None:
    trace = three()
    assert trace.times.k0 == 60
    assert "canary" not in arms(trace, 59)
    assert arms(trace, 60)["canary"]["predictions_total"] == 0
    last = arms(trace, 180)["canary"]
    assert (last["predictions_total"], last["loss_count"], last["loss_sum"]) == (2, 1, 3.0)


def test_what_left_before_the_trace_is_not_counted() -> None:
    some = flights((-5, 30, 200), (5, 30, 200))
    trace = Trace("t", TIMES, Served.of(some, np.ones(2), None, np.zeros(2, dtype=np.bool_)), has_canary=False)
    last = arms(trace, 180)
    assert (last["stable"]["predictions_total"], last["stable"]["loss_count"]) == (1, 1)
    assert "canary" not in last


def test_the_judge_reads_every_line() -> None:
    trace = three()
    replay = Replay(trace.meta)
    answers = [replay.feed(scrape) for scrape in trace.scrapes()]
    assert len(answers) == TIMES.scrapes == 241
    assert {answer["action"] for answer in answers} == {"hold"}
    assert [line["type"] for line in trace.lines()][:: TIMES.scrapes + 1] == ["meta", "end"]


def test_the_settings_are_those_of_the_example() -> None:
    spec = yaml.safe_load((REPO / "examples/flights/modelslo.yaml").read_text())["spec"]
    settings = Settings()
    assert spec["objective"]["target"]["value"] == TARGET
    assert ratio(spec["rollout"]["gate"]["margin"]) == settings.margin
    assert seconds(spec["rollout"]["warmup"]) == settings.warmup
    assert seconds(spec["retrain"]["trigger"]["sustainedFor"]) == settings.retrain_persist
    assert settings.segment_margin == pytest.approx(3 * settings.margin)


def scrapes(
    ratios: list[float], *, per: float = MINUTE, k0: int = 1, labels: float = 10.0
) -> Iterator[dict[str, object]]:
    """Scrapes every `per` seconds, `labels` of each arm in each; the canary's losses are so many times stable's."""
    stable = canary = count = seen = 0.0
    for k, one in enumerate([1.0] * k0 + ratios):
        stable, count = stable + labels, count + labels
        if k >= k0 and not isnan(one):
            canary, seen = canary + labels * one, seen + labels
        found = {"stable": {"loss_sum": stable, "loss_count": count}}
        if k >= k0:
            found["canary"] = {"loss_sum": canary, "loss_count": seen}
        yield {"t": k * per, "rollout_started": k >= k0, "arms": found}


def verdict(judge: Judge, given: Iterator[dict[str, object]], k0: int = 1) -> tuple[str, int] | None:
    """The first action and its minute after the rollout."""
    for k, scrape in enumerate(given):
        action = str(judge.feed(scrape)["action"])
        if action != "hold":
            return action, k - k0
    return None


def test_the_window_forgets() -> None:
    over = Ratio(3 * MINUTE)
    found = [over.feed(scrape) for scrape in scrapes([1.0, 2.0, 3.0, 4.0, 4.0, 4.0, nan, nan, nan])]
    assert found[4:7] == pytest.approx([3.0, 11 / 3, 4.0])
    assert isnan(found[-1])


def test_argo_measures_from_the_second_step_and_promotes_when_the_steps_are_through() -> None:
    assert verdict(ArgoLike(1.1), scrapes([1.05] * 60)) == ("promote", 40)


def test_argo_aborts_at_the_fourth_failure() -> None:
    assert verdict(ArgoLike(1.1), scrapes([1.2] * 60)) == ("rollback", 25)
    three_of_six = [1.0 if minute >= 21 else 2.0 for minute in range(60)]
    assert verdict(ArgoLike(1.1), scrapes(three_of_six)) == ("promote", 40)


@pytest.mark.parametrize("judge", [ArgoLike(1.1), FlaggerLike(1.1)])
def test_no_labels_are_failures_to_both(judge: Judge) -> None:
    found = verdict(judge, scrapes([nan] * 60))
    assert found is not None
    assert found[0] == "rollback"


def test_argo_adds_failures_up_over_the_run() -> None:
    settings = ArgoSettings(starting=MINUTE, interval=MINUTE, window=MINUTE)
    assert verdict(ArgoLike(1.1, settings), scrapes([1.0, 2.0] * 30)) == ("rollback", 7)


def test_flagger_sets_the_first_weight_unseen_and_promotes_after_ten_checks() -> None:
    assert verdict(FlaggerLike(1.1), scrapes([1.0] * 60)) == ("promote", 11)


def test_flagger_rolls_back_at_the_tick_after_the_threshold() -> None:
    assert verdict(FlaggerLike(1.1), scrapes([2.0] * 60)) == ("rollback", 12)
    assert verdict(FlaggerLike(1.1, FlaggerSettings(threshold=2)), scrapes([2.0] * 60)) == ("rollback", 4)


def test_flagger_does_not_move_on_while_a_check_fails() -> None:
    assert verdict(FlaggerLike(1.1), scrapes([1.0, 1.0, 2.0, 2.0, 2.0] + [1.0] * 60)) == ("promote", 14)


def test_an_alert_fires_after_its_time_and_an_interruption_begins_it_anew() -> None:
    above = [{"t": k * MINUTE, "arms": {"stable": {"loss_sum": 2.0 * k, "loss_count": k}}} for k in range(10)]
    assert verdict(Alert(1.5, 5 * MINUTE, 3 * MINUTE), iter(above), k0=0) == ("retrain", 4)
    assert verdict(Alert(2.5, 5 * MINUTE), iter(above), k0=0) is None
    silent = [{"t": k * MINUTE, "arms": {}} for k in range(10)]
    assert verdict(Alert(1.5, 5 * MINUTE), iter(silent), k0=0) is None
