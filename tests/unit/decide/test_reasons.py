"""The list of reasons is closed: nothing else is given, and nothing on it is never given."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import pytest

import modelslo
from modelslo.decide.reasons import Reason
from modelslo.judge.problem import Unknown
from modelslo.observe.evidence import NoEvidence

# Backtest and CLI only read them.
_LAYERS = ("observe", "judge", "decide", "act", "engine")


def given(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Class and name of what is mentioned as `Class.NAME`, where it is not only compared with something."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.value.id, node.attr
        elif not only_read(node):
            yield from given(node)


def only_read(node: ast.AST) -> bool:
    """A comparison, or a collection of nothing else."""
    if isinstance(node, (ast.Tuple, ast.Set, ast.List)):
        return all(isinstance(one, ast.Attribute) for one in node.elts)
    return isinstance(node, ast.Compare)


GIVEN = {
    found
    for layer in _LAYERS
    for page in Path(modelslo.__path__[0], layer).rglob("*.py")
    for found in given(ast.parse(page.read_text(encoding="utf-8")))
}


@pytest.mark.parametrize(("kind", "others"), [(NoEvidence, ()), (Unknown, NoEvidence), (Reason, Unknown)])
def test_each_is_given_somewhere(kind: type[StrEnum], others: Iterable[StrEnum]) -> None:
    """An Unknown may come from a NoEvidence of that name, a Reason from an Unknown."""
    passed_on = {str(one) for one in others}
    assert passed_on <= {str(one) for one in kind}
    assert [one for one in kind if (kind.__name__, one.name) not in GIVEN and str(one) not in passed_on] == []
