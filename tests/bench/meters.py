"""Measuring from outside: the API server's audit log, Prometheus' counters, /proc, the operator's metrics."""

from __future__ import annotations

import json
import os
import time
import urllib.request
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

_TICKS = os.sysconf("SC_CLK_TCK")
Labels = tuple[tuple[str, str], ...]

# One line for each request; watches are written when they begin, everything when it ends.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the API server, as its audit log has it."""

    at: float
    user: str
    agent: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int

    @property
    def what(self) -> str:
        return f"{self.verb} {self.resource}"


def audited(log: Path, user: str, since: float, until: float) -> list[Request]:
    """The requests of `user` that began in [since, until)."""
    found: dict[str, Request] = {}
    with log.open(encoding="utf-8") as lines:
        for line in lines:
            if user not in line or not line.endswith("\n"):
                continue
            event = json.loads(line)
            at = datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()
            if event["user"]["username"] == user and since <= at < until:
                found.setdefault(event["auditID"], _request(event, at))
    return list(found.values())


def _request(event: Mapping[str, dict[str, str]], at: float) -> Request:
    ref = event.get("objectRef", {})
    resource = "/".join(
        part for part in (ref.get("resource", str(event["requestURI"])), ref.get("subresource")) if part
    )
    code = int(event.get("responseStatus", {}).get("code", 0))
    agent, verb = str(event.get("userAgent", "")), str(event["verb"])
    return Request(
        at, event["user"]["username"], agent, verb, resource, ref.get("namespace", ""), ref.get("name", ""), code
    )


@dataclass(frozen=True, slots=True)
class Process:
    """CPU seconds and resident memory of a process until now, from /proc."""

    cpu: float
    resident: float  # MiB
    peak: float  # MiB

    @classmethod
    def of(cls, pid: int) -> Process:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        return cls(
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
            resident=int(status["VmRSS"].split()[0]) / 1024,
            peak=int(status["VmHWM"].split()[0]) / 1024,
        )


class Samples:
    """An exposition: values by name and labels."""

    def __init__(self, text: str) -> None:
        self._values: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                self._values.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value

    def each(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for labels, value in self._values.get(name, {}).items():
            yield dict(labels), value

    def sum(self, name: str, **labels: str) -> float:
        return sum(value for found, value in self.each(name) if labels.items() <= found.items())


def fetched(url: str, timeout: float = 10) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - our own address
        text: str = answer.read().decode()
        return text


def queries(prometheus: str) -> Counter[str]:
    """Requests for queries that Prometheus has answered, by path."""
    samples = Samples(fetched(f"{prometheus}/metrics"))
    counted: Counter[str] = Counter()
    for labels, value in samples.each("prometheus_http_requests_total"):
        if labels["handler"].startswith("/api/v1/query"):
            counted[labels["handler"]] += int(value)
    return counted


@dataclass(slots=True)
class Lateness:
    """From the grid time to the judgement, for every model and tick: read from the operator once a tick.

    A judgement that was not there at the last reading is of the oldest tick that has none: late ones are not taken for
    those of the next tick.
    """

    interval: float
    late: list[float] = field(default_factory=list)
    due: int = 0
    costs: list[float] = field(default_factory=list)  # of reading, s
    _seen: dict[Labels, float] = field(default_factory=dict)
    _waiting: dict[Labels, float] = field(default_factory=dict)  # since which tick

    def begin(self, samples: Samples) -> None:
        """What had been judged before the first tick."""
        self._seen = _judged(samples)

    def read(self, url: str, tick: float, models: int) -> None:
        began = time.monotonic()
        text = fetched(f"{url}/metrics", timeout=self.interval)
        self.costs.append(time.monotonic() - began)
        self.due += models
        for model, at in _judged(Samples(text)).items():
            if at == self._seen.get(model):
                self._waiting.setdefault(model, tick)
                continue
            self._seen[model] = at
            waiting = self._waiting.pop(model, tick)
            self.late.append(at - waiting)


def _judged(samples: Samples) -> dict[Labels, float]:
    found = samples.each("modelslo_last_evaluation_timestamp_seconds")
    return {tuple(sorted(labels.items())): at for labels, at in found}


def quantile(values: Sequence[float], share: float) -> float:
    """Smallest value that at least this share of `values` does not exceed."""
    ordered = sorted(values)
    ranks = [(number + 1) / len(ordered) for number in range(len(ordered))]
    return ordered[min(bisect_left(ranks, share), len(ordered) - 1)]
