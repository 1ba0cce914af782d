"""The alerts, tried by promtool on series of a day's good and bad fortune."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from modelslo.controller import gauges
from modelslo.engine import metrics
from tests.unit.manifests.promtool import promtool
from tests.unit.manifests.render import MANIFESTS, load

HERE = Path(__file__).parent


def test_they_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    for file in (MANIFESTS / "prometheus" / "alerts.yaml", HERE / "alerts_test.yaml"):
        shutil.copy(file, tmp_path)
    done = subprocess.run(
        [promtool(), "test", "rules", "alerts_test.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_they_ask_for_metrics_that_exist() -> None:
    source = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (gauges, metrics))
    (rules,) = load("prometheus/alerts.yaml")
    asked = {
        name.removesuffix("_total")
        for group in rules["groups"]
        for rule in group["rules"]
        for name in re.findall(r"modelslo_[a-z_]+", rule["expr"])
    }
    assert {name for name in asked if f'"{name}"' not in source} == set()
