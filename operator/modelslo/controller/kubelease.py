"""The Lease in the API server. Synchronous and with a client of its own, for the thread of :mod:`.lease`."""

from __future__ import annotations

import json
from typing import Any, Final

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from modelslo.controller.lease import LeaseConflictError, LeaseError, LeaseRecord

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_MULTIPLE_CHOICES: Final = 300


def configuration() -> client.Configuration:
    """How to reach the API server: the kubeconfig where there is one, else the pod's service account."""
    settings = client.Configuration()
    try:
        config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    # Whoever holds a deadline does his own retries.
    settings.retries = False
    return settings


class KubeLeaseStore:
    """One Lease object, by namespace and name."""

    def __init__(self, namespace: str, name: str, timeout: float, settings: client.Configuration | None = None) -> None:
        self._namespace, self._name, self._timeout = namespace, name, timeout
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._client = client.ApiClient(settings or configuration())

    def read(self) -> LeaseRecord | None:
        status, body = self._ask("GET", f"{self._path}/{self._name}")
        return None if status == _NOT_FOUND else _record(body)

    def create(self, record: LeaseRecord) -> LeaseRecord:
        return _record(self._ask("POST", self._path, self._body(record))[1])

    def replace(self, record: LeaseRecord) -> LeaseRecord:
        return _record(self._ask("PUT", f"{self._path}/{self._name}", self._body(record))[1])

    def _body(self, record: LeaseRecord) -> dict[str, Any]:
        metadata: dict[str, Any] = {"name": self._name, "namespace": self._namespace}
        if record.version:
            metadata["resourceVersion"] = record.version
        spec: dict[str, Any] = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": max(1, round(record.duration)),
            "leaseTransitions": record.transitions,
        }
        spec |= {"acquireTime": record.acquired} if record.acquired else {}
        spec |= {"renewTime": record.renewed} if record.renewed else {}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        try:
            request = self._client.param_serialize(
                method,
                path,
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=self._timeout)
            data: bytes = answer.read()  # type: ignore[no-untyped-call]
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise LeaseError(f"{method} {path}: {error}") from error
        return self._parse(method, path, answer.status, data)

    def _parse(self, method: str, path: str, status: int, data: bytes) -> tuple[int, dict[str, Any]]:
        if status == _CONFLICT:
            raise LeaseConflictError(f"{method} {path}: {status}")
        if status == _NOT_FOUND and method == "GET":
            return status, {}
        try:
            parsed = json.loads(data)
        except ValueError as error:
            raise LeaseError(f"{method} {path}: {status}, no JSON") from error
        if status >= _MULTIPLE_CHOICES:
            raise LeaseError(f"{method} {path}: {status} {parsed.get('message', '')}")
        return status, parsed


def _record(body: dict[str, Any]) -> LeaseRecord:
    spec = body.get("spec", {})
    return LeaseRecord(
        holder=spec.get("holderIdentity") or "",
        duration=float(spec.get("leaseDurationSeconds") or 1),
        transitions=spec.get("leaseTransitions") or 0,
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        version=body.get("metadata", {}).get("resourceVersion", ""),
    )
