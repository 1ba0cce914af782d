"""What is said of a comparison."""

from __future__ import annotations

from modelslo.decide.wording import comparison
from modelslo.judge.comparison import Compared
from tests.unit.judge.make import parameters


def test_what_was_compared_is_said_also_where_there_is_no_ratio() -> None:
    """All of stable's losses are zero: its labels were compared all the same."""
    gate = parameters().gate
    assert comparison(gate, Compared()) == "Nothing was compared so far."
    found = comparison(gate, Compared(blocks=3, canary=40.0, stable=100.0))
    assert "there is no ratio, 40 and 100 labels, e-value for worse 1 of 20" in found
    whole = Compared(blocks=3, canary=40.0, stable=100.0, ratio=1.2, low=0.9, high=1.6)
    assert "1.200 times stable's (0.900 to 1.600; 1.1 is tolerated), 40 and 100 labels" in comparison(gate, whole)
