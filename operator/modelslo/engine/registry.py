"""What the watches have seen, as small objects (DESIGN section 12: no body is kept).

All methods are called in the engine's event loop. A body that is older than what is known is ignored, so that
answers to our own writes, watch events and re-lists may arrive in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import StrEnum
from typing import Final

from modelslo.act.names import LABEL_MODEL, label_value
from modelslo.api.spec import Mode
from modelslo.decide.snapshot import RetrainJob, Snapshot, Workload
from modelslo.engine.views import Body, Model, Ref, autoscaled_by, job_of, model_of, workload_of
from modelslo.observe.evidence import ModelKey


class Change(StrEnum):
    MODEL = "Model"  # new, or another spec, approval or uid
    WORLD = "World"  # one of its Deployments, Jobs or autoscalers
    GONE = "Gone"


Listener = Callable[[ModelKey, Change], None]
_NEVER: Final = -1


class Registry:
    """The watch cache of the engine."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._models: dict[ModelKey, Model] = {}
        self._users: dict[Ref, set[ModelKey]] = {}
        self._workloads: dict[Ref, Workload | None] = {}  # only those that a model names; None: there is none
        self._jobs: dict[Ref, dict[str, tuple[RetrainJob, int]]] = {}  # by namespace and model label
        self._autoscalers: dict[tuple[str, str], dict[str, Ref]] = {}  # target by (namespace, kind) and name
        self._autoscaled: dict[Ref, set[str]] = {}

    # --- fed by the watches

    def put_model(self, body: Body) -> None:
        """A ModelSLO was added or changed, or the API server answered a write with it."""
        metadata = body["metadata"]
        known = self._models.get(ModelKey(metadata["namespace"], metadata["name"]))
        if known is not None:
            version = str(metadata.get("resourceVersion", ""))
            # The watch brings back what the API server has answered to our own write.
            same = version == known.resource_version and metadata["uid"] == known.uid
            if (same and version) or _older(version, known.resource_version):
                return
        model = model_of(body, known)
        self._models[model.key] = model
        self._refer(model.key, known.refs if known else (), model.refs)
        if known is None or _matter(known) != _matter(model):
            self._tell(model.key, Change.MODEL)

    def drop_model(self, namespace: str, name: str) -> None:
        key = ModelKey(namespace, name)
        model = self._models.pop(key, None)
        if model is not None:
            self._refer(key, model.refs, ())
            self._tell(key, Change.GONE)

    def put_deployment(self, body: Body) -> None:
        """A Deployment was added or changed. It is kept only when a ModelSLO names it."""
        ref = _ref(body)
        if ref not in self._users:
            return
        known = self._workloads.get(ref)
        if known is not None and _older(str(body["metadata"].get("resourceVersion", "")), known.resource_version):
            return
        workload = workload_of(body)
        self._workloads[ref] = workload
        if known is None or replace(known, resource_version=workload.resource_version) != workload:
            self._tell_users(ref)

    def drop_deployment(self, namespace: str, name: str) -> None:
        """The Deployment is gone, or a GET says that there is none."""
        ref = Ref(namespace, name)
        if ref in self._users and self._workloads.get(ref, _NEVER) is not None:
            self._workloads[ref] = None
            self._tell_users(ref)

    def put_job(self, body: Body) -> None:
        """A Job was added or changed. It is kept only when it carries our label."""
        job = job_of(body)
        if job is None:
            return
        owner, version = _job_owner(body), _number(str(body["metadata"].get("resourceVersion", "")))
        jobs = self._jobs.setdefault(owner, {})
        known = jobs.get(job.name)
        if known is not None and version < known[1]:
            return
        jobs[job.name] = (job, version)
        if known is None or known[0] != job:
            self._tell_owner(owner)

    def drop_job(self, namespace: str, name: str) -> None:
        for owner in [o for o, jobs in self._jobs.items() if o.namespace == namespace and name in jobs]:
            del self._jobs[owner][name]
            if not self._jobs[owner]:
                del self._jobs[owner]
            self._tell_owner(owner)

    def put_autoscaler(self, kind: str, body: Body) -> None:
        """A HorizontalPodAutoscaler or ScaledObject was added or changed."""
        target = autoscaled_by(body)
        name, namespace = body["metadata"]["name"], body["metadata"]["namespace"]
        if self._autoscalers.get((namespace, kind), {}).get(name) == target:
            return
        self.drop_autoscaler(kind, namespace, name)
        if target is not None:
            self._autoscalers.setdefault((namespace, kind), {})[name] = target
            self._autoscaled.setdefault(target, set()).add(f"{kind}/{name}")
            self._tell_users(target)

    def drop_autoscaler(self, kind: str, namespace: str, name: str) -> None:
        target = self._autoscalers.get((namespace, kind), {}).pop(name, None)
        if target is None:
            return
        self._autoscaled[target].discard(f"{kind}/{name}")
        if not self._autoscaled[target]:
            del self._autoscaled[target]
        self._tell_users(target)

    # --- read by the engine

    def subscribe(self, listener: Listener) -> None:
        """`listener` is called at once, in the event loop, on each change; it must not block."""
        self._listeners.append(listener)

    def __len__(self) -> int:
        return len(self._models)

    def __iter__(self) -> Iterator[Model]:
        return iter(tuple(self._models.values()))

    def model(self, key: ModelKey) -> Model | None:
        return self._models.get(key)

    def unknown(self, key: ModelKey) -> tuple[Ref, ...]:
        """Deployments that the model names and that nobody has told about yet: to be fetched once."""
        model = self._models.get(key)
        return tuple(ref for ref in model.refs if ref not in self._workloads) if model else ()

    def snapshot(self, model: Model) -> Snapshot:
        """What the cluster holds for `model`."""
        jobs = self._jobs.get(Ref(model.key.namespace, label_value(model.key.name)), {})
        stable, canary = model.refs or (None, None)
        return Snapshot(
            stable=self._workloads.get(stable) if stable else None,
            canary=self._workloads.get(canary) if canary else None,
            jobs=tuple(sorted((job for job, _ in jobs.values()), key=lambda job: job.name)),
            autoscaled=min(self._autoscaled.get(canary, ()), default="") if canary else "",
            approved=model.approved,
            shared=self._elder(model),
        )

    def _elder(self, model: Model) -> str:
        """Another ModelSLO that goes before this one at a Deployment of theirs; empty when there is none.

        A dry run writes nothing, and two may have the same stable while their canaries are their own.
        """
        if not model.refs or not _drives(model):
            return ""
        others = {key for ref in model.refs for key in self._users.get(ref, ())} - {model.key}
        elders = [
            one.key.name
            for one in map(self._models.get, others)
            if one is not None
            and _drives(one)
            and (one.refs[1] in model.refs or model.refs[1] in one.refs)
            and (one.created, one.key.name) < (model.created, model.key.name)
        ]
        return min(elders, default="")

    # --- inside

    def _refer(self, key: ModelKey, before: tuple[Ref, ...], after: tuple[Ref, ...]) -> None:
        for ref in set(before) - set(after):
            users = self._users[ref]
            users.discard(key)
            if not users:
                del self._users[ref]
                self._workloads.pop(ref, None)
        for ref in after:
            self._users.setdefault(ref, set()).add(key)

    def _tell(self, key: ModelKey, change: Change) -> None:
        for listener in self._listeners:
            listener(key, change)

    def _tell_users(self, ref: Ref) -> None:
        for key in sorted(self._users.get(ref, ())):
            self._tell(key, Change.WORLD)

    def _tell_owner(self, owner: Ref) -> None:
        key = ModelKey(owner.namespace, owner.name)
        if key in self._models:
            self._tell(key, Change.WORLD)
            return
        for key in [k for k in self._models if k.namespace == owner.namespace and label_value(k.name) == owner.name]:
            self._tell(key, Change.WORLD)


def _drives(model: Model) -> bool:
    return bool(model.refs) and not model.deleting and model.spec is not None and model.spec.mode is Mode.ENFORCE


def _ref(body: Body) -> Ref:
    return Ref(body["metadata"]["namespace"], body["metadata"]["name"])


def _job_owner(body: Body) -> Ref:
    return Ref(body["metadata"]["namespace"], body["metadata"]["labels"][LABEL_MODEL])


def _matter(model: Model) -> tuple[str, int, str, bool]:
    return (model.uid, model.generation, model.approved, model.deleting)


def _older(this: str, that: str) -> bool:
    return _number(this) < _number(that)


def _number(resource_version: str) -> int:
    """Resource versions of one resource are ordered numbers (KEP-5504); anything else is taken as newest."""
    return int(resource_version) if resource_version.isdigit() else 2**63
