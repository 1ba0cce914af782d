"""What follows from a ModelSLO's spec and the operator's settings, worked out once per generation. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

from modelslo.api.address import shown
from modelslo.decide.reasons import Reason
from modelslo.engine.asks import selector_of, source_of, vetoes_of
from modelslo.engine.settings import Settings
from modelslo.engine.views import Model
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.timing import timing_of
from modelslo.observe.ask import Selector, Source, Veto

# Real seconds. By `timeScale` a slice may come out shorter: thousands of them would be read for each model, one by one
# where they are no whole milliseconds, and scrapes are further apart anyway.
SHORTEST_SLICE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How the model is judged."""

    uid: str
    generation: int
    parameters: Parameters
    selector: Selector
    source: Source
    vetoes: tuple[Veto, ...] = ()


@dataclass(frozen=True, slots=True)
class Unfit:
    """The model cannot be judged before its spec is mended."""

    uid: str
    generation: int
    reason: Reason
    message: str


def plan_of(model: Model, settings: Settings) -> Plan | Unfit:
    if model.spec is None:
        return Unfit(model.uid, model.generation, Reason.INVALID_SPEC, model.problem)
    source = source_of(model.spec, settings.prometheus_url)
    if not settings.allows(source.url):
        message = (
            f"spec.indicator.prometheus.url: {shown(source.url)!r} is not on the operator's list "
            "(allowedPrometheusUrls)."
        )
        return Unfit(model.uid, model.generation, Reason.URL_NOT_ALLOWED, message)
    timing = timing_of(model.spec, scale=settings.time_scale, settle=settings.settle)
    if timing.slice < SHORTEST_SLICE:
        message = (
            f"spec.objective.slice: {model.spec.objective.slice} is {timing.slice:.3g} s at the operator's timeScale "
            f"{settings.time_scale:g}: too short to measure anything. Take "
            f"{ceil(SHORTEST_SLICE * settings.time_scale)}s or longer, or lower timeScale."
        )
        return Unfit(model.uid, model.generation, Reason.INVALID_SPEC, message)
    parameters = parameters_of(model.spec, timing)
    return Plan(model.uid, model.generation, parameters, selector_of(model.spec), source, vetoes_of(model.spec))
