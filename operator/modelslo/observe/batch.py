"""Which models share a query, and whose series came back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelslo.observe.ask import Ask, Selector
from modelslo.observe.promql import MOST_NAMES, encodable


@dataclass(frozen=True, slots=True)
class Family:
    """What the selectors of one batch have in common: everything but the values of labels."""

    metric: str
    predictions: str
    invalid: str
    match_labels: tuple[str, ...]
    version_label: str
    namespace_label: str
    segment_label: str | None
    delays: str | None
    age_label: str | None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics that one query fetches."""
        histogram = tuple(f"{self.metric}_{part}" for part in ("bucket", "count", "squares_total", "sum"))
        delays = (f"{self.delays}_bucket", f"{self.delays}_count") if self.delays is not None else ()
        return tuple(sorted({*histogram, *delays, self.predictions, self.invalid}))


def family_of(selector: Selector) -> Family:
    return Family(
        selector.metric,
        selector.predictions,
        selector.invalid,
        tuple(label for label, _ in selector.match),
        selector.version_label,
        selector.namespace_label,
        selector.segment_label,
        selector.delays,
        selector.age_label,
    )


def batches(asks: Iterable[Ask], key: Callable[[Ask], Hashable]) -> list[tuple[Ask, ...]]:
    """Asks with one source, family and `key` together, at most MOST_NAMES of them, in one order for one set of asks.

    Neighbours in a batch have neighbouring label values: the alternations of several labels match the cross product
    of their values, and so few series of others.
    """
    groups: dict[Hashable, list[Ask]] = {}
    for ask in sorted(asks, key=lambda one: (one.model.namespace, one.selector.match, one.model.name)):
        groups.setdefault((ask.source, family_of(ask.selector), key(ask)), []).append(ask)
    return [
        tuple(group[start : start + MOST_NAMES])
        for group in groups.values()
        for start in range(0, len(group), MOST_NAMES)
    ]


def matchers(asks: Sequence[Ask]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(label, allowed values) of the namespace and of every match label, for one family."""
    family = family_of(asks[0].selector)
    found = [(family.namespace_label, tuple(ask.model.namespace for ask in asks))]
    for position, label in enumerate(family.match_labels):
        found.append((label, tuple(ask.selector.match[position][1] for ask in asks)))
    return tuple(found)


def unaskable(ask: Ask) -> str | None:
    """Why this ask cannot be put into any query; None when it can."""
    for label, value in ask.selector.match:
        if not encodable(value):
            return f"spec.indicator.loss.matchLabels.{label} is no valid Unicode: {value!r}"
    if ask.until <= ask.since or ask.grid <= 0:
        return f"nothing to read in ({ask.since}, {ask.until}] with a grid of {ask.grid} s"
    return None


class Owners:
    """Says whose a series is, by equality of the namespace and of every match label.

    A label that is missing equals the empty value, as in PromQL. Several ModelSLOs may own one series.
    """

    def __init__(self, asks: Sequence[Ask]) -> None:
        family = family_of(asks[0].selector)
        self._namespace_label = family.namespace_label
        self._labels = family.match_labels
        self._common = frozenset((family.namespace_label, *family.match_labels, "__name__", "le"))
        self._of: dict[tuple[str, ...], list[Ask]] = {}
        for ask in asks:
            name = (ask.model.namespace, *(value for _, value in ask.selector.match))
            self._of.setdefault(name, []).append(ask)

    def of(self, labels: Mapping[str, str]) -> Sequence[Ask]:
        """The asks that this series answers; empty when it was only in the cross product."""
        name = (labels.get(self._namespace_label, ""), *(labels.get(label, "") for label in self._labels))
        return self._of.get(name, ())

    def rest(self, labels: Mapping[str, str]) -> str:
        """Names one series among those of its owner, without metric and bucket: the same text for the same labels."""
        common = self._common
        return "\xff".join(f"{key}={labels[key]}" for key in sorted(labels) if key not in common)
