"""Bodies of the API server as the small objects that are kept. Pure; nothing here fails on a body that is odd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from modelslo.act.names import ANNOTATION_APPROVE, LABEL_MODEL, LABEL_OPERATION
from modelslo.api.resource import InvalidResource, parse_spec, parse_status
from modelslo.api.spec import ModelSLOSpec
from modelslo.api.status import ModelSLOStatus
from modelslo.decide.snapshot import PROGRESS_DEADLINE, JobState, RetrainJob, Workload
from modelslo.engine.managers import other_manager
from modelslo.observe.evidence import ModelKey

Body = Mapping[str, Any]
_ENDS: Final = {"Complete": JobState.SUCCEEDED, "Failed": JobState.FAILED}


@dataclass(frozen=True, slots=True)
class Ref:
    """Names one Deployment."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Model:
    """One ModelSLO as the API server has it.

    ``spec`` is None when it cannot be read; ``problem`` then says which field, what it holds and what would be right.
    ``unreadable`` names the top-level fields of status that were left out because they could not be read.
    """

    key: ModelKey
    uid: str
    generation: int
    resource_version: str
    spec: ModelSLOSpec | None
    status: ModelSLOStatus
    problem: str = ""
    approved: str = ""
    deleting: bool = False
    created: str = ""
    unreadable: tuple[str, ...] = ()
    refs: tuple[Ref, ...] = field(default=())


def model_of(body: Body, known: Model | None = None) -> Model:
    """The ModelSLO in `body`. What is `known` of it need not be read again when its generation is the same."""
    metadata = body["metadata"]
    key = ModelKey(metadata["namespace"], metadata["name"])
    generation = int(metadata.get("generation", 0))
    if known is not None and generation and (metadata["uid"], generation) == (known.uid, known.generation):
        spec, problem = known.spec, known.problem
    else:
        spec, problem = spec_of(body.get("spec"))
    status, dropped = parse_status(body.get("status"))
    return Model(
        key=key,
        uid=metadata["uid"],
        generation=generation,
        resource_version=str(metadata.get("resourceVersion", "")),
        spec=spec,
        status=status,
        problem=problem,
        approved=(metadata.get("annotations") or {}).get(ANNOTATION_APPROVE, ""),
        deleting="deletionTimestamp" in metadata,
        created=str(metadata.get("creationTimestamp") or ""),
        unreadable=tuple(name for name in dropped if "[" not in name),
        refs=_refs(key.namespace, spec),
    )


def spec_of(raw: Any) -> tuple[ModelSLOSpec | None, str]:
    """The spec, or None and what is wrong with it."""
    try:
        return parse_spec(raw), ""
    except InvalidResource as error:
        return None, str(error)


def workload_of(body: Body) -> Workload:
    """The Deployment in `body`."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    conditions = conditions_of(status)
    progressing, failure = conditions.get("Progressing", {}), conditions.get("ReplicaFailure", {})
    available = conditions.get("Available", {})
    return Workload(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=int(metadata.get("generation", 0)),
        observed_generation=int(status.get("observedGeneration", 0)),
        resource_version=str(metadata.get("resourceVersion", "")),
        template=spec.get("template") or {},
        replicas=int(spec.get("replicas", 1)),
        total=int(status.get("replicas", 0)),
        updated=int(status.get("updatedReplicas", 0)),
        ready=int(status.get("readyReplicas", 0)),
        available=int(status.get("availableReplicas", 0)),
        deadline_exceeded=progressing.get("status") == "False"
        and progressing.get("reason") == "ProgressDeadlineExceeded",
        progress_deadline=float(spec.get("progressDeadlineSeconds", PROGRESS_DEADLINE)),
        unavailable_since=_transition(available) if available.get("status") == "False" else None,
        failure=str(failure.get("message", "")) if failure.get("status") == "True" else "",
        annotations=dict(metadata.get("annotations") or {}),
        template_manager=other_manager(body, "template"),
    )


def job_of(body: Body) -> RetrainJob | None:
    """The retrain Job in `body`; None when it is none of ours."""
    labels = body["metadata"].get("labels") or {}
    if LABEL_MODEL not in labels:
        return None
    conditions = conditions_of(body.get("status") or {})
    name, operation = body["metadata"]["name"], labels.get(LABEL_OPERATION, "")
    for kind, state in _ENDS.items():
        end = conditions.get(kind, {})
        if end.get("status") == "True":
            return RetrainJob(name, operation, state, str(end.get("reason", "")), str(end.get("message", "")))
    return RetrainJob(name, operation, JobState.ACTIVE)


def autoscaled_by(body: Body) -> Ref | None:
    """The Deployment that the autoscaler in `body` scales."""
    target = (body.get("spec") or {}).get("scaleTargetRef") or {}
    # KEDA leaves the kind out when it means a Deployment.
    if target.get("kind", "Deployment") != "Deployment" or "name" not in target:
        return None
    return Ref(body["metadata"]["namespace"], target["name"])


def conditions_of(status: Body) -> dict[str, Body]:
    """The conditions by type."""
    return {str(c.get("type")): c for c in status.get("conditions") or ()}


def _transition(condition: Body) -> datetime | None:
    at = condition.get("lastTransitionTime")
    return datetime.fromisoformat(at) if at else None


def _refs(namespace: str, spec: ModelSLOSpec | None) -> tuple[Ref, ...]:
    if spec is None or spec.rollout is None:
        return ()
    return (Ref(namespace, spec.rollout.stable.name), Ref(namespace, spec.rollout.canary.name))
