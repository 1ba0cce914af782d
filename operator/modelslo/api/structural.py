"""From pydantic's JSON schema to the structural OpenAPI v3 schema that a CustomResourceDefinition takes.

Kubernetes knows no ``$ref``, no ``anyOf`` for optional fields, no ``propertyNames``; its ``exclusiveMinimum`` is a
flag; and a default must be a value, never null.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from modelslo.api.expression import quoted

Schema = dict[str, Any]

# Keywords that a structural schema takes over as they are.
_KEPT = (
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "required",
)


class _WithDefaults(GenerateJsonSchema):
    """Defaults made by a factory are defaults too. A part's default is written out: rules are held against it."""

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        factory = schema.get("default_factory")
        if factory is None:
            return super().get_default_value(schema)
        value = factory()  # type: ignore[call-arg]
        if isinstance(value, BaseModel):
            return value.model_dump(mode="json", by_alias=True, exclude_none=True)
        return value


def structural_schema(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The structural schema of `model`; without `defaults` for a status, which is written whole."""
    raw = model.model_json_schema(by_alias=True, schema_generator=_WithDefaults)
    return _Converter(raw.get("$defs", {}), defaults).convert(raw)


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema], defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def convert(self, raw: Mapping[str, Any]) -> Schema:
        raw = self._resolved(raw)
        schema: Schema = {}
        if "description" in raw:
            schema["description"] = flowing(raw["description"])
        schema |= {key: raw[key] for key in _KEPT if key in raw}
        if "const" in raw:
            schema["enum"] = [raw["const"]]
        for bound in ("minimum", "maximum"):
            exclusive = f"exclusive{bound.capitalize()}"
            if exclusive in raw:
                schema |= {bound: raw[exclusive], exclusive: True}
        if self._defaults and raw.get("default") is not None:
            schema["default"] = raw["default"]
        schema |= {key: value for key, value in raw.items() if key.startswith("x-kubernetes-")}
        if "items" in raw:
            schema["items"] = self.convert(raw["items"])
        if "properties" in raw:
            schema["properties"] = {name: self.convert(part) for name, part in raw["properties"].items()}
        else:
            self._add_values(schema, raw)
        return schema

    def _resolved(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """`raw` with its reference and its one variant that is not null merged in; what stands nearer wins."""
        if "$ref" in raw:
            referred = self._definitions[raw["$ref"].rsplit("/", 1)[-1]]
            return self._resolved({**referred, **{key: value for key, value in raw.items() if key != "$ref"}})
        for union in ("anyOf", "oneOf", "allOf"):
            if union in raw:
                variants = [variant for variant in raw[union] if variant.get("type") != "null"]
                if len(variants) != 1:
                    raise ValueError(f"a structural schema cannot say {union} of {len(variants)} variants: {raw}")
                return self._resolved({**variants[0], **{key: value for key, value in raw.items() if key != union}})
        return raw

    def _add_values(self, schema: Schema, raw: Mapping[str, Any]) -> None:
        """The values of a map, and its keys' bounds as a rule: ``propertyNames`` is forbidden."""
        patterns = raw.get("patternProperties", {})
        values = raw.get("additionalProperties") or next(iter(patterns.values()), None)
        if isinstance(values, Mapping):
            schema["additionalProperties"] = self.convert(values)
        keys = dict(raw.get("propertyNames", {}))
        if patterns:
            keys["pattern"] = next(iter(patterns))
        if self._defaults and keys:
            schema["x-kubernetes-validations"] = [_key_rule(keys)]


def _key_rule(keys: Mapping[str, Any]) -> Schema:
    limits = []
    if "pattern" in keys:
        limits.append((f"key.matches({quoted(keys['pattern'])})", f"match {keys['pattern']}"))
    if "maxLength" in keys:
        limits.append((f"key.size() <= {keys['maxLength']}", f"have at most {keys['maxLength']} characters"))
    return {
        "rule": f"self.all(key, {' && '.join(rule for rule, _ in limits)})",
        "message": f"every key must {' and '.join(text for _, text in limits)}: rename the key",
    }


def flowing(text: str) -> str:
    """A docstring with the line breaks inside its paragraphs taken out, and without reST's double back-ticks."""
    paragraphs = re.split(r"\n\s*\n", text.strip().replace("``", "`"))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
