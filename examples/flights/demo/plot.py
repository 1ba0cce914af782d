"""The picture of the demo: loss of each version over time, with what was decided."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite, nan
from pathlib import Path

from examples.flights.demo.acts import Demo

_WINDOW = "12s"  # a day of the replay
_LEAST_LABELS = 2  # a second: fewer make no curve


def draw(demo: Demo, start: float, end: float, target: float, path: Path) -> None:
    """Writes a PNG: mean loss per version over a sliding day, the target, and the marked moments."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    query = (
        f"sum by (model_version) (rate(ml_huber_loss_sum[{_WINDOW}]))"
        f" / (sum by (model_version) (rate(ml_huber_loss_count[{_WINDOW}])) > {_LEAST_LABELS})"
    )
    figure, axes = plt.subplots(figsize=(14, 6), layout="constrained")
    for series in sorted(demo.kube.prometheus(query, start=start, end=end, step=1), key=lambda one: str(one["metric"])):
        known = {round(float(at) - start): float(value) for at, value in series["values"]}
        # A second without a value is a hole in the curve, not a straight line.
        seconds = range(min(known), max(known) + 1)
        values = [known.get(one, nan) if isfinite(known.get(one, nan)) else nan for one in seconds]
        axes.plot(seconds, values, label=series["metric"].get("model_version", "?"), linewidth=1.6)
    axes.set_ylim(bottom=0)
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)
    axes.axhline(target, color="grey", linestyle="--", linewidth=1, label="target")
    top = axes.get_ylim()[1]
    for number, (at, text) in enumerate(demo.marks):
        axes.axvline(at - start, color="black", linewidth=0.6, alpha=0.6)
        axes.text(at - start + 1, top * (0.99 - 0.04 * (number % 5)), text, fontsize=8, va="top", clip_on=True)
    axes.set(
        xlabel="seconds (12 s are a day)",
        ylabel="mean Huber loss, sliding day (minutes²)",
        title=f"flights, {datetime.fromtimestamp(start, UTC):%F %H:%M} UTC",
        xlim=(0, end - start),
    )
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
