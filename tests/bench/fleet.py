"""The fleet of the bench: who its models are, what they export, and what each status must say.

Everything follows from the number of models and a :class:`Shape`, so that the exporter's process and the checks need
nothing from each other. Names come in pairs: the same name in both namespaces, with another loss in each.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

NAMESPACES: Final = ("bench-a", "bench-b")
METRICS: Final = ("ml_huber_loss", "ml_log_loss", "ml_absolute_error")
SCHEMAS: Final = (("model_name", "model_version"), ("model", "version"))
STABLE, CANARY = "v1", "v2"
CANARY_SHARE: Final = 0.1
CANARY_LOSS: Final = 1.04  # inside the margin of 10%
STABLE_PODS: Final = 2
# Every PERIODth slice of a wavy model is bad, with twice the loss.
PERIOD: Final = 3
WAVE: Final = 2.0
# Nobody predicts so long (s) before and behind the end of a slice: a scrape that comes late measures the same slice.
GUARD: Final = 0.5
EDGES: Final = (0.25, 0.5, 1.0, 2.0)
# Share of the samples up to each edge, for the stable version and the canary.
BELOW: Final = {STABLE: (0.4, 0.7, 0.9, 0.98), CANARY: (0.4, 0.65, 0.9, 0.98)}


@dataclass(frozen=True, slots=True)
class Shape:
    """Times of the fleet in whole seconds; every window is a multiple of PERIOD slices."""

    interval: int = 10
    slice: int = 20
    scrape: int = 5
    settle: int = 10
    windows: tuple[int, ...] = (60, 120, 180)

    def dumps(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Shape:
        values = json.loads(text)
        return cls(**(values | {"windows": tuple(values["windows"])}))


class Mix(StrEnum):
    """Which kinds of models a fleet has."""

    MIXED = "mixed"
    QUIET = "quiet"  # steady and bad ones: nothing ever changes
    CANARIES = "canaries"  # all have a canary in progress


class Kind(StrEnum):
    """What a model of the fleet is like."""

    STEADY = "steady"  # the same loss for ever, within the target
    BAD = "bad"  # the same loss for ever, above the target
    WAVY = "wavy"  # every third slice is bad
    NOISY = "noisy"  # loss and traffic differ from slice to slice
    CANARY = "canary"  # a second version has a tenth of the traffic and is being judged


# By the tens and units of a model's pair: 65% steady, 10% bad, 5% wavy, 10% noisy, 10% canary.
_KINDS: Final = (
    *(Kind.CANARY,) * 2,
    *(Kind.BAD,) * 2,
    Kind.WAVY,
    *(Kind.NOISY,) * 2,
    *(Kind.STEADY,) * 13,
)


@dataclass(frozen=True, slots=True)
class Served:
    """One ModelSLO with its pair of Deployments and its series. ``number`` is its place in the fleet."""

    number: int
    shape: Shape
    mix: Mix = Mix.MIXED

    @property
    def pair(self) -> int:
        return self.number // len(NAMESPACES)

    @property
    def namespace(self) -> str:
        return NAMESPACES[self.number % len(NAMESPACES)]

    @property
    def name(self) -> str:
        return f"model-{self.pair:04d}"

    @property
    def kind(self) -> Kind:
        kind = _KINDS[self.pair % len(_KINDS)]
        match self.mix:
            case Mix.CANARIES:
                return Kind.CANARY
            case Mix.QUIET if kind is not Kind.BAD:
                return Kind.STEADY
            case _:
                return kind

    @property
    def metric(self) -> str:
        return METRICS[self.pair % len(METRICS)]

    @property
    def labels(self) -> tuple[str, str]:
        """Names of the labels of model and version."""
        return SCHEMAS[self.pair // len(METRICS) % len(SCHEMAS)]

    @property
    def window(self) -> int:
        return self.shape.windows[self.pair // (len(METRICS) * len(SCHEMAS)) % len(self.shape.windows)]

    @property
    def loss(self) -> float:
        """Mean loss of the stable version, different for every model of the fleet."""
        return round(0.2 + 0.001 * self.number, 4)

    @property
    def target(self) -> float:
        return round(self.loss * (0.8 if self.kind is Kind.BAD else 1.5), 6)

    @property
    def rate(self) -> float:
        """Samples per second of the stable version."""
        return 10.0 + self.number % 7

    @property
    def goal(self) -> int:
        """In percent; at least so low that a burn rate can be told."""
        return 50 + self.number % 47

    # --- what is exported

    def level(self, index: int) -> tuple[float, float]:
        """(traffic, loss) of a slice, as factors."""
        match self.kind:
            case Kind.WAVY:
                return 1.0, WAVE if index % PERIOD == PERIOD - 1 else 1.0
            case Kind.NOISY:
                return _noise(self.number, index)
            case _:
                return 1.0, 1.0

    def versions(self) -> Iterator[tuple[str, float, float]]:
        """(version, samples per second, mean loss)."""
        yield STABLE, self.rate, self.loss
        if self.kind is Kind.CANARY:
            yield CANARY, self.rate * CANARY_SHARE / (1 - CANARY_SHARE), self.loss * CANARY_LOSS

    # --- what the status must say

    def sli(self, index: int) -> float:
        """Mean loss of a slice over all versions."""
        mean = self.loss * self.level(index)[1]
        return mean * (1 - CANARY_SHARE + CANARY_SHARE * CANARY_LOSS) if self.kind is Kind.CANARY else mean

    def bad_slices(self) -> int:
        """Of a whole window."""
        match self.kind:
            case Kind.BAD:
                return self.window // self.shape.slice
            case Kind.WAVY:
                return self.window // self.shape.slice // PERIOD
            case _:
                return 0

    def remaining(self) -> float:
        """Share of the error budget that is left when the whole window was measured."""
        return 1 - self.bad_slices() / ((1 - self.goal / 100) * (self.window // self.shape.slice))

    # --- what is applied

    def resource(self) -> dict[str, Any]:
        model_label, version_label = self.labels
        return {
            "apiVersion": "modelslo.dev/v1alpha1",
            "kind": "ModelSLO",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {
                "interval": f"{self.shape.interval}s",
                "indicator": {
                    "loss": {
                        "metric": self.metric,
                        "matchLabels": {model_label: self.name},
                        "versionLabel": version_label,
                    }
                },
                "objective": {
                    "target": {"value": self.target},
                    "goal": f"{self.goal}%",
                    "window": f"{self.window}s",
                    "slice": f"{self.shape.slice}s",
                },
                "rollout": {
                    "stable": {"name": f"{self.name}-stable"},
                    "canary": {"name": f"{self.name}-canary"},
                    # Judged in every evaluation and never promoted while the bench runs.
                    "steps": ["10%"],
                    "stepDuration": "6h",
                    "warmup": "10s",
                    "gate": {"minDuration": "6h"},
                },
            },
        }

    def deployments(self) -> tuple[dict[str, Any], ...]:
        """Stable and canary. Only a canary in progress has a template of its own."""
        canary = CANARY if self.kind is Kind.CANARY else STABLE
        return self._deployment("stable", STABLE, STABLE_PODS), self._deployment("canary", canary, 0)

    def _deployment(self, role: str, version: str, pods: int) -> dict[str, Any]:
        labels = {"app": self.name, "role": role}
        container = {"name": "model", "image": "bench/model", "env": [{"name": "MODEL_VERSION", "value": version}]}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"{self.name}-{role}", "namespace": self.namespace},
            "spec": {
                "replicas": pods,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
        }

    def played(self, role: str) -> dict[str, Any]:
        """Status of a Deployment whose pods are all available, whatever is asked of it."""
        pods = {"stable": STABLE_PODS, "canary": 1 if self.kind is Kind.CANARY else 0}[role]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), pods)
        return {"status": {"observedGeneration": 1000, **counts}}


@lru_cache(maxsize=100_000)
def _noise(number: int, index: int) -> tuple[float, float]:
    draw = random.Random(f"{number}/{index}")
    return draw.uniform(0.8, 1.2), draw.uniform(0.95, 1.05)


def fleet(models: int, shape: Shape, mix: Mix = Mix.MIXED) -> tuple[Served, ...]:
    return tuple(Served(number, shape, mix) for number in range(models))
