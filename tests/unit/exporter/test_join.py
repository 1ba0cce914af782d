"""The joiner and the exporter together: what came in is what the metrics say."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from modelslo.exporter import (
    InvalidPolicy,
    Joiner,
    Label,
    LossExporter,
    Prediction,
    geometric_buckets,
    loss_kind,
)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def make(clock: Clock | None = None, *, capacity: int = 1000, max_versions: int = 50) -> tuple[LossExporter, Joiner]:
    exporter = LossExporter(
        "flights",
        loss_kind("huber", 10),
        buckets=geometric_buckets(60),
        segments=("short", "long"),
        max_versions=max_versions,
    )
    joiner = Joiner(
        exporter, expire_after=100, early_for=10, capacity=capacity, clock=Clock() if clock is None else clock
    )
    return exporter, joiner


def value(exporter: LossExporter, name: str, **labels: str) -> float:
    """The sum over all samples called `name` whose labels match."""
    total = 0.0
    for family in text_string_to_metric_families(exporter.render().decode()):
        for sample in family.samples:
            if sample.name == name and all(sample.labels.get(key) == want for key, want in labels.items()):
                total += sample.value
    return total


def dropped(exporter: LossExporter, reason: str) -> float:
    return value(exporter, "ml_labels_dropped_total", reason=reason)


def prediction(key: str, value: float = 0.0, version: str = "v1", at: float = 1000.0) -> Prediction:
    return Prediction(key, version, "short", value, at)


def test_a_new_version_exists_at_zero_before_its_first_loss() -> None:
    exporter, joiner = make()
    joiner.predict([prediction("a")])
    text = exporter.render().decode()
    for segment in ("short", "long"):
        c = f'model_name="flights",model_version="v1",segment="{segment}"'
        assert f"ml_huber_loss_count{{{c}}} 0.0" in text
        assert f"ml_huber_loss_squares_total{{{c}}} 0.0" in text
        assert (
            f'ml_loss_invalid_total{{model_name="flights",model_version="v1",reason="nan",segment="{segment}"}} 0.0'
            in text
        )
    assert 'ml_huber_loss_bucket{le="60.0"' in text
    assert 'ml_model_info{framework="",image="",model_name="flights",model_version="v1",run_id=""} 1.0' in text
    assert "ml_label_newest_prediction_timestamp_seconds{" not in text


def test_delay_and_newest_prediction_are_in_the_callers_seconds() -> None:
    exporter, joiner = make()
    joiner.predict([prediction("a", at=500.0), prediction("b", at=400.0)])
    joiner.label([Label("a", 1.0, 507.0), Label("b", 1.0, 399.0)])
    assert value(exporter, "ml_label_delay_seconds_sum") == 7.0  # a label before its prediction: 0, not -1
    assert value(exporter, "ml_label_delay_seconds_count") == 2
    assert value(exporter, "ml_label_newest_prediction_timestamp_seconds") == 500.0


def test_nan_of_the_label_and_nan_of_the_model_are_told_apart() -> None:
    exporter, joiner = make()
    joiner.predict([prediction("label"), prediction("model", math.nan), prediction("inf", math.inf)])
    joiner.label([Label("label", math.nan, 1001.0), Label("model", 1.0, 1001.0), Label("inf", 1.0, 1001.0)])
    assert dropped(exporter, "invalid") == 1
    assert value(exporter, "ml_loss_invalid_total", reason="nan", model_version="v1") == 1
    assert value(exporter, "ml_loss_invalid_total", reason="inf", model_version="v1") == 1
    assert value(exporter, "ml_labels_total") == 2  # coverage must not fall because the model answers NaN
    assert value(exporter, "ml_huber_loss_count") == 0
    assert value(exporter, "ml_huber_loss_sum") == 0


def test_an_exporter_without_care_is_poisoned_by_one_nan() -> None:
    exporter, joiner = make()
    exporter.invalid = InvalidPolicy.OBSERVE
    joiner.predict([prediction("a"), prediction("b")])
    joiner.label([Label("a", math.nan, 1001.0)])
    exporter.invalid = InvalidPolicy.REJECT
    joiner.label([Label("b", 1.0, 1001.0)])
    assert math.isnan(value(exporter, "ml_huber_loss_sum"))
    assert math.isnan(value(exporter, "ml_huber_loss_squares_total"))


def test_late_unmatched_and_duplicate_labels_have_their_own_reason() -> None:
    clock = Clock()
    exporter, joiner = make(clock)
    joiner.predict([prediction("a"), prediction("b")])
    assert joiner.label([Label("a", 1.0, 1001.0), Label("a", 1.0, 1001.0)]) == {"joined": 1, "duplicate": 1}
    assert joiner.label([Label("nobody", 1.0, 1001.0)]) == {"early": 1}
    clock.now += 10
    joiner.expire()
    assert dropped(exporter, "unmatched") == 1
    clock.now += 90
    assert joiner.label([Label("b", 1.0, 1101.0)]) == {"late": 1}
    assert joiner.label([Label("b", 1.0, 1101.0)]) == {"duplicate": 1}
    assert [dropped(exporter, reason) for reason in ("late", "duplicate")] == [1, 2]
    assert value(exporter, "ml_labels_dropped_total", reason="late", model_version="v1", segment="short") == 1


def test_a_label_that_overtakes_its_prediction_is_joined() -> None:
    clock = Clock()
    exporter, joiner = make(clock)
    joiner.label([Label("a", 4.0, 1001.0)])
    clock.now += 9
    assert joiner.predict([prediction("a", 0.0)]) == {"joined": 1}
    assert value(exporter, "ml_huber_loss_sum", model_version="v1") == 8.0


def test_a_second_prediction_of_the_same_id_is_not_counted() -> None:
    exporter, joiner = make()
    assert joiner.predict([prediction("a"), prediction("a")]) == {"waiting": 1, "duplicate": 1}
    joiner.label([Label("a", 1.0, 1001.0)])
    assert joiner.predict([prediction("a")]) == {"duplicate": 1}
    assert value(exporter, "ml_predictions_total") == 1


def test_one_label_scores_every_version_that_answered_its_request() -> None:
    """A mirror copies a request with its id to a shadow: whichever answers first, neither is a duplicate."""
    for order in (("v1", "v2"), ("v2", "v1")):
        exporter, joiner = make()
        guess = {"v1": 1.0, "v2": 3.0}
        assert joiner.predict([prediction("a", guess[one], one) for one in order]) == {"waiting": 2}
        assert joiner.predict([prediction("a", 9.0, one) for one in order]) == {"duplicate": 2}
        assert joiner.label([Label("a", 0.0, 1001.0)]) == {"joined": 1}
        assert joiner.label([Label("a", 0.0, 1001.0)]) == {"duplicate": 1}
        for version in order:
            assert value(exporter, "ml_predictions_total", model_version=version) == 1
            assert value(exporter, "ml_huber_loss_sum", model_version=version) == guess[version] ** 2 / 2


def test_a_copy_that_is_answered_after_the_label_came_is_scored_for_a_while() -> None:
    clock = Clock()
    exporter, joiner = make(clock)
    joiner.predict([prediction("a", 1.0, "v1"), prediction("b", 1.0, "v1")])
    # Given a label after its first answer, and one before both
    joiner.label([Label("a", 0.0, 1001.0), Label("b", 0.0, 1001.0), Label("c", 0.0, 1001.0)])
    assert joiner.predict([prediction("c", 1.0, "v1")]) == {"joined": 1}
    clock.now += 9
    assert joiner.predict([prediction(one, 3.0, "v2") for one in "ac"]) == {"joined": 2}
    assert joiner.predict([prediction(one, 3.0, "v2") for one in "ac"]) == {"duplicate": 2}
    # When it is over, its label is never known
    clock.now += 1
    assert joiner.predict([prediction("b", 3.0, "v2")]) == {"waiting": 1}
    assert value(exporter, "ml_huber_loss_count", model_version="v2") == 2
    clock.now += 100
    joiner.expire()
    assert joiner.sizes() == {"waiting": 0, "early": 0, "done": 3}
    assert value(exporter, "ml_labels_dropped_total") == 0


def test_the_version_that_predicted_gets_the_loss_and_old_versions_are_forgotten() -> None:
    exporter, joiner = make(max_versions=2)
    joiner.predict([prediction("a", 20.0, "v1"), prediction("b", 0.0, "v2")])
    joiner.label([Label("a", 0.0, 1001.0), Label("b", 0.0, 1001.0)])
    assert value(exporter, "ml_huber_loss_sum", model_version="v1") == 150.0
    assert value(exporter, "ml_huber_loss_sum", model_version="v2") == 0.0
    joiner.predict([prediction("c", 0.0, "v3")])
    assert exporter.versions == ("v2", "v3")
    assert b'model_version="v1"' not in exporter.render()


def test_segments_are_closed_and_few() -> None:
    exporter, _ = make()
    with pytest.raises(ValueError, match="segment must be one of"):
        exporter.predicted("v1", "medium")
    with pytest.raises(ValueError, match="1 to 10 distinct segments"):
        LossExporter("m", loss_kind("squared"), buckets=(1.0,), segments=[str(k) for k in range(11)])
    with pytest.raises(ValueError, match="dropped as one of"):
        exporter.dropped("lost")


events = st.lists(
    st.tuples(
        st.sampled_from(["predict", "label", "wait"]),
        st.integers(0, 12),
        st.one_of(st.floats(-100, 100), st.just(math.nan)),
    ),
    max_size=60,
)


@given(events, st.integers(1, 6))
@settings(deadline=None, max_examples=50)
def test_every_label_is_accounted_for_once_and_memory_is_bounded(
    story: list[tuple[str, int, float]], capacity: int
) -> None:
    """Labels in = joined + dropped + still early, whatever the order; the counters equal a plain sum."""
    clock = Clock()
    exporter, joiner = make(clock, capacity=capacity)
    labels_in = joined = 0
    for kind, key, number in story:
        if kind == "predict":
            joined += joiner.predict([prediction(str(key), number)]).get("joined", 0)
        elif kind == "label":
            labels_in += 1
            joined += joiner.label([Label(str(key), number, clock.now)]).get("joined", 0)
        else:
            clock.now += key * 5
        assert max(joiner.sizes().values()) <= capacity + 1
    lost = value(exporter, "ml_labels_dropped_total")
    assert labels_in == joined + lost + joiner.sizes()["early"]
    assert value(exporter, "ml_labels_total") == joined
    invalid = value(exporter, "ml_loss_invalid_total")
    assert value(exporter, "ml_huber_loss_count") + invalid == joined
    assert math.isfinite(value(exporter, "ml_huber_loss_sum"))


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=1, max_size=50))
@settings(deadline=None, max_examples=50)
def test_sums_equal_the_losses_computed_directly(pairs: list[tuple[float, float]]) -> None:
    exporter, joiner = make()
    joiner.predict([prediction(str(k), guess) for k, (guess, _) in enumerate(pairs)])
    joiner.label([Label(str(k), truth, 1000.0) for k, (_, truth) in enumerate(pairs)])
    losses = [exporter.score(guess, truth) for guess, truth in pairs]
    assert value(exporter, "ml_huber_loss_sum") == pytest.approx(sum(losses))
    assert value(exporter, "ml_huber_loss_squares_total") == pytest.approx(sum(x * x for x in losses))
    assert value(exporter, "ml_huber_loss_bucket", le="60.0") == sum(x <= 60 for x in losses)


def test_losses_carry_the_age_of_their_labels_where_it_is_asked_for() -> None:
    # Given an exporter with edges at one and ten minutes
    exporter = LossExporter("m", loss_kind("absolute"), buckets=(1.0, 2.0), ages=(60, 600))
    joiner = Joiner(exporter, expire_after=1e6, clock=Clock())
    joiner.predict([Prediction(str(key), "v1", "default", 0.0, 1000.0) for key in range(6)])
    # Then all ages of a new version exist at zero
    for age in ("60.0", "600.0", "+Inf"):
        labels = f'age_bucket="{age}",model_name="m",model_version="v1",segment="default"'
        assert f"ml_absolute_error_count{{{labels}}} 0.0" in exporter.render().decode()
    # When labels come early, on an edge, between, and late
    joiner.label([Label(str(key), 1.5, at) for key, at in enumerate((990.0, 1060.0, 1060.5, 1600.0, 1601.0, 9e5))])
    # Then each loss counts once, at the lowest edge that its age does not exceed
    found = [value(exporter, "ml_absolute_error_count", age_bucket=age) for age in ("60.0", "600.0", "+Inf")]
    assert found == [2.0, 2.0, 2.0]
    assert value(exporter, "ml_absolute_error_squares_total", age_bucket="60.0") == 4.5
    assert value(exporter, "ml_labels_total") == 6
    # And what nobody gives a time of has no upper edge
    exporter.scored("v1", "default", 1.0)
    assert value(exporter, "ml_absolute_error_count", age_bucket="+Inf") == 3
    # And a version that is retired leaves none of them
    exporter.retire("v1")
    assert "age_bucket" not in exporter.render().decode()


@pytest.mark.parametrize("ages", [(0.0,), (-1.0, 5.0), (60.0, 30.0), (5.0, 5.0), (math.inf,), tuple(range(1, 10))])
def test_edges_that_are_no_ages_are_refused(ages: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ages"):
        LossExporter("m", loss_kind("absolute"), buckets=(1.0,), ages=ages)


def test_threads_lose_nothing_and_a_scrape_sees_whole_labels() -> None:
    exporter, joiner = make(capacity=100_000)
    stop = threading.Event()
    torn: list[tuple[float, float]] = []

    def scrape() -> None:
        while not stop.is_set():
            text = exporter.render().decode()
            samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
            labels = sum(s.value for s in samples if s.name == "ml_labels_total")
            count = sum(s.value for s in samples if s.name == "ml_huber_loss_count")
            if labels != count:
                torn.append((labels, count))

    def work(name: str) -> None:
        for k in range(300):
            joiner.predict([prediction(f"{name}-{k}", 3.0)])
            joiner.label([Label(f"{name}-{k}", 1.0, 1001.0)])

    threads = [threading.Thread(target=work, args=(str(k),)) for k in range(4)]
    scraper = threading.Thread(target=scrape)
    scraper.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    scraper.join()
    assert not torn
    assert value(exporter, "ml_huber_loss_count") == 1200
