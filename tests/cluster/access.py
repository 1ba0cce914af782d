"""A cluster as the tests see it: a kubeconfig, kubectl and the Python client. Which kind it is, they do not know."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from kubernetes import client, config

from tests.cluster.cache import REPO
from tests.cluster.golang import kubectl as kubectl_program
from tests.cluster.shell import ClusterError, run

T = TypeVar("T")


def wait_for(what: str, ask: Callable[[], T | None], timeout: float = 30, every: float = 0.1) -> T:
    """Ask until the answer is neither None nor false, and return it; fail with `what` when the time is over."""
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"not seen within {timeout:.0f} s: {what}")
        time.sleep(every)


@dataclass
class Cluster:
    """A running cluster, reached by the kubeconfig file."""

    kubeconfig: Path
    flavour: str
    """`bare` (no nodes), `kind` or `existing`."""

    def kubectl(self, *args: str, input: str | None = None, timeout: float | None = 60) -> str:  # noqa: A002 - subprocess's word
        """Run kubectl with these words and return what it printed; ClusterError with its message when it fails."""
        command: list[str | Path] = [kubectl_program(), "--kubeconfig", self.kubeconfig, *args]
        return run(command, stdin=input, timeout=timeout)

    def get(self, *args: str) -> dict[str, Any]:
        """`kubectl get ... -o json`, parsed."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *args, "-o", "json"))
        return answer

    def apply(self, manifest: str, *args: str) -> str:
        """`kubectl apply -f -` of YAML or JSON text."""
        return self.kubectl("apply", *args, "-f", "-", input=manifest)

    def client(self) -> client.ApiClient:
        """A new client of the kubernetes package for this cluster; close it (or use `with`)."""
        return cast(client.ApiClient, config.new_client_from_config(config_file=str(self.kubeconfig)))  # type: ignore[no-untyped-call]

    def answers(self) -> bool:
        """Whether the API server says it is ready."""
        try:
            return self.kubectl("get", "--raw", "/readyz", timeout=10).strip() == "ok"
        except ClusterError:
            return False


def refuse_operators(cluster: Cluster) -> None:
    """ClusterError when an operator runs here: it would act on the models of the tests beside the one under test."""
    label = "app.kubernetes.io/part-of=modelslo"
    for one in cluster.get("deployments", "--all-namespaces", "--selector", label)["items"]:
        if one["spec"]["replicas"]:
            name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
            raise ClusterError(
                f"a modelslo operator runs in this cluster and would act on the models of the tests; end it first: "
                f"kubectl scale deployment {name} --namespace {namespace} --replicas=0"
            )


def apply_crds(cluster: Cluster) -> None:
    """Apply `crds/*.yaml` server-side and wait until each is established."""
    files = sorted((REPO / "crds").glob("*.yaml"))
    if not files:
        raise ClusterError(f"no CRDs in {REPO / 'crds'}")
    for file in files:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(file))
