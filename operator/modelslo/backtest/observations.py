"""Lines of the replay interface as data; errors name the key and the mend (decision-statistics section 12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any, Final

import numpy as np
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from modelslo.api.quoted import quoted
from modelslo.judge.drift import DriftRules
from modelslo.judge.increments import Counters
from modelslo.judge.scale import Rules

_DAY: Final = 86400.0
_LARGEST: Final = 1e300
# Beyond these nothing is meant, and squares or quotients are no numbers any more.
_LARGEST_LOSS: Final = 1e100
_LONGEST: Final = 1e9
_SLOWEST: Final = 1e6
_LEAST_MARGIN: Final = 1e-4
_MOST_SEGMENT_MARGIN: Final = 100
_LEAST_RATE: Final = 1e-9
_NUMBERS: Final = {int, float}
_SPECIAL: Final = {"NaN": float("nan"), "+Inf": float("inf"), "-Inf": float("-inf")}
_NUMBER: Final = 'write a JSON number, "NaN", "+Inf" or "-Inf"'
_BUCKETS: Final = "write cumulative counts, one more than edges: the last one is +Inf"
_RATE: Final = "write a fraction above 0, at most 0.5: 0.05 for 5 %"
_MEND_META: Final = {
    "trace": "write a string, the same in all lines of the trace",
    "dt": f"write the seconds between scrapes, a number above 0, at most {_SLOWEST:g}",
    "k0": "write the index of the scrape at which the rollout starts: a whole number, 0 or more",
    "edges": "write the finite upper bounds of the loss buckets, smallest first; [] without buckets",
    "lag_edges": "write the finite upper bounds of the label delays in seconds, smallest first; [] without them",
    "margin": f"write a fraction from {_LEAST_MARGIN:g} to 1: 0.1 for 10 %",
    "segment_margin": f"write a fraction from {_LEAST_MARGIN:g} to {_MOST_SEGMENT_MARGIN}: 0.3 for 30 %",
    "alpha": _RATE,
    "beta": _RATE,
    "warmup_s": "write seconds, a number of 0 or more",
    "slo_loss": "write the SLO's mean loss, a number above 0",
    "has_canary": "write true or false",
    "segments": "write a list of names; [] without segments",
    "false_retrain_days": "write days, a number above 0",
    "retrain_persist_s": "write seconds, a number above 0",
    "has_sumsq": "write true or false",
}
_MEND_SCRAPE: Final = {
    "arms": 'write an object with the arms that were scraped: "stable", "canary"',
    "stable": "write an object with the counters of that arm, or leave it out",
    "canary": "write an object with the counters of that arm, or leave it out",
    "segments": "write an object with an object of counters for each name",
    "buckets": _BUCKETS,
    "lag_buckets": _BUCKETS,
    **dict.fromkeys(("loss_sum", "loss_sumsq", "loss_count", "predictions_total"), _NUMBER),
}


class ObservationError(ValueError):
    """A line that cannot be used: the key (dotted), and what is expected there."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)


def number(value: Any) -> float:
    """A JSON number, or one of "NaN", "+Inf", "-Inf"."""
    if isinstance(value, str):
        if value in _SPECIAL:
            return _SPECIAL[value]
        raise ValueError(f"{quoted(value)} is no number: {_NUMBER}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{quoted(value)} is no number: {_NUMBER}")
    if abs(value) > _LARGEST:
        raise ValueError(f'{quoted(value)} is too large for a number: write "+Inf" or "-Inf"')
    return value


def _ascending(edges: tuple[float, ...]) -> tuple[float, ...]:
    if any(high <= low for low, high in pairwise(edges)):
        raise ValueError(
            f"{quoted(list(edges))} do not ascend: write the finite upper bounds of the buckets, smallest first"
        )
    return edges


