"""What was read for one evaluation: immutable, and enough to judge again (DESIGN section 7).

Times are Unix seconds (UTC) of Prometheus' samples. Counts are numbers of labelled predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Final

NO_SEGMENT: Final = ""
NO_AGE: Final = inf
# Prometheus itself forgets a series after five minutes without a sample (seconds).
STALENESS: Final = 300.0
LARGEST: Final = 1e75
"""Squares of squares of what is larger are no numbers any more. No loss is so large, and no count."""
FRESH_LABELS: Final = 50.0
"""A restarted process may have counted so many labels already, whatever is usual."""


@dataclass(frozen=True, slots=True, order=True)
class ModelKey:
    """Names one ModelSLO."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class NoEvidence(StrEnum):
    """Why nothing could be read. None of these ever promotes, rolls back or retrains (the verdict law)."""

    NO_DATA = "NoData"  # Prometheus answered, and there is no such series
    QUERY_ERROR = "QueryError"  # refused, HTTP error, malformed answer
    QUERY_TIMEOUT = "QueryTimeout"
    QUERY_WARNING = "QueryWarning"  # an answer with warnings may be partial
    VETO_UNKNOWN = "VetoUnknown"  # a veto of the user cannot be read


@dataclass(frozen=True, slots=True)
class Gap:
    """A piece of evidence that is missing, and what a person can do about it."""

    reason: NoEvidence
    message: str


@dataclass(frozen=True, slots=True)
class Losses:
    """Increase of one arm's loss series.

    ``buckets`` are counts per bucket (not cumulative), the last one above the highest finite edge; empty when the
    exporter has none. ``total`` is the increase of ``_sum`` and is NaN when an exporter let a NaN into it; ``squares``
    is the increase of ``<loss>_squares_total``, None when it is not exported.
    """

    count: float = 0.0
    total: float = 0.0
    buckets: tuple[float, ...] = ()
    squares: float | None = None


@dataclass(frozen=True, slots=True)
class Increment:
    """What one version did in one segment in (start, end], differenced per series with real scrape times.

    ``age`` (s) is the upper edge of the time from prediction to label of its losses; infinite: none, or not told.

    ``delays`` are labels per bucket of their delay, the last one above the highest finite edge; they know no segments
    and stand with NO_SEGMENT. Empty: not exported.
    """

    start: float
    end: float
    version: str
    segment: str
    losses: Losses
    predictions: float = 0.0
    invalid: float = 0.0
    delays: tuple[float, ...] = ()
    age: float = NO_AGE


@dataclass(frozen=True, slots=True)
class Slice:
    """A closed slice ``[index * length, (index + 1) * length)``: per version, (sum of losses, labelled samples).

    A version without samples is absent. A sum can be NaN, see :class:`Losses`.
    """

    index: int
    by_version: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class SliceTable:
    """Closed slices in ascending order. Indices may be missing: nothing was recorded then.

    ``first`` is the oldest index that was asked for, so that a slice missing behind it is a hole and not ignorance.
    The same object comes back as long as no slice has closed. ``slices`` may be a packed sequence.
    """

    length: float
    first: int
    last: int
    slices: Sequence[Slice]


@dataclass(frozen=True, slots=True)
class Stood:
    """A veto stood at the end ``at`` of a cell: so many series, and the value of the first, which may be NaN."""

    at: float
    value: float
    series: int


@dataclass(frozen=True, slots=True)
class VetoSeen:
    """A veto that could be read over (since, at] of its evidence, and the cells at whose ends it stood, ascending."""

    name: str
    stood: tuple[Stood, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """One query and what came of it, for the record."""

    query: str
    start: float
    end: float
    series: int
    samples: int
    seconds: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything read for one evaluation of one model at time ``at``.

    ``increments`` cover (since, at] on the evaluation grid, ascending in time, in one order for one TSDB content.
    ``edges`` are the finite upper bounds of the loss buckets, ``delay_edges`` those of the label delays (s).
    ``newest`` is the time of the newest sample per version.
    ``gap`` says that the increments are missing; ``slice_gap`` that the slices are. ``notes`` are remarks for a person
    about data that were left out. ``vetoes`` are those that could be read; while one cannot, the losses are not read
    either, and ``gap`` says which.
    """

    model: ModelKey
    since: float
    at: float
    increments: tuple[Increment, ...] = ()
    edges: tuple[float, ...] = ()
    newest: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    slices: SliceTable | None = None
    gap: Gap | None = None
    slice_gap: Gap | None = None
    queries: tuple[QueryRecord, ...] = ()
    notes: tuple[str, ...] = ()
    delay_edges: tuple[float, ...] = ()
    vetoes: tuple[VetoSeen, ...] = ()
