"""From the body of a ModelSLO to data, and what is wrong with it in words: field, value and mend."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from modelslo.api.quoted import quoted
from modelslo.api.rules import broken_rules
from modelslo.api.spec import MENDS, ModelSLOSpec
from modelslo.api.status import ModelSLOStatus
from modelslo.api.structural import structural_schema

_IT: Final = re.compile(r"^(Input|String|List|Dictionary) should( match)?( pattern)?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a resource. The message holds the value and what mends it."""

    path: str
    value: Any
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidResource(ValueError):  # noqa: N818 - it is the resource that is invalid
    """The resource cannot be used; `problems` has every fault that was found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem) for problem in problems))


@dataclass(frozen=True, slots=True)
class ModelSLO:
    """A ModelSLO that is sound. ``dropped`` names what of its status could not be read."""

    namespace: str
    name: str
    spec: ModelSLOSpec
    status: ModelSLOStatus = field(default_factory=ModelSLOStatus)
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def parse(body: Mapping[str, Any]) -> ModelSLO:
    """The ModelSLO in `body`, as the API server or a file has it; :class:`InvalidResource` when its spec is unsound."""
    metadata = body.get("metadata") or {}
    spec = parse_spec(body.get("spec"))
    status, dropped = parse_status(body.get("status"))
    return ModelSLO(
        namespace=metadata.get("namespace", ""),
        name=metadata.get("name", ""),
        spec=spec,
        status=status,
        uid=metadata.get("uid", ""),
        generation=int(metadata.get("generation", 0)),
        resource_version=str(metadata.get("resourceVersion", "")),
        annotations=dict(metadata.get("annotations") or {}),
        dropped=dropped,
    )


def parse_spec(raw: Any) -> ModelSLOSpec:
    """The spec in `raw`; :class:`InvalidResource` names every fault. What the API server refuses is refused here."""
    if raw is None:
        raise InvalidResource((Problem("spec", None, "is required: add spec.indicator and spec.objective"),))
    try:
        # As JSON and strictly: "5" is no number and 1 is no truth value, like for the API server.
        spec = ModelSLOSpec.model_validate_json(json.dumps(raw, default=str), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidResource(tuple(_problem(one) for one in error.errors(include_url=False))) from None
    filled = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    problems = tuple(
        Problem(broken.rule.path, broken.value, broken.message) for broken in broken_rules({"spec": filled})
    )
    if problems:
        raise InvalidResource(problems)
    return spec


def parse_status(raw: Any) -> tuple[ModelSLOStatus, tuple[str, ...]]:
    """The status in `raw`, and the paths of what was left out because it could not be read.

    An older or newer operator, or a hand, may have written it. Of a list only the bad items are left out: a ledger
    does not get lost with one entry.
    """
    if not isinstance(raw, Mapping):
        return ModelSLOStatus(), () if raw is None else ("status",)
    kept: dict[str, Any] = json.loads(json.dumps(dict(raw), default=str))
    dropped: list[str] = []
    while True:
        try:
            return ModelSLOStatus.model_validate_json(json.dumps(kept), by_alias=True, by_name=False), tuple(dropped)
        except ValidationError as error:
            dropped += _drop(kept, error.errors(include_url=False))


def _drop(status: dict[str, Any], errors: list[ErrorDetails]) -> list[str]:
    """Take out of `status` what the errors are about, and name it. At least one thing is taken out."""
    items: set[tuple[str, int]] = set()
    whole: set[str] = set()
    for error in errors:
        name, *rest = error["loc"]
        if rest and isinstance(rest[0], int):
            items.add((str(name), rest[0]))
        elif not rest and error["type"] == "too_long":  # lists have the newest last
            surplus = len(status[str(name)]) - error["ctx"]["max_length"]
            items |= {(str(name), index) for index in range(surplus)}
        else:
            whole.add(str(name))
    for name in whole:
        del status[name]
    for name, index in sorted(items, reverse=True):
        if name not in whole:
            del status[name][index]
    return sorted(whole) + [f"{name}[{index}]" for name, index in sorted(items) if name not in whole]


def _problem(error: ErrorDetails) -> Problem:
    location = error["loc"]
    value = error["input"]
    path = _path(("spec", *location))
    if error["type"] == "missing":
        return Problem(path, None, f"is required: add it{_purpose(location)}")
    if error["type"] == "extra_forbidden":
        return Problem(path, value, f"{quoted(value)} is in a field that there is not: {_known(location)}")
    said = error["msg"].removeprefix("Value error, ").partition(" after validation")[0]
    said = _IT.sub(lambda found: f"it must{found[2] or ''}", said)
    # Messages of our own validators begin with the value.
    if error["type"] == "value_error":
        return Problem(path, value, said)
    return Problem(path, value, f"{quoted(value)} does not fit: {said}{_mend(error)}")


def _mend(error: ErrorDetails) -> str:
    """What to write in place of a value of the wrong type; other messages say it themselves."""
    schema = _schema_at(error["loc"])
    if error["type"] in ("string_type", "string_pattern_mismatch", "string_too_short"):
        return f": write {MENDS.get(schema.get('pattern', ''), 'it in quotes')}"
    if error["type"] == "too_short":
        return ": add one"
    if error["type"] == "bool_type":
        return ": write true or false, without quotes"
    if error["type"] in ("int_type", "float_type"):
        return ": write a number, without quotes"
    if error["type"] in ("model_type", "dict_type"):
        return f" with {', '.join(schema['properties'])}" if "properties" in schema else ", such as {name: value}"
    return ""


def _purpose(location: tuple[int | str, ...]) -> str:
    description = _schema_at(location).get("description", "")
    first = description.partition("\n")[0].rstrip(".")
    return f" ({first})" if first else ""


def _known(location: tuple[int | str, ...]) -> str:
    known = list(_schema_at(location[:-1]).get("properties", {}))
    close = get_close_matches(str(location[-1]), known, n=1)
    return f"did you mean {close[0]}?" if close else f"take it out, or use one of {', '.join(known)}"


def _schema_at(location: tuple[int | str, ...]) -> dict[str, Any]:
    schema = _spec_schema()
    for part in location:
        schema = schema.get("items", {}) if isinstance(part, int) else schema.get("properties", {}).get(part, {})
    return schema


@cache
def _spec_schema() -> dict[str, Any]:
    return structural_schema(ModelSLOSpec)


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(_steps(location)).removeprefix(".")


def _steps(location: tuple[int | str, ...]) -> Iterator[str]:
    for part in location:
        if isinstance(part, int):
            yield f"[{part}]"
        elif part != "[key]":  # pydantic's word for the key of a map, whose name stands before it
            yield f".{part}" if part.replace("_", "").isalnum() else f"[{part}]"
