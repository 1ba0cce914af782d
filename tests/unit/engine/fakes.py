"""An API server, a clock and a Prometheus in memory, for the unit tests of the engine. The integration tests have real
ones."""

from __future__ import annotations

import asyncio
import copy
import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubernetes.aio.client.configuration import Configuration

from modelslo.act.kube import (
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    MODELSLOS,
    PODS,
    REPLICA_SETS,
    AlreadyExistsError,
    Body,
    ConflictError,
    Kube,
    KubeError,
    NotFoundError,
    Resource,
)
from modelslo.engine.registry import Registry
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, Gap, ModelKey, NoEvidence

Place = tuple[str, str, str]


class FakeKube(Kube):
    """Objects by plural, namespace and name; every write gets a version and is told to the registry.

    ``fail`` may raise for a (verb, plural, name) instead of an answer.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        super().__init__(Configuration())
        self.objects: dict[Place, Body] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.fail: Callable[[str, str, str], KubeError | None] = lambda verb, plural, name: None
        self.version = 100
        self.registry = registry

    def put(self, resource: Resource, body: Body) -> Body:
        """As somebody else would."""
        self.version += 1
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(self.version)
        body["metadata"].setdefault("uid", f"uid-{self.version}")
        self.objects[_place(resource, body)] = body
        self._tell(resource, body)
        return body

    def of(self, resource: Resource) -> list[Body]:
        return [body for (plural, _, _), body in self.objects.items() if plural == resource.plural]

    def writes(self) -> list[tuple[str, str, str]]:
        return [call for call in self.calls if call[0] not in ("get", "list")]

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        await self._call("get", resource, name)
        return copy.deepcopy(self._find(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str, selector: Mapping[str, str]) -> list[Body]:
        await self._call("list", resource, "")
        return [
            copy.deepcopy(body)
            for body in self.of(resource)
            if body["metadata"]["namespace"] == namespace
            and selector.items() <= (body["metadata"].get("labels") or {}).items()
        ]

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        await self._call("create", resource, body["metadata"]["name"])
        if _place(resource, body) in self.objects:
            raise AlreadyExistsError("there is one already", 409)
        return copy.deepcopy(self.put(resource, body))

    async def merge(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], subresource: str = ""
    ) -> Body:
        await self._call("patch", resource, name)
        body = copy.deepcopy(self._find(resource, namespace, name))
        wanted = patch.get("metadata", {}).get("resourceVersion", body["metadata"]["resourceVersion"])
        if wanted != body["metadata"]["resourceVersion"]:
            raise ConflictError("the object has been modified", 409)
        merged = _merged(body, patch)
        if not subresource and merged.get("spec") != body.get("spec"):
            merged["metadata"]["generation"] = body["metadata"].get("generation", 1) + 1
        return copy.deepcopy(self.put(resource, merged))

    async def namespace(self, name: str) -> Body:
        return {"metadata": {"name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}

    async def _call(self, verb: str, resource: Resource, name: str) -> None:
        await asyncio.sleep(0)
        self.calls.append((verb, resource.plural, name))
        error = self.fail(verb, resource.plural, name)
        if error is not None:
            raise error

    def _find(self, resource: Resource, namespace: str, name: str) -> Body:
        body = self.objects.get((resource.plural, namespace, name))
        if body is None:
            raise NotFoundError(f"{resource.plural} {name!r} not found", 404)
        return body

    def _tell(self, resource: Resource, body: Body) -> None:
        if self.registry is None:
            return
        if resource is MODELSLOS:
            self.registry.put_model(body)
        elif resource is DEPLOYMENTS:
            self.registry.put_deployment(body)
        elif resource is JOBS:
            self.registry.put_job(body)


__all__ = ["DEPLOYMENTS", "EVENTS", "JOBS", "MODELSLOS", "PODS", "REPLICA_SETS", "FakeClock", "FakeKube", "Silent"]


class FakeClock:
    """Stands still until :meth:`advance`."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self.at = at
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self._count += 1
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.at + max(0.0, seconds), self._count, wake))
        await wake

    def set_back(self, seconds: float) -> None:
        """Somebody sets the clock; those who sleep do not notice."""
        self.at -= seconds
        self._sleepers = [(at - seconds, count, wake) for at, count, wake in self._sleepers]

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking everybody at his time."""
        end = self.at + seconds
        await calm()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, wake = heapq.heappop(self._sleepers)
            self.at = max(self.at, at)
            if not wake.done():
                wake.set_result(None)
            await calm()
        self.at = end
        await calm()


async def calm(turns: int = 200) -> None:
    """Let everything run that can."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Silent:
    """A Prometheus that answers and has nothing. Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[Ask]] = []
        self.forgotten: list[ModelKey] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.gap: Gap | None = Gap(NoEvidence.NO_DATA, "No such series.")

    async def observe(self, asks: Sequence[Ask]) -> dict[ModelKey, Evidence]:
        self.asked.append(list(asks))
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {ask.model: self.evidence(ask) for ask in asks}

    def evidence(self, ask: Ask) -> Evidence:
        return Evidence(ask.model, ask.since, ask.until, gap=self.gap)

    def forget(self, model: ModelKey) -> None:
        self.forgotten.append(model)


def _place(resource: Resource, body: Body) -> Place:
    return resource.plural, body["metadata"]["namespace"], body["metadata"]["name"]


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
