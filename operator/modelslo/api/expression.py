"""Small expressions that are CEL for the API server and a function for us, so that a rule is stated once.

A :class:`Term` carries both forms. ``seconds(this("slice")) <= seconds(this("window"))`` is
``(int(self.slice...) <= int(self.window...))`` in CEL and the same comparison in Python. CEL does not mix integers and
doubles, and neither must the terms: durations are integers, percentages and numbers are doubles.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from modelslo.api.quantity import UNIT_SECONDS

Scope = Mapping[str, Any]  # "self" and the variables of loops
Literal = str | int | float

_UNITS: Final = "{" + ", ".join(f"'{unit}': {size}" for unit, size in UNIT_SECONDS.items()) + "}"


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """An expression: its CEL text, and its value in a scope."""

    cel: str
    of: Callable[[Scope], Any]

    def __lt__(self, other: Term | Literal) -> Term:
        return self._with("<", other, operator.lt)

    def __le__(self, other: Term | Literal) -> Term:
        return self._with("<=", other, operator.le)

    def __gt__(self, other: Term | Literal) -> Term:
        return self._with(">", other, operator.gt)

    def __ge__(self, other: Term | Literal) -> Term:
        return self._with(">=", other, operator.ge)

    def equals(self, other: Term | Literal) -> Term:
        return self._with("==", other, operator.eq)

    def differs(self, other: Term | Literal) -> Term:
        return self._with("!=", other, operator.ne)

    def __sub__(self, other: Term | Literal) -> Term:
        return self._with("-", other, operator.sub)

    def __rsub__(self, other: Literal) -> Term:
        return literal(other) - self

    def __mul__(self, other: Term | Literal) -> Term:
        return self._with("*", other, operator.mul)

    def __mod__(self, other: Term | Literal) -> Term:
        return self._with("%", other, operator.mod)

    def __floordiv__(self, other: Term | Literal) -> Term:
        """Division of positive integers, which CEL writes with one stroke."""
        return self._with("/", other, operator.floordiv)

    def __and__(self, other: Term) -> Term:
        return Term(f"({self.cel} && {other.cel})", lambda scope: self.of(scope) and other.of(scope))

    def __or__(self, other: Term) -> Term:
        return Term(f"({self.cel} || {other.cel})", lambda scope: self.of(scope) or other.of(scope))

    def __invert__(self) -> Term:
        return Term(f"!{self.cel}", lambda scope: not self.of(scope))

    def within(self, container: Term) -> Term:
        """A key of a map or an item of a list."""
        return Term(f"({self.cel} in {container.cel})", lambda scope: self.of(scope) in container.of(scope))

    def ends_with(self, suffix: str) -> Term:
        return Term(f"{self.cel}.endsWith({quoted(suffix)})", lambda scope: bool(self.of(scope).endswith(suffix)))

    def matches(self, pattern: str) -> Term:
        return Term(
            f"{self.cel}.matches({quoted(pattern)})",
            lambda scope: re.search(pattern, self.of(scope)) is not None,
        )

    def size(self) -> Term:
        return Term(f"{self.cel}.size()", lambda scope: len(self.of(scope)))

    def get(self, name: str) -> Term:
        """A field that is there: required, defaulted, or tested with :func:`present` before."""
        return Term(f"{self.cel}.{name}", lambda scope: self.of(scope)[name])

    def each(self, holds: Callable[[Term], Term], name: str = "item") -> Term:
        """`holds` is true of every item of a list or key of a map."""
        item = variable(name)
        return Term(
            f"{self.cel}.all({name}, {holds(item).cel})",
            lambda scope: all(holds(item).of({**scope, name: one}) for one in self.of(scope)),
        )

    def some(self, holds: Callable[[Term], Term], name: str = "item") -> Term:
        item = variable(name)
        return Term(
            f"{self.cel}.exists({name}, {holds(item).cel})",
            lambda scope: any(holds(item).of({**scope, name: one}) for one in self.of(scope)),
        )

    def one(self, holds: Callable[[Term], Term], name: str = "other") -> Term:
        """`holds` is true of exactly one item of a list."""
        item = variable(name)
        return Term(
            f"{self.cel}.exists_one({name}, {holds(item).cel})",
            lambda scope: sum(bool(holds(item).of({**scope, name: one})) for one in self.of(scope)) == 1,
        )

    def mapped(self, to: Callable[[Term], Term], name: str = "item") -> Term:
        item = variable(name)
        return Term(
            f"{self.cel}.map({name}, {to(item).cel})",
            lambda scope: [to(item).of({**scope, name: one}) for one in self.of(scope)],
        )

    def at(self, index: int) -> Term:
        """An item of a list that is long enough."""
        return Term(f"{self.cel}[{index}]", lambda scope: self.of(scope)[index])

    def joined(self, by: str = "; ") -> Term:
        return Term(f"{self.cel}.join({quoted(by)})", lambda scope: by.join(self.of(scope)))

    def ascending(self) -> Term:
        """Every item of a list of numbers is greater than the one before it."""

        def rising(scope: Scope) -> bool:
            items = self.of(scope)
            return all(before < after for before, after in pairwise(items))

        distinct = f"{self.cel}.all(one, {self.cel}.exists_one(other, one == other))"
        return Term(f"({self.cel}.isSorted() && {distinct})", rising)

    def _with(self, sign: str, other: Term | Literal, apply: Callable[[Any, Any], Any]) -> Term:
        right = other if isinstance(other, Term) else literal(other)
        return Term(f"({self.cel} {sign} {right.cel})", lambda scope: apply(self.of(scope), right.of(scope)))


def literal(value: Literal) -> Term:
    return Term(quoted(value) if isinstance(value, str) else repr(value), lambda _: value)


def variable(name: str) -> Term:
    return Term(name, lambda scope: scope[name])


def this(path: str) -> Term:
    """A field that is there, by its path from where the rule stands."""
    term = variable("self")
    for name in path.split("."):
        term = term.get(name)
    return term


def present(path: str) -> Term:
    """Whether an optional field, and every part above it, is given."""
    names = path.split(".")
    prefixes = [".".join(["self", *names[: length + 1]]) for length in range(len(names))]

    def is_given(scope: Scope) -> bool:
        value: Any = scope["self"]
        for name in names:
            if name not in value:
                return False
            value = value[name]
        return True

    return Term("(" + " && ".join(f"has({prefix})" for prefix in prefixes) + ")", is_given)


def absent(path: str) -> Term:
    return ~present(path)


def seconds(duration: Term) -> Term:
    """A duration in whole seconds."""
    text = duration.cel
    return Term(
        f"(int({text}.substring(0, {text}.size() - 1)) * {_UNITS}[{text}.substring({text}.size() - 1)])",
        lambda scope: int(duration.of(scope)[:-1]) * UNIT_SECONDS[duration.of(scope)[-1]],
    )


def ratio(percent: Term) -> Term:
    """A percentage as a ratio."""
    text = percent.cel
    return Term(
        f"(double({text}.substring(0, {text}.size() - 1)) / 100.0)",
        lambda scope: float(percent.of(scope)[:-1]) / 100,
    )


def text(*parts: Term | str) -> Term:
    """Texts, one after the other: constants and fields that are strings.

    Numbers are left out on purpose: the API server takes ``string(number)`` for a string of any length, whose cost is
    beyond its limits.
    """
    terms = [literal(part) if isinstance(part, str) else part for part in parts]
    return Term(" + ".join(term.cel for term in terms), lambda scope: "".join(term.of(scope) for term in terms))


def first_of(cases: Sequence[tuple[Term, Term]]) -> Term:
    """The value of the first case whose condition holds, the empty text when none does.

    This is what ``filter`` would do; but the API server thinks that what ``filter`` returns has no bounds.
    """
    chosen = literal("")
    for condition, value in reversed(cases):
        chosen = _either(condition, value, chosen)
    return chosen


def _either(condition: Term, value: Term, other: Term) -> Term:
    return Term(
        f"({condition.cel} ? {value.cel} : {other.cel})",
        lambda scope: value.of(scope) if condition.of(scope) else other.of(scope),
    )


def quoted(value: str) -> str:
    """`value` as a CEL string literal."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"
