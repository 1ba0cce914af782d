"""docs/operations.md names everything that there is, and nothing that is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic.alias_generators import to_camel

from modelslo.api.status import ConditionType
from modelslo.controller import gauges
from modelslo.decide.reasons import Reason
from modelslo.engine import metrics
from modelslo.engine.settings import Settings
from modelslo.engine.trouble import TroubleReason
from modelslo.judge.problem import Unknown

DOC = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")


def rows(section: str) -> Iterator[list[str]]:
    """The cells of the tables of a section."""
    text = DOC.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def named(section: str) -> list[str]:
    return [row[0].strip("`") for row in rows(section)]


def test_settings_and_their_defaults() -> None:
    fields = {to_camel(name): field.default for name, field in Settings.model_fields.items()}
    assert named("Settings") == list(fields)
    for row in rows("Settings"):
        default = fields[row[0].strip("`")]
        shown = row[1].strip("`")
        assert shown in (str(default), "none" if default in ((), "") else "", "all" if default == () else ""), row


def test_metrics() -> None:
    source = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (gauges, metrics))
    exported = set(re.findall(r'"(modelslo_[a-z_]+)"', source))
    documented = {name.removesuffix("_total").removesuffix("_info") for name in named("Metrics")}
    assert documented == exported


def test_conditions() -> None:
    assert sorted(named("Conditions")) == sorted(ConditionType)
    (missing,) = [row[2] for row in rows("Conditions") if row[0] == f"`{ConditionType.DATA_SUFFICIENT}`"]
    assert re.findall(r"`(\w+)`", missing) == list(Unknown)


def test_reasons() -> None:
    assert named("Reasons") == list(Reason)
    for trouble in TroubleReason:
        assert f"`{trouble}`" in DOC
