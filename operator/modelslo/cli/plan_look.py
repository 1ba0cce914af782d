"""What `modelslo plan` reads from Prometheus: label rate, variance and clustering, by the judge's own rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import floor, inf, isfinite

from modelslo.cli.errors import NEGATIVE, UNREACHABLE, CommandError
from modelslo.cli.ground import observed
from modelslo.judge.comparison import before, rules_of
from modelslo.judge.history import History
from modelslo.judge.maturity import wait
from modelslo.judge.parameters import Parameters
from modelslo.judge.planning import USUAL_TOP, Traffic
from modelslo.judge.scale import Data, scale_of, scores_of
from modelslo.judge.tempering import priors_of
from modelslo.observe.ask import Ask, Selector, Source
from modelslo.observe.evidence import Evidence, Increment, ModelKey, NoEvidence

_LEAST_LABELS = 50.0
_WORDS = {
    Data.HISTOGRAM: "buckets",
    Data.SQUARES: "sums and squares, for want of fitting buckets: a rollback may take twice as long",
    Data.SUMS: "sums alone, for want of buckets: a rough guess",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """``seconds``: what the ``labels`` were counted over, those ``of_version`` among them. ``data``: what the variance
    was read from. ``delay`` (s): until 98 % of the labels are there, infinite where no histogram tells.
    ``aged``: a label tells how old labels are."""

    traffic: Traffic
    labels: float
    of_version: float
    seconds: float
    version: str
    data: Data
    delay: float = inf
    aged: bool = False

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
    evidence = await observed(ask)
    if evidence.gap is not None:
        code = NEGATIVE if evidence.gap.reason is NoEvidence.NO_DATA else UNREACHABLE
        mend = "" if code == NEGATIVE else ". Is it the right address? --prometheus-url may name a port-forward"
        raise CommandError(f"{evidence.gap.message}{mend}", code)
    return evidence


def measured(evidence: Evidence, parameters: Parameters, stable: str | None = None) -> Measured:
    """What the evidence says; `stable` is the version whose losses count, without it the one with most labels.

    CommandError when there are too few labels.
    """
    labels: dict[str, float] = {}
    for one in evidence.increments:
        labels[one.version] = labels.get(one.version, 0.0) + one.losses.count
    version = stable if stable is not None else max(sorted(labels), key=labels.__getitem__, default="")
    if labels.get(version, 0.0) < _LEAST_LABELS:
        whose = f"version {version!r} got {labels.get(version, 0.0):.0f} labels" if version else "there were no labels"
        raise CommandError(
            f"{whose} in {evidence.at - evidence.since:.0f} s, "
            f"{_LEAST_LABELS:.0f} are needed: give a longer --range, or numbers (--rate, --cv)"
        )
    mine = [one for one in evidence.increments if one.version == version]
    _check(version, mine)
    cells = [tuple(of) for _, of in groupby(mine, key=lambda one: one.end)]
    rules = rules_of(parameters, evidence.edges, (), 1.0, cells, evidence.delay_edges)
    gate = before(rules, cells)
    history = gate.history
    scale = scale_of(rules, history)
    # A model that is younger than the range has its rate over its own age.
    seconds = evidence.at - min(one.start for one in evidence.increments)
    traffic = Traffic(
        rate=sum(labels.values()) / seconds,
        cv2=scale.cv2,
        phi=_phi(history) if scale.data is Data.HISTOGRAM else 1.0,
        top=_top(evidence.edges, history) if scale.data is Data.HISTOGRAM else USUAL_TOP,
    )
    delay = wait(gate.delays, rules.lag_edges) if rules.lag_edges else inf
    aged = any(isfinite(one.age) for one in evidence.increments)
    return Measured(traffic, sum(labels.values()), labels[version], seconds, version, scale.data, delay, aged)


def _check(version: str, mine: Sequence[Increment]) -> None:
    """Losses by which a rollout would be held have no time to a verdict."""
    losses = [one.losses for one in mine if one.losses.count > 0]
    if not isfinite(losses[-1].total):
        raise CommandError(
            f"the loss sum of version {version!r} is not a finite number, or it falls: a NaN, an infinite or a "
            "negative loss got into it, and a rollout would be held (NaNLoss). Losses are 0 or more: mend them and "
            "restart the exporter, or give numbers (--rate, --cv)"
        )
    if not any(one.total > 0 for one in losses):
        raise CommandError(
            f"all losses of version {version!r} are 0, which tell no two versions apart: give a longer --range, or "
            "numbers (--rate, --cv)"
        )


def _phi(history: History) -> float:
    return max(1.0, *priors_of(history.scales))


def _top(edges: tuple[float, ...], history: History) -> float:
    scores = scores_of(edges)
    mean, _ = history.scored_moments(scores)
    return float(scores[-1]) / mean if mean > 0 else USUAL_TOP
