"""`modelslo backtest --jsonl`: many traces through one process, an answer for each scrape, in lock-step."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import IO, Any

from modelslo.api.quoted import quoted
from modelslo.backtest.observations import ObservationError
from modelslo.backtest.replay import Replay


class LineError(ValueError):
    """A bad line, by its number."""

    def __init__(self, line: int, error: Exception) -> None:
        super().__init__(f"line {line}: {error}")


def replay_lines(lines: Iterable[str | bytes], output: IO[str]) -> None:
    """Answers every scrape before it reads the next line. Raises LineError; what was answered before stands."""
    session = Session()
    for number, line in enumerate(lines, 1):
        try:
            answer = session.take(line)
        except ObservationError as error:
            raise LineError(number, error) from None
        if answer is not None:
            output.write(json.dumps(_plain(answer), separators=(",", ":"), allow_nan=False) + "\n")
            output.flush()


class Session:
    """One trace after the other; nothing of one is there in the next."""

    def __init__(self) -> None:
        self._replay: Replay | None = None

    def take(self, line: str | bytes) -> dict[str, Any] | None:
        """The answer to a line; None when there is none to give."""
        observation = _parsed(line)
        kind = observation.get("type")
        if kind == "meta":
            if self._replay is not None:
                raise ObservationError("type", 'a "meta" inside a trace: send its "end" first')
            self._replay = Replay(observation)
            return None
        if kind is None and "modelsloRecording" in observation:
            raise ObservationError(
                "modelsloRecording", "this is a recording, and no observations: `modelslo backtest NAME --record FILE`"
            )
        if kind not in ("scrape", "end"):
            raise ObservationError("type", f'{quoted(kind)} is not known: write "meta", "scrape" or "end"')
        if self._replay is None:
            raise ObservationError("type", f'a "{kind}" before any "meta": begin the trace with it')
        if kind == "scrape":
            return self._replay.feed(observation)
        self._replay.belongs(observation)
        self._replay = None
        return None


def _plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: null."""
    return {key: None if type(one) is float and not isfinite(one) else one for key, one in answer.items()}


def _parsed(line: str | bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line, parse_constant=_refused)
    except (ValueError, RecursionError) as error:  # no UTF-8 is a ValueError too
        raise ObservationError("", f"no JSON ({error}): write one object a line") from None
    if not isinstance(found, dict):
        raise ObservationError("", f"{quoted(found)}, and one JSON object a line is expected")
    return found


def _refused(constant: str) -> float:
    raise ValueError(f'{constant} is none: write the string "NaN", "+Inf" or "-Inf"')
