"""What `modelslo doctor` looks at: the operator's own queries for one model, and others that tell why they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import isfinite
from statistics import median
from typing import Final

from modelslo.api.status import ModelSLOStatus
from modelslo.cli.ground import observed
from modelslo.engine.asks import ask_for
from modelslo.judge.parameters import Parameters
from modelslo.observe.answer import Answer, Series
from modelslo.observe.ask import Ask, Selector, Source, Veto
from modelslo.observe.batch import family_of, matchers
from modelslo.observe.client import PrometheusClient
from modelslo.observe.evidence import STALENESS, Evidence, ModelKey
from modelslo.observe.failure import QueryFailure
from modelslo.observe.promql import PART_LABEL, encodable, samples_query, selector
from modelslo.observe.vetoes import NO_UNICODE, stood_in, unknown

DELAY_METRIC: Final = "ml_label_delay_seconds"
QUANTILES: Final = (0.5, 0.9, 0.99)
# Newer samples than now: the clock of Prometheus or ours is wrong. Looked for this far ahead (s).
AHEAD: Final = 300
_DAY: Final = 86_400
_MOST_VALUES: Final = 8


@dataclass(frozen=True, slots=True)
class Found:
    """The series of one metric, version and segment: how many, newest sample (Unix s), and whether one is NaN."""

    metric: str
    version: str
    segment: str
    series: int
    newest: float
    finite: bool


@dataclass(frozen=True, slots=True)
class Matcher:
    """A matcher of the query: what it asks for, and the values found among the series that all others match."""

    label: str
    wanted: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Absence:
    """Why there are no series: ``total`` of the metric anywhere, names like it, matchers, and when it was last seen."""

    total: int
    similar: tuple[str, ...] = ()
    matchers: tuple[Matcher, ...] = ()
    exported: bool = False  # the namespace stands in exported_<namespace label>
    last_seen: float | None = None


@dataclass(frozen=True, slots=True)
class VetoLook:
    """What a veto says at the time of the evidence; ``value`` is that of the first series. ``failure``: not known."""

    veto: Veto
    series: int = 0
    value: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """Everything seen. Times are Unix seconds by our clock, but those of samples, which are Prometheus'."""

    now: float
    ask: Ask
    evidence: Evidence
    found: tuple[Found, ...] = ()
    absence: Absence | None = None
    scrape_interval: float | None = None
    twins: tuple[str, ...] = ()  # versions whose losses are there twice, with equal values
    delays: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # by version, at QUANTILES, in seconds
    ages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by version, values of the age label; "": none
    failures: tuple[str, ...] = ()  # of the extra queries
    vetoes: tuple[VetoLook, ...] = ()


