from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelslo.exporter import absolute, geometric_buckets, huber, log_loss, loss_kind, quantile, squared

numbers = st.floats(-1e6, 1e6)
positive = st.floats(1e-3, 1e6)


@given(numbers, numbers, positive)
def test_huber_is_squared_near_and_absolute_far(prediction: float, truth: float, delta: float) -> None:
    loss = huber(prediction, truth, delta=delta)
    residual = abs(prediction - truth)
    assert 0 <= loss <= residual**2 / 2 * (1 + 1e-9)
    assert loss <= delta * residual
    if residual <= delta:
        assert loss == pytest.approx(squared(prediction, truth) / 2)
    else:
        assert loss == pytest.approx(delta * absolute(prediction, truth) - delta**2 / 2)


@given(positive)
def test_huber_has_no_step_at_delta(delta: float) -> None:
    assert huber(delta * (1 + 1e-9), 0, delta=delta) == pytest.approx(huber(delta, 0, delta=delta), rel=1e-6)


@given(numbers, numbers, st.floats(0.01, 0.99))
def test_quantile_weighs_the_two_sides(prediction: float, truth: float, q: float) -> None:
    loss = quantile(prediction, truth, q=q)
    assert loss >= 0
    assert loss + quantile(truth, prediction, q=q) == pytest.approx(absolute(prediction, truth))
    assert quantile(prediction, truth, q=0.5) == pytest.approx(absolute(prediction, truth) / 2)


@given(st.floats(0, 1), st.sampled_from([0.0, 1.0]))
def test_log_loss_is_finite_and_non_negative(probability: float, outcome: float) -> None:
    assert 0 <= log_loss(probability, outcome) <= 34.6


@pytest.mark.parametrize(("probability", "outcome"), [(-0.1, 1), (1.1, 0), (0.5, 0.5), (0.5, 2), (math.nan, 1)])
def test_log_loss_of_no_probability_is_nan(probability: float, outcome: float) -> None:
    assert math.isnan(log_loss(probability, outcome))


@given(numbers)
def test_nan_in_is_nan_out(truth: float) -> None:
    for loss in (absolute, squared, loss_kind("huber", 10).score, loss_kind("quantile", 0.9).score):
        assert math.isnan(loss(math.nan, truth))
        assert math.isnan(loss(truth, math.nan))


@pytest.mark.parametrize(
    ("name", "parameter", "said"),
    [
        ("huber", None, "'huber' needs a parameter"),
        ("huber", -1.0, "got -1"),
        ("quantile", 1.0, "between 0 and 1"),
        ("squared", 3.0, "takes no parameter"),
        ("hubert", 1.0, "use huber, quantile, absolute, log, squared"),
    ],
)
def test_a_wrong_kind_is_refused_with_a_mend(name: str, parameter: float | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        loss_kind(name, parameter)


@given(st.floats(1e-6, 1e9), st.floats(1.05, 2.0), st.floats(10, 1000), st.integers(10, 30), st.lists(positive))
def test_buckets_hold_what_the_contract_asks(
    target: float, ratio: float, top: float, count: int, also: list[float]
) -> None:
    bounds = geometric_buckets(target, ratio=ratio, top=top, count=count, also=also)
    assert target in bounds
    assert set(also) <= set(bounds)
    assert len(bounds) >= count
    assert bounds[-1] >= 10 * target
    assert list(bounds) == sorted(set(bounds))
    own = geometric_buckets(target, ratio=ratio, top=top, count=count)
    assert all(math.isfinite(bound) and bound > 0 for bound in bounds)
    assert all(high / low <= ratio * (1 + 1e-9) for low, high in itertools.pairwise(own))


@pytest.mark.parametrize(
    ("target", "ratio", "top", "count"),
    [(0, 2, 10, 11), (math.inf, 2, 10, 11), (1, 3, 10, 11), (1, 2, 5, 11), (1, 2, 10, 4)],
)
def test_wrong_buckets_are_refused(target: float, ratio: float, top: float, count: int) -> None:
    with pytest.raises(ValueError, match="but is"):
        geometric_buckets(target, ratio=ratio, top=top, count=count)


@given(positive)
def test_the_bound_of_the_target_is_written_as_itself(target: float) -> None:
    assume(target > 1)
    assert str(float(target)) in {str(bound) for bound in geometric_buckets(target)}