def _whole(value: Any) -> Any:
    """JSON does not tell 240.0 from 240."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= _LONGEST else value


Number = Annotated[float, BeforeValidator(number)]
Edge = Annotated[float, Field(strict=True, ge=-_LARGEST_LOSS, le=_LARGEST_LOSS)]
Edges = Annotated[tuple[Edge, ...], AfterValidator(_ascending)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=_LONGEST)]
Index = Annotated[int, Field(strict=True, ge=0, le=_LONGEST), BeforeValidator(_whole)]
Truth = Annotated[bool, Field(strict=True)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Meta(_Line):
    """The first line of a trace."""

    trace: str
    dt: Annotated[float, Field(strict=True, gt=0, le=_SLOWEST)]
    k0: Index
    edges: Edges
    lag_edges: Edges
    margin: Annotated[float, Field(strict=True, ge=_LEAST_MARGIN, le=1)]
    segment_margin: Annotated[float, Field(strict=True, ge=_LEAST_MARGIN, le=_MOST_SEGMENT_MARGIN)]
    alpha: Annotated[float, Field(strict=True, ge=_LEAST_RATE, le=0.5)]
    beta: Annotated[float, Field(strict=True, ge=_LEAST_RATE, le=0.5)]
    warmup_s: Annotated[float, Field(strict=True, ge=0, le=_LONGEST)]
    slo_loss: Annotated[float, Field(strict=True, gt=0, le=_LARGEST_LOSS)]
    has_canary: Truth
    segments: tuple[str, ...] = ()
    false_retrain_days: Annotated[float, Field(strict=True, gt=0, le=_LONGEST)]
    retrain_persist_s: Seconds
    has_sumsq: Truth = False

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
    arms: _Arms


def meta_of(line: Mapping[str, Any]) -> Meta:
    """Raises ObservationError."""
    try:
        return Meta.model_validate(line)
    except ValidationError as error:
        raise _explained(error, _MEND_META) from None


def counters_of(rules: Rules, scrape: Mapping[str, Any], role: str) -> Counters | None:
    """Counters of one arm; None when it was not scraped. Raises ObservationError."""
    try:
        arm = scrape["arms"].get(role)
        return None if arm is None else _counters(rules, arm)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _diagnosed(rules, scrape, role, error) from None


def _counters(rules: Rules, arm: Mapping[str, Any]) -> Counters:
    rows = [arm]
    if rules.segments:
        found, nothing = arm.get("segments", {}), _nothing(len(rules.edges) + 1)
        rows += [found.get(name, nothing) for name in rules.segments]
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
    array = _array(values + sums + squares)
    of_squares = array[end + len(sums) :] if rules.has_squares else None
    return Counters(array[:end], array[end : end + len(sums)], of_squares, len(delays))


@lru_cache(maxsize=64)
def _nothing(buckets: int) -> Mapping[str, Any]:
    """A segment that is not there: a client library makes a series with its first label, so it has counted nothing."""
    return {"loss_sum": 0.0, "loss_sumsq": 0.0, "loss_count": 0.0, "buckets": (0.0,) * buckets}


def _array(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not {*map(type, values)} <= _NUMBERS:
        values = [number(one) for one in values]
    return np.array(values, dtype=np.float64)


def _diagnosed(rules: Rules, scrape: Mapping[str, Any], role: str, error: Exception) -> ObservationError:
    """What is wrong with a scrape that could not be read; slow, and only called then."""
    try:
        read = _Scrape.model_validate(scrape)
    except ValidationError as found:
        return _explained(found, _MEND_SCRAPE)
    arm: _Arm | None = getattr(read.arms, role)
    if arm is None:
        return ObservationError(f"arms.{role}", str(error))
    rows: list[tuple[str, _Series]] = [
        ("", arm),
        *((f".segments.{name}", arm.segments[name]) for name in rules.segments if name in arm.segments),
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


def _explained(error: ValidationError, mends: Mapping[str, str]) -> ObservationError:
    """The first problem, by key and value; the mend is that of the innermost key that has one."""
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":
        return ObservationError(key, str(first["ctx"]["error"]))
    mend = next(mends[part] for part in reversed(first["loc"]) if isinstance(part, str) and part in mends)
    return ObservationError(key, f"{'is missing' if first['type'] == 'missing' else quoted(first['input'])}: {mend}")
