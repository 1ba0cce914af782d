"""The picture of docs/judging.md: `python -m tests.simulate.pictures docs/judging.png`."""

from __future__ import annotations

import sys
from math import log10
from typing import cast

import matplotlib as mpl

from modelslo.backtest.replay import Replay
from tests.simulate.kinds import KINDS
from tests.simulate.trace import build

_SHOWN = (
    ("small-exponential", "25 % worse: rolled back"),
    ("better-exponential", "20 % better: promoted"),
    ("boundary-exponential", "10 % worse, which is the margin: held"),
)
_HOURS = 6.0


def run(kind: str, number: int) -> tuple[list[float], list[float], list[float]]:
    """Minutes since the rollout, and log10 of the e-values for worse and for not worse."""
    trace = build(KINDS[kind], number)
    replay, times, worse, fine = Replay(trace.meta), [], [], []
    for scrape in trace.scrapes:
        answer = replay.feed(scrape)
        minutes = (cast(float, scrape["t"]) - trace.truth.rollout) / 60
        if minutes > 60 * _HOURS:
            break
        if minutes >= 0:
            times.append(minutes)
            worse.append(log10(max(answer["e_rollback"], 1e-12)))
            fine.append(log10(max(answer["e_promote"], 1e-12)))
        if answer["action"] != "hold" and minutes >= 0:
            break
    return times, worse, fine


def main(path: str) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(_SHOWN), figsize=(12, 3.6), sharey=True, layout="constrained")
    for axis, (kind, title) in zip(axes, _SHOWN, strict=True):
        for number in range(5):
            times, worse, fine = run(kind, number)
            axis.plot(times, worse, color="#c0392b", alpha=0.7, label="for worse" if number == 0 else None)
            axis.plot(times, fine, color="#1f77b4", alpha=0.7, label="for not worse" if number == 0 else None)
        axis.axhline(log10(20), color="black", linewidth=0.8, linestyle="--")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("minutes since the rollout")
        axis.set_ylim(-3, 2)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("e-value (log10); dashed: 20")
    axes[0].legend(fontsize=8, loc="lower left")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main(sys.argv[1])
