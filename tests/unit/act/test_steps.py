from __future__ import annotations

from modelslo.act.steps import ACTS
from modelslo.decide.operation import RETREAT, STEPS, Step


def test_every_step_has_an_outside_act_or_only_waits() -> None:
    steps = {step for steps in (*STEPS.values(), RETREAT) for step in steps}
    waiting = {step for step in steps if step.startswith("Await")}
    assert set(ACTS) == steps - waiting - {Step.FINISH}
