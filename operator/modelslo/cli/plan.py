"""`modelslo plan`: how long a verdict will take at this traffic, and what margin a given time affords."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import replace
from math import isfinite

from modelslo.api.quantity import ratio
from modelslo.api.spec import ModelSLOSpec, Rollout
from modelslo.cli.cluster import Cluster
from modelslo.cli.doctor import roles_of
from modelslo.cli.errors import MISUSE, CommandError
from modelslo.cli.ground import local_settings, sound_spec, source_for
from modelslo.cli.manifest import model_in
from modelslo.cli.outfile import apart, writable, write_whole
from modelslo.cli.plan_case import Case, Given, case_of_numbers, given_of, shares_of_shadow
from modelslo.cli.plan_look import Measured, look, measured
from modelslo.cli.plan_page import as_json, page, span
from modelslo.decide.rollout import replicas_for, shares_of
from modelslo.engine.asks import selector_of
from modelslo.engine.settings import Settings
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.planning import Course, Promise, Traffic
from modelslo.judge.timing import timing_of
from modelslo.observe.evidence import ModelKey


def run(arguments: argparse.Namespace) -> int:
    given = given_of(arguments)
    if given.picture is not None:
        apart({"-f": arguments.file, "--kubeconfig": arguments.kubeconfig, "--picture": arguments.picture})
        writable("--picture", arguments.picture, "plan.png")
    case = _case(arguments, given)
    if given.picture is not None:
        from modelslo.cli.plan_picture import drawn

        write_whole("--picture", given.picture, drawn(case, given.picture.suffix.lower()))
    if arguments.output == "json":
        print(json.dumps(as_json(case), indent=2, allow_nan=False))
    else:
        print("\n".join(page(case)))
    if given.picture is not None:
        print(f"The picture is in {given.picture}.", file=sys.stderr)
    return 0


def _case(arguments: argparse.Namespace, given: Given) -> Case:
    if arguments.file is not None:
        model, body = model_in(arguments.file, arguments.name, arguments.namespace)
        return case_of_spec(
            model, sound_spec(body, MISUSE), given, local_settings(arguments.prometheus_url), arguments.prometheus_url
        )
    if arguments.name is None:
        return case_of_numbers(given)
    cluster = Cluster(arguments.kubeconfig, arguments.context)
    model = ModelKey(arguments.namespace or cluster.namespace, arguments.name)
    spec = sound_spec(cluster.model(model.namespace, model.name), MISUSE)
    roles = roles_of(spec, lambda name: cluster.deployment(model.namespace, name))
    stable = next((one for one in roles if one.name == "stable" and one.there), None)
    return case_of_spec(
        model,
        spec,
        given,
        local_settings(arguments.prometheus_url),
        arguments.prometheus_url,
        stable_version=stable.version if stable else None,
        stable_pods=stable.replicas if stable else None,
    )


def case_of_spec(
    model: ModelKey,
    spec: ModelSLOSpec,
    given: Given,
    settings: Settings,
    prometheus_url: str | None = None,
    *,
    stable_version: str | None = None,
    stable_pods: int | None = None,
    now: float | None = None,
) -> Case:
    """Options go before the spec, and both before Prometheus, which is asked for what neither says."""
    if spec.rollout is None:
        raise CommandError("spec.rollout: is not there, so there is no canary to judge: add it (docs/api.md)", MISUSE)
    scale = settings.time_scale
    parameters = parameters_of(spec, timing_of(spec, scale=scale, settle=settings.settle))
    timing, gate = parameters.timing, parameters.gate
    mirror = _mirror(spec.rollout, given)
    stated = given.shares or tuple(ratio(one) for one in shares_of(spec.rollout))
    shares = stated if given.shares or not stable_pods else _shares_of_pods(stated, stable_pods)
    if mirror is not None:
        shares = stated = shares_of_shadow(mirror)
    course = Course(
        shares=shares,
        step_duration=timing.step_duration,
        warmup=timing.warmup,
        delay=timing.delay if given.delay is None else given.delay,
        least_age=timing.min_duration,
        least_labels=gate.min_samples,
        interval=timing.interval,
        block=timing.tempo.block,
    )
    remarks = []
    if shares != stated:
        remarks.append(f"The shares are those of whole pods beside {stable_pods} of stable.")
    if given.measures:
        traffic = Traffic(given.rate or 0.0, (given.cv or 0.0) ** 2)
        remarks = ["Rate and variance are as given.", *given.assumed, *remarks]
    else:
        source = source_for(spec, settings, prometheus_url)
        at = time.time() if now is None else now
        evidence = asyncio.run(look(model, source, selector_of(spec), parameters, given.span, at))
        found = measured(evidence, parameters, stable_version)
        traffic, remarks = found.traffic, [_words(found, parameters), *remarks]
        if mirror is not None:
            # Users' requests are stable's alone, and the copies come on top.
            traffic = replace(traffic, rate=(1 + mirror) * found.of_version / found.seconds)
        if given.delay is None and isfinite(found.delay):
            course = replace(course, delay=found.delay)
            remarks.append(f"98% of the labels come within {span(found.delay)}; the gate waits for no more than that.")
        if found.aged:
            remarks.append(
                "Labels tell their age: quick ones can roll a canary back sooner. A promotion needs the others."
            )
    return Case(
        f"ModelSLO {model}",
        given.promise(Promise(gate.margin, gate.alpha, gate.beta)),
        given.traffic(traffic),
        course,
        deadline=timing.deadline,
        within=given.within,
        remarks=tuple(remarks),
        mirror=mirror,
    )


def _mirror(rollout: Rollout, given: Given) -> float | None:
    """How much of the requests a shadow gets copies of, all where nobody says so; None: it is no shadow."""
    if given.mirror is not None or given.shares is not None:
        return given.mirror
    return None if rollout.shadow is None else 1.0


def _words(found: Measured, parameters: Parameters) -> str:
    late = span(parameters.timing.settle + parameters.timing.interval)
    return (
        f"{found.labels:,.0f} labels of {span(found.seconds)} in Prometheus; variance of version {found.version!r} "
        f"from {found.words}. Other times of the day may differ. The operator sees a label up to {late} after it came."
    )


def _shares_of_pods(shares: tuple[float, ...], stable: int) -> tuple[float, ...]:
    """The shares that whole pods make; steps that they cannot tell apart merge."""
    counts = dict.fromkeys(replicas_for(share, stable) for share in shares)
    return tuple(count / (count + stable) for count in counts)