def ask_of(model: ModelKey, source: Source, chosen: Selector, parameters: Parameters, now: float) -> Ask:
    """What the operator would ask at `now` after a start."""
    interval = parameters.timing.interval
    return ask_for(model, source, chosen, parameters, ModelSLOStatus(), None, now // interval * interval)


async def look(ask: Ask, now: float, vetoes: Sequence[Veto] = ()) -> Look:
    """Asks Prometheus. Nothing is raised for what goes wrong there. `ask` is without vetoes: one that fails hides
    the rest."""
    evidence = await observed(ask)
    if evidence.gap is not None and evidence.queries and evidence.queries[0].error:
        return Look(now, ask, evidence)
    client = PrometheusClient(ask.source.url, timeout=ask.source.timeout)
    try:
        seen = _vetoes(vetoes, client, round(ask.until * 1000))
        return replace(_closer(ask, evidence, client, now), vetoes=seen)
    finally:
        client.close()


def _vetoes(vetoes: Sequence[Veto], client: PrometheusClient, at: int) -> tuple[VetoLook, ...]:
    return tuple(_veto(number, one, client, at) for number, one in enumerate(vetoes))


def _veto(number: int, veto: Veto, client: PrometheusClient, at: int) -> VetoLook:
    try:
        if not encodable(veto.query):
            raise QueryFailure(NO_UNICODE, culprit=True)
        stood = stood_in(client.steps(veto.query, at, at, 1000), (at,), 1000)
    except QueryFailure as failure:
        return VetoLook(veto, failure=unknown(number, veto, failure).message)
    return VetoLook(veto, stood[0].series, stood[0].value) if stood else VetoLook(veto)


def _closer(ask: Ask, evidence: Evidence, client: PrometheusClient, now: float) -> Look:
    asked = _Asked(client, now)
    at = round((now + AHEAD) * 1000)
    answer = asked.samples(
        samples_query(family_of(ask.selector).metrics, matchers([ask]), round((STALENESS + AHEAD) * 1000)), at
    )
    counts = [one for one in answer if one.labels.get("__name__") == f"{ask.selector.metric}_count"]
    return Look(
        now=now,
        ask=ask,
        evidence=evidence,
        found=_found(ask.selector, answer),
        absence=None if counts else _absence(ask, asked),
        scrape_interval=_scrape_interval(counts),
        twins=_twins(ask.selector, answer),
        delays=_delays(ask, asked) if counts else {},
        ages=_ages(ask.selector, counts),
        failures=tuple(asked.failures),
    )


class _Asked:
    """Extra queries; one that fails is noted and gives nothing."""

    def __init__(self, client: PrometheusClient, now: float) -> None:
        self._client, self._now, self.failures = client, round(now * 1000), list[str]()

    def samples(self, query: str, at: int) -> tuple[Series, ...]:
        return self._series(lambda: self._client.samples(query, at))

    def instant(self, query: str) -> tuple[Series, ...]:
        return self._series(lambda: self._client.steps(query, self._now, self._now, 1000))

    def _series(self, ask: Callable[[], Answer]) -> tuple[Series, ...]:
        try:
            return ask().series
        except QueryFailure as failure:
            self.failures.append(str(failure))
            return ()


def _found(chosen: Selector, answer: Iterable[Series]) -> tuple[Found, ...]:
    groups: dict[tuple[str, str, str], list[Series]] = {}
    for one in answer:
        if one.times:
            segment = one.labels.get(chosen.segment_label, "") if chosen.segment_label else ""
            key = (one.labels.get("__name__", ""), one.labels.get(chosen.version_label, ""), segment)
            groups.setdefault(key, []).append(one)
    return tuple(
        Found(
            *key,
            series=len(of),
            newest=max(one.times[-1] for one in of) / 1000,
            finite=all(isfinite(one.values[-1]) for one in of),
        )
        for key, of in sorted(groups.items())
    )


def _ages(chosen: Selector, counts: Iterable[Series]) -> dict[str, tuple[str, ...]]:
    if chosen.age_label is None:
        return {}
    found: dict[str, set[str]] = {}
    for one in counts:
        found.setdefault(one.labels.get(chosen.version_label, ""), set()).add(one.labels.get(chosen.age_label, ""))
    return {version: tuple(sorted(values)) for version, values in sorted(found.items())}


def _scrape_interval(counts: Iterable[Series]) -> float | None:
    gaps = [after - before for one in counts for before, after in pairwise(one.times)]
    return median(gaps) / 1000 if gaps else None


def _twins(chosen: Selector, answer: Iterable[Series]) -> tuple[str, ...]:
    """Versions with two series of one loss sum at equal, odd values: one exporter scraped twice counts double."""
    sums = [one for one in answer if one.labels.get("__name__") == f"{chosen.metric}_sum" and one.values]
    seen: set[tuple[str, str, str, float]] = set()
    double = set()
    for one in sums:
        version = one.labels.get(chosen.version_label, "")
        segment = one.labels.get(chosen.segment_label, "") if chosen.segment_label else ""
        age = one.labels.get(chosen.age_label, "") if chosen.age_label else ""
        key = (version, segment, age, one.values[-1])
        if one.values[-1] != 0 and key in seen:
            double.add(version)
        seen.add(key)
    return tuple(sorted(double))


def _delays(ask: Ask, asked: _Asked) -> dict[str, tuple[float, ...]]:
    """Label delay per version at QUANTILES over the last hour; the histogram has no segments."""
    chosen = selector([f"{ask.selector.delays or DELAY_METRIC}_bucket"], matchers([ask]))
    label, parts = ask.selector.version_label, []
    for quantile in QUANTILES:
        query = f"histogram_quantile({quantile}, sum by (le,{label}) (rate({chosen}[1h])))"
        parts.append(f'label_replace({query}, "{PART_LABEL}", "{quantile}", "", "")')
    found: dict[str, dict[str, float]] = {}
    for one in asked.instant(" or ".join(parts)):
        if one.values and isfinite(one.values[-1]):
            found.setdefault(one.labels.get(label, ""), {})[one.labels.get(PART_LABEL, "")] = one.values[-1]
    return {
        version: tuple(of[str(quantile)] for quantile in QUANTILES)
        for version, of in sorted(found.items())
        if len(of) == len(QUANTILES)
    }


def _absence(ask: Ask, asked: _Asked) -> Absence:
    name, chosen = f"{ask.selector.metric}_count", matchers([ask])
    total = sum(one.values[-1] for one in asked.instant(f"count({selector([name], ())})"))
    if total == 0:
        return Absence(0, similar=_similar(asked), last_seen=_last_seen(name, chosen, asked))
    found = []
    exported = False
    for label, wanted in chosen:
        others = [one for one in chosen if one[0] != label]
        values = _values(name, others, label, asked)
        found.append(Matcher(label, wanted[0], values))
        if label == ask.selector.namespace_label:
            exported = bool(asked.instant(f"count({selector([name], [*others, (f'exported_{label}', wanted)])})"))
    return Absence(int(total), (), tuple(found), exported, _last_seen(name, chosen, asked))


def _values(name: str, others: Iterable[tuple[str, Iterable[str]]], label: str, asked: _Asked) -> tuple[str, ...]:
    """Values of `label` among the series of `name` that the matchers `others` allow; at most a handful."""
    found = asked.instant(f"topk({_MOST_VALUES}, count by ({label}) ({selector([name], others)}))")
    return tuple(sorted(one.labels.get(label, "") for one in found))


def _similar(asked: _Asked) -> tuple[str, ...]:
    found = asked.instant('group by (__name__) ({__name__=~".*(loss|error).*_count"})')
    return tuple(sorted(one.labels.get("__name__", "").removesuffix("_count") for one in found))[:_MOST_VALUES]


def _last_seen(name: str, chosen: Iterable[tuple[str, Iterable[str]]], asked: _Asked) -> float | None:
    """When a series was there last, within a day, to five minutes."""
    found = asked.instant(f"max(max_over_time(timestamp({selector([name], chosen)})[{_DAY}s:5m]))")
    return found[0].values[-1] if found and found[0].values else None
