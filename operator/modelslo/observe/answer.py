"""Prometheus' answers, checked: every field that is used has the type it should have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from modelslo.observe.failure import QueryError, QueryFailure, QueryTimeout, QueryWarning

# Errors of the query itself, not of the server; another query may succeed.
_OF_THE_QUERY: Final = frozenset({"bad_data", "execution"})
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its labels with ``__name__``, and its samples as Unix milliseconds and values, in the answer's order.

    A value can be NaN or infinite. Native histograms are not read.
    """

    labels: dict[str, str]
    times: list[int]
    values: list[float]


@dataclass(frozen=True, slots=True)
class Answer:
    """``size`` is the length of the answer in bytes."""

    series: tuple[Series, ...]
    size: int

    @property
    def samples(self) -> int:
        return sum(len(one.times) for one in self.series)


def answer_of(status: int, body: bytes) -> Answer:
    """Reads an answer of type matrix; raises QueryFailure for anything else."""
    try:
        message = from_json(body)
    except ValueError:
        if status != 200:
            raise _http_error(status, body) from None
        raise QueryError(f"Prometheus' answer is not JSON: {_shown(body)}") from None
    if not isinstance(message, dict):
        raise QueryError(f"Prometheus' answer is not an object: {_shown(body)}")
    if message.get("status") != "success" or status != 200:
        raise _query_error(status, message, body)
    warnings = message.get("warnings")
    if warnings:
        listed = warnings if isinstance(warnings, list) else [warnings]
        raise QueryWarning(f"Prometheus warns that its answer may be partial: {'; '.join(map(str, listed))[:_SHOWN]}")
    data = message.get("data")
    if not isinstance(data, dict) or data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        kind = data.get("resultType") if isinstance(data, dict) else None
        raise QueryError(f"Prometheus answered with resultType {kind!r} instead of 'matrix'")
    return Answer(tuple(_series(one) for one in data["result"]), len(body))


def _series(one: Any) -> Series:
    try:
        labels, pairs = one["metric"], one.get("values", ())
        times = [round(at * 1000) for at, _ in pairs]
        texts = [value for _, value in pairs]
        # A number where a string should be would be taken by float(), too.
        if not (_strings(texts) and isinstance(labels, dict) and _strings(labels.values())):
            raise TypeError("labels and values must be strings")
        return Series(labels, times, list(map(float, texts)))
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise QueryError(f"Prometheus' answer holds a malformed series: {str(error)[:_SHOWN]}") from error


def _strings(values: Iterable[Any]) -> bool:
    return set(map(type, values)) <= {str}


def _query_error(status: int, message: dict[str, Any], body: bytes) -> QueryFailure:
    kind, text = message.get("errorType"), message.get("error")
    if not isinstance(kind, str) or not isinstance(text, str):
        return _http_error(status, body)
    if kind == "timeout":
        return QueryTimeout(f"Prometheus gave up: {text[:_SHOWN]}")
    return QueryError(f"Prometheus answers {status} {kind}: {text[:_SHOWN]}", culprit=kind in _OF_THE_QUERY)


def _http_error(status: int, body: bytes) -> QueryError:
    return QueryError(f"Prometheus answers HTTP {status}: {_shown(body)}", unreachable=status in (502, 503, 504))


def _shown(body: bytes) -> str:
    text = " ".join(body[:_SHOWN].decode(errors="replace").split())
    return text or "(empty)"
