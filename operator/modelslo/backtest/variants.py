"""A ModelSLO and what it might be instead: `spec.rollout.gate.margin=5%`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final

from modelslo.api.manifest import YamlError, value_of
from modelslo.api.resource import InvalidResource, parse_spec
from modelslo.api.spec import ModelSLOSpec, PrometheusSource
from modelslo.backtest.course import as_asked
from modelslo.engine.asks import selector_of
from modelslo.engine.settings import Settings
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.timing import timing_of

AS_IT_IS: Final = "as it is"
_PATH: Final = re.compile(r"spec(\.[A-Za-z][A-Za-z0-9]*)+")
# A comma separates assignments only where another one follows: values may hold commas.
_NEXT: Final = re.compile(r",\s*(?=spec\.)")


class VariantError(ValueError):
    """What was asked for cannot be; the message names field, value and mend."""


@dataclass(frozen=True, slots=True)
class Variant:
    """``name`` is what was assigned; the fields in ``idle`` make no difference to a backtest."""

    name: str
    spec: ModelSLOSpec
    parameters: Parameters
    idle: tuple[str, ...] = ()


def variants_of(raw: Mapping[str, Any], what_ifs: Sequence[str], settings: Settings) -> tuple[Variant, ...]:
    """The ModelSLO whose `raw` spec it is, then one variant for each of `what_ifs`. Raises VariantError.

    All of them read the same series on the same grid: one recording serves all.
    """
    found = [_variant(AS_IT_IS, raw, settings)]
    for text in what_ifs:
        assignments = _assignments(text)
        one = _variant(text, _assigned(raw, assignments), settings)
        _same_series(found[0], one)
        found.append(replace(one, idle=tuple(_idle(one, raw, assignments, settings))))
    return tuple(found)


def _variant(name: str, raw: Mapping[str, Any], settings: Settings) -> Variant:
    try:
        spec = parse_spec(raw)
    except InvalidResource as error:
        prefix = "" if name == AS_IT_IS else f"--what-if {name}: "
        raise VariantError(f"{prefix}{error}") from None
    return Variant(name, spec, parameters_of(spec, timing_of(spec, scale=settings.time_scale, settle=settings.settle)))


def _assignments(text: str) -> list[tuple[str, str]]:
    """Path and value of each. Raises VariantError, also when one would undo another."""
    found: list[tuple[str, str]] = []
    for assignment in _NEXT.split(text.strip()):
        path, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not _PATH.fullmatch(path):
            raise VariantError(
                f"--what-if: {assignment!r} assigns no field of the spec: write such as spec.rollout.gate.margin=5%"
            )
        for earlier, _ in found:
            if f"{earlier}.".startswith(f"{path}."):
                raise VariantError(f"--what-if: {assignment!r} comes after {earlier} and undoes it: take one out")
        found.append((path, value))
    return found


def _assigned(raw: Mapping[str, Any], assignments: Iterable[tuple[str, str]]) -> Mapping[str, Any]:
    changed: dict[str, Any] = deepcopy(dict(raw))
    for path, value in assignments:
        *parents, name = path.split(".")[1:]
        place = changed
        for parent in parents:
            inner = place.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise VariantError(f"--what-if: {path!r} goes through {parent!r}, which holds {inner!r} and no fields")
            place = inner
        try:
            place[name] = value_of(value)
        except YamlError as error:
            reason = str(error).splitlines()[0]
            raise VariantError(
                f"--what-if: {value!r} of {path} is no YAML value ({reason}): write such as 5%, 30m, [10%, 50%]"
            ) from None
    return changed


def _idle(
    variant: Variant, raw: Mapping[str, Any], assignments: Sequence[tuple[str, str]], settings: Settings
) -> Iterator[str]:
    """The fields without whose assignment all would be the same."""
    for assignment in assignments:
        try:
            without = _variant(
                variant.name, _assigned(raw, [one for one in assignments if one != assignment]), settings
            )
        except VariantError:  # one needs the other
            continue
        if (_replayed(without.spec), without.parameters) == (_replayed(variant.spec), variant.parameters):
            yield assignment[0]


def _replayed(spec: ModelSLOSpec) -> ModelSLOSpec:
    """What a variant's replay looks at: which Prometheus was asked is not for it to say."""
    indicator = spec.indicator.model_copy(update={"prometheus": PrometheusSource()})
    return as_asked(spec).model_copy(update={"indicator": indicator})


def _same_series(first: Variant, other: Variant) -> None:
    ours, theirs = first.parameters.timing, other.parameters.timing
    if selector_of(first.spec) != selector_of(other.spec):
        raise VariantError(
            f"--what-if {other.name}: spec.indicator says which series are read, and they are read once: "
            "backtest such a ModelSLO on its own (-f FILE)"
        )
    if (ours.interval, ours.slice) != (theirs.interval, theirs.slice):
        raise VariantError(
            f"--what-if {other.name}: spec.interval and spec.objective.slice are the grid on which all is read: "
            "backtest such a ModelSLO on its own (-f FILE)"
        )
