"""What is seen in the cluster goes through here into the engine's registry.

Two sources tell the same story: the watch, at once but with holes (kopf reports no deletion that fell into a gap
between two watches), and the list, now and then but complete. The feed remembers when it last heard of each object,
so that a list never undoes what the watch reported while the list was being read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modelslo.controller.kinds import AUTOSCALERS, DEPLOYMENTS, JOBS, KINDS, MODELSLOS, Kind

Body = Mapping[str, Any]


class Sink(Protocol):
    """The part of the engine's registry that takes objects in."""

    def put_model(self, body: Body) -> None: ...
    def drop_model(self, namespace: str, name: str) -> None: ...
    def put_deployment(self, body: Body) -> None: ...
    def drop_deployment(self, namespace: str, name: str) -> None: ...
    def put_job(self, body: Body) -> None: ...
    def drop_job(self, namespace: str, name: str) -> None: ...
    def put_autoscaler(self, kind: str, body: Body) -> None: ...
    def drop_autoscaler(self, kind: str, namespace: str, name: str) -> None: ...


@dataclass(frozen=True, slots=True, order=True)
class Name:
    namespace: str
    name: str


@dataclass(slots=True)
class _Heard:
    """When an object was last heard of, in which version, and whether it lived then."""

    version: str
    at: float
    alive: bool = True


@dataclass(frozen=True, slots=True)
class Mended:
    """What a list found that the watch had missed."""

    added: int = 0
    changed: int = 0
    dropped: int = 0

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.dropped)


class Feed:
    """Hands objects to the registry. Not thread-safe: one thread calls it."""

    def __init__(self, sink: Sink, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard: dict[Kind, dict[Name, _Heard]] = {kind: {} for kind in KINDS}
        self._put: dict[Kind, Callable[[Body], None]] = {
            MODELSLOS: sink.put_model,
            DEPLOYMENTS: sink.put_deployment,
            JOBS: sink.put_job,
            AUTOSCALERS: lambda body: sink.put_autoscaler("HorizontalPodAutoscaler", body),
        }
        self._drop: dict[Kind, Callable[[str, str], None]] = {
            MODELSLOS: sink.drop_model,
            DEPLOYMENTS: sink.drop_deployment,
            JOBS: sink.drop_job,
            AUTOSCALERS: lambda namespace, name: sink.drop_autoscaler("HorizontalPodAutoscaler", namespace, name),
        }

    def event(self, kind: Kind, deleted: bool, body: Body) -> None:
        """Take one event of the watch, or one object of the list that begins a watch."""
        name, version = _identify(body)
        heard = self._heard[kind].get(name)
        self._heard[kind][name] = _Heard(version, self._clock(), alive=not deleted)
        if deleted:
            self._drop[kind](name.namespace, name.name)
        elif heard is None or not heard.alive or heard.version != version:
            self._put[kind](body)

    def listing(self, kind: Kind) -> Listing:
        """Begin a list. Ask the API server after this call, never before."""
        return Listing(self, kind, self._clock())

    def count(self, kind: Kind) -> int:
        """How many objects of this kind are alive."""
        return sum(heard.alive for heard in self._heard[kind].values())

    def _merge(self, kind: Kind, began: float, bodies: Iterable[Body], found: set[Name]) -> tuple[int, int]:
        added = changed = 0
        heard_of = self._heard[kind]
        for body in bodies:
            name, version = _identify(body)
            found.add(name)
            heard = heard_of.get(name)
            if heard is not None and (heard.at >= began or (heard.alive and heard.version == version)):
                continue
            if heard is None or not heard.alive:
                added += 1
            else:
                changed += 1
            heard_of[name] = _Heard(version, self._clock())
            self._put[kind](body)
        return added, changed

    def _prune(self, kind: Kind, began: float, found: set[Name]) -> int:
        dropped = 0
        heard_of = self._heard[kind]
        for name in [name for name, heard in heard_of.items() if heard.at < began and name not in found]:
            if heard_of.pop(name).alive:
                dropped += 1
                self._drop[kind](name.namespace, name.name)
        return dropped


class Listing:
    """One consistent list in pages. Nothing is dropped before :meth:`finish`, which a broken list never reaches."""

    def __init__(self, feed: Feed, kind: Kind, began: float) -> None:
        self._feed, self._kind, self._began = feed, kind, began
        self._found: set[Name] = set()
        self._added = self._changed = 0

    def page(self, bodies: Iterable[Body]) -> None:
        added, changed = self._feed._merge(self._kind, self._began, bodies, self._found)
        self._added += added
        self._changed += changed

    def finish(self) -> Mended:
        dropped = self._feed._prune(self._kind, self._began, self._found)
        return Mended(self._added, self._changed, dropped)


def _identify(body: Body) -> tuple[Name, str]:
    metadata = body["metadata"]
    return Name(metadata.get("namespace", ""), metadata["name"]), metadata.get("resourceVersion", "")
