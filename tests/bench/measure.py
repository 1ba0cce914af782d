"""One run: the fleet, the operator as a process, and what both cost in a window of steady state."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil

from tests.bench import checks, site
from tests.bench.fleet import Kind, Mix, Shape
from tests.bench.meters import Lateness, Process, Request, Samples, audited, quantile, queries
from tests.bench.site import USER, Site
from tests.integration.running import Operator

# Behind a grid time, as a share of the interval, the evaluations of that time are over or late.
_READ_AT = 0.8
_FIRST_PASS = 120.0


@dataclass
class Result:
    """What was seen. Rates are per model and minute unless they say otherwise."""

    models: int
    mix: Mix
    shape: Shape
    seconds: float = 0.0
    kinds: Counter[Kind] = field(default_factory=Counter)
    first_pass: float = 0.0
    restart: float = 0.0  # by the same pod
    takeover: float = 0.0  # by another one
    due: int = 0
    done: int = 0
    own: dict[str, float] = field(default_factory=dict)
    late: list[float] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    apiserver_writes: float = 0.0
    queries: Counter[str] = field(default_factory=Counter)
    cpu: float = 0.0
    resident: float = 0.0
    peak: float = 0.0
    scrape_cost: float = 0.0
    wrong: dict[str, list[str]] = field(default_factory=dict)
    checked: int = 0

    @property
    def minutes(self) -> float:
        return self.seconds / 60

    @property
    def ticks(self) -> int:
        return round(self.seconds / self.shape.interval)

    @property
    def share_done(self) -> float:
        return self.done / self.due

    @property
    def writes(self) -> list[Request]:
        return [one for one in self.requests if one.verb not in ("get", "list", "watch")]

    def of_models(self) -> list[Request]:
        """Requests but the Lease's, which do not depend on the models."""
        return [one for one in self.requests if not one.resource.startswith("leases")]

    def per_model(self, requests: list[Request]) -> float:
        return len(requests) / self.models / self.minutes

    def writes_by_kind(self, place: dict[tuple[str, str], Kind]) -> dict[Kind, float]:
        counted = Counter(place[one.namespace, one.name] for one in self.writes if (one.namespace, one.name) in place)
        return {kind: counted[kind] / self.kinds[kind] / self.minutes for kind in Kind if self.kinds[kind]}

    def late_at(self, share: float) -> float:
        return quantile(self.late, share) if self.late else float("nan")

    @property
    def cpu_per_thousand(self) -> float:
        return self.cpu / self.done * 1000

    @property
    def queries_per_tick(self) -> float:
        return self.queries.total() / self.ticks


Say = Callable[[str], None]


@contextmanager
def measured(
    models: int,
    seconds: int,
    shape: Shape | None = None,
    *,
    mix: Mix = Mix.MIXED,
    restart: bool = False,
    say: Say = print,
) -> Iterator[tuple[Result, Site]]:
    """Run for `seconds` once the windows are full; `restart`: then kill -9 the operator and start it again."""
    shape = shape or Shape()
    result = Result(models, mix, shape)
    with site.site(models, shape, mix=mix) as place:
        result.kinds = Counter(model.kind for model in place.models)
        say(f"{models} models: {dict(result.kinds)}; objects made in {time.time() - place.began:.0f} s")
        with place.operator() as operator:
            result.first_pass = until_judged(operator, models)
            say(f"first pass over all: {result.first_pass:.1f} s after the start of the process")
            _wait_until(place.steady_at(), operator)
            _window(result, place, operator, seconds)
            say(f"measured {result.seconds:.0f} s: {result.done} of {result.due} evaluations")
            _check(result, place)
        if restart:
            # The operator was killed with -9: its Lease is still held. A restarted container has the pod's name.
            with place.operator() as again:
                result.restart = until_judged(again, models)
            with place.operator("another") as another:
                result.takeover = until_judged(another, models)
            say(f"after kill -9: all judged {result.restart:.1f} s later by the same pod, {result.takeover:.1f} s else")
        yield result, place


