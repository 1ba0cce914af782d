"""What Argo CD makes of a ModelSLO, by the script that it runs. Needs a Lua interpreter."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.manifests.render import MANIFESTS

LUA = next(filter(None, map(shutil.which, ("lua", "lua5.1", "luajit", "lua5.4"))), None)
READY = '{type="Ready", status="True", message="fine"}'


@pytest.mark.skipif(LUA is None, reason="no Lua interpreter")
@pytest.mark.parametrize(
    ("obj", "health"),
    [
        ("{metadata={generation=1}, spec={}}", "Progressing Waiting for the operator"),
        ("{metadata={generation=1}, spec={suspend=true}}", "Suspended suspended"),
        (
            "{metadata={generation=2}, spec={}, status={observedGeneration=1, conditions={ready}}}",
            "Progressing Waiting for generation 2",
        ),
        ("{metadata={generation=1}, spec={}, status={observedGeneration=1, conditions={ready}}}", "Healthy fine"),
        (
            '{metadata={generation=1}, spec={}, status={conditions={ready, {type="SLOMet", status="False", '
            'reason="BudgetExhausted", message="0.4"}}}}',
            "Healthy SLO: BudgetExhausted 0.4",
        ),
        (
            '{metadata={generation=1}, spec={}, status={conditions={{type="Ready", status="False"}, '
            '{type="Stalled", status="True", message="spec.rollout: no"}}}}',
            "Degraded spec.rollout: no",
        ),
    ],
)
def test_health(obj: str, health: str, tmp_path: Path) -> None:
    script = tmp_path / "ask.lua"
    lines = [
        f"ready = {READY}",
        f"obj = {obj}",
        f"local hs = dofile('{MANIFESTS}/gitops/argocd/health.lua')",
        "print(hs.status .. ' ' .. hs.message)",
    ]
    script.write_text("\n".join(lines), encoding="utf-8")
    assert LUA is not None
    out = subprocess.run([LUA, str(script)], check=True, capture_output=True, text=True, timeout=10).stdout
    assert out.strip() == health
