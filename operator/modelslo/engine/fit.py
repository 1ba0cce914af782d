"""Keeps what is written into status under 16 KiB (DESIGN section 10). Pure.

Words go first, then what is oldest of what is there to be read. What safety hangs on stays whatever it costs:
operation, rollout, the ledger of retrains, the newest rejected revisions. The evidence of every decision is in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

LIMIT: Final = 16 * 1024
ENTRY_LIMIT: Final = 512
_SHORT: Final = 96
# What loses its oldest, in this order, and how many stay. Shadows may all go: the oldest leave the window first.
_LISTS: Final = (("shadows", 0), ("history", 3), ("rejectedRevisions", 3))

Body = dict[str, Any]


def size(body: Mapping[str, Any]) -> int:
    """Bytes of `body` as JSON in UTF-8."""
    return len(to_json(body))


def fitted(body: Mapping[str, Any]) -> Body:
    """`body`, a dumped status, with entries of history within ENTRY_LIMIT bytes, and within LIMIT bytes if it can be.

    The same for the same `body`, and the same again for what it returns.
    """
    result = dict(body)
    if "history" in result:
        result["history"] = [_entry(one) for one in result["history"]]
    if "lastDecision" in result:
        result["lastDecision"] = _entry(result["lastDecision"])
    if size(result) > LIMIT:
        _shorten(result)
    for name, fewest in _LISTS:
        while size(result) > LIMIT and len(result.get(name, ())) > fewest:
            result[name] = result[name][1:]
    return result


def _entry(entry: Body) -> Body:
    over = size(entry) - ENTRY_LIMIT
    if over <= 0 or "message" not in entry:
        return entry
    return entry | {"message": _cut(entry["message"], max(1, len(entry["message"].encode()) - over))}


def _cut(message: str, most: int) -> str:
    """The beginning of `message`, of at most so many bytes of JSON (3 of them for the sign of the cut)."""
    kept = message.encode()[: max(0, most - 3)].decode(errors="ignore")
    return f"{kept}…"


def _shorten(body: Body) -> None:
    """Words of conditions, diagnosis and ledger."""
    for name in ("conditions", "retrains"):
        if name in body:
            body[name] = [_brief(one, "message") for one in body[name]]
    if "diagnosis" in body:
        explanations = [_brief(one, "evidence") for one in body["diagnosis"]["explanations"]]
        body["diagnosis"] = body["diagnosis"] | {"explanations": explanations}


def _brief(part: Body, field: str) -> Body:
    return part | {field: _cut(part[field], _SHORT)} if len(part.get(field, "").encode()) > _SHORT else part
