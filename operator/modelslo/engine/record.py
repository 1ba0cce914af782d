"""The record of a decision: the whole evidence as one JSON line on standard output, and its digest for status."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from math import isfinite
from typing import Any, TextIO

from pydantic import BaseModel

from modelslo.api.spec import ModelSLOSpec
from modelslo.api.status import ModelSLOStatus
from modelslo.decide.decision import Decision
from modelslo.observe.evidence import Evidence, SliceTable


def evidence_json(evidence: Evidence) -> str:
    """`evidence` in one canonical form: the same evidence is the same text. Query times are left out of it."""
    return _canonical(_plain_evidence(evidence))


def _canonical(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain_evidence(evidence: Evidence) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(evidence)
    for query in plain["queries"]:
        query.pop("seconds", None)
    return plain


def digest_of(evidence: Evidence) -> str:
    """SHA-256 of the evidence."""
    return _digest(_plain_evidence(evidence))


def _digest(plain: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(plain).encode()).hexdigest()


def record_line(
    evidence: Evidence,
    decision: Decision,
    spec: ModelSLOSpec,
    before: ModelSLOStatus,
    decision_id: str,
    now: datetime,
) -> str:
    """What is needed to judge and decide again, and what came of it."""
    seen = _plain_evidence(evidence)
    line = {
        "record": "decision",
        "time": now.isoformat(),
        "model": str(evidence.model),
        "decision": decision_id,
        "outcome": _plain(decision),
        "digest": _digest(seen),
        "spec": _plain(spec),
        "status": _plain(before),
        "evidence": seen,
    }
    return json.dumps(line, separators=(",", ":"), allow_nan=False)


class Recorder:
    """Writes the lines. One write per line, so that lines of the log cannot get into it."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        stream = self._stream or sys.stdout
        stream.write(line + "\n")
        stream.flush()


def _rows(table: SliceTable) -> list[list[Any]]:
    """[index, version, sum of losses, samples]: a window of 28 days has 8,000 of them, so they are short and quick."""
    return [
        [one.index, version, total if isfinite(total) else str(total), count if isfinite(count) else str(count)]
        for one in table.slices
        for version, (total, count) in one.by_version.items()
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, SliceTable):
        return {"length": value.length, "first": value.first, "last": value.last, "slices": _rows(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return json.loads(value.model_dump_json(by_alias=True, exclude_none=True))
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):  # a packed sequence too
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # "nan", "inf": JSON has no such numbers, and they matter here
    return value
