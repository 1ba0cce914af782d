"""The join of predictions with the truths that arrive later, in bounded memory.

Times are Unix seconds on Prometheus' clock: what they measure is read next to `time()`. A caller that replays
history faster than it happened gives the times at which it replays, not those at which it happened.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from modelslo.exporter.loss_exporter import InvalidPolicy, LossExporter

Outcome = Literal["waiting", "joined", "early", "unmatched", "duplicate", "late", "invalid"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a model server."""

    id: str
    version: str
    segment: str
    value: float
    """In the unit of the label; NaN is an answer too, and evidence against the version."""
    at: float
    """When it was served, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Label:
    """One truth, learnt after the prediction of the same id."""

    id: str
    value: float
    at: float
    """When it became known, Unix seconds."""


@dataclass(frozen=True, slots=True)
class _Done:
    """What is remembered of predictions of one id that wait no more: enough to name a second or a late label."""

    versions: tuple[str, ...]
    segment: str
    outcome: Literal["duplicate", "late"]


class Joiner:
    """Joins by id and tells the exporter. Thread-safe: it works under the exporter's lock.

    Several versions may answer one id: a mirror copies a request, its id included, to a shadow. One label then scores
    each of them, also one that answers up to `early_for` seconds after the label came.

    A prediction waits `expire_after` seconds for its label; a label after that is `late`, a second one is a
    `duplicate`. A label that comes first waits `early_for` seconds for its prediction (they travel on
    different paths) and is `unmatched` after that. Each of the memories holds at most `capacity`
    entries and gives up the oldest first. Seconds are those of `clock`, by arrival.
    """

    def __init__(
        self,
        exporter: LossExporter,
        *,
        expire_after: float,
        early_for: float = 60.0,
        capacity: int = 200_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if expire_after <= 0 or early_for < 0 or capacity < 1:
            raise ValueError(
                "expire_after and capacity must be positive, early_for not negative, but are "
                f"{expire_after}, {capacity} and {early_for}"
            )
        self.exporter = exporter
        self._expire_after = expire_after
        self._early_for = early_for
        self._capacity = capacity
        self._clock = clock
        self._lock = exporter.locked()
        # Of one id by version; it waits from the first answer on.
        self._waiting: OrderedDict[str, tuple[float, dict[str, Prediction]]] = OrderedDict()
        self._early: OrderedDict[str, tuple[float, Label]] = OrderedDict()
        self._joined: OrderedDict[str, tuple[float, Label]] = OrderedDict()
        self._done: OrderedDict[str, _Done] = OrderedDict()

    def sizes(self) -> dict[str, int]:
        """How many predictions wait, labels wait, and finished predictions are remembered."""
        with self._lock:
            return {"waiting": len(self._waiting), "early": len(self._early), "done": len(self._done)}

    def predict(self, predictions: Iterable[Prediction]) -> dict[Outcome, int]:
        """Take served predictions; a second one of the same id is not counted again."""
        with self._lock:
            self.expire()
            return _tally(self._predict(prediction) for prediction in predictions)

    def label(self, labels: Iterable[Label]) -> dict[Outcome, int]:
        """Take truths, in any order."""
        with self._lock:
            self.expire()
            return _tally(self._label(label) for label in labels)

    def expire(self) -> None:
        """Give up what has waited too long. Every call that brings data does this; a timer should, too."""
        with self._lock:
            now = self._clock()
            while self._waiting and (
                len(self._waiting) > self._capacity or self._first(self._waiting) <= now - self._expire_after
            ):
                _, (_, predictions) = self._waiting.popitem(last=False)
                for prediction in predictions.values():
                    self._finish(prediction, "late")
            while self._early and self._over(self._early, now):
                self._early.popitem(last=False)
                self.exporter.dropped("unmatched")
            while self._joined and self._over(self._joined, now):
                self._joined.popitem(last=False)
            while len(self._done) > self._capacity:
                gone, _ = self._done.popitem(last=False)
                self._joined.pop(gone, None)  # nobody would know whose answers it has scored

    def _over(self, labels: OrderedDict[str, tuple[float, Label]], now: float) -> bool:
        """Whether the oldest of the labels goes."""
        return len(labels) > self._capacity or self._first(labels) <= now - self._early_for

    @staticmethod
    def _first(
        memory: OrderedDict[str, tuple[float, dict[str, Prediction]]] | OrderedDict[str, tuple[float, Label]],
    ) -> float:
        """When the oldest entry of a memory arrived."""
        return next(iter(memory.values()))[0]

    def _predict(self, prediction: Prediction) -> Outcome:
        _, waiting = self._waiting.get(prediction.id, (0.0, {}))
        done = self._done.get(prediction.id)
        if prediction.version in waiting or (done is not None and prediction.version in done.versions):
            return "duplicate"
        self.exporter.predicted(prediction.version, prediction.segment)
        early = self._early.pop(prediction.id, None)
        if early is not None:
            self._joined[prediction.id] = (self._clock(), early[1])
        known = self._joined.get(prediction.id)
        if known is not None:
            return self._join(prediction, known[1])
        if waiting:
            waiting[prediction.version] = prediction
        else:
            self._waiting[prediction.id] = (self._clock(), {prediction.version: prediction})
        return "waiting"

    def _label(self, label: Label) -> Outcome:
        waiting = self._waiting.pop(label.id, None)
        if waiting is not None:
            self._joined[label.id] = (self._clock(), label)
            first, *_ = [self._join(prediction, label) for prediction in waiting[1].values()]
            return first
        done = self._done.get(label.id)
        if done is not None:
            self.exporter.dropped(done.outcome, version=done.versions[0], segment=done.segment)
            if done.outcome == "late":  # a second one after that is a duplicate
                self._done[label.id] = _Done(done.versions, done.segment, "duplicate")
            return done.outcome
        if label.id in self._early:
            self.exporter.dropped("duplicate")
            return "duplicate"
        self._early[label.id] = (self._clock(), label)
        return "early"

    def _join(self, prediction: Prediction, label: Label) -> Outcome:
        self._finish(prediction, "duplicate")
        trusting = self.exporter.invalid is InvalidPolicy.OBSERVE
        if not math.isfinite(label.value) and not trusting:
            self.exporter.dropped("invalid", version=prediction.version, segment=prediction.segment)
            return "invalid"
        self.exporter.scored(
            prediction.version,
            prediction.segment,
            self.exporter.score(prediction.value, label.value),
            predicted_at=prediction.at,
            labelled_at=label.at,
        )
        return "joined"

    def _finish(self, prediction: Prediction, outcome: Literal["duplicate", "late"]) -> None:
        before = self._done.get(prediction.id)
        versions = (prediction.version,) if before is None else (*before.versions, prediction.version)
        self._done[prediction.id] = _Done(versions, prediction.segment, outcome)


def _tally(outcomes: Iterable[Outcome]) -> dict[Outcome, int]:
    counts: dict[Outcome, int] = {}
    for outcome in outcomes:
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
