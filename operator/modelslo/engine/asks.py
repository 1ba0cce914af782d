"""What to ask Prometheus for one evaluation, on the grid of DESIGN section 7. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor

from modelslo.api.quantity import seconds
from modelslo.api.spec import ModelSLOSpec
from modelslo.api.status import ModelSLOStatus
from modelslo.judge.parameters import Parameters
from modelslo.judge.timing import Timing
from modelslo.observe.ask import Ask, Selector, Source, Veto
from modelslo.observe.evidence import ModelKey

# What is replayed after a restart when no canary is judged: enough for the sliding windows of the judge.
_LEAST_CELLS = 20
_MOST_CELLS = 120
# Of stable before a rollout: the scale of the comparison.
_LEAST_HISTORY, _MOST_HISTORY = 60, 240


def tick_of(now: float, interval: float) -> float:
    """The newest grid time ``k * interval`` that is not after `now`."""
    return floor(now / interval) * interval


def source_of(spec: ModelSLOSpec, default_url: str) -> Source:
    prometheus = spec.indicator.prometheus
    return Source(url=prometheus.url or default_url, timeout=seconds(prometheus.timeout))


def selector_of(spec: ModelSLOSpec) -> Selector:
    loss, labels, segments = spec.indicator.loss, spec.indicator.labels, spec.indicator.segments
    return Selector(
        metric=loss.metric,
        predictions=labels.predictions,
        invalid=labels.invalid,
        match=tuple(sorted(loss.match_labels.items())),
        version_label=loss.version_label,
        namespace_label=loss.namespace_label,
        segment_label=segments.label if segments else None,
        delays=labels.delay_metric,
        age_label=labels.age_label,
    )


def vetoes_of(spec: ModelSLOSpec) -> tuple[Veto, ...]:
    return tuple(Veto(one.name, one.query) for one in spec.guardrails.vetoes or ())


def ask_for(
    model: ModelKey,
    source: Source,
    selector: Selector,
    parameters: Parameters,
    status: ModelSLOStatus,
    judged_at: float | None,
    tick: float,
    vetoes: tuple[Veto, ...] = (),
) -> Ask:
    """The ask of the evaluation of grid time `tick`; `judged_at` is the end of what was judged, None after a start."""
    timing = parameters.timing
    until = tick - timing.settle
    first, last = slices_of(parameters, until)
    return Ask(
        model=model,
        source=source,
        selector=selector,
        since=min(_since(timing, status, judged_at, until), until - timing.interval),
        until=until,
        grid=timing.interval,
        slice_length=timing.slice,
        first_slice=first,
        last_slice=last,
        vetoes=vetoes,
    )


def slices_of(parameters: Parameters, until: float) -> tuple[int, int]:
    """First and last slice of the window: the last is the newest whose labels have arrived."""
    timing = parameters.timing
    last = floor((until - timing.delay) / timing.slice) - 1
    return last - parameters.window_slices + 1, last


def _since(timing: Timing, status: ModelSLOStatus, judged_at: float | None, until: float) -> float:
    cells = ceil(max(2 * timing.delay, timing.max_age) / timing.interval) + _LEAST_CELLS
    lookback = until - min(cells, _MOST_CELLS) * timing.interval
    if status.rollout is None:
        return lookback if judged_at is None else max(judged_at, lookback)
    # The evaluation that started the rollout, or that started judging afresh, was that of this tick.
    began = tick_of(status.rollout.judged_since.timestamp(), timing.interval) - timing.settle
    return began - history(timing) if judged_at is None else max(judged_at, min(began, lookback))


def history(timing: Timing) -> float:
    """Seconds of stable's history that are read when a rollout starts, and again after a restart."""
    cells = ceil(timing.tempo.slow / timing.interval)
    return min(max(cells, _LEAST_HISTORY), _MOST_HISTORY) * timing.interval


def by_source(asks: Mapping[ModelKey, Ask]) -> dict[Source, dict[ModelKey, Ask]]:
    """The asks of each Prometheus: one that hangs must not hold up the others."""
    groups: dict[Source, dict[ModelKey, Ask]] = {}
    for key, ask in asks.items():
        groups.setdefault(ask.source, {})[key] = ask
    return groups
