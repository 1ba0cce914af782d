"""Lines of the replay interface as data; errors name the key and the mend (decision-statistics section 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from modelslo.judge.drift import DriftRules
from modelslo.judge.increments import Counters
from modelslo.judge.scale import Rules

_DAY: Final = 86400.0
_LARGEST: Final = 1e300
_NUMBERS: Final = {int, float}
_SPECIAL: Final = {"NaN": float("nan"), "+Inf": float("inf"), "-Inf": float("-inf")}


class ObservationError(ValueError):
    """A line that cannot be used: the key (dotted), and what is expected there."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)


def number(value: Any) -> float:
    """A JSON number, or one of "NaN", "+Inf", "-Inf"."""
    if isinstance(value, str):
        if value in _SPECIAL:
            return _SPECIAL[value]
        raise ValueError(f'{value!r} is no number: write a JSON number, "NaN", "+Inf" or "-Inf"')
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f'{value!r} is no number: write a JSON number, "NaN", "+Inf" or "-Inf"')
    if abs(value) > _LARGEST:
        raise ValueError('is too large for a number: write "+Inf" or "-Inf"')
    return value


def _ascending(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(high <= low for low, high in pairwise(edges)):
        raise ValueError(f"{list(edges)} do not ascend: write the finite upper bounds of the buckets, smallest first")
    return edges


Number = Annotated[float, BeforeValidator(number)]
Edges = Annotated[tuple[float, ...], AfterValidator(_ascending)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Meta(_Line):
    """The first line of a trace."""

    trace: str
    dt: float = Field(gt=0)
    k0: int = Field(ge=0)
    edges: Edges
    lag_edges: Edges
    margin: float = Field(gt=0)
    segment_margin: float = Field(gt=0)
    alpha: float = Field(gt=0, lt=1)
    beta: float = Field(gt=0, lt=1)
    warmup_s: float = Field(ge=0)
    slo_loss: float = Field(gt=0)
    has_canary: bool
    segments: tuple[str, ...] = ()
    false_retrain_days: float = Field(gt=0)
    retrain_persist_s: float = Field(gt=0)
    has_sumsq: bool = False

    def rules(self) -> Rules:
        return Rules(
            edges=self.edges,
            lag_edges=self.lag_edges,
            margin=self.margin,
            segment_margin=self.segment_margin,
            alpha=self.alpha,
            beta=self.beta,
            warmup=self.warmup_s,
            segments=self.segments,
            has_squares=self.has_sumsq,
        )

    def drift(self) -> DriftRules:
        return DriftRules(self.slo_loss, self.false_retrain_days * _DAY, self.retrain_persist_s)


class _Series(_Line):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=True)

    loss_sum: Number
    loss_sumsq: Number | None = None
    loss_count: Number
    buckets: tuple[Number, ...]


class _Arm(_Series):
    predictions_total: Number
    lag_buckets: tuple[Number, ...]
    segments: dict[str, _Series] = {}


class _Arms(_Line):
    stable: _Arm | None = None
    canary: _Arm | None = None


class _Scrape(_Line):
    type: Literal["scrape"]
    trace: str
    k: int = Field(ge=0)
    t: float
    rollout_started: bool
    arms: _Arms


def meta_of(line: Mapping[str, Any]) -> Meta:
    """Raises ObservationError."""
    try:
        return Meta.model_validate(line)
    except ValidationError as error:
        raise _explained(error) from None


def counters_of(rules: Rules, scrape: Mapping[str, Any], role: str) -> Counters | None:
    """Counters of one arm; None when it was not scraped. Raises ObservationError."""
    try:
        arm = scrape["arms"].get(role)
        return None if arm is None else _counters(rules, arm)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _diagnosed(rules, scrape, role, error) from None


def _counters(rules: Rules, arm: Mapping[str, Any]) -> Counters:
    rows = [arm, *(arm["segments"][name] for name in rules.segments)]
    delays = arm["lag_buckets"]
    values = [arm["predictions_total"], *[row["loss_count"] for row in rows]]
    for row in rows:
        if len(row["buckets"]) != len(rules.edges) + 1:
            raise ValueError
        values += row["buckets"]
    if len(delays) != len(rules.lag_edges) + 1:
        raise ValueError
    values += delays
    end = len(values)
    sums = [row["loss_sum"] for row in rows]
    squares = [row["loss_sumsq"] for row in rows] if rules.has_squares else []
    found = _array(values + sums + squares)
    of_squares = found[end + len(sums) :] if rules.has_squares else None
    return Counters(found[:end], found[end : end + len(sums)], of_squares, len(delays))


def _array(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not {*map(type, values)} <= _NUMBERS:
        values = [number(one) for one in values]
    return np.array(values, dtype=np.float64)


def _diagnosed(rules: Rules, scrape: Mapping[str, Any], role: str, error: Exception) -> ObservationError:
    """What is wrong with a scrape that could not be read; slow, and only called then."""
    try:
        read = _Scrape.model_validate(scrape)
    except ValidationError as found:
        return _explained(found)
    arm: _Arm | None = getattr(read.arms, role)
    if arm is None:
        return ObservationError(f"arms.{role}", str(error))
    for name in rules.segments:
        if name not in arm.segments:
            return ObservationError(f"arms.{role}.segments", f"has no {name!r}, which meta.segments names")
    rows: list[tuple[str, _Series]] = [
        ("", arm),
        *((f".segments.{name}", arm.segments[name]) for name in rules.segments),
    ]
    for path, row in rows:
        if len(row.buckets) != len(rules.edges) + 1:
            message = f"{len(row.buckets)} counts, and meta.edges asks for {len(rules.edges) + 1}: one more than edges"
            return ObservationError(f"arms.{role}{path}.buckets", message)
        if rules.has_squares and row.loss_sumsq is None:
            return ObservationError(f"arms.{role}{path}.loss_sumsq", "is missing, and meta.has_sumsq promises it")
    message = (
        f"{len(arm.lag_buckets)} counts, and meta.lag_edges asks for {len(rules.lag_edges) + 1}: one more than edges"
    )
    return ObservationError(f"arms.{role}.lag_buckets", message)


def _explained(error: ValidationError) -> ObservationError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    return ObservationError(key, first["msg"].removeprefix("Value error, "))
