"""Whatever a label value holds, the query matches it and nothing else."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.observe.promql import encodable, literal, matcher, quoted, samples_query, slice_query

VALUES = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ['"', "\\", '\\"', "a|b", ".*", "[a]", "(?i)x", "\n", "\ufffd", "", "^$", "a\\", "{}", "\x00"]
)


def unquoted(text: str) -> str:
    """Reads a PromQL string literal as Go's lexer does; fails where that would."""
    assert text[0] == text[-1] == '"'
    found, rest = "", text[1:-1]
    while rest:
        if rest[0] == "\\":
            if rest[1] == "u":
                assert re.fullmatch("[0-9a-f]{4}", rest[2:6])
                found, rest = found + chr(int(rest[2:6], 16)), rest[6:]
                continue
            assert rest[1] in '\\"'
            found, rest = found + rest[1], rest[2:]
            continue
        assert rest[0] not in '"\n\ufffd'
        found, rest = found + rest[0], rest[1:]
    return found


@settings(deadline=None)
@given(VALUES)
def test_a_quoted_string_reads_back(value: str) -> None:
    assert unquoted(quoted(value)) == value


@settings(deadline=None)
@given(VALUES, VALUES)
def test_a_literal_matches_itself_only(value: str, other: str) -> None:
    pattern = re.compile(literal(value), re.DOTALL)
    assert pattern.fullmatch(value)
    assert bool(pattern.fullmatch(other)) == (other == value)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=5), VALUES)
def test_a_matcher_matches_its_values_only(values: list[str], other: str) -> None:
    text = matcher("name", values)
    if len(set(values)) == 1:
        assert text.startswith('name="')
        assert unquoted(text.removeprefix("name=")) == values[0]
        return
    pattern = re.compile(unquoted(text.removeprefix("name=~")), re.DOTALL)
    assert all(pattern.fullmatch(value) for value in values)
    assert bool(pattern.fullmatch(other)) == (other in values)


def test_queries_read_as_expected() -> None:
    matchers = [("namespace", ("a",)), ("model_name", ("x", "y.z"))]
    assert samples_query(["m_sum", "m_count"], matchers, 61500) == (
        '{__name__=~"m_count|m_sum",namespace="a",model_name=~"x|y\\\\.z"}[61500ms]'
    )
    query = slice_query("m", matchers, ("namespace", "model_name", "model_version", "namespace"), 300000)
    one = (
        'label_replace(sum by (namespace,model_name,model_version) (increase({__name__="m_NAME",namespace="a",'
        'model_name=~"x|y\\\\.z"}[300000ms])), "modelslo_part", "NAME", "", "")'
    )
    assert query == f"{one.replace('NAME', 'sum')} or {one.replace('NAME', 'count')}"


def test_half_a_surrogate_pair_cannot_be_sent() -> None:
    assert encodable("ok \U0001f600")
    assert not encodable("\ud83d")
