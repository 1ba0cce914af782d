"""Where the bench happens: API server with an audit log, exporter, Prometheus, the fleet's objects, the operator.

The control plane has no controllers: the status of the Deployments is played once and stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from kubernetes import client

from tests.bench.fleet import NAMESPACES, Mix, Served, Shape, fleet
from tests.bench.meters import AUDIT_POLICY, Samples, fetched
from tests.cluster import bare, prometheus
from tests.cluster.access import Cluster, apply_crds, wait_for
from tests.cluster.ports import free_port
from tests.integration.running import ACCOUNT, SYSTEM, Operator, install_rights, operator_kubeconfig

USER = f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
_WRITERS = 8
# Evaluations that the figures of a version are summed over, and the least time between two writes of figures.
_CELLS = 20
_TURN = 60
Body = dict[str, Any]


@dataclass
class Site:
    """Everything but the operator."""

    cluster: Cluster
    prometheus: prometheus.Prometheus
    exporter: str
    models: tuple[Served, ...]
    shape: Shape
    folder: Path
    audit: Path | None
    began: float

    def operator(self, name: str = "operator", **other: str) -> Operator:
        """To be entered. What is not said here or in `other` settings has the defaults of a user's operator."""
        settings = {
            "PROMETHEUS_URL": self.prometheus.url,
            "SETTLE": str(self.shape.settle),
            "LEASE_DURATION": "15",
            "LEASE_RENEW_DEADLINE": "10",
            "LEASE_RETRY": "2",
            "LEASE_REQUEST_TIMEOUT": "1.8",
            **other,
        }
        kubeconfig = operator_kubeconfig(self.cluster, self.folder)
        return Operator(kubeconfig, self.folder, name, settings)

    def statuses(self) -> dict[tuple[str, str], Body]:
        """The status of every ModelSLO, by namespace and name."""
        listed = json.loads(self.cluster.kubectl("get", "--raw", "/apis/modelslo.dev/v1alpha1/modelslos"))
        return {(o["metadata"]["namespace"], o["metadata"]["name"]): o.get("status", {}) for o in listed["items"]}

    def full_at(self) -> float:
        """When the window of every ModelSLO is full of whole slices, and the operator has seen it."""
        shape = self.shape
        return self.began + max(shape.windows) + 2 * shape.slice + shape.settle + shape.interval

    def steady_at(self) -> float:
        """When every sliding figure has become steady and is written, which may wait for its turn."""
        return max(self.full_at(), self.began + _CELLS * self.shape.interval + self.shape.settle) + _TURN


@contextmanager
def site(models: int, shape: Shape, *, mix: Mix = Mix.MIXED, cluster: Cluster | None = None) -> Iterator[Site]:
    """`cluster`: use this one, without an audit log, instead of a control plane of one's own."""
    with tempfile.TemporaryDirectory(prefix="modelslo-bench-") as folder, _exporter(models, shape, mix) as exporter:
        began = time.time()
        with prometheus.start(_scraped(exporter, shape)) as scraper:
            if cluster is not None:
                yield _furnished(Site(cluster, scraper, exporter, (), shape, Path(folder), None, began), models, mix)
                return
            policy, audit = Path(folder, "audit.json"), Path(folder, "audit.log")
            policy.write_text(json.dumps(AUDIT_POLICY))
            flags: dict[str, str | Path] = {"audit-policy-file": policy, "audit-log-path": audit}
            with bare.start(api_only=True, api_flags=flags) as own:
                yield _furnished(Site(own, scraper, exporter, (), shape, Path(folder), audit, began), models, mix)


def _furnished(place: Site, models: int, mix: Mix) -> Site:
    apply_crds(place.cluster)
    install_rights(place.cluster)
    place.models = fleet(models, place.shape, mix)
    for namespace in NAMESPACES:
        place.cluster.kubectl("create", "namespace", namespace)
    create(place.cluster, place.models)
    return place


def _scraped(exporter: str, shape: Shape) -> Body:
    return {
        "global": {"scrape_interval": f"{shape.scrape}s", "scrape_timeout": f"{shape.scrape}s"},
        "scrape_configs": [
            # The series name the namespace of their model themselves: one process speaks for all.
            {"job_name": "fleet", "honor_labels": True, "static_configs": [{"targets": [exporter]}]}
        ],
    }


@contextmanager
def _exporter(models: int, shape: Shape, mix: Mix) -> Iterator[str]:
    """The exporter's process; its host:port."""
    port = free_port()
    words = ["--models", str(models), "--port", str(port), "--shape", shape.dumps(), "--mix", mix]
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.exporter", *words], stdin=subprocess.DEVNULL)

    def answers() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the exporter ended with {process.returncode}")
        try:
            return bool(fetched(f"http://127.0.0.1:{port}/metrics"))
        except OSError:
            return False

    try:
        wait_for("the exporter", answers, timeout=30)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def create(cluster: Cluster, models: Iterable[Served]) -> None:
    """Deployments, their played status, and only then the ModelSLOs: the operator finds a finished world."""
    with cluster.client() as api:
        apps, custom = client.AppsV1Api(api), client.CustomObjectsApi(api)

        def deployments(model: Served) -> None:
            for body in model.deployments():
                name, role = body["metadata"]["name"], body["metadata"]["name"].rpartition("-")[2]
                apps.create_namespaced_deployment(model.namespace, cast(Any, body), _preload_content=False)
                apps.patch_namespaced_deployment_status(
                    name, model.namespace, model.played(role), _preload_content=False
                )

        def resource(model: Served) -> None:
            custom.create_namespaced_custom_object(
                "modelslo.dev", "v1alpha1", model.namespace, "modelslos", model.resource()
            )

        _all(deployments, models)
        _all(resource, models)


def remove(cluster: Cluster) -> None:
    """Take the fleet's objects away from a cluster that others use as well."""
    for namespace in NAMESPACES:
        for kind in ("modelslos.modelslo.dev", "deployments"):
            cluster.kubectl("--namespace", namespace, "delete", kind, "--all", "--wait=false")
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _all(work: Callable[[Served], None], models: Iterable[Served]) -> None:
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(work, models):
            pass


def metrics(operator: Operator) -> Samples:
    return Samples(operator.ask("/metrics")[1])
