"""`modelslo doctor NAME`: what the operator asks Prometheus about a model, what comes back, and what is wrong."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.cluster import Cluster
from modelslo.cli.doctor_find import findings
from modelslo.cli.doctor_finding import Role
from modelslo.cli.doctor_look import ask_of, look
from modelslo.cli.doctor_page import page
from modelslo.cli.errors import NEGATIVE
from modelslo.cli.ground import local_settings, sound_spec, source_for
from modelslo.decide.revision import version_of
from modelslo.engine.asks import selector_of, vetoes_of
from modelslo.engine.settings import Settings
from modelslo.judge.parameters import parameters_of
from modelslo.judge.timing import timing_of
from modelslo.observe.evidence import ModelKey


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0: nothing is wrong."""
    cluster = Cluster(arguments.kubeconfig, arguments.context)
    model = ModelKey(arguments.namespace or cluster.namespace, arguments.name)
    spec = sound_spec(cluster.model(model.namespace, model.name))
    roles = roles_of(spec, lambda name: cluster.deployment(model.namespace, name))
    text, sound = examine(model, spec, roles, local_settings(arguments.prometheus_url), arguments.prometheus_url)
    print(text)
    return 0 if sound else NEGATIVE


def examine(
    model: ModelKey,
    spec: ModelSLOSpec,
    roles: tuple[Role, ...],
    settings: Settings,
    prometheus_url: str | None = None,
    now: float | None = None,
) -> tuple[str, bool]:
    """The whole text, and whether nothing is wrong. `prometheus_url` goes before that of the spec."""
    now = time.time() if now is None else now
    parameters = parameters_of(spec, timing_of(spec, scale=settings.time_scale, settle=settings.settle))
    source = source_for(spec, settings, prometheus_url)
    seen = asyncio.run(look(ask_of(model, source, selector_of(spec), parameters, now), now, vetoes_of(spec)))
    found = findings(seen, spec, parameters, roles)
    return "\n".join(page(seen, parameters, roles, found)), not any(one.wrong for one in found)


def roles_of(spec: ModelSLOSpec, deployment: Callable[[str], Mapping[str, Any] | None]) -> tuple[Role, ...]:
    """The Deployments that the spec names, by what `deployment` finds under their names."""
    if spec.rollout is None:
        return ()
    found = []
    for role, name in (("stable", spec.rollout.stable.name), ("canary", spec.rollout.canary.name)):
        body = deployment(name)
        content = (body or {}).get("spec") or {}
        version = version_of(content.get("template") or {}, spec.rollout.version_from.env)
        found.append(Role(role, name, body is not None, version, int(content.get("replicas", 1))))
    return tuple(found)
