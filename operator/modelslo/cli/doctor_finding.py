"""What a finding says and rests on. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from modelslo.cli.doctor_look import Look
from modelslo.judge.arms import Arms, seen
from modelslo.judge.parameters import Parameters
from modelslo.observe.evidence import Increment


@dataclass(frozen=True, slots=True)
class Finding:
    """``wrong``: the model cannot be judged like this; otherwise a remark."""

    wrong: bool
    what: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """A Deployment as far as versions go. ``there`` is False when it does not exist."""

    name: str
    deployment: str
    there: bool
    version: str | None
    replicas: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one version did in the time that was read. ``share`` and ``coverage`` are None without predictions."""

    version: str
    predictions: float
    labels: float
    invalid: float
    loss: float | None
    share: float | None
    coverage: float | None


def shares(look: Look, parameters: Parameters) -> tuple[Share, ...]:
    """Per version, over (since, until] of the ask, as the judge sees it."""
    arms, cells = Arms(), dict[float, list[Increment]]()
    for one in look.evidence.increments:
        cells.setdefault(one.end, []).append(one)
    for end in sorted(cells):
        arms = seen(arms, tuple(cells[end]), parameters)
    return tuple(
        Share(
            version,
            arm.predictions,
            arm.labels,
            sum(cell.invalid for cell in arm.cells),
            arm.loss,
            arms.share(version),
            arm.coverage(parameters.timing.delay),
        )
        for version, arm in sorted(arms.by_version.items())
    )


def listed(values: tuple[str, ...]) -> str:
    """`a`, `b`: in quotes."""
    return ", ".join(repr(value) for value in values)
