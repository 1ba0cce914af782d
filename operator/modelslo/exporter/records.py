"""The joiner's JSON: from a request body to predictions and labels, or to one error that helps."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from modelslo.exporter.join import Label, Prediction

MAX_RECORDS = 10_000
MAX_TEXT = 253
_T = TypeVar("_T")


class BadRequestError(ValueError):
    """A body that cannot be used: which field, what it held, and how to mend it."""

    def __init__(self, field: str, value: object, mend: str) -> None:
        super().__init__(f"{field}: {mend}")
        shown = json.dumps(value, default=str)
        self.answer = {
            "error": f"{field} is {shown[:200]}: {mend}",
            "field": field,
            "value": shown[:200],
            "mend": mend,
        }


def parse_predictions(body: bytes, now: float, segments: Sequence[str]) -> list[Prediction]:
    """`{"predictions": [{"id", "version", "segment"?, "prediction", "time"?}, ...]}`.

    `segment` may be left out when the exporter has one only; `time` (Unix seconds) is `now` when left out.
    """

    def one(record: dict[str, Any], where: str) -> Prediction:
        _known(record, where, {"id", "version", "segment", "prediction", "time"})
        return Prediction(
            id=_text(record, where, "id"),
            version=_text(record, where, "version"),
            segment=_segment(record, where, segments),
            value=_number(record, where, "prediction"),
            at=_time(record, where, now),
        )

    return _records(body, "predictions", one)


def parse_labels(body: bytes, now: float) -> list[Label]:
    """`{"labels": [{"id", "label", "time"?}, ...]}`; `time` (Unix seconds) is `now` when left out."""

    def one(record: dict[str, Any], where: str) -> Label:
        _known(record, where, {"id", "label", "time"})
        return Label(
            id=_text(record, where, "id"),
            value=_number(record, where, "label"),
            at=_time(record, where, now),
        )

    return _records(body, "labels", one)


def parse_choice(body: bytes, field: str, choices: Sequence[str]) -> str:
    """`{field: one of choices}`."""
    value = _object(body).get(field)
    if value not in choices:
        raise BadRequestError(field, value, f"use one of {', '.join(choices)}")
    return str(value)


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        shown = body[:80].decode("utf-8", "replace")
        raise BadRequestError("body", shown, f"send JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadRequestError("body", value, "send a JSON object")
    return value


def _records(body: bytes, field: str, one: Callable[[dict[str, Any], str], _T]) -> list[_T]:
    records = _object(body).get(field)
    if not isinstance(records, list):
        raise BadRequestError(field, records, "send a list of records")
    if len(records) > MAX_RECORDS:
        raise BadRequestError(field, len(records), f"send at most {MAX_RECORDS} records at a time")
    parsed = []
    for index, record in enumerate(records):
        where = f"{field}[{index}]"
        if not isinstance(record, dict):
            raise BadRequestError(where, record, "send an object")
        parsed.append(one(record, where))
    return parsed


def _known(record: dict[str, Any], where: str, fields: set[str]) -> None:
    for field in record:
        if field not in fields:
            raise BadRequestError(f"{where}.{field}", record[field], f"leave it out; known are {sorted(fields)}")


def _text(record: dict[str, Any], where: str, field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise BadRequestError(f"{where}.{field}", value, f"send a text of 1 to {MAX_TEXT} characters")
    return value


def _segment(record: dict[str, Any], where: str, segments: Sequence[str]) -> str:
    value = record.get("segment", segments[0] if len(segments) == 1 else None)
    if value not in segments:
        raise BadRequestError(f"{where}.segment", value, f"use one of {', '.join(segments)}")
    return str(value)


def _number(record: dict[str, Any], where: str, field: str) -> float:
    """A number; `null` is NaN, for which JSON has no word (Python's `NaN` and `Infinity` are taken, too)."""
    value = record.get(field, "missing")
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequestError(f"{where}.{field}", value, "send a number, or null for one that is not a number")
    return float(value)


def _time(record: dict[str, Any], where: str, now: float) -> float:
    if "time" not in record:
        return now
    value = _number(record, where, "time")
    if not (math.isfinite(value) and value > 0):
        raise BadRequestError(f"{where}.time", record["time"], "send Unix seconds, or leave it out")
    return value
