"""The CustomResourceDefinition, generated from the models: ``python -m modelslo.api.crd [FILE]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from modelslo.api.rules import with_rules
from modelslo.api.spec import ModelSLOSpec
from modelslo.api.status import ModelSLOStatus
from modelslo.api.structural import structural_schema

GROUP: Final = "modelslo.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "ModelSLO"
PLURAL: Final = "modelslos"
SINGULAR: Final = "modelslo"
SHORT_NAME: Final = "mslo"
API_VERSION: Final = f"{GROUP}/{VERSION}"

HEADER: Final = "# Generated from operator/modelslo/api by `make crds`. Do not edit.\n"


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False, description: str = "") -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    if kind == "date" and name != "Age":
        column["format"] = "date-time"
    if description:
        column["description"] = description
    if wide:
        column["priority"] = 1
    return column


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


COLUMNS: Final = (
    _column("Ready", _condition("Ready", "status"), description="The operator can work on this ModelSLO."),
    _column("SLOMet", _condition("SLOMet", "status"), description="The promise is kept over the window."),
    _column("Loss", ".status.sli.value", "number", description="Statistic of the newest closed slice."),
    _column("Target", ".spec.objective.target.value", "number", description="What the statistic must not exceed."),
    _column("Budget", ".status.budget.remaining", "number", description="Error budget left: 1 is untouched."),
    _column("Canary", ".status.rollout.version", description="Version being judged."),
    _column("Shadow", ".status.rollout.shadow", "boolean", wide=True, description="No user sees its answers."),
    _column("Last", ".status.lastDecision.action", description="Newest decision that changed something."),
    _column("Reason", ".status.lastDecision.reason", wide=True, description="Why."),
    _column("Message", _condition("Ready", "message"), wide=True),
    _column("Age", ".metadata.creationTimestamp", "date"),
)


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition as plain data."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "modelslo"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT_NAME],
                "categories": ["modelslo"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": list(COLUMNS),
                    "schema": {"openAPIV3Schema": resource_schema()},
                }
            ],
        },
    }


def resource_schema() -> dict[str, Any]:
    """The structural schema of the whole resource with its cross-field rules."""
    return with_rules(
        {
            "description": "The loss SLO of one served model, and what may be done to keep it.",
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string", "maxLength": 64, "description": f"Always {API_VERSION}."},
                "kind": {"type": "string", "maxLength": 64, "description": f"Always {KIND}."},
                "metadata": {"type": "object"},
                "spec": structural_schema(ModelSLOSpec),
                "status": structural_schema(ModelSLOStatus, defaults=False),
            },
        }
    )


class _Dumper(yaml.SafeDumper):
    """Plain YAML: no anchors, whatever stands twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def rendered() -> str:
    """The CRD as the text of ``crds/modelslo.dev_modelslos.yaml``."""
    text: str = yaml.dump(definition(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
    return HEADER + text


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m modelslo.api.crd", description="Print the CRD or write it to FILE."
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE")
    file: Path | None = parser.parse_args(arguments).file
    if file is None:
        sys.stdout.write(rendered())
    else:
        file.write_text(rendered(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
