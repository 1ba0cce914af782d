"""The reference of the resource, generated from the models: ``python -m modelslo.api.docs [FILE]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from modelslo.api.crd import API_VERSION, COLUMNS, KIND, SHORT_NAME, resource_schema
from modelslo.api.quantity import DURATION_PATTERN, PERCENT_PATTERN
from modelslo.api.rules import RULES

INTRODUCTION: Final = f"""<!-- Generated from operator/modelslo/api by `make docs`. Do not edit. -->

# {KIND} (`{API_VERSION}`, short name `{SHORT_NAME}`)

The loss SLO of one served model, and what may be done to keep it. Start with
[modelslo-minimal.yaml](../examples/modelslo-minimal.yaml); every field with a comment is in
[modelslo-full.yaml](../examples/modelslo-full.yaml), but for a shadow:
[modelslo-shadow.yaml](../examples/modelslo-shadow.yaml). `modelslo validate FILE` checks a file without a cluster and
says what the API server would say.

A **duration** is a whole number and one unit of s, m, h, d, w, such as `30m`; `1h30m` is none. A **percentage** is a
number from 0 to 100 and %, such as `99.5%`. Fields that are not known are refused.
"""

_RULES: Final = """
## Rules across fields

They are checked by the API server when you apply, and by the operator. A refusal names the field, what it holds and
what mends it.

| field | mend | rule |
|---|---|---|
"""

_NAMED_PATTERNS: Final = {DURATION_PATTERN: "duration", PERCENT_PATTERN: "percentage"}


def rendered() -> str:
    """The text of ``docs/api.md``."""
    schema = resource_schema()["properties"]
    lines = [INTRODUCTION, "## spec\n", *_sections("spec", schema["spec"])]
    lines.append(_RULES + "\n".join(f"| `{rule.path}` | {_cell(rule.mend)} | {rule.name} |" for rule in RULES) + "\n")
    lines += ["## status\n", *_sections("status", schema["status"]), "## Columns of `kubectl get mslo`\n", _columns()]
    return "\n".join(lines)


def _sections(path: str, schema: dict[str, Any]) -> Iterator[str]:
    """A table for this part, then one for each part in it. The Job template is Kubernetes' own."""
    if path not in ("spec", "status"):
        yield f"### {path}\n"
    yield schema.get("description", "") + "\n"
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    yield "| field | type | default | |\n|---|---|---|---|"
    required = set(schema.get("required", ()))
    yield "\n".join(_row(name, part, name in required) for name, part in schema["properties"].items()) + "\n"
    for name, part in schema["properties"].items():
        item, sign = (part["items"], "[]") if "items" in part else (part, "")
        if "properties" in item:
            yield from _sections(f"{path}.{name}{sign}", item)


def _row(name: str, part: dict[str, Any], required: bool) -> str:
    default = "**required**" if required else _default(part)
    described = part if "description" in part else part.get("items", {})
    first = described.get("description", "").partition("\n")[0]
    return f"| `{name}` | {_type(part)} | {default} | {_cell(first)} |"


def _default(part: dict[str, Any]) -> str:
    if "default" not in part or part["type"] == "object":
        return ""
    value = part["default"]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(part: dict[str, Any]) -> str:
    if "enum" in part:
        return " \\| ".join(f"`{value}`" for value in part["enum"])
    if part["type"] == "array":
        return f"list of {_type(part['items'])}, at most {part['maxItems']}"
    if part["type"] == "object":
        return "map of strings" if "additionalProperties" in part else "object"
    if part.get("format") == "date-time":
        return "time"
    return _NAMED_PATTERNS.get(part.get("pattern", ""), str(part["type"])) + _bounds(part)


def _bounds(part: dict[str, Any]) -> str:
    bounds = []
    if "minimum" in part:
        bounds.append(f"{'above' if part.get('exclusiveMinimum') else 'at least'} {part['minimum']:g}")
    if "maximum" in part:
        bounds.append(f"at most {part['maximum']:g}" if part["maximum"] < 1e6 else f"at most {part['maximum']:,}")
    return f" ({', '.join(bounds)})" if bounds else ""


def _columns() -> str:
    rows = [
        f"| {column['name']} | `{_cell(column['jsonPath'])}` | {column.get('description', '')} |"
        for column in COLUMNS
        if column["name"] != "Age"
    ]
    return "| column | from | |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m modelslo.api.docs", description="Print the reference or write it.")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE")
    file: Path | None = parser.parse_args(arguments).file
    if file is None:
        sys.stdout.write(rendered())
    else:
        file.write_text(rendered(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
