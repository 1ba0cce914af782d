"""Micro-benchmarks of the pure parts: what one evaluation of one model costs, and one series of an answer.

CPU time, the best of a few rounds: on a shared machine anything else measures the neighbours. Of a trace it is the best
of many rounds for each hundred scrapes, since a whole trace is never left in peace.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from modelslo.api.resource import parse_spec
from modelslo.api.spec import ModelSLOSpec
from modelslo.api.status import ModelSLOStatus
from modelslo.backtest.replay import Replay
from modelslo.decide.reasons import Action
from modelslo.decide.rollout import scene_of
from modelslo.decide.snapshot import Snapshot
from modelslo.decide.transition import apply_decision
from modelslo.engine.asks import selector_of
from modelslo.engine.evaluate import evaluate, prepared, reported, stable_version
from modelslo.engine.record import record_line
from modelslo.engine.significance import dumped, significance
from modelslo.engine.views import workload_of
from modelslo.judge.judgement import Memory, judge
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.timing import timing_of
from modelslo.observe.answer import Series, answer_of
from modelslo.observe.ask import Ask, Source
from modelslo.observe.cells import advance, boundaries
from modelslo.observe.evidence import Evidence, Increment, Losses, ModelKey, SliceTable
from modelslo.observe.gather import gather
from modelslo.observe.slices import PackedSlices
from tests.bench.exporter import Progress, lines_of
from tests.bench.fleet import Kind, Served, Shape, fleet
from tests.simulate.kinds import KINDS
from tests.simulate.trace import Trace, build
from tests.simulate.words import Line

_ROUNDS: Final = 5
_START: Final = 1_800_000_000.0
_SHAPE: Final = Shape(interval=60, slice=300, scrape=15, settle=60, windows=(28 * 86400,) * 3)
_NAMES: Final = 200
_SCRAPES: Final = 5
_JUDGED: Final = 1000
_PIECE: Final = 100
_REPLAYS: Final = 25
_SCRAPES_OF_AN_EVALUATION: Final = 4


def best(work: Callable[[], object], times: int) -> float:
    """CPU seconds of one `work`, in the best of a few rounds of `times`."""
    found = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - began) / times)
    return min(found)


class Case:
    """One model in the middle of its life: 28 days of slices, a full window of cells."""

    def __init__(self, kind: Kind) -> None:
        self.model: Served = next(one for one in fleet(1000, _SHAPE) if one.kind is kind)
        self.spec: ModelSLOSpec = parse_spec(self.model.resource()["spec"])
        self.parameters: Parameters = parameters_of(self.spec, timing_of(self.spec, scale=1.0, settle=60.0))
        stable, canary = (workload_of(_served(body, self.model)) for body in self.model.deployments())
        self.snapshot = Snapshot(stable, canary)
        self.memory = Memory()
        self.status = ModelSLOStatus()
        self.at = _START
        self.table = self._slices(int(_START // self.parameters.timing.slice) - 1)
        for _ in range(60):
            self.step()

    def _slices(self, last: int) -> SliceTable:
        first = last - self.parameters.window_slices + 1
        rows = [
            (index, version, rate * 300 * loss, rate * 300)
            for index in range(first, last + 1)
            for version, rate, loss in self.model.versions()
        ]
        return SliceTable(300.0, first, last, PackedSlices(rows))

    def evidence(self) -> Evidence:
        """Of the evaluation that comes next."""
        interval = self.parameters.timing.interval
        since, at = self.at, self.at + interval
        increments = tuple(
            Increment(since, at, version, "", _losses(rate * interval, loss), rate * interval)
            for version, rate, loss in self.model.versions()
        )
        newest = {version: at - 5 for version, _, _ in self.model.versions()}
        key = ModelKey(self.model.namespace, self.model.name)
        return Evidence(key, since, at, increments, (0.25, 0.5, 1.0, 2.0), newest, self.table)

    def step(self) -> None:
        """One evaluation, its outcome kept."""
        evidence, now = self.evidence(), datetime.fromtimestamp(self.at + 120, UTC)
        before = prepared(self.status, self.spec, self.parameters, self.snapshot, now)
        result = evaluate(self.spec, self.parameters, before, self.snapshot, self.memory, evidence, now)
        status = result.status
        if result.decision.action is Action.START:
            status = apply_decision(
                status, result.decision, self.parameters, now, operation_id="x", stable_version="v1"
            )
        self.memory, self.at = result.memory, evidence.at
        self.status = reported(result, status, self.spec, self.parameters, self.snapshot, 1, now)

    def costs(self) -> dict[str, float]:
        evidence, now = self.evidence(), datetime.fromtimestamp(self.at + 120, UTC)
        table = evidence.slices
        assert table is not None
        newer = self._slices(table.last + 1)
        closed = Evidence(
            evidence.model, evidence.since, evidence.at, evidence.increments, evidence.edges, evidence.newest, newer
        )

        def judged(of: Evidence, memory: Memory = self.memory) -> Callable[[], object]:
            return lambda: evaluate(self.spec, self.parameters, self.status, self.snapshot, memory, of, now)

        result = evaluate(self.spec, self.parameters, self.status, self.snapshot, self.memory, evidence, now)
        after = reported(result, self.status, self.spec, self.parameters, self.snapshot, 1, now)
        dumps = dumped(self.status), dumped(after)
        scene = scene_of(self.status, stable_version(self.spec, self.snapshot))
        judging = best(lambda: judge(self.parameters, self.memory, evidence, scene), 200)
        return {
            "judge": judging,
            f"judge, a scrape of 15 s ({_SCRAPES_OF_AN_EVALUATION} an evaluation)": judging / _SCRAPES_OF_AN_EVALUATION,
            "prepared": best(lambda: prepared(self.status, self.spec, self.parameters, self.snapshot, now), 500),
            "judge and decide": best(judged(evidence), 200),
            "judge and decide, a slice of 8,064 closed": best(judged(closed), 50),
            "judge and decide, 8,064 slices new": best(judged(evidence, Memory()), 3),
            "record of a decision (28 days of slices in it)": best(
                lambda: record_line(evidence, result.decision, self.spec, self.status, "x", now), 2
            ),
            "report": best(
                lambda: reported(result, self.status, self.spec, self.parameters, self.snapshot, 1, now), 300
            ),
            "is it worth a write: two dumps": best(lambda: (dumped(self.status), dumped(after)), 300),
            "is it worth a write: comparison": best(lambda: significance(*dumps), 500),
        }


def _losses(count: float, mean: float) -> Losses:
    shares = (0.4, 0.3, 0.2, 0.08, 0.02)
    return Losses(count, count * mean, tuple(count * share for share in shares), count * mean * mean * 1.25)


def _served(body: dict[str, Any], model: Served) -> dict[str, Any]:
    """The Deployment as the API server would have it, with its pods available."""
    role = body["metadata"]["name"].rpartition("-")[2]
    return {**body, **model.played(role), "metadata": {**body["metadata"], "uid": role, "generation": 1}}


def _answer(models: tuple[Served, ...]) -> bytes:
    """What Prometheus answers to one query for these models: five scrapes of each series."""
    times = [_START + 15 * number for number in range(_SCRAPES)]
    result = []
    for model in models:
        progress = [Progress(model, int(_START // 300)).at(at) for at in times]
        for line in lines_of(model):
            name, _, rest = line.text.strip().rstrip("}").partition("{")
            labels = dict(pair.split("=", 1) for pair in rest.split(","))
            result.append(
                {
                    "metric": {"__name__": name, **{key: value.strip('"') for key, value in labels.items()}},
                    "values": [
                        [at, repr(line.per_count * count + line.per_total * total)]
                        for at, (count, total) in zip(times, progress, strict=True)
                    ],
                }
            )
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def observing() -> dict[str, float]:
    """Seconds per series: reading an answer for 200 models, sorting its series, and differencing their samples."""
    family = [one for one in fleet(4000, _SHAPE) if (one.metric, one.labels[0]) == ("ml_huber_loss", "model_name")]
    models = tuple(family[:_NAMES])
    until = _START + 60
    source = Source("http://prometheus", 10.0)
    asks = [
        Ask(
            ModelKey(model.namespace, model.name),
            source,
            selector_of(parse_spec(model.resource()["spec"])),
            _START,
            until,
            60.0,
            300.0,
            0,
            0,
        )
        for model in models
    ]
    body = _answer(models)
    answer = answer_of(200, body)
    series: tuple[Series, ...] = answer.series
    ends = boundaries(_START, until, 60.0)
    found = gather(asks, series)
    first = gather(asks, [Series(one.labels, one.times[:1], one.values[:1]) for one in series])
    cursors = {ask.model: advance(None, first[ask.model], (ends[0] - 60_000, ends[0]))[1] for ask in asks}

    def differenced() -> None:
        for ask in asks:
            advance(cursors[ask.model], found[ask.model], ends)

    count = len(series)
    return {
        f"read an answer ({len(body) / count:.0f} bytes a series)": best(lambda: answer_of(200, body), 3) / count,
        "whose series is it": best(lambda: gather(asks, series), 3) / count,
        "difference its five samples": best(differenced, 3) / count,
    }


def judging() -> dict[str, float]:
    """Seconds per scrape, counters in, action out: without a rollout, in one without segments, in one with two."""
    found = {}
    for name in ("stable-healthy", "boundary-exponential", "mix-shift"):
        trace = build(KINDS[name], 0)
        scrapes = list(islice(trace.scrapes, _JUDGED))
        rounds = [_pieces(trace, scrapes) for _ in range(_REPLAYS)]
        found[name] = sum(map(min, zip(*rounds, strict=True))) / len(scrapes)
    return found


def _pieces(trace: Trace, scrapes: list[Line]) -> list[float]:
    """CPU seconds of each hundred scrapes of one replay."""
    replay, found = Replay(trace.meta), []
    for first in range(0, len(scrapes), _PIECE):
        began = time.process_time()
        for scrape in scrapes[first : first + _PIECE]:
            replay.feed(scrape)
        found.append(time.process_time() - began)
    return found


def run() -> list[tuple[str, float]]:
    """(what, µs)."""
    found = [(f"judge, per scrape of {name}", cost * 1e6) for name, cost in judging().items()]
    for kind in (Kind.STEADY, Kind.CANARY):
        found += [(f"{kind}, per evaluation: {name}", cost * 1e6) for name, cost in Case(kind).costs().items()]
    return found + [(f"per series: {name}", cost * 1e6) for name, cost in observing().items()]


def rendered(found: list[tuple[str, float]]) -> str:
    return "\n".join(["| what | µs |", "| --- | --- |", *(f"| {name} | {cost:.1f} |" for name, cost in found)])


if __name__ == "__main__":
    print(rendered(run()))
