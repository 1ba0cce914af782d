"""Sorts the series of one answer by model, group and part. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan

from modelslo.observe.answer import Series
from modelslo.observe.ask import Ask
from modelslo.observe.batch import Owners, family_of
from modelslo.observe.cells import INVALID, PREDICTIONS, Gathered
from modelslo.observe.evidence import NO_AGE, NO_SEGMENT, ModelKey
from modelslo.observe.series import Parts


def gather(asks: Sequence[Ask], series: Iterable[Series]) -> dict[ModelKey, Gathered]:
    """What each model of a batch got. Series of models that were not asked for are ignored."""
    family, owners = family_of(asks[0].selector), Owners(asks)
    found = {ask.model: Gathered() for ask in asks}
    counters = {family.predictions: PREDICTIONS, family.invalid: INVALID}
    for one in series:
        models = owners.of(one.labels)
        if not models:
            continue
        name = one.labels.get("__name__", "")
        key = owners.rest(one.labels)
        version = one.labels.get(family.version_label, "")
        segment = one.labels.get(family.segment_label, NO_SEGMENT) if family.segment_label else NO_SEGMENT
        age = age_of(one.labels.get(family.age_label, "")) if family.age_label else NO_AGE
        for ask in models:
            of = found[ask.model]
            if name in counters:
                of.counters[f"{name}\xff{key}"] = (version, segment, counters[name], one)
            # A user may name the histogram's own count as the counter of predictions.
            if name.startswith(family.metric):
                _put(
                    of.histograms.setdefault(key, (version, segment, age, Parts()))[3], name[len(family.metric) :], one
                )
            if family.delays is not None and name.startswith(family.delays):
                _put(
                    of.delays.setdefault(key, (version, NO_SEGMENT, NO_AGE, Parts()))[3],
                    name[len(family.delays) :],
                    one,
                )
    return found


def is_age(text: str) -> bool:
    """Whether a label's value is the upper edge of an age."""
    edge = _edge(text)
    return edge is not None and edge > 0


def age_of(text: str) -> float:
    """The upper edge (s) of an age, as it stands in the label. Infinite where it is none."""
    return float(text) if is_age(text) else NO_AGE


def _put(parts: Parts, suffix: str, series: Series) -> None:
    match suffix:
        case "_count":
            parts.count = series
        case "_sum":
            parts.total = series
        case "_squares_total":
            parts.squares = series
        case "_bucket" if (edge := _edge(series.labels.get("le", ""))) is not None:
            parts.buckets.append((edge, series))
        case _:
            pass


def _edge(text: str) -> float | None:
    """`1` and `1.0` are one edge; None when it is no number."""
    try:
        edge = float(text)
    except ValueError:
        return None
    return None if isnan(edge) else edge
