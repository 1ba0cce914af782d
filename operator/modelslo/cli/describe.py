"""`modelslo describe NAME`: what is promised, what is measured, what is being done, what was decided and why."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelslo.api.resource import InvalidResource, Problem, parse_spec, parse_status
from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.cluster import Cluster
from modelslo.cli.sections import promise, state


def run(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.kubeconfig, arguments.context)
    body = cluster.model(arguments.namespace or cluster.namespace, arguments.name)
    print("\n".join(description(body, datetime.now(UTC))))
    return 0


def description(body: Mapping[str, Any], now: datetime) -> list[str]:
    """The lines that are printed. A spec that is not sound is shown with its faults, and the status all the same."""
    metadata = body["metadata"]
    spec, problems = _spec_of(body)
    status, dropped = parse_status(body.get("status"))
    lines = [f"ModelSLO {metadata['namespace']}/{metadata['name']}"]
    lines += promise(spec) if spec else ["Spec is invalid:", *(f"  {problem}" for problem in problems)]
    lines += state(spec, status, now)
    if status.observed_generation != metadata.get("generation", 0):
        lines += ["", "The operator has not seen the newest spec yet."]
    if dropped:
        lines += ["", f"Not understood in status and left out here: {', '.join(dropped)}"]
    return lines


def _spec_of(body: Mapping[str, Any]) -> tuple[ModelSLOSpec | None, tuple[Problem, ...]]:
    try:
        return parse_spec(body.get("spec")), ()
    except InvalidResource as error:
        return None, error.problems
