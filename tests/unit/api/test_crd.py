"""The generated CRD: equal to the file in crds/, structural, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from modelslo.api import docs
from modelslo.api.crd import definition, main, rendered, resource_schema
from modelslo.api.resource import parse
from modelslo.api.status import ModelSLOStatus
from modelslo.api.structural import structural_schema
from tests.unit.api.full_status import FULL_STATUS, full_status_json

ROOT = Path(__file__).parents[3]
FILE = ROOT / "crds" / "modelslo.dev_modelslos.yaml"
REFERENCE = ROOT / "docs" / "api.md"


def parts(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from parts(part, f"{path}.{name}")
    for inner, sign in (("items", "[]"), ("additionalProperties", "{}")):
        if inner in schema:
            yield from parts(schema[inner], path + sign)


SCHEMAS = dict(parts(resource_schema()))


def test_file_is_what_the_models_say() -> None:
    assert FILE.read_text(encoding="utf-8") == rendered(), "run `make crds`"


def test_command_writes_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "crd.yaml")]) == 0
    assert main([]) == 0
    assert (tmp_path / "crd.yaml").read_text(encoding="utf-8") == capsys.readouterr().out == rendered()


def test_reference_is_what_the_models_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert REFERENCE.read_text(encoding="utf-8") == docs.rendered(), "run `make docs`"
    assert docs.main([str(tmp_path / "api.md")]) == 0
    assert docs.main([]) == 0
    assert (tmp_path / "api.md").read_text(encoding="utf-8") == capsys.readouterr().out == docs.rendered()


def test_every_string_list_and_map_is_bounded() -> None:
    def unbounded(schema: dict[str, Any]) -> bool:
        match schema.get("type"):
            case "string":
                return not ({"maxLength", "enum"} & schema.keys() or schema.get("format") == "date-time")
            case "array":
                return "maxItems" not in schema
            case "object":
                return "additionalProperties" in schema and "maxProperties" not in schema
        return False

    assert [path for path, schema in SCHEMAS.items() if unbounded(schema)] == []


def test_every_part_of_the_spec_is_described() -> None:
    bare = [
        path
        for path, schema in SCHEMAS.items()
        if path.startswith(".spec") and "description" not in schema and not path.endswith(("[]", "{}"))
    ]
    # A Job template is Kubernetes' own and described there.
    assert [path for path in bare if not path.startswith(".spec.retrain.template.")] == []


def test_nothing_that_kubernetes_does_not_know() -> None:
    for path, schema in SCHEMAS.items():
        assert schema.keys() <= {
            "type", "description", "properties", "required", "default", "enum", "pattern", "format", "items",
            "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "minProperties",
            "maxProperties", "additionalProperties", "x-kubernetes-validations", "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
        }, path  # fmt: skip


def test_status_has_no_defaults() -> None:
    assert [path for path, schema in SCHEMAS.items() if path.startswith(".status") and "default" in schema] == []


def test_defaults_of_parts_are_written_out() -> None:
    gate = SCHEMAS[".spec.rollout.gate"]["default"]
    assert gate["margin"] == SCHEMAS[".spec.rollout.gate.margin"]["default"] == "10%"


def test_optional_is_neither_null_nor_a_union() -> None:
    assert SCHEMAS[".spec.indicator.prometheus.url"]["type"] == "string"
    assert "default" not in SCHEMAS[".spec.indicator.prometheus.url"]


def test_columns_point_at_fields_that_are_there() -> None:
    for column in definition()["spec"]["versions"][0]["additionalPrinterColumns"]:
        path = column["jsonPath"].partition("[?")[0]
        assert path in SCHEMAS or path == ".metadata.creationTimestamp"


def test_full_status_is_full() -> None:
    """Otherwise the round trip through the API server shows nothing."""

    def missing(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
        if isinstance(value, list):
            assert value, path
            for one in value:
                yield from missing(schema["items"], one, f"{path}[]")
        for name, part in schema.get("properties", {}).items():
            if value.get(name) is None:
                yield f"{path}.{name}"
            else:
                yield from missing(part, value[name], f"{path}.{name}")

    assert list(missing(structural_schema(ModelSLOStatus), full_status_json(), "status")) == []
    assert ModelSLOStatus.model_validate(full_status_json()) == FULL_STATUS


def test_union_of_two_types_is_refused() -> None:
    class Odd(BaseModel):
        value: int | str = Field(0)

    with pytest.raises(ValueError, match="anyOf of 2 variants"):
        structural_schema(Odd)


def test_full_example_shows_every_field_and_its_default() -> None:
    """Apart from the fields whose comment says that they have none, or that the example states another value."""
    spec = _example("full")["spec"]
    others: set[str] = set()
    # Excluded by `steps`; the example of its own shows it.
    elsewhere = {".rollout.shadow": "shadow"}

    def check(schema: dict[str, Any], value: Any, path: str) -> None:
        for name, part in schema.get("properties", {}).items():
            if f"{path}.{name}" in elsewhere:
                shown = _example(elsewhere[f"{path}.{name}"])["spec"]["rollout"][name]
                check(part, shown, f"{path}.{name}")
                continue
            assert name in value, f"{path}.{name} is not shown"
            if part["type"] != "object" and "default" in part and f"{path}.{name}" not in others:
                assert value[name] == part["default"], f"{path}.{name}"
            if not part.get("x-kubernetes-preserve-unknown-fields"):
                check(part, value[name], f"{path}.{name}")

    check(SCHEMAS[".spec"], spec, "")


@pytest.mark.parametrize("name", ["minimal", "full", "shadow"])
def test_examples_are_sound(name: str) -> None:
    parse(_example(name))


def _example(name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((ROOT / "examples" / f"modelslo-{name}.yaml").read_text(encoding="utf-8"))
    return body


def test_minimal_example_is_minimal() -> None:
    lines = (ROOT / "examples" / "modelslo-minimal.yaml").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if not line.startswith("#")]) <= 20
