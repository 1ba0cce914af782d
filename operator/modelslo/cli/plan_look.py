"""What `modelslo plan` reads from Prometheus: label rate, variance and clustering, by the judge's own rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from math import floor

import numpy as np

from modelslo.cli.errors import NEGATIVE, UNREACHABLE, CommandError
from modelslo.judge.history import History, with_delta
from modelslo.judge.increments import Delta
from modelslo.judge.parameters import Parameters
from modelslo.judge.planning import USUAL_TOP, Traffic
from modelslo.judge.scale import Data, Rules, scale_of, scores_of
from modelslo.judge.tempering import PRIOR, priors_of
from modelslo.judge.timing import Tempo
from modelslo.observe.ask import Ask, Selector, Source
from modelslo.observe.evidence import Evidence, Increment, ModelKey, NoEvidence
from modelslo.observe.observer import Observer

_LEAST_LABELS = 50.0
_WORDS = {
    Data.HISTOGRAM: "buckets",
    Data.SQUARES: "sums and squares, for want of fitting buckets: a rollback may take twice as long",
    Data.SUMS: "sums alone, for want of buckets: a rough guess",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """``seconds``: what the labels were counted over. ``data``: what the variance was read from."""

    traffic: Traffic
    labels: float
    seconds: float
    version: str
    data: Data

    @property
    def words(self) -> str:
        return _WORDS[self.data]


async def look(
    model: ModelKey, source: Source, selector: Selector, parameters: Parameters, span: float, now: float
) -> Evidence:
    """The increments of the last `span` seconds (Unix time `now`). CommandError when there are none."""
    timing = parameters.timing
    until = now // timing.interval * timing.interval - timing.settle
    last = floor(until / timing.slice) - 1  # the slices are not looked at: one is the least that can be asked for
    ask = Ask(
        model=model,
        source=source,
        selector=selector,
        since=until - span,
        until=until,
        grid=timing.interval,
        slice_length=timing.slice,
        first_slice=last,
        last_slice=last,
    )
    observer = Observer(1)
    try:
        evidence = (await observer.observe([ask]))[model]
    finally:
        observer.close()
    if evidence.gap is not None:
        code = NEGATIVE if evidence.gap.reason is NoEvidence.NO_DATA else UNREACHABLE
        mend = "" if code == NEGATIVE else ". Is it the right address? --prometheus-url may name a port-forward"
        raise CommandError(f"{evidence.gap.message}{mend}", code)
    return evidence


def measured(evidence: Evidence, parameters: Parameters, tempo: Tempo, stable: str | None = None) -> Measured:
    """What the evidence says; `stable` is the version whose losses count, without it the one with most labels.

    CommandError when there are too few labels.
    """
    labels: dict[str, float] = {}
    for one in evidence.increments:
        labels[one.version] = labels.get(one.version, 0.0) + one.losses.count
    version = stable if stable is not None else max(sorted(labels), key=labels.__getitem__, default="")
    if labels.get(version, 0.0) < _LEAST_LABELS:
        raise CommandError(
            f"version {version!r} got {labels.get(version, 0.0):.0f} labels in {evidence.at - evidence.since:.0f} s, "
            f"{_LEAST_LABELS:.0f} are needed: give a longer --range, or numbers (--rate, --cv)"
        )
    history = _history([one for one in evidence.increments if one.version == version], evidence.edges, tempo)
    gate = parameters.gate
    rules = Rules(
        edges=evidence.edges,
        lag_edges=(),
        margin=gate.margin,
        segment_margin=3 * gate.margin,
        alpha=gate.alpha,
        beta=gate.beta,
        warmup=parameters.timing.warmup,
        has_squares=history.squares is not None,
        tempo=tempo,
    )
    scale = scale_of(rules, history)
    # A model that is younger than the range has its rate over its own age.
    seconds = evidence.at - min(one.start for one in evidence.increments)
    traffic = Traffic(
        rate=sum(labels.values()) / seconds,
        cv2=scale.cv2,
        phi=_phi(history) if scale.data is Data.HISTOGRAM else 1.0,
        top=_top(evidence.edges, history) if scale.data is Data.HISTOGRAM else USUAL_TOP,
    )
    return Measured(traffic, sum(labels.values()), seconds, version, scale.data)


def _phi(history: History) -> float:
    return max(1.0, *priors_of(history.scales)) if history.scales and history.scales[0].number else PRIOR


def _top(edges: tuple[float, ...], history: History) -> float:
    scores = scores_of(edges)
    mean, _ = history.scored_moments(scores)
    return float(scores[-1]) / mean if mean > 0 else USUAL_TOP


def _history(increments: Iterable[Increment], edges: tuple[float, ...], tempo: Tempo) -> History:
    history, before, values = History(), None, scores_of(edges)
    for end, delta in _deltas(increments, edges):
        elapsed = 0.0 if before is None else end - before
        history, before = with_delta(history, delta, end, values, elapsed, tempo), end
    return history


def _deltas(increments: Iterable[Increment], edges: tuple[float, ...]) -> Iterator[tuple[float, Delta]]:
    """Per time the whole arm; times at which the buckets are missing are left out."""
    width = len(edges) + 1 if edges else 0
    for end, of in groupby(increments, key=lambda one: one.end):
        cell = list(of)
        if any(len(one.losses.buckets) != width for one in cell if one.losses.count and width):
            continue
        squares = [one.losses.squares for one in cell]
        known = [one for one in squares if one is not None]
        counted = [one.losses.buckets for one in cell if width and one.losses.buckets]
        yield (
            end,
            Delta(
                count=np.array([sum(one.losses.count for one in cell)]),
                total=np.array([sum(one.losses.total for one in cell)]),
                squares=np.array([sum(known)]) if len(known) == len(squares) else None,
                buckets=np.array(counted).sum(axis=0, keepdims=True) if counted else np.zeros((1, width)),
                predictions=sum(one.predictions for one in cell),
                lags=None,
            ),
        )
