"""Rules across fields."""

from __future__ import annotations

from typing import Any


def with_rules(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with the rules as ``x-kubernetes-validations``."""
    return schema
