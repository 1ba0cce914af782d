"""YAML as kubectl reads it: a key that is there twice is a mistake, no silent choice, and all of it can be JSON."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import yaml

# What PyYAML's constructors let through from int(), date() and their own look-ups: `0x_`, `2026-99-99`, `!!bool x`.
_UNBUILT = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class YamlError(ValueError):
    """The text is no YAML of a manifest; the message says why and where."""


def documents_of(text: str) -> list[Any]:
    """All documents. Raises YamlError."""
    try:
        found = list(yaml.load_all(text, _Strict))
        json.dumps(found, default=str)
    except RecursionError:
        raise YamlError("it is nested too deeply: take levels out") from None
    except yaml.YAMLError as error:
        raise YamlError(str(error)) from None
    except (TypeError, ValueError) as error:  # keys that are dates; anchors that hold themselves
        raise YamlError(f"it cannot be JSON, as the API server needs it ({error}): write keys as text") from None
    return found


def value_of(text: str) -> Any:
    """The one value that the text is; None when it is empty. Raises YamlError."""
    found = documents_of(text)
    if len(found) > 1:
        raise YamlError("it holds more than one document: write one value")
    return found[0] if found else None


class _Strict(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except RecursionError:
            raise
        except _UNBUILT as error:
            kind = str(node.tag).rpartition(":")[2]
            said = f"{node.value!r} is no {kind} ({error}): write another, or put it in quotes where it is text"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is there twice: take one out", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
