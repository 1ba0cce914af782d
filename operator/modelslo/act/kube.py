"""A thin client for the API server: plain dicts in and out, every request with a time-out and our name on it.

It stands on the generated client's transport (kubeconfig, service account, TLS, token rotation) and on nothing else of
it: the generated models refuse bodies that the API server takes (see the study of the client in the design notes).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from modelslo.act.names import FIELD_MANAGER, GROUP, PLURAL, VERSION

log = logging.getLogger(__name__)

Body = dict[str, Any]
MERGE_PATCH: Final = "application/merge-patch+json"
JSON: Final = "application/json"
TIMEOUT: Final = 15.0
PAGE: Final = 500

Counter = Callable[[str, str], None]


class KubeError(Exception):
    """The API server did not do what it was asked. The message is fit for a person."""

    def __init__(self, message: str, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFoundError(KubeError):
    """404."""


class ConflictError(KubeError):
    """409: somebody changed the object since it was read."""


class AlreadyExistsError(ConflictError):
    """409 on a create."""


class ForbiddenError(KubeError):
    """401 or 403: RBAC, quota or admission said no."""


class InvalidError(KubeError):
    """400, 413 or 422: the object as asked for is not acceptable, and asking again will not help."""


class UnavailableError(KubeError):
    """No answer, 429 or 5xx: it may have happened or not, and asking again later is right."""


_BY_STATUS: Final[dict[int, type[KubeError]]] = {
    400: InvalidError,
    401: ForbiddenError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: InvalidError,
    422: InvalidError,
}


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of namespaced object, in the words of the API's paths."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, "namespaces", namespace, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


MODELSLOS: Final = Resource(GROUP, VERSION, PLURAL)
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments")
REPLICA_SETS: Final = Resource("apps", "v1", "replicasets")
JOBS: Final = Resource("batch", "v1", "jobs")
PODS: Final = Resource("", "v1", "pods")
EVENTS: Final = Resource("events.k8s.io", "v1", "events")


async def load_configuration(kubeconfig: str | None = None) -> Configuration:
    """`kubeconfig`, else the one that there is, else the pod's service account."""
    settings = Configuration()
    try:
        await config.load_kube_config(config_file=kubeconfig, client_configuration=settings)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    settings.retries = None
    return settings


@dataclass(slots=True)
class Kube:
    """Use as an async context manager, or call :meth:`close`. At most ``concurrency`` requests are in flight.

    ``count`` is told (verb, outcome) of every request."""

    settings: Configuration
    timeout: float = TIMEOUT
    concurrency: int = 16
    count: Counter = field(default=lambda verb, outcome: None)
    _client: ApiClient | None = None
    _gate: asyncio.Semaphore | None = None

    async def __aenter__(self) -> Kube:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]
            self._client = None

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        return await self._ask("get", "GET", resource.path(namespace, name))

    async def namespace(self, name: str) -> Body:
        return await self._ask("get", "GET", f"/api/v1/namespaces/{name}")

    async def list(self, resource: Resource, namespace: str, selector: Mapping[str, str]) -> list[Body]:
        """All objects of the namespace with these labels."""
        return [body async for page in self.pages(resource.path(namespace), selector) for body in page]

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        try:
            return await self._ask("create", "POST", resource.path(namespace), body)
        except ConflictError as error:
            raise AlreadyExistsError(str(error), error.status, error.reason) from None

    async def merge(
        self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], subresource: str = ""
    ) -> Body:
        """JSON merge patch (RFC 7386). With ``metadata.resourceVersion`` in it: ConflictError when outdated."""
        path = resource.path(namespace, name, subresource)
        return await self._ask("patch", "PATCH", path, dict(patch), MERGE_PATCH)

    async def pages(
        self, path: str, selector: Mapping[str, str] | None = None, limit: int = PAGE
    ) -> AsyncIterator[Sequence[Body]]:
        """A consistent list in pages. An empty value in `selector` asks for the label with any value."""
        wanted = ",".join(f"{name}={value}" if value else name for name, value in sorted((selector or {}).items()))
        query = {"limit": str(limit)} | ({"labelSelector": wanted} if wanted else {})
        while True:
            page = await self._ask("list", "GET", path, query=query)
            yield page.get("items") or []
            following = page.get("metadata", {}).get("continue")
            if not following:
                return
            query["continue"] = following

    async def _ask(
        self,
        verb: str,
        method: str,
        path: str,
        body: Body | None = None,
        content_type: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Body:
        parameters = dict(query or {})
        if method != "GET":
            parameters["fieldManager"] = FIELD_MANAGER
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        if self._gate is None:
            self._gate = asyncio.Semaphore(self.concurrency)
        try:
            # Waiting for one's turn is not the API server's fault: the time-out begins behind it.
            async with self._gate:
                answer = await self._send(method, target, body, content_type)
        except KubeError as error:
            self.count(verb, type(error).__name__)
            raise
        self.count(verb, "OK")
        return answer

    async def _send(self, method: str, target: str, body: Body | None, content_type: str) -> Body:
        if self._client is None:
            self._client = ApiClient(self.settings)
        headers = {"Accept": JSON, "Content-Type": content_type}
        try:
            request = await self._client.param_serialize(
                method, target, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            timeout = aiohttp.ClientTimeout(total=self.timeout)
            answer = await self._client.call_api(*request, _request_timeout=timeout)
            raw: bytes = await answer.read()  # type: ignore[no-untyped-call]
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise UnavailableError(f"{method} {_short(target)}: {type(error).__name__}: {error}") from error
        return _parse(method, target, int(answer.status), raw)


def _parse(method: str, target: str, status: int, raw: bytes) -> Body:
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if 200 <= status < 300 and isinstance(body, dict):
        return body
    said = body if isinstance(body, dict) else {}
    message = f"{method} {_short(target)}: {status} {said.get('message', raw[:200].decode(errors='replace'))}"
    raise _BY_STATUS.get(status, UnavailableError)(message, status, str(said.get("reason", "")))


def _short(target: str) -> str:
    return target.partition("?")[0]
