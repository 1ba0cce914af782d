"""Traces of the replay interface as lines, short ones of the simulator."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from modelslo.backtest.jsonl import replay_lines
from tests.simulate.kinds import KINDS
from tests.simulate.trace import build
from tests.simulate.words import Mode

Line = Mapping[str, Any]


def trace(name: str, number: int = 0, *, hours: float = 0.6, history: int = 40, mode: Mode = "histogram") -> list[Line]:
    """All lines of one trace of that kind, cut short."""
    kind = replace(KINDS[name], hours=hours, history=(history, history))
    return [json.loads(json.dumps(line, allow_nan=False)) for line in build(kind, number, mode=mode).lines()]


def text(lines: Iterable[Line]) -> list[str]:
    return [json.dumps(line, allow_nan=False) + "\n" for line in lines]


def answers(lines: Iterable[str | bytes]) -> list[dict[str, Any]]:
    """What the judge says to these lines, in one process."""
    output = io.StringIO()
    replay_lines(lines, output)
    found = output.getvalue()
    assert not found or found.endswith("\n")
    return [json.loads(line) for line in found.splitlines()]


def changed(line: Line, path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at the dotted path; `...` removes it."""
    copy: dict[str, Any] = json.loads(json.dumps(line))
    *parents, last = path.split(".")
    at: Any = copy
    for one in parents:
        at = at[int(one)] if isinstance(at, list) else at[one]
    key: Any = int(last) if isinstance(at, list) else last
    if value is ...:
        del at[key]
    else:
        at[key] = value
    return copy
