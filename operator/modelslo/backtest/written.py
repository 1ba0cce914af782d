"""Lines of a recording as they stand in its file. Whether they make sense is checked here, and nowhere else. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Final, NoReturn, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from modelslo.api.quoted import quoted
from modelslo.backtest.recording import SCHEMA, Chunk, Header, RecordingError
from modelslo.observe.ask import Veto
from modelslo.observe.cells import Cell
from modelslo.observe.evidence import NO_AGE, Increment, Losses, ModelKey, Stood, VetoSeen

_NUMBERS: Final = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
_LATEST: Final = 1e11  # year 5138: what a date can show
_LONGEST_SETTLE: Final = 3600.0  # what the operator's setting may be
_FURTHEST: Final = 10**12
# Ends of cells are whole milliseconds.
_ROUNDING: Final = 0.001
_UNEQUAL: Final = 1e-6


def _special(value: Any) -> Any:
    """JSON has no NaN: it is a string."""
    return _NUMBERS.get(value, value) if isinstance(value, str) else value


def _not_below(value: float) -> float:
    if value < 0:
        raise ValueError("a count is never below 0")
    return value


Time = Annotated[float, Field(strict=True, ge=0, le=_LATEST)]
Seconds = Annotated[float, Field(strict=True, gt=0, le=_LATEST)]
Index = Annotated[int, Field(strict=True, ge=-_FURTHEST, le=_FURTHEST)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Count = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Sum = Annotated[float, Field(strict=True, allow_inf_nan=True), BeforeValidator(_special)]
Counted = Annotated[Sum, AfterValidator(_not_below)]  # by Prometheus, which may count to NaN


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, allow_inf_nan=False)


class _Header(_Written):
    namespace: str
    name: str
    series: str
    grid: Seconds
    slice_length: Seconds
    since: Time
    until: Time
    first_slice: Index
    last_slice: Index
    begin: Time
    end: Time
    vetoes: dict[str, str] = {}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        # The first evaluation is after `begin`, the last one at `end`, and both look back.
        for low, high in (("begin", "end"), ("since", "until"), ("since", "begin")):
            first, second = getattr(self, low), getattr(self, high)
            if first >= second:
                _wrong(high, f"{second!r} is not after {low}, {first!r}")
        if self.until > self.end:
            _wrong("until", f"{self.until!r} is after end, {self.end!r}")
        if self.end - self.until > _LONGEST_SETTLE + _ROUNDING:
            _wrong("end", f"{self.end!r} is more than an hour after until, {self.until!r}")
        if self.first_slice > self.last_slice:
            _wrong("lastSlice", f"{self.last_slice} is before firstSlice, {self.first_slice}")
        return self


class _Cell(_Written):
    at: tuple[Time, Time]
    version: str
    segment: str
    losses: tuple[Count, Sum]
    counted: tuple[Count, Count]
    age: Finite | None = None
    squares: Sum | None = None
    edges: tuple[Finite, ...] = ()
    buckets: tuple[Count, ...] = ()
    delay_edges: tuple[Finite, ...] = ()
    delays: tuple[Count, ...] = ()

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.at[0] >= self.at[1]:
            _wrong("at", f"{list(self.at)!r} ends before it begins")
        _fit("buckets", self.buckets, "edges", self.edges)
        _fit("delays", self.delays, "delayEdges", self.delay_edges)
        count = self.losses[0]
        if self.buckets and abs(sum(self.buckets) - count) > _UNEQUAL * max(1.0, count):
            _wrong("buckets", f"{quoted(self.buckets)} add up to {sum(self.buckets):g}, and losses counts {count:g}")
        return self


class _Chunk(_Written):
    since: Time
    until: Time
    last_slice: Index
    cells: tuple[_Cell, ...]
    slices: tuple[tuple[Index, str, Sum, Counted], ...]
    vetoes: dict[str, tuple[tuple[Time, Sum, Annotated[int, Field(strict=True, ge=0)]], ...]] = {}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since >= self.until:
            _wrong("until", f"{self.until!r} is not after since, {self.since!r}")
        last = self.since
        for number, cell in enumerate(self.cells):
            start, end = cell.at
            if start < self.since - _ROUNDING or end > self.until + _ROUNDING or end < last:
                _wrong(f"cells.{number}.at", f"{[start, end]!r} is not the next in {self.since!r} to {self.until!r}")
            last = end
        for number, row in enumerate(self.slices):
            if row[0] > self.last_slice:
                _wrong(f"slices.{number}.0", f"{row[0]} is after lastSlice, {self.last_slice}")
        for name, stood in self.vetoes.items():
            times = [one[0] for one in stood]
            if times != sorted(times):
                _wrong(f"vetoes.{name}", f"the times {quoted(times)} do not ascend")
        return self


def header_of(line: str) -> Header:
    """The first line of a file. Raises RecordingError."""
    plain = _parsed(line)
    if "modelsloRecording" not in plain:
        raise RecordingError("it is not the first line of a recording")
    if plain["modelsloRecording"] != SCHEMA:
        raise RecordingError(
            f"modelsloRecording: {quoted(plain['modelsloRecording'])}: only schema {SCHEMA} can be read"
        )
    try:
        one = _Header.model_validate(plain)
    except ValidationError as error:
        raise _explained(error) from None
    return Header(
        ModelKey(one.namespace, one.name),
        one.series,
        one.grid,
        one.slice_length,
        one.since,
        one.until,
        one.first_slice,
        one.last_slice,
        one.begin,
        one.end,
        tuple(Veto(name, query) for name, query in one.vetoes.items()),
    )


def chunk_in(line: str) -> Chunk:
    """Any other line. Raises RecordingError."""
    try:
        one = _Chunk.model_validate(_parsed(line))
    except ValidationError as error:
        raise _explained(error) from None
    vetoes = (VetoSeen(name, tuple(Stood(*stood) for stood in of)) for name, of in one.vetoes.items())
    cells = tuple(_cell(cell) for cell in one.cells)
    return Chunk(one.since, one.until, one.last_slice, cells, one.slices, tuple(vetoes))


def _cell(one: _Cell) -> Cell:
    count, total = one.losses
    losses = Losses(count, total, one.buckets, one.squares)
    age = NO_AGE if one.age is None else one.age
    return Cell(
        Increment(*one.at, one.version, one.segment, losses, *one.counted, one.delays, age), one.edges, one.delay_edges
    )


def _fit(name: str, counts: Sequence[float], of: str, edges: Sequence[float]) -> None:
    """Buckets are one more than their finite edges, which ascend; without edges there are none."""
    wanted = len(edges) + 1 if edges else 0
    if any(high <= low for low, high in pairwise(edges)):
        _wrong(of, f"{quoted(edges)} do not ascend")
    if len(counts) != wanted:
        _wrong(name, f"{len(counts)} counts, and {len(edges)} {of} ask for {wanted}")


def _wrong(field: str, message: str) -> NoReturn:
    raise ValueError(f"{field}: {message}")


def _explained(error: ValidationError) -> RecordingError:
    """The first problem, by field and value."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "value_error":
        message = str(first["ctx"]["error"])
        if isinstance(first["input"], (dict, BaseModel)):  # of several fields: it names the one
            return RecordingError(f"{place}.{message}" if place else message)
        return RecordingError(f"{place}: {quoted(first['input'])}: {message}")
    if first["type"] == "missing":
        return RecordingError(f"{place}: is missing")
    problem = first["msg"].removeprefix("Input ").replace("tuple", "list")
    return RecordingError(f"{place}: {quoted(first['input'])} {problem}")


def _parsed(line: str) -> Mapping[str, Any]:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{quoted(line)} is no JSON ({error})") from None
    if not isinstance(plain, dict):
        raise RecordingError(f"{quoted(plain)} is no JSON object")
    return plain
