"""JSON merge patches (RFC 7386). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that makes `after` out of `before`; empty when they are the same. Null values count as absent."""
    patch: dict[str, Any] = {name: None for name, value in before.items() if value is not None and _gone(after, name)}
    for name, value in after.items():
        old = before.get(name)
        if value is None or value == old:
            continue
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            inner = merge_patch(old, value)
            if inner:
                patch[name] = inner
        else:
            patch[name] = value
    return patch


def _gone(after: Mapping[str, Any], name: str) -> bool:
    return after.get(name) is None
