"""python -m tests.simulate.planned OUTCOMES...: what `modelslo plan` says beside what was measured (docs/planning.md).

OUTCOMES are files of `python -m tests.simulate report --output`. Kinds without a constant effect are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

import numpy as np

from modelslo.judge.planning import Course, Luck, Promise, Traffic, forecast, labels_needed
from modelslo.judge.scale import scores_of
from tests.simulate.drive import Row
from tests.simulate.kind import Kind
from tests.simulate.kinds import KINDS
from tests.simulate.tables import table

_SAMPLES = 200_000
_HEAD = (
    *("kind", "ratio", "share", "CV", "planned", "used", "used/planned", "p90"),
    *("typical", "median", "nine of ten", "p90", "by typical", "by nine"),
)


def traffic_of(kind: Kind) -> Traffic:
    """As `modelslo plan` would find it before the rollout: bucketed losses of stable, independent."""
    rng = np.random.Generator(np.random.PCG64(0))
    losses = kind.loss.draw(rng, np.full(_SAMPLES, kind.typical))
    values = scores_of(kind.edges)
    bucketed = values[np.searchsorted(np.array(kind.edges), losses, side="left")]
    mean = float(bucketed.mean())
    return Traffic(kind.rate, float(bucketed.var()) / mean**2, 1.0, float(values[-1]) / mean)


def compared(kind: Kind, rows: Sequence[Row]) -> list[str]:
    """One line of the table; times in minutes."""
    share, promise, traffic = kind.split[0][1], Promise(kind.margin), traffic_of(kind)
    course = Course((share,), least_labels=0.0, interval=kind.dt)
    typical, nine = (forecast(promise, traffic, course, kind.ratio, luck) for luck in Luck)
    assert typical is not None
    assert nine is not None
    planned = labels_needed(promise, traffic, share, kind.ratio)
    right = [row for row in rows if row.canary in kind.right and row.canary_at is not None]
    used, minutes = [row.labels for row in right], [row.canary_at or 0.0 for row in right]

    def within(seconds: float) -> str:
        return f"{sum(one * 60 <= seconds for one in minutes) / len(rows):.0%}"

    return [
        *(kind.name, f"{kind.ratio:.3g}", f"{share:.0%}", f"{traffic.cv2**0.5:.2f}", f"{planned:,.0f}"),
        *(f"{median(used):,.0f}", f"{median(used) / planned:.2f}", f"{np.quantile(used, 0.9) / planned:.2f}"),
        *(f"{typical.seconds / 60:.0f}", f"{median(minutes):.0f}", f"{nine.seconds / 60:.0f}"),
        *(f"{np.quantile(minutes, 0.9):.0f}", within(typical.seconds), within(nine.seconds)),
    ]


def rows_of(files: Iterable[str]) -> dict[str, list[Row]]:
    """Outcomes in histogram mode, by kind."""
    found: dict[str, list[Row]] = {}
    for file in files:
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            row = Row.from_json(json.loads(line))
            if row.mode == "histogram" and KINDS[row.kind].plain:
                found.setdefault(row.kind, []).append(row)
    return found


if __name__ == "__main__":
    print(table(_HEAD, [compared(KINDS[name], rows) for name, rows in rows_of(sys.argv[1:]).items()], left=1))
