"""All kinds by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from tests.simulate.kind import Kind
from tests.simulate.kinds_boundary import BOUNDARY
from tests.simulate.kinds_canary import CANARY
from tests.simulate.kinds_extra import EXTRA
from tests.simulate.kinds_stable import STABLE
from tests.simulate.words import Group

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (*CANARY, *EXTRA, *BOUNDARY, *STABLE)}
assert len(KINDS) == len(CANARY) + len(EXTRA) + len(BOUNDARY) + len(STABLE), "two kinds have one name"


def choose(patterns: Iterable[str] = ("*",), group: Group | None = None) -> list[Kind]:
    """The kinds whose name matches one of the shell patterns, in the order of the modules.

    Raises:
        ValueError: A pattern matches nothing.
    """
    patterns = list(patterns)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in KINDS):
            raise ValueError(f"no kind matches {pattern!r}; list them with: python -m tests.simulate kinds")
    return [
        kind
        for kind in KINDS.values()
        if group in (None, kind.group) and any(fnmatchcase(kind.name, pattern) for pattern in patterns)
    ]
