"""Writes status: by JSON merge patch, on change only, and never over a state that it does not know."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from modelslo.act.kube import MODELSLOS, ConflictError, Kube, NotFoundError
from modelslo.act.patch import merge_patch
from modelslo.api.status import ModelSLOStatus
from modelslo.engine.clock import Clock
from modelslo.engine.fit import fitted
from modelslo.engine.registry import Registry
from modelslo.engine.significance import Significance, dumped, significance
from modelslo.engine.views import Model
from modelslo.observe.evidence import ModelKey

log = logging.getLogger(__name__)

_TRIES: Final = 4


class OutdatedError(Exception):
    """The recorded state is not the one that was decided on, or the ModelSLO is gone. Decide again."""


class StatusWriter:
    """``interval`` is the least time between two writes of mere figures, ``heartbeat`` the most between any two."""

    def __init__(self, kube: Kube, registry: Registry, clock: Clock, *, interval: float, heartbeat: float) -> None:
        self._kube, self._registry, self._clock = kube, registry, clock
        self._interval, self._heartbeat = interval, heartbeat
        self._written: dict[ModelKey, float] = {}

    def forget(self, key: ModelKey) -> None:
        self._written.pop(key, None)

    async def show(self, base: Model, status: ModelSLOStatus) -> bool:
        """Write `status`, made from ``base.status``, if it is due; tells whether it was written."""
        before, after = dumped(base.status), fitted(dumped(status))
        if not self._due(base.key, significance(before, after)):
            return False
        await self._write(base, before, after)
        return True

    async def record(self, base: Model, status: ModelSLOStatus) -> Model:
        """Write `status`, made from ``base.status``, now. When it returns, it is persisted."""
        before, after = dumped(base.status), fitted(dumped(status))
        if merge_patch(before, after):
            return await self._write(base, before, after)
        return base

    def _due(self, key: ModelKey, change: Significance) -> bool:
        age = self._clock.now() - self._written.get(key, 0.0)
        if change is Significance.FIGURES:
            return age >= self._interval
        return change is Significance.RECORDS or age >= self._heartbeat

    async def _write(self, base: Model, before: Mapping[str, Any], after: Mapping[str, Any]) -> Model:
        patch = merge_patch(before, after) | {name: None for name in base.unreadable if name not in after}
        version = base.resource_version
        for _ in range(_TRIES):
            try:
                return await self._send(base, {"metadata": {"resourceVersion": version}, "status": patch})
            except ConflictError:
                version = await self._refresh(base, before)
            except NotFoundError:
                self._registry.drop_model(base.key.namespace, base.key.name)
                raise OutdatedError(f"{base.key} is gone") from None
        raise OutdatedError(f"{base.key} changes faster than its status can be written")

    async def _send(self, base: Model, body: Mapping[str, Any]) -> Model:
        namespace, name = base.key.namespace, base.key.name
        self._registry.put_model(await self._kube.merge(MODELSLOS, namespace, name, body, "status"))
        self._written[base.key] = self._clock.now()
        return self._current(base)

    async def _refresh(self, base: Model, before: Mapping[str, Any]) -> str:
        """Somebody wrote the object. When its state is still the one we know, the version to write over."""
        try:
            body = await self._kube.get(MODELSLOS, base.key.namespace, base.key.name)
        except NotFoundError:
            self._registry.drop_model(base.key.namespace, base.key.name)
            raise OutdatedError(f"{base.key} is gone") from None
        self._registry.put_model(body)
        current = self._current(base)
        if dumped(current.status) != before:
            raise OutdatedError(f"somebody else wrote the status of {base.key}")
        return current.resource_version

    def _current(self, base: Model) -> Model:
        model = self._registry.model(base.key)
        if model is None or model.uid != base.uid:
            raise OutdatedError(f"{base.key} is gone")
        return model