def until_judged(operator: Operator, models: int) -> float:
    """Seconds until every model was judged once."""
    began = time.monotonic()
    while True:
        samples = Samples(operator.ask("/metrics")[1])
        if len(list(samples.each("modelslo_last_evaluation_timestamp_seconds"))) >= models:
            return time.monotonic() - began
        _alive(operator)
        if time.monotonic() - began > _FIRST_PASS:
            raise AssertionError(
                f"no first pass over all models within {_FIRST_PASS:.0f} s:\n{operator.text()[-3000:]}"
            )
        time.sleep(0.25)


def _alive(operator: Operator) -> None:
    if operator.process.poll() is not None:
        raise AssertionError(f"the operator ended with {operator.process.returncode}:\n{operator.text()[-4000:]}")


def _wait_until(at: float, operator: Operator) -> None:
    while (left := at - time.time()) > 0:
        _alive(operator)
        time.sleep(min(left, 5))


def _window(result: Result, place: Site, operator: Operator, seconds: int) -> None:
    """Whole ticks, from just before a grid time on."""
    interval, url = place.shape.interval, f"http://127.0.0.1:{operator.port}"
    first = ceil((time.time() + 1) / interval) * interval
    ticks = max(1, seconds // interval)
    since, until = first - 0.5, first + ticks * interval - 0.5
    _wait_until(since, operator)
    before, asked, process, api = _counters(place, operator)
    lateness = Lateness(interval)
    lateness.begin(before)
    for number in range(ticks):
        tick = first + number * interval
        _wait_until(tick + _READ_AT * interval, operator)
        lateness.read(url, tick, result.models)
    _wait_until(until, operator)
    after, asked_then, process_then, api_then = _counters(place, operator)
    result.seconds = until - since
    result.due, result.done, result.late = lateness.due, len(lateness.late), lateness.late
    result.scrape_cost = quantile(lateness.costs, 0.5)
    result.own = {
        **{outcome: _delta(before, after, "modelslo_evaluations_total", outcome=outcome) for outcome in _OUTCOMES},
        "requests": _delta(before, after, "modelslo_api_requests_total"),
    }
    result.queries = asked_then - asked
    result.cpu, result.resident, result.peak = process_then.cpu - process.cpu, process_then.resident, process_then.peak
    result.apiserver_writes = api_then - api
    if place.audit is not None:
        result.requests = audited(place.audit, USER, since, until)


_OUTCOMES = ("done", "missed", "failed")


def _counters(place: Site, operator: Operator) -> tuple[Samples, Counter[str], Process, float]:
    return (
        site.metrics(operator),
        queries(place.prometheus.url),
        Process.of(operator.process.pid),
        _status_writes(place),
    )


def _status_writes(place: Site) -> float:
    """PATCHes of ModelSLO status by the API server's own counter, whoever sent them."""
    found = [
        float(line.rpartition(" ")[2])
        for line in place.cluster.kubectl("get", "--raw", "/metrics").splitlines()
        if line.startswith("apiserver_request_total{") and 'resource="modelslos"' in line and 'verb="PATCH"' in line
    ]
    return sum(found)


def _delta(before: Samples, after: Samples, name: str, **labels: str) -> float:
    return after.sum(name, **labels) - before.sum(name, **labels)


def _check(result: Result, place: Site) -> None:
    statuses = place.statuses()
    for model in place.models:
        found = list(checks.wrong(model, statuses.get((model.namespace, model.name), {})))
        result.checked += 1
        if found:
            result.wrong[f"{model.namespace}/{model.name} ({model.kind})"] = found


def kinds_of(place: Site) -> dict[tuple[str, str], Kind]:
    """The kind of each ModelSLO and of each of its Deployments."""
    found = {}
    for model in place.models:
        for name in (model.name, f"{model.name}-stable", f"{model.name}-canary"):
            found[model.namespace, name] = model.kind
    return found
