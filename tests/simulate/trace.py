"""A whole trace: its lines, and its truth."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.simulate.exporter import Exporter
from tests.simulate.kind import Kind
from tests.simulate.plan import Plan, make_plan, onset
from tests.simulate.stream import Arrivals, Stream
from tests.simulate.truth import Truth
from tests.simulate.words import CANARY, Ints, Line, Mode

CHUNK: Final = 240
"""Scrapes drawn at once. Part of what a seed means: another number gives other traces."""
WARMUP: Final = 300.0
ALPHA: Final = 0.05


@dataclass(slots=True)
class Used:
    """How many labels of the canary had arrived, known up to the scrape drawn last.

    Attributes:
        warm: Cumulative, of predictions made after the first one + warm-up; one entry per scrape.
        all: Cumulative, of all predictions; one entry per scrape.
    """

    warm: list[int] = field(default_factory=list)
    all: list[int] = field(default_factory=list)

    def add(self, arrivals: Arrivals, warm_from: float) -> None:
        """Counts the arrivals of one chunk."""
        labels = arrivals.labels
        mine = labels.arm == CANARY
        at = labels.at - arrivals.first
        scrapes = arrivals.last - arrivals.first
        self._append(self.all, np.bincount(at[mine], minlength=scrapes))
        self._append(self.warm, np.bincount(at[mine & (labels.made >= warm_from)], minlength=scrapes))

    @staticmethod
    def _append(running: list[int], more: Ints) -> None:
        before = running[-1] if running else 0
        running += (before + np.cumsum(more)).tolist()


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace. `scrapes` draws as it goes and can be read once; `used` grows with it."""

    meta: Line
    scrapes: Iterator[Line]
    end: Line
    truth: Truth
    used: Used

    def lines(self) -> Iterator[Line]:
        """All lines of the replay interface."""
        yield self.meta
        yield from self.scrapes
        yield self.end


def generators(
    kind: Kind, number: int, seed: int
) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Independent sources for the plan, the stream and the exporter: the same for every order and every mode."""
    root = np.random.SeedSequence([seed, zlib.crc32(kind.name.encode()), number])
    plan, stream, exporter = (np.random.Generator(np.random.PCG64(each)) for each in root.spawn(3))
    return plan, stream, exporter


def build(kind: Kind, number: int, *, seed: int = 0, mode: Mode = "histogram") -> Trace:
    """Trace `number` of `kind`. Nothing of the stream is drawn before `scrapes` is read."""
    for_plan, for_stream, for_exporter = generators(kind, number, seed)
    plan = make_plan(kind, for_plan)
    name = f"{kind.name}-{number}"
    used = Used()
    stream = Stream(kind, plan, for_stream)
    exporter = Exporter(kind, plan, mode, for_exporter)
    return Trace(
        meta=_meta(kind, plan, name, mode),
        scrapes=_scrapes(name, stream, exporter, used),
        end={"type": "end", "trace": name},
        truth=_truth(kind, plan),
        used=used,
    )


def _scrapes(name: str, stream: Stream, exporter: Exporter, used: Used) -> Iterator[Line]:
    kind, plan = stream.kind, stream.plan
    k = 0
    while k < plan.scrapes:
        arrivals = stream.advance(min(k + CHUNK, plan.scrapes))
        used.add(arrivals, stream.first_canary + WARMUP)
        for arms in exporter.scrapes(arrivals):
            yield {
                "type": "scrape",
                "trace": name,
                "k": k,
                "t": k * kind.dt,
                "rollout_started": kind.has_canary and k >= plan.k0,
                "arms": arms,
            }
            k += 1


def _meta(kind: Kind, plan: Plan, name: str, mode: Mode) -> Line:
    return {
        "type": "meta",
        "trace": name,
        "dt": kind.dt,
        "k0": plan.k0,
        "edges": list(kind.edges) if mode == "histogram" else [],
        "lag_edges": list(kind.lag.edges),
        "margin": kind.margin,
        "segment_margin": kind.segment_margin,
        "alpha": ALPHA,
        "beta": ALPHA,
        "warmup_s": WARMUP,
        "slo_loss": kind.slo * kind.typical,
        "has_canary": kind.has_canary,
        "segments": [segment.name for segment in kind.segments] if kind.named else [],
        "false_retrain_days": 90.0,
        "retrain_persist_s": 3600.0,
        "has_sumsq": mode != "sums",
    }


def _truth(kind: Kind, plan: Plan) -> Truth:
    return Truth(
        kind=kind.name,
        group=kind.group,
        right=kind.right,
        rollout=plan.rollout,
        deadline=60.0 * kind.hours,
        onset=onset(kind, plan),
        ratio=kind.ratio if kind.has_canary else None,
        regression=kind.regression,
        drift=kind.drift is not None,
        incidents=tuple((window.start, window.end) for window in plan.incidents),
    )
