"""Which time is replayed, and what has to be read for it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from math import floor

from modelslo.api.status import ModelSLOStatus
from modelslo.backtest.course import NOWHERE
from modelslo.backtest.recording import Header, Recording
from modelslo.backtest.variants import AS_IT_IS, Variant
from modelslo.engine.asks import ask_for, history, selector_of, slices_of, vetoes_of
from modelslo.observe.ask import Ask, Source, Veto
from modelslo.observe.evidence import ModelKey

# Two hours at an interval of a minute: some megabytes of raw samples.
CHUNK_CELLS = 120
_ROUNDING = 0.001
_ANEW = "record again, into another file"


@dataclass(frozen=True, slots=True)
class Need:
    """What some variants need; see Header."""

    since: float
    until: float
    first_slice: int
    last_slice: int


def need_of(variants: Sequence[Variant], model: ModelKey, begin: float, end: float) -> Need:
    """To evaluate at the grid times in (begin, end]; both on the grid."""
    found = []
    for one in variants:
        timing, selector = one.parameters.timing, selector_of(one.spec)
        first, last = begin + timing.interval - timing.settle, end - timing.settle
        ask = ask_for(model, NOWHERE, selector, one.parameters, ModelSLOStatus(), None, begin + timing.interval)
        slices = slices_of(one.parameters, first)[0], slices_of(one.parameters, last)[1]
        found.append((min(ask.since, first - history(timing)), last, *slices))
    return Need(
        min(one[0] for one in found),
        max(one[1] for one in found),
        min(one[2] for one in found),
        max(one[3] for one in found),
    )


def header_for(variants: Sequence[Variant], model: ModelKey, begin: float, end: float) -> Header:
    need, first = need_of(variants, model, begin, end), variants[0]
    series = json.dumps(asdict(selector_of(first.spec)), sort_keys=True)
    timing = first.parameters.timing
    return Header(
        model,
        series,
        timing.interval,
        timing.slice,
        need.since,
        need.until,
        need.first_slice,
        need.last_slice,
        begin,
        end,
        _vetoes(variants),
    )


def _vetoes(variants: Sequence[Variant]) -> tuple[Veto, ...]:
    """Each query of theirs once, under a name of its own: two variants may ask differently under one name."""
    queries: dict[str, str] = {}  # by name
    for veto in (veto for one in variants for veto in vetoes_of(one.spec)):
        if veto.query not in queries.values():
            made = (f"{veto.name}-{number}" for number in count(1))
            name = veto.name if veto.name not in queries else next(one for one in made if one not in queries)
            queries[name] = veto.query
    return tuple(Veto(name, query) for name, query in queries.items())


def misfit(header: Header, variants: Sequence[Variant], model: ModelKey) -> str:
    """Why a recording does not serve these variants, and the mend; empty when it does."""
    wanted = header_for(variants, model, header.begin, header.end)
    if header.model != wanted.model:
        return f"it is of {header.model}, and this is {wanted.model}: give another file"
    if header.series != wanted.series:
        return f"it is of other series than those of spec.indicator: {_ANEW}"
    ours, theirs = (wanted.grid, wanted.slice_length), (header.grid, header.slice_length)
    for field, now, then in zip(("spec.interval", "spec.objective.slice"), ours, theirs, strict=True):
        if now != then:
            return f"{field} is {now:g}s, and was {then:g}s when it was made: {_ANEW}"
    asked = {one.query for one in header.vetoes}
    missing = next((one.query for one in wanted.vetoes if one.query not in asked), None)
    if missing is not None:
        return f"spec.guardrails.vetoes: it does not have the query {missing!r}: {_ANEW}"
    return next(filter(None, (_beyond(header, one) for one in variants)), "")


def _beyond(header: Header, one: Variant) -> str:
    """What this variant needs and was not read; empty when there is nothing."""
    need, spec = need_of((one,), header.model, header.begin, header.end), one.spec
    further = need.since < header.since or need.first_slice < header.first_slice
    later = need.until > header.until or need.last_slice > header.last_slice
    if not further and not later:
        return ""
    settle, then = one.parameters.timing.settle, header.end - header.until
    if abs(settle - then) > _ROUNDING:
        return f"the setting settle is {settle:g}s, and was {then:g}s when it was made: set it so, or {_ANEW}"
    window, delay = spec.objective.window, spec.indicator.labels.delay
    named = f"spec.objective.window={window} with spec.indicator.labels.delay={delay}"
    if one.name != AS_IT_IS:
        named = f"--what-if {one.name}"
    reaches = "looks further back than was read" if further else "needs newer slices than were read"
    return f"{named} {reaches}: record again with that, into another file (with --from and --to)"


def asks_of(recording: Recording, variant: Variant, source: Source) -> Iterator[Ask]:
    """What is still to be read, chunk by chunk; each ask goes on where the recording ends by then."""
    header = recording.header
    while not recording.complete:
        until = min(recording.until + CHUNK_CELLS * header.grid, header.until)
        closed = header.last_slice if until >= header.until else floor(until / header.slice_length) - 1
        yield Ask(
            model=header.model,
            source=source,
            selector=selector_of(variant.spec),
            since=recording.until,
            until=until,
            grid=header.grid,
            slice_length=header.slice_length,
            first_slice=recording.last_slice + 1,
            last_slice=max(recording.last_slice, min(closed, header.last_slice)),
            vetoes=header.vetoes,
        )
