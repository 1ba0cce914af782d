"""Losses of one prediction against one truth: pure functions of two floats, and the kinds an exporter knows.

Every loss here is non-negative for finite input, because a falling sum would read as a counter reset. NaN in
gives NaN out: judging what that means is the exporter's task, not the arithmetic's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

Loss = Callable[[float, float], float]


def absolute(prediction: float, truth: float) -> float:
    """|prediction - truth|, in the unit of the truth. Its mean is the MAE."""
    return abs(prediction - truth)


def squared(prediction: float, truth: float) -> float:
    """(prediction - truth)^2, in the squared unit of the truth. The root of its mean is the RMSE."""
    return (prediction - truth) ** 2


def huber(prediction: float, truth: float, *, delta: float) -> float:
    """Huber's loss: r^2/2 for |r| <= delta, else delta (|r| - delta/2); r = prediction - truth.

    `delta` is in the unit of the truth, the loss in its square. Quadratic where errors are ordinary, linear
    where they are outliers, so that one absurd label cannot own the mean.
    Source: P. J. Huber, Robust Estimation of a Location Parameter, Ann. Math. Statist. 35 (1964), 73-101.
    """
    residual = abs(prediction - truth)
    if residual <= delta:
        return residual * residual / 2
    return delta * (residual - delta / 2)


def quantile(prediction: float, truth: float, *, q: float) -> float:
    """The pinball loss of a forecast of the q-quantile, 0 < q < 1, in the unit of the truth.

    q (truth - prediction) when the truth lies above, (1 - q)(prediction - truth) when below.
    Source: R. Koenker and G. Bassett, Regression Quantiles, Econometrica 46 (1978), 33-50.
    """
    error = truth - prediction
    return q * error if error >= 0 else (q - 1) * error


def log_loss(probability: float, outcome: float, *, eps: float = 1e-15) -> float:
    """-ln of the probability given to what happened, in nats; `outcome` is 0 or 1.

    The probability is clipped to [eps, 1 - eps]: a certain and wrong answer costs 34.5 nats by default, not
    infinity. A probability outside [0, 1] or another outcome is no probability forecast: NaN.
    Source: I. J. Good, Rational Decisions, J. R. Statist. Soc. B 14 (1952), 107-114.
    """
    if not (0 <= probability <= 1 and outcome in (0, 1)):
        return math.nan
    clipped = min(max(probability, eps), 1 - eps)
    return -math.log(clipped if outcome == 1 else 1 - clipped)


@dataclass(frozen=True, slots=True)
class LossKind:
    """A loss with its parameters bound, and the metric family that its samples may share.

    Families differ by kind, because a sum over labels must make sense.
    """

    family: str
    """Metric name without prefix: `huber_loss` becomes `ml_huber_loss`."""
    score: Loss
    """(prediction, truth) -> loss."""


def loss_kind(name: str, parameter: float | None = None) -> LossKind:
    """The kind called `name`; `parameter` is Huber's delta or the quantile's q, and refused elsewhere."""
    plain = {
        "absolute": LossKind("absolute_error", absolute),
        "squared": LossKind("squared_error", squared),
        "log": LossKind("log_loss", log_loss),
    }
    if name in plain:
        if parameter is not None:
            raise ValueError(f"the loss {name!r} takes no parameter, but got {parameter}")
        return plain[name]
    if name == "huber":
        delta = _parameter("huber", "delta, in the unit of the label", parameter, math.inf)
        return LossKind("huber_loss", lambda prediction, truth: huber(prediction, truth, delta=delta))
    if name == "quantile":
        q = _parameter("quantile", "q, between 0 and 1", parameter, 1.0)
        return LossKind("quantile_loss", lambda prediction, truth: quantile(prediction, truth, q=q))
    raise ValueError(f"no loss is called {name!r}; use huber, quantile, {', '.join(sorted(plain))}")


def _parameter(name: str, what: str, value: float | None, below: float) -> float:
    if value is None or not 0 < value < below:
        raise ValueError(f"the loss {name!r} needs a parameter ({what}), but got {value}")
    return value
