"""What to read for one evaluation of one model."""

from __future__ import annotations

from dataclasses import dataclass

from modelslo.observe.evidence import ModelKey


@dataclass(frozen=True, slots=True)
class Source:
    """A Prometheus: base URL and longest wait for one answer in seconds."""

    url: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects the series of one model.

    ``match`` holds the equality matchers (label, value) in ascending order, without the namespace; the namespace of the
    ModelSLO is matched by ``namespace_label``. ``delays`` is the histogram of label delays, without segments;
    ``age_label`` carries on the losses how old their labels are.
    """

    metric: str
    predictions: str
    invalid: str
    match: tuple[tuple[str, str], ...]
    version_label: str
    namespace_label: str
    segment_label: str | None
    delays: str | None = None
    age_label: str | None = None


@dataclass(frozen=True, slots=True)
class Veto:
    """A query that returns something while the data upstream are broken."""

    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Increments in (since, until] in cells of ``grid`` seconds, and the slices [first_slice, last_slice].

    ``vetoes`` are asked at the ends of the cells, in the order of the spec.
    """

    model: ModelKey
    source: Source
    selector: Selector
    since: float
    until: float
    grid: float
    slice_length: float
    first_slice: int
    last_slice: int
    vetoes: tuple[Veto, ...] = ()
