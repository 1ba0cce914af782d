"""`modelslo aa`: compares replicas of stable with each other. Whatever differs is routing or metrics, not the model."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.aa_page import Case, as_json, page
from modelslo.cli.cluster import Cluster
from modelslo.cli.doctor import roles_of
from modelslo.cli.errors import MISUSE, NEGATIVE, CommandError
from modelslo.cli.ground import local_settings, sound_spec, source_for
from modelslo.cli.manifest import model_in
from modelslo.cli.plan_case import range_of
from modelslo.cli.plan_look import look
from modelslo.engine.asks import history, selector_of
from modelslo.engine.settings import Settings
from modelslo.judge.aa import Fitness, compare_replicas
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.timing import timing_of
from modelslo.observe.ask import Selector, Source
from modelslo.observe.evidence import Increment, ModelKey

_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# Of the range so much is history at most, which the live operator reads before a rollout.
_HISTORY_SHARE: Final = 1 / 3
_VERSION_RANGE: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be compared: options, checked. ``version`` None: the one with most labels."""

    model: ModelKey
    spec: ModelSLOSpec
    by: str
    span: float
    version: str | None = None


def run(arguments: argparse.Namespace) -> int:
    wanted = _wanted(arguments)
    settings = local_settings(arguments.prometheus_url)
    case = case_of(wanted, settings, arguments.prometheus_url)
    if arguments.output == "json":
        print(json.dumps(as_json(case), indent=2, allow_nan=False))
    else:
        print("\n".join(page(case)))
    return 0 if case.report.fitness is Fitness.FIT else NEGATIVE


def _wanted(arguments: argparse.Namespace) -> Wanted:
    if not _LABEL.fullmatch(arguments.by):
        raise CommandError(f"--by: {arguments.by!r} is no label name: write such as pod or instance", MISUSE)
    span = range_of(arguments.range)
    if arguments.file is not None:
        model, body = model_in(arguments.file, arguments.name, arguments.namespace)
        return Wanted(model, sound_spec(body, MISUSE), arguments.by, span, arguments.version)
    if arguments.name is None:
        raise CommandError("name a ModelSLO of the cluster, or give a file: -f FILE", MISUSE)
    cluster = Cluster(arguments.kubeconfig, arguments.context)
    model = ModelKey(arguments.namespace or cluster.namespace, arguments.name)
    spec = sound_spec(cluster.model(model.namespace, model.name), MISUSE)
    roles = roles_of(spec, lambda name: cluster.deployment(model.namespace, name))
    stable = next((one.version for one in roles if one.name == "stable" and one.there), None)
    return Wanted(model, spec, arguments.by, span, arguments.version or stable)


def case_of(wanted: Wanted, settings: Settings, prometheus_url: str | None, now: float | None = None) -> Case:
    """Asks Prometheus and compares. CommandError when there is nothing to be compared."""
    spec = wanted.spec
    parameters = parameters_of(spec, timing_of(spec, scale=settings.time_scale, settle=settings.settle))
    source = source_for(spec, settings, prometheus_url)
    at = time.time() if now is None else now
    selector = selector_of(spec)
    if wanted.by in (selector.version_label, *(label for label, _ in selector.match)):
        raise CommandError(f"--by: {wanted.by!r} is the same on all replicas: name a label such as pod", MISUSE)
    version = wanted.version
    if version is None:
        version = _busiest(wanted.model, source, selector, parameters, min(wanted.span, _VERSION_RANGE), at)
    of_version = replace(
        selector,
        match=tuple(sorted({**dict(selector.match), selector.version_label: version}.items())),
        version_label=wanted.by,
        age_label=None,  # replicas of one version have been there equally long
    )
    evidence = asyncio.run(look(wanted.model, source, of_version, parameters, wanted.span, at))
    _fit_to_compare(evidence.increments, wanted.by, version)
    named = _named(evidence.increments, wanted.by)
    begins = max(evidence.since, min(one.start for one in named))
    since = begins + min(history(parameters.timing), _HISTORY_SHARE * (evidence.at - begins))
    try:
        report = compare_replicas(parameters, named, evidence.edges, since, _progress, evidence.at)
    except ValueError as error:
        raise CommandError(
            f"{error}. Is the range too long for pods that were replaced? Give a shorter --range"
        ) from None
    return Case(wanted.model, version, wanted.by, parameters, report, begins, since, evidence.at, evidence.notes)


def _busiest(
    model: ModelKey, source: Source, selector: Selector, parameters: Parameters, span: float, at: float
) -> str:
    """The version with most labels."""
    labels: dict[str, float] = {}
    for one in asyncio.run(look(model, source, selector, parameters, span, at)).increments:
        labels[one.version] = labels.get(one.version, 0.0) + one.losses.count
    return max(sorted(labels), key=labels.__getitem__, default="")


def _fit_to_compare(increments: Sequence[Increment], by: str, version: str) -> None:
    names = sorted({one.version for one in increments if one.version})
    if len(names) >= 2:
        return
    found = f"only one value, {names[0]!r}" if names else "no such label"
    raise CommandError(
        f"--by: the series of version {version!r} have {found} for {by!r}: name the label that tells replicas apart "
        "(--by instance). Where one joiner counts for all pods there is none: roll out a canary with stable's own "
        "model under another version name, and it should be found not worse"
    )


def _named(increments: Sequence[Increment], by: str) -> list[Increment]:
    """Losses without the label served too: together they are one replica. Predictions alone may be a gateway's."""
    lost = any(not one.version and (one.losses.count > 0 or one.invalid > 0) for one in increments)
    rest = f"(no {by})" if lost else ""
    return [one if one.version else replace(one, version=rest) for one in increments if one.version or rest]


def _progress(done: float) -> None:
    if sys.stderr.isatty():
        print(f"\r{done:4.0%}" if done < 1 else "\r    \r", end="", file=sys.stderr, flush=True)
