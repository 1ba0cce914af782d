from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelslo.act.patch import merge_patch

values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=4)


def applied(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2, word by word."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = applied(result.get(name), value)
    return result


@given(objects, objects)
def test_the_patch_of_two_objects_makes_one_of_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert applied(before, merge_patch(before, after)) == after


@given(objects)
def test_nothing_to_change_is_an_empty_patch(same: dict[str, Any]) -> None:
    assert merge_patch(same, same) == {}


def test_what_is_gone_becomes_null_and_null_counts_as_gone() -> None:
    assert merge_patch({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"d": 2, "e": None}}) == {"a": None, "b": {"c": None}}
