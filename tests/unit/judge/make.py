"""Evidence and parameters for tests of the judge, in seconds from zero and losses around one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from modelslo.api.spec import ModelSLOSpec
from modelslo.judge.judgement import Judgement, Memory, judge
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.scene import Scene, Span
from modelslo.judge.timing import timing_of
from modelslo.observe.evidence import Evidence, Increment, Losses, ModelKey, Slice, SliceTable

MODEL = ModelKey("shop", "fraud")
INTERVAL = 60.0


def spec_of(**change: Any) -> ModelSLOSpec:
    """A complete spec; keyword arguments replace top-level parts."""
    raw: dict[str, Any] = {
        "indicator": {"loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": "fraud"}}},
        "objective": {"target": {"value": 2.0}, "goal": "90%", "window": "100m", "slice": "1m", "minSamples": 5},
        "rollout": {
            "stable": {"name": "fraud-stable"},
            "canary": {"name": "fraud-canary"},
            "steps": ["25%", "50%"],
            "stepDuration": "5m",
            "warmup": "1m",
            "gate": {"minDuration": "1m", "minSamples": 50},
        },
        "retrain": {
            "trigger": {"burnRate": "Fast", "sustainedFor": "5m"},
            "template": {
                "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "t", "image": "t"}]}}}
            },
            "candidate": {"env": {"MODEL_URI": "modelUri"}},
        },
    }
    return ModelSLOSpec.model_validate(raw | change)


def parameters(spec: ModelSLOSpec | None = None) -> Parameters:
    spec = spec or spec_of()
    return parameters_of(spec, timing_of(spec, scale=1, settle=0))


def scene(canary: str | None = "v2") -> Scene:
    if canary is None:
        return Scene("v1")
    return Scene("v1", canary, judged_since=0.0, transitions=(Span(0.0, 0.0),))


def cell(number: int, version: str, losses: Iterable[float], *, invalid: float = 0, nan: bool = False) -> Increment:
    """Evaluation `number` (from 1) of one version; squares are exported, buckets are not."""
    values = list(losses)
    return Increment(
        start=(number - 1) * INTERVAL,
        end=number * INTERVAL,
        version=version,
        segment="",
        losses=Losses(len(values), float("nan") if nan else sum(values), (), sum(one * one for one in values)),
        predictions=len(values) + invalid,
        invalid=invalid,
    )


def evidence(increments: Iterable[Increment], **change: Any) -> Evidence:
    """Evidence over the cells of `increments`; both versions' newest samples are fresh."""
    found = tuple(sorted(increments, key=lambda one: (one.end, one.version)))
    at = max((one.end for one in found), default=INTERVAL)
    values: dict[str, Any] = {
        "model": MODEL,
        "since": min((one.start for one in found), default=0.0),
        "at": at,
        "increments": found,
        "newest": {one.version: at for one in found},
    }
    return Evidence(**(values | change))


def table(means: Sequence[float | None], *, samples: int = 10, version: str = "v1", first: int = 0) -> SliceTable:
    """Closed slices of one minute with these means; None: nothing was recorded."""
    slices = tuple(
        Slice(first + k, {} if mean is None else {version: (mean * samples, samples)}) for k, mean in enumerate(means)
    )
    return SliceTable(60.0, first, first + len(means) - 1, slices)


def judged(pieces: Iterable[Evidence], at: Scene, of: Parameters | None = None) -> tuple[Judgement, Memory]:
    """Judges pieces of evidence one after the other."""
    memory, result = Memory(), None
    for one in pieces:
        result, memory = judge(of or parameters(), memory, one, at)
    assert result is not None
    return result, memory
