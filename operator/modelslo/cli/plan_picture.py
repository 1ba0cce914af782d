"""The picture of `modelslo plan`: time to the verdict over the true ratio, for several margins."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np

from modelslo.cli.errors import MISUSE, CommandError
from modelslo.cli.plan_case import Case
from modelslo.cli.plan_page import span
from modelslo.judge.planning import Luck, Outcome, Promise, forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS: Final = 160
_TICKS: Final = (60, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 86_400, 259_200, 604_800, 2_592_000)
# From the promise's own margin to half and twice of it; told apart by colour-blind people, too.
_COLOURS: Final = ((1.0, "#0072B2"), (0.5, "#D55E00"), (2.0, "#009E73"))


def drawn(case: Case, suffix: str) -> bytes:
    """A PNG or SVG, as `suffix` (".png") says. CommandError without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise CommandError("--picture: needs matplotlib: pip install 'modelslo[report]'", MISUSE) from None
    with rc_context({"svg.hashsalt": "modelslo", "font.size": 9}):
        figure = Figure(figsize=(8, 4.8), layout="constrained")
        axes = figure.subplots()
        longest = _curves(case, axes)
        _dress(case, axes, longest)
        found = BytesIO()
        # The same plan gives the same bytes.
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(found, format=suffix.removeprefix("."), dpi=120, metadata=metadata)
        return found.getvalue()


def _curves(case: Case, axes: Axes) -> float:
    """Draws the curves; returns the longest time that matters."""
    waits = []
    for times, colour in _COLOURS:
        promise = replace(case.promise, margin=case.promise.margin * times)
        own = times == 1
        label = f"margin {promise.margin * 100:.3g} %"
        for outcome in Outcome:
            ratios = _ratios(promise, case.promise, outcome)
            typical, nine = (_seconds(case, promise, ratios, luck) for luck in Luck)
            if own:
                waits.append(typical[0] if outcome is Outcome.PROMOTE else typical[-1])  # far from the margin
            axes.plot(
                ratios,
                typical,
                color=colour,
                linewidth=2.2 if own else 1.2,
                label=label if outcome is Outcome.PROMOTE else None,
            )
            axes.fill_between(ratios, typical, nine, color=colour, alpha=0.25 if own else 0.12, linewidth=0)
    return max(waits)


def _ratios(promise: Promise, own: Promise, outcome: Outcome) -> list[float]:
    """True ratios on one side of the margin, dense near it."""
    low, high = min(0.9, 1 - own.margin), 1 + 4 * own.margin
    near = np.geomspace(
        promise.margin / 50, (promise.r - low) if outcome is Outcome.PROMOTE else (high - promise.r), _POINTS
    )
    found = promise.r - near[::-1] if outcome is Outcome.PROMOTE else promise.r + near
    return [float(ratio) for ratio in found]


def _seconds(case: Case, promise: Promise, ratios: list[float], luck: Luck) -> list[float]:
    found = (forecast(promise, case.traffic, case.course, ratio, luck) for ratio in ratios)
    return [one.seconds if one is not None else float("nan") for one in found]


def _dress(case: Case, axes: Axes, longest: float) -> None:
    promise = case.promise
    top = 3 * max(case.deadline or 0.0, longest)
    axes.axvline(promise.r, color="0.3", linestyle="--", linewidth=1)
    axes.annotate(
        f" margin {promise.margin * 100:.3g} %", (promise.r, 0.99), xycoords=("data", "axes fraction"), va="top"
    )
    if case.deadline is not None:
        axes.axhline(case.deadline, color="0.3", linestyle=":", linewidth=1)
        axes.annotate(
            f"deadline {span(case.deadline)} ",
            (1, case.deadline),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
        )
    axes.set_yscale("log")
    axes.set_ylim(min(case.course.warmup + case.course.delay + 60, longest) / 2, top)
    ticks = [tick for tick in _TICKS if axes.get_ylim()[0] <= tick <= top]
    axes.set_yticks(ticks, [span(tick) for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xlim(min(0.9, 1 - promise.margin), 1 + 4 * promise.margin)
    axes.set_xlabel("true mean loss of the canary, stable's is 1")
    axes.set_ylabel("time to the verdict")
    axes.set_title(f"{case.title}: promoted left of the margin, rolled back right of it", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(title="line: half of the rollouts\nband: up to nine of ten", loc="upper right", framealpha=0.9)
