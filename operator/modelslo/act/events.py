"""Kubernetes Events about a ModelSLO: what `kubectl describe` shows. On transitions only.

An Event's name follows from what it tells, so that telling it again after a crash adds nothing. The same reason within
ten minutes is counted on the Event that is there.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from modelslo.act.kube import EVENTS, AlreadyExistsError, Kube, KubeError, NotFoundError
from modelslo.act.names import API_VERSION, FIELD_MANAGER, KIND

log = logging.getLogger(__name__)

CONTROLLER: Final = "modelslo.dev/operator"
_AGGREGATE_SECONDS: Final = 600.0
_REMEMBERED: Final = 4096
_NOTE_LENGTH: Final = 1024


class EventType(StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Subject:
    """The ModelSLO that an Event is about."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Notice:
    """`key` names what happened: the same key twice is one Event."""

    type: EventType
    reason: str
    action: str
    note: str
    key: str


@dataclass(slots=True)
class _Told:
    name: str
    count: int
    at: float


class Events:
    """Posts Events and never fails: an Event that cannot be posted is logged."""

    def __init__(self, kube: Kube, instance: str, now: Callable[[], float]) -> None:
        self._kube, self._instance, self._now = kube, instance, now
        self._keys: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._told: OrderedDict[tuple[str, str, str], _Told] = OrderedDict()

    async def post(self, subject: Subject, notice: Notice) -> None:
        if (subject.uid, notice.key) in self._keys:
            return
        try:
            await self._post(subject, notice)
        except KubeError as error:
            log.warning(
                "Event not posted: %s", error, extra={"model": f"{subject.namespace}/{subject.name}", "key": notice.key}
            )
            return
        self._keys[subject.uid, notice.key] = None
        _forget(self._keys)

    async def _post(self, subject: Subject, notice: Notice) -> None:
        kind = (subject.uid, notice.type, notice.reason)
        told, now = self._told.get(kind), self._now()
        if told is not None and now - told.at < _AGGREGATE_SECONDS and await self._count(subject, told, now):
            return
        name = event_name(subject, notice)
        try:
            await self._kube.create(EVENTS, subject.namespace, self._body(subject, notice, name, now))
        except AlreadyExistsError:
            log.debug("Event %s is there already", name)
        self._told[kind] = _Told(name, 1, now)
        _forget(self._told)

    async def _count(self, subject: Subject, told: _Told, now: float) -> bool:
        # The note of an Event is immutable: the first one stays, status and log have the newest.
        series = {"count": told.count + 1, "lastObservedTime": _micro_time(now)}
        try:
            await self._kube.merge(EVENTS, subject.namespace, told.name, {"series": series})
        except NotFoundError:
            return False
        told.count, told.at = told.count + 1, now
        return True

    def _body(self, subject: Subject, notice: Notice, name: str, now: float) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": subject.namespace},
            "eventTime": _micro_time(now),
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128] or FIELD_MANAGER,
            "type": notice.type,
            "reason": notice.reason,
            "action": notice.action,
            "note": notice.note[:_NOTE_LENGTH],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": subject.namespace,
                "name": subject.name,
                "uid": subject.uid,
            },
        }


def event_name(subject: Subject, notice: Notice) -> str:
    """A name that only this happening of this object has."""
    text = "\n".join((subject.uid, notice.reason, notice.action, notice.key))
    return f"{subject.name[:200].rstrip('.-')}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _micro_time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _forget(remembered: OrderedDict[Any, Any]) -> None:
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)
