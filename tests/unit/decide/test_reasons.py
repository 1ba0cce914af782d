"""The list of reasons is closed: nothing else is given, and nothing on it is never given."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import pytest

import modelslo
from modelslo.decide.reasons import Reason
from modelslo.judge.problem import Unknown
from modelslo.observe.evidence import NoEvidence

# Backtest and CLI only read them.
_LAYERS = ("observe", "judge", "decide", "act", "engine")
_SOURCE = "\n".join(
    page.read_text(encoding="utf-8") for layer in _LAYERS for page in Path(modelslo.__path__[0], layer).rglob("*.py")
)


@pytest.mark.parametrize(("kind", "others"), [(NoEvidence, ()), (Unknown, NoEvidence), (Reason, Unknown)])
def test_each_is_given_somewhere(kind: type[StrEnum], others: Iterable[StrEnum]) -> None:
    """An Unknown may come from a NoEvidence of that name, a Reason from an Unknown."""
    assert {str(one) for one in others} <= {str(one) for one in kind}
    for one in kind:
        given = re.search(rf"\b{kind.__name__}\.{one.name}\b", _SOURCE)
        assert given or str(one) in {str(other) for other in others}, f"nothing gives {one}"
