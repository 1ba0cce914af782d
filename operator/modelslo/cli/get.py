"""`modelslo get`: ModelSLOs as a table, JSON or YAML."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import yaml

from modelslo.api.resource import parse_status
from modelslo.api.status import ModelSLOStatus
from modelslo.cli.cluster import Cluster
from modelslo.cli.errors import CommandError
from modelslo.cli.streams import in_utf8
from modelslo.cli.text import NONE, age, number, percent, table

_HEAD: Final = ("NAME", "READY", "SLOMET", "LOSS", "TARGET", "BUDGET", "CANARY", "LAST", "AGE")


def run(arguments: argparse.Namespace) -> int:
    if arguments.name and arguments.all_namespaces:
        raise CommandError("a NAME is in one namespace: leave out -A", 2)
    cluster = Cluster(arguments.kubeconfig, arguments.context)
    namespace = None if arguments.all_namespaces else arguments.namespace or cluster.namespace
    if arguments.name:
        assert namespace is not None
        bodies = [cluster.model(namespace, arguments.name)]
    else:
        bodies = cluster.models(namespace)
    if arguments.output != "table":
        # One object for a NAME, a List otherwise, like kubectl.
        shown = bodies[0] if arguments.name else {"apiVersion": "v1", "kind": "List", "items": bodies}
        for body in bodies:
            body["metadata"].pop("managedFields", None)
        print(rendered(shown, arguments.output), end="")
    elif not bodies:
        print("There is no ModelSLO" + ("." if namespace is None else f" in namespace {namespace}."))
    else:
        print("\n".join(listing(bodies, datetime.now(UTC), with_namespace=namespace is None)))
    return 0


def rendered(value: Any, form: str) -> str:
    """`value` as JSON or YAML, with escapes of their own for letters that standard output has not."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=not in_utf8()) + "\n"
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=in_utf8())
    return text


def listing(bodies: Sequence[Mapping[str, Any]], now: datetime, *, with_namespace: bool) -> list[str]:
    """One line per ModelSLO under a head."""
    head = ("NAMESPACE", *_HEAD) if with_namespace else _HEAD
    rows = [((body["metadata"]["namespace"],) if with_namespace else ()) + _row(body, now) for body in bodies]
    return table(head, rows)


def _canary(status: ModelSLOStatus) -> str:
    if status.rollout is None:
        return NONE
    return f"{status.rollout.version} (shadow)" if status.rollout.shadow else status.rollout.version


def _row(body: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    status, _ = parse_status(body.get("status"))
    conditions = {one.type: one.status for one in status.conditions}
    decision = status.last_decision
    return (
        body["metadata"]["name"],
        conditions.get("Ready", "Unknown"),
        conditions.get("SLOMet", "Unknown"),
        number(status.sli.value if status.sli else None),
        number(body["spec"]["objective"]["target"]["value"]),
        percent(status.budget.remaining if status.budget else None),
        _canary(status),
        f"{decision.action} {age(decision.at, now)} ago" if decision else NONE,
        age(datetime.fromisoformat(body["metadata"]["creationTimestamp"]), now),
    )
