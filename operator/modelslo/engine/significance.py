"""Which change of status is worth a write (DESIGN section 12: close to none when nothing happens). Pure.

Records (conditions, rollout, operation, ledgers ...) are written at once. Figures wait for their turn, and only when
one moved by more than the tolerance; the digits in a message of a condition are figures too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from modelslo.api.status import ModelSLOStatus

FIGURES: Final = frozenset({"sli", "budget", "burnRates", "drift", "diagnosis", "stable", "canary", "comparison"})
_NEVER: Final = frozenset({"lastEvaluationTime", "sliceEnd"})
TOLERANCE: Final = 0.02
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


class Significance(IntEnum):
    NONE = 0
    FIGURES = 1
    RECORDS = 2


def dumped(status: ModelSLOStatus) -> dict[str, Any]:
    """Status as JSON; numbers that are none become null."""
    loaded: dict[str, Any] = json.loads(status.model_dump_json(by_alias=True, exclude_none=True))
    return loaded


def significance(before: Mapping[str, Any], after: Mapping[str, Any]) -> Significance:
    """How much two dumps of status differ."""
    if _records(before) != _records(after):
        return Significance.RECORDS
    figures = FIGURES | {"conditions"}
    if any(_moved(before.get(name), after.get(name)) for name in figures):
        return Significance.FIGURES
    return Significance.NONE


def _records(status: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in status.items() if name not in FIGURES and name not in _NEVER}
    kept["conditions"] = [
        {name: value for name, value in one.items() if name != "message"} for one in status.get("conditions") or ()
    ]
    kept["drift"] = (status.get("drift") or {}).get("state")
    kept["cause"] = (status.get("diagnosis") or {}).get("cause")
    # Which version plays which role is no figure.
    kept["versions"] = [(status.get(role) or {}).get("version") for role in ("stable", "canary")]
    return kept


def _moved(before: Any, after: Any) -> bool:
    if before == after:
        return False
    if isinstance(before, bool) or isinstance(after, bool):
        return bool(before != after)
    if isinstance(before, int | float) and isinstance(after, int | float):
        return abs(before - after) > TOLERANCE * max(abs(before), abs(after))
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = (before.keys() | after.keys()) - _NEVER
        return any(_moved(before.get(name), after.get(name)) for name in names)
    if isinstance(before, list) and isinstance(after, list):
        return len(before) != len(after) or any(_moved(*pair) for pair in zip(before, after, strict=True))
    if isinstance(before, str) and isinstance(after, str):
        return _NUMBER.sub("#", before) != _NUMBER.sub("#", after)
    return bool(before != after)
