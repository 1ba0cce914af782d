"""Asks for tests."""

from __future__ import annotations

from modelslo.observe.ask import Ask, Selector, Source
from modelslo.observe.evidence import ModelKey


def ask(
    namespace: str = "n",
    name: str = "m",
    match: tuple[tuple[str, str], ...] = (("model_name", "m"),),
    *,
    url: str = "http://p",
    since: float = 0.0,
    until: float = 60.0,
    slice_length: float = 60.0,
    slices: tuple[int, int] = (0, 9),
    segment_label: str | None = None,
    delays: str | None = None,
    age_label: str | None = None,
) -> Ask:
    return Ask(
        ModelKey(namespace, name),
        Source(url, 5.0),
        Selector(
            "loss",
            "ml_predictions_total",
            "ml_loss_invalid_total",
            match,
            "version",
            "namespace",
            segment_label,
            delays,
            age_label,
        ),
        since,
        until,
        60.0,
        slice_length,
        *slices,
    )
