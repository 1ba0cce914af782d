"""YAML of files as kubectl reads it: a key that is there twice is a mistake, and no silent choice."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from modelslo.cli.errors import NEGATIVE, CommandError


def documents(file: str, exit_code: int = NEGATIVE) -> list[Any]:
    """All documents of the file, - for standard input. CommandError when it cannot be read or is no YAML."""
    if file == "-" and sys.stdin is None:
        raise CommandError("-: standard input is closed: give a file with a ModelSLO", exit_code)
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return list(yaml.load_all(text, _Strict))
    except OSError as error:
        mend = "give a file with a ModelSLO, or - for standard input"
        raise CommandError(f"{file}: {error.strerror}: {mend}", exit_code) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} is no YAML: {error}", exit_code) from None


class _Strict(yaml.SafeLoader):
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
