"""ModelSLOs of a cluster, found the way kubectl finds it, with errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from modelslo.api.address import cause_of, fault_of, shown
from modelslo.api.crd import GROUP, PLURAL, VERSION
from modelslo.cli.errors import NEGATIVE, UNREACHABLE, CommandError

_POD_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_TIMEOUT: Final = (5, 30)  # seconds to connect, to answer


class Cluster:
    """The API server that the kubeconfig (or the pod) names. ``namespace`` is the one to use when none is given."""

    def __init__(self, kubeconfig: str | None = None, context: str | None = None) -> None:
        settings, self.namespace = _settings(kubeconfig, context)
        settings.retries = False
        self._host = shown(settings.host)
        fault = fault_of(settings.host) if "://" in settings.host or not settings.host else ""
        if fault:
            mend = "write such as https://10.0.0.1:6443"
            raise CommandError(
                f"the kubeconfig: clusters[].cluster.server: {self._host!r} {fault}: {mend}", UNREACHABLE
            )
        if not settings.verify_ssl:  # the kubeconfig says insecure-skip-tls-verify: kubectl is silent about it too
            urllib3.disable_warnings(InsecureRequestWarning)
        self._objects = client.CustomObjectsApi(client.ApiClient(settings))

    def model(self, namespace: str, name: str) -> dict[str, Any]:
        """One ModelSLO; CommandError when there is none."""
        return self._ask(
            lambda: self._objects.get_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, name, _request_timeout=_TIMEOUT
            ),
            f"ModelSLO {name!r} in namespace {namespace!r}",
        )

    def deployment(self, namespace: str, name: str) -> dict[str, Any] | None:
        """A Deployment; None when there is none."""
        try:
            return self._ask(
                lambda: self._objects.get_namespaced_custom_object(
                    "apps", "v1", namespace, "deployments", name, _request_timeout=_TIMEOUT
                ),
                f"Deployment {name!r} in namespace {namespace!r}",
            )
        except CommandError as error:
            if error.exit_code == NEGATIVE:
                return None
            raise

    def models(self, namespace: str | None) -> list[dict[str, Any]]:
        """The ModelSLOs of a namespace, or all."""

        def ask() -> object:
            if namespace is None:
                return self._objects.list_cluster_custom_object(GROUP, VERSION, PLURAL, _request_timeout=_TIMEOUT)
            return self._objects.list_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURAL, _request_timeout=_TIMEOUT
            )

        items: list[dict[str, Any]] = self._ask(ask, "ModelSLOs")["items"]
        return items

    def _ask(self, ask: Callable[[], object], what: str) -> dict[str, Any]:
        try:
            answer = ask()
        except ApiException as error:
            raise self._refusal(error, what) from None
        except HTTPError as error:
            said = f"the API server at {self._host} cannot be reached: {cause_of(error)}"
            raise CommandError(said, UNREACHABLE) from None
        if not isinstance(answer, dict):
            raise CommandError(f"what answers at {self._host} is no API server", UNREACHABLE)
        return answer

    def _refusal(self, error: ApiException, what: str) -> CommandError:
        status = _status_of(error)
        if error.status == 404 and not status.get("details", {}).get("name"):
            return CommandError(
                f"the cluster at {self._host} knows no ModelSLOs: install the CRD "
                "(kubectl apply --server-side -k manifests/base)",
                UNREACHABLE,
            )
        if error.status == 404:
            return CommandError(f"there is no {what}")
        if error.status == 401:
            return CommandError(f"the cluster at {self._host} does not accept your credentials: log in", UNREACHABLE)
        message = status.get("message") or error.reason
        return CommandError(f"the cluster refuses to show {what}: {message}", UNREACHABLE)


def _settings(kubeconfig: str | None, context: str | None) -> tuple[client.Configuration, str]:
    """Configuration of the client, and the default namespace."""
    settings = client.Configuration()
    try:
        config.load_kube_config(kubeconfig, context, settings)  # type: ignore[no-untyped-call]
        contexts, active = config.list_kube_config_contexts(kubeconfig)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        if kubeconfig is None and context is None:
            return _settings_of_pod(error)
        raise CommandError(f"the kubeconfig cannot be used: {error}", UNREACHABLE) from None
    except (yaml.YAMLError, TypeError, AttributeError, UnicodeDecodeError) as error:  # of a file that is no kubeconfig
        raise CommandError(f"the kubeconfig cannot be used, it is not sound: {error}", UNREACHABLE) from None
    except ValueError as error:  # urllib.parse's
        said = f"the kubeconfig: clusters[].cluster.server: {error}: write such as https://10.0.0.1:6443"
        raise CommandError(said, UNREACHABLE) from None
    chosen = next((one for one in contexts if one["name"] == context), active)
    return settings, chosen["context"].get("namespace") or "default"


def _settings_of_pod(no_kubeconfig: Exception) -> tuple[client.Configuration, str]:
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        return settings, _POD_NAMESPACE.read_text(encoding="utf-8").strip()
    except (ConfigException, OSError):
        raise CommandError(
            f"no cluster: {str(no_kubeconfig).rstrip('.')}. Set KUBECONFIG or give --kubeconfig, and see "
            "`kubectl config get-contexts`",
            UNREACHABLE,
        ) from None


def _status_of(error: ApiException) -> dict[str, Any]:
    """The Status object of a refusal; empty when a proxy or a path without resource answered."""
    try:
        status = json.loads(error.body or "")
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}
