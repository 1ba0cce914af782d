"""Who else sets a field of a Deployment, by the API server's own record (``metadata.managedFields``). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelslo.act.names import FIELD_MANAGER

SOMEBODY: Final = "somebody"


def other_manager(body: Mapping[str, Any], field: str) -> str:
    """The manager that last set ``spec.<field>``, other than the operator; "somebody" where none is on record."""
    entries = body["metadata"].get("managedFields") or ()
    others = [one for one in entries if one.get("manager") != FIELD_MANAGER and _sets(one, field)]
    newest = max(others, key=lambda one: str(one.get("time", "")), default=None)
    return str(newest["manager"]) if newest else SOMEBODY


def _sets(entry: Mapping[str, Any], field: str) -> bool:
    return f"f:{field}" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
