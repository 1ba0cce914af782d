"""What a model server needs to make its losses visible: counters, histograms and the join with late labels.

It stands alone: it imports nothing of modelslo but itself, and needs only `prometheus_client`. A server that
learns the truth by itself embeds `LossExporter`; where labels arrive from elsewhere, one joiner
(`python -m modelslo.exporter.joiner`) owns the counters, so that they outlive any server pod.
"""

from __future__ import annotations

from modelslo.exporter.buckets import geometric_buckets
from modelslo.exporter.join import Joiner, Label, Prediction
from modelslo.exporter.loss_exporter import InvalidPolicy, LossExporter
from modelslo.exporter.losses import LossKind, absolute, huber, log_loss, loss_kind, quantile, squared

__all__ = [
    "InvalidPolicy",
    "Joiner",
    "Label",
    "LossExporter",
    "LossKind",
    "Prediction",
    "absolute",
    "geometric_buckets",
    "huber",
    "log_loss",
    "loss_kind",
    "quantile",
    "squared",
]
