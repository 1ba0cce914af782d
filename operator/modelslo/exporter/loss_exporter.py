"""The metric contract: every series that modelslo reads about a model, from one object.

Labels are model_name, model_version and segment, and on losses the age where it is asked for. The version is always
the one that *predicted*, also on late labels. `namespace`, `pod`, `job` and `instance` are target labels of Prometheus
and never set here.
"""

from __future__ import annotations

import enum
import math
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from modelslo.exporter.losses import LossKind

DROP_REASONS = ("unmatched", "duplicate", "late", "invalid")
INVALID_REASONS = ("nan", "inf", "negative")
DELAY_BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 43200.0, 86400.0, 604800.0)
MAX_SEGMENTS = 10
MAX_AGES = 8
AGE_LABEL = "age_bucket"
UNKNOWN = "unknown"
"""Version and segment of a label that belongs to no known prediction."""
_C = ("model_name", "model_version", "segment")


class InvalidPolicy(enum.StrEnum):
    """What becomes of a loss that is NaN, infinite or negative."""

    REJECT = "reject"
    """Counted in `ml_loss_invalid_total`; the histogram never sees it."""
    OBSERVE = "observe"
    """Handed to the histogram, as an exporter without care does: NaN poisons `_sum` until a restart."""


class LossExporter:
    """Owns the metrics of one model. Thread-safe; a scrape sees each label whole or not at all.

    A version's series exist at zero from its first `touch`, before the first loss: a series that appears with
    a value loses that value in every `increase()`. At most `max_versions` versions are kept; beyond that the
    one not heard of for longest is forgotten.

    With `ages`, ascending edges in seconds, the losses carry the label `age_bucket`: the lowest edge that the time from
    prediction to label does not exceed, `+Inf` above the last one and where a time is not given. It multiplies the
    series of the loss: per version there are segments x (ages + 1) histograms.
    """

    def __init__(
        self,
        model_name: str,
        loss: LossKind,
        *,
        buckets: Sequence[float],
        segments: Sequence[str] = ("default",),
        ages: Sequence[float] = (),
        prefix: str = "ml",
        framework: str = "",
        max_versions: int = 50,
        registry: CollectorRegistry | None = None,
    ) -> None:
        if not 1 <= len(segments) <= MAX_SEGMENTS or len(set(segments)) != len(segments):
            raise ValueError(f"1 to {MAX_SEGMENTS} distinct segments are needed, but got {list(segments)}")
        self.model_name = model_name
        self.segments = tuple(segments)
        self.ages = checked_ages(ages)
        # Values of the label, which comes last; no label without ages.
        self._age_names = (*((repr(edge),) for edge in self.ages), ("+Inf",)) if self.ages else ((),)
        self.score = loss.score
        self.invalid = InvalidPolicy.REJECT
        self.registry = registry if registry is not None else CollectorRegistry()
        self._framework = framework
        self._max_versions = max_versions
        self._versions: OrderedDict[str, float] = OrderedDict()  # -> newest labelled prediction, Unix s
        self._lock = threading.RLock()
        self._make_metrics(prefix, loss.family, tuple(buckets))
        for reason in DROP_REASONS:
            self._dropped.labels(model_name, UNKNOWN, UNKNOWN, reason)

    def _make_metrics(self, prefix: str, family: str, buckets: tuple[float, ...]) -> None:
        def counter(name: str, text: str, labels: tuple[str, ...] = _C) -> Counter:
            return Counter(f"{prefix}_{name}", text, labels, registry=self.registry)

        two, aged = ("model_name", "model_version"), (*_C, AGE_LABEL) if self.ages else _C
        self._predictions = counter("predictions", "Predictions served.")
        self._labels = counter("labels", "Predictions joined with ground truth.")
        self._dropped = counter("labels_dropped", "Labels lost, by reason.", (*_C, "reason"))
        self._invalid = counter("loss_invalid", "Losses that are no number to add up.", (*_C, "reason"))
        self._squares = counter(f"{family}_squares", "Sum of squared losses.", aged)
        self._loss = Histogram(f"{prefix}_{family}", "Loss per sample.", aged, buckets=buckets, registry=self.registry)
        self._delay = Histogram(
            f"{prefix}_label_delay_seconds",
            "Label time minus prediction time, in seconds of Prometheus' clock.",
            two,
            buckets=DELAY_BUCKETS,
            registry=self.registry,
        )
        self._newest = Gauge(
            f"{prefix}_label_newest_prediction_timestamp_seconds",
            "Time of the newest labelled prediction, Unix seconds.",
            two,
            registry=self.registry,
        )
        self._info = Gauge(
            f"{prefix}_model_info",
            "1; joins ids and framework to a version.",
            (*two, "run_id", "image", "framework"),
            registry=self.registry,
        )

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions with series, the one heard of last at the end."""
        with self._lock:
            return tuple(self._versions)

    def touch(self, version: str) -> None:
        """Make every series of `version` exist, at zero. Cheap and harmless when they do."""
        with self._lock:
            if version in self._versions:
                self._versions.move_to_end(version)
                return
            self._versions[version] = -math.inf
            for segment in self.segments:
                labels = (self.model_name, version, segment)
                for metric in (self._predictions, self._labels):
                    metric.labels(*labels)
                for name in self._age_names:
                    self._squares.labels(*labels, *name)
                    self._loss.labels(*labels, *name)
                for reason in DROP_REASONS:
                    self._dropped.labels(*labels, reason)
                for reason in INVALID_REASONS:
                    self._invalid.labels(*labels, reason)
            self._delay.labels(self.model_name, version)
            self.describe(version, framework=self._framework)
            while len(self._versions) > self._max_versions:
                self.retire(next(iter(self._versions)))

    def describe(self, version: str, *, run_id: str = "", image: str = "", framework: str = "") -> None:
        """Set `ml_model_info`, the one place for ids that must not sit on hot series."""
        with self._lock:
            self._info.remove_by_labels({"model_name": self.model_name, "model_version": version})
            self._info.labels(self.model_name, version, run_id, image, framework).set(1)

    def retire(self, version: str) -> None:
        """Remove every series of a version that serves no more and whose windows have passed."""
        with self._lock:
            self._versions.pop(version, None)
            for metric in self._all():
                metric.remove_by_labels({"model_name": self.model_name, "model_version": version})

    def predicted(self, version: str, segment: str) -> None:
        """Count one served prediction."""
        with self._lock:
            self.touch(version)
            self._predictions.labels(*self._c(version, segment)).inc()

    def scored(
        self,
        version: str,
        segment: str,
        loss: float,
        *,
        predicted_at: float | None = None,
        labelled_at: float | None = None,
    ) -> None:
        """Count one prediction joined with its truth, and its loss.

        It counts as labelled even when the loss is invalid: label coverage is about labels, and a model that
        answers NaN must not look like a label pipeline that broke. Times are Unix seconds.
        """
        with self._lock:
            self.touch(version)
            labels = self._c(version, segment)
            self._labels.labels(*labels).inc()
            age = None if predicted_at is None or labelled_at is None else labelled_at - predicted_at
            self._observe(labels, self._age(age), loss)
            if predicted_at is None:
                return
            if predicted_at > self._versions[version]:
                self._versions[version] = predicted_at
                self._newest.labels(self.model_name, version).set(predicted_at)
            if labelled_at is not None:
                self._delay.labels(self.model_name, version).observe(max(labelled_at - predicted_at, 0.0))

    def dropped(self, reason: str, *, version: str | None = None, segment: str | None = None) -> None:
        """Count one label that was lost; without version and segment, one of no known prediction."""
        if reason not in DROP_REASONS:
            raise ValueError(f"a label is dropped as one of {DROP_REASONS}, not as {reason!r}")
        with self._lock:
            if version is None or segment is None:
                self._dropped.labels(self.model_name, UNKNOWN, UNKNOWN, reason).inc()
                return
            self.touch(version)
            self._dropped.labels(*self._c(version, segment), reason).inc()

    def render(self) -> bytes:
        """The metrics as Prometheus' text format, between labels and never in the middle of one."""
        with self._lock:
            return generate_latest(self.registry)

    def locked(self) -> threading.RLock:
        """The lock that `render` takes: hold it to make several calls visible at once."""
        return self._lock

    def _age(self, age: float | None) -> tuple[str, ...]:
        """The label's value; one that came before its prediction is as young as can be."""
        return self._age_names[-1 if age is None else bisect_left(self.ages, age)]

    def _observe(self, labels: tuple[str, str, str], age: tuple[str, ...], loss: float) -> None:
        reason = invalid_reason(loss)
        if reason is not None and self.invalid is InvalidPolicy.REJECT:
            self._invalid.labels(*labels, reason).inc()
            return
        self._loss.labels(*labels, *age).observe(loss)
        self._squares.labels(*labels, *age).inc(loss * loss)

    def _c(self, version: str, segment: str) -> tuple[str, str, str]:
        if segment not in self.segments:
            raise ValueError(f"segment must be one of {list(self.segments)}, but is {segment!r}")
        return self.model_name, version, segment

    def _all(self) -> tuple[MetricWrapperBase, ...]:
        return (
            self._predictions,
            self._labels,
            self._dropped,
            self._invalid,
            self._squares,
            self._loss,
            self._delay,
            self._newest,
            self._info,
        )


def checked_ages(ages: Sequence[float]) -> tuple[float, ...]:
    """Edges of ages in seconds, as floats. ValueError where they cannot be."""
    found = tuple(float(edge) for edge in ages)
    if not all(math.isfinite(edge) and edge > 0 for edge in found) or list(found) != sorted(set(found)):
        raise ValueError(f"ages must be positive seconds, smallest first, but are {list(ages)}")
    if len(found) > MAX_AGES:
        raise ValueError(f"at most {MAX_AGES} ages are allowed, each multiplies the series, but got {len(found)}")
    return found


def invalid_reason(loss: float) -> str | None:
    """Why a loss must not be added up, or None when it may."""
    if math.isnan(loss):
        return "nan"
    if math.isinf(loss):
        return "inf"
    return "negative" if loss < 0 else None
