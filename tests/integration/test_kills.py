"""kill -9 of the operator at every step of every operation: nothing is lost and nothing is done twice.

The points are enumerated from the code. At each one an operator of its own, in a namespace of its own, sees real losses
through a real Prometheus, decides, and kills itself there; another one is started, and the end must be the same as
without a kill. The cases share one control plane and run side by side.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from modelslo.api.status import OperationType
from modelslo.decide.operation import RETREAT, STEPS, Step
from modelslo.engine.failpoint import INTENT, When, point_of
from tests.cluster import prometheus
from tests.cluster.access import Cluster, apply_crds, wait_for
from tests.integration.running import Operator
from tests.integration.standin import MODEL, RESULT, START, Api, StandIn, deployment, evaluate_again, modelslo

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

SIDE_BY_SIDE: Final = 6
NO_KILL: Final = ""
KILLED: Final = -9
# Many operators on few cores: leadership is not what is tried here.
PATIENT_LEASE: Final = {
    "LEASE_DURATION": "60",
    "LEASE_RENEW_DEADLINE": "45",
    "LEASE_RETRY": "2",
    "LEASE_REQUEST_TIMEOUT": "1.9",
}
# Losses of one round; a version's mean scales them.
PATTERN: Final = (0.4, 0.7, 0.8, 0.9, 1.0, 1.0, 1.1, 1.2, 1.3, 1.6)
RATE: Final = 100.0
EDGES: Final = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Scenario:
    """What the operator meets and what must come of it, whether it is killed or not."""

    operation: OperationType
    losses: Mapping[str, float]
    canary: str
    end: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict)
    result: str = ""


SCENARIOS: Final = {
    "rollback": Scenario(
        OperationType.ROLLBACK,
        {"v1": 0.2, "v2": 0.6},
        "v2",
        {
            "stable": {"version": "v1", "replicas": 2, "generation": 1, "replicaSets": 1},
            "canary": {"version": "v2", "replicas": 0, "generation": 3, "replicaSets": 1},
            "jobs": 0,
            "retrains": [],
            "rejected": ["CanaryWorse"],
            "history": ["Start", "Rollback"],
            "events": ["CanaryWorse", "NewRevision", "RolledBack"],
        },
    ),
    "promote": Scenario(
        OperationType.PROMOTE,
        {"v1": 0.3, "v2": 0.15},
        "v2",
        {
            "stable": {"version": "v2", "replicas": 2, "generation": 2, "replicaSets": 2},
            "canary": {"version": "v2", "replicas": 0, "generation": 3, "replicaSets": 1},
            "jobs": 0,
            "retrains": [],
            "rejected": [],
            "history": ["Start", "Promote"],
            "events": ["CanaryNotWorse", "NewRevision", "Promoted"],
        },
    ),
    "retreat": Scenario(
        OperationType.PROMOTE,
        {"v1": 0.3, "v2": 0.15},
        "v2",
        {
            "stable": {"version": "v1", "replicas": 2, "generation": 3, "replicaSets": 2},
            "canary": {"version": "v2", "replicas": 0, "generation": 3, "replicaSets": 1},
            "jobs": 0,
            "retrains": [],
            "rejected": ["PromotionFailed"],
            "history": ["Start", "Promote"],
            "events": ["CanaryNotWorse", "NewRevision", "PromotionFailed"],
        },
        annotations={START: "canary"},
    ),
    "retrain": Scenario(
        OperationType.RETRAIN,
        {"v1": 0.9},
        "v1",
        {
            "stable": {"version": "v1", "replicas": 2, "generation": 1, "replicaSets": 1},
            "canary": {"version": "v3", "replicas": 1, "generation": 3, "replicaSets": 2},
            "jobs": 1,
            "retrains": [("Succeeded", "v3")],
            "rejected": [],
            "history": ["Retrain", "Start"],
            "events": ["Drift", "NewRevision", "Retrained"],
        },
        result='{"version": "v3", "uri": "s3://models/v3"}',
    ),
}


def points() -> Iterator[tuple[str, str]]:
    """Every scenario without a kill, and with one at each of its points."""
    for name, scenario in SCENARIOS.items():
        yield name, NO_KILL
        steps = RETREAT if name == "retreat" else (INTENT, *STEPS[scenario.operation])
        for step in steps:
            for when in When:
                yield name, point_of(scenario.operation, step, when)


class Exporter:
    """Shows the losses of every case to Prometheus: counters that follow from the clock alone."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, Mapping[str, float]]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # Prometheus did not wait
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.target = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def show(self, namespace: str, losses: Mapping[str, float]) -> None:
        self._began[namespace] = (time.time(), losses)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self) -> str:
        now = time.time()
        lines: list[str] = []
        for namespace, (began, losses) in list(self._began.items()):
            for version, mean in losses.items():
                labels = f'namespace="{namespace}",model_name="{MODEL}",model_version="{version}"'
                lines += _series(labels, mean, int((now - began) * RATE))
        return "\n".join(lines) + "\n"


def _series(labels: str, mean: float, count: int) -> Iterator[str]:
    """The counters after `count` predictions."""
    full, rest = divmod(count, len(PATTERN))
    times = [(full + (place < rest), share * mean) for place, share in enumerate(PATTERN)]
    for edge in EDGES:
        yield f'ml_huber_loss_bucket{{{labels},le="{edge}"}} {sum(n for n, loss in times if loss <= edge)}'
    yield f'ml_huber_loss_bucket{{{labels},le="+Inf"}} {count}'
    yield f"ml_huber_loss_count{{{labels}}} {count}"
    yield f"ml_huber_loss_sum{{{labels}}} {sum(n * loss for n, loss in times)}"
    yield f"ml_huber_loss_squares_total{{{labels}}} {sum(n * loss * loss for n, loss in times)}"
    yield f"ml_predictions_total{{{labels}}} {count}"
    yield f"ml_loss_invalid_total{{{labels}}} 0"


@dataclass
class Case:
    """One namespace and its operator."""

    cluster: Cluster
    api: Api
    namespace: str
    scenario: Scenario
    point: str
    url: str
    folder: Path

    def kubectl(self, *words: str, **more: Any) -> str:
        return self.cluster.kubectl("--namespace", self.namespace, *words, **more)

    def run(self) -> dict[str, Any]:
        """The end that was reached."""
        self._set_up()
        if self.point:
            with self._operator(self.point) as operator:
                died = wait_for("the operator's death", lambda: operator.process.poll(), timeout=180)
                assert died == KILLED, f"ended with {died}:\n{operator.text()[-4000:]}"
        with self._operator(NO_KILL) as operator:
            wait_for(f"the end of {self.scenario.operation}", self._over, timeout=180, every=0.5)
            # What is doubled would come now: two more evaluations.
            evaluate_again(self.kubectl, self._status, 6, timeout=60)
            evaluate_again(self.kubectl, self._status, 7, timeout=60)
            told = {line["digest"] for line in operator.lines() if line.get("record") == "decision"}
            unexplained = [one["action"] for one in self._status()["history"] if one["evidence"] not in told]
            assert not unexplained, f"decisions without their evidence in the log: {unexplained}"
            return self._end()

    def _set_up(self) -> None:
        self.cluster.kubectl("create", "namespace", self.namespace)
        self.cluster.kubectl("label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=baseline")
        slo = modelslo(self.url, {RESULT: self.scenario.result} if self.scenario.result else None)
        slo["spec"]["rollout"]["steps"] = ["30%"]
        pair = (
            deployment("stable", "v1", 2),
            deployment("canary", self.scenario.canary, 0, self.scenario.annotations),
        )
        for body in (*pair, slo):
            self.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(body))
        self.kubectl("wait", "--for=condition=Available", f"deployment/{MODEL}-stable", "--timeout=60s")

    def _operator(self, point: str) -> Operator:
        settings = {
            "PROMETHEUS_URL": self.url,
            "NAMESPACES": self.namespace,
            "LEASE_NAMESPACE": self.namespace,
            "SETTLE": "1",
            "STATUS_INTERVAL": "1",
            "FAILPOINT": point,
            **PATIENT_LEASE,
        }
        return Operator(self.cluster.kubeconfig, self.folder, settings=settings)

    def _over(self) -> bool:
        status = self._status()
        history = [one["action"] for one in status.get("history", ())]
        return "operation" not in status and history == self.scenario.end["history"] and self._calm()

    def _calm(self) -> bool:
        """The controllers have caught up."""
        return all(
            one["status"].get("observedGeneration") == one["metadata"]["generation"]
            and one["status"].get("availableReplicas", 0) == one["status"].get("replicas", 0) == one["spec"]["replicas"]
            for one in self._items("deployments")
        )

    def _items(self, plural: str) -> list[dict[str, Any]]:
        return self.api.items(self.namespace, plural)

    def _status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._items("modelslos")[0].get("status", {})
        return status

    def _end(self) -> dict[str, Any]:
        status = self._status()
        deployments = {one["metadata"]["name"]: one for one in self._items("deployments")}
        sets = [one["metadata"]["labels"]["role"] for one in self._items("replicasets")]
        return {
            **{role: _arm(deployments[f"{MODEL}-{role}"], sets.count(role)) for role in ("stable", "canary")},
            "jobs": len(self._items("jobs")),
            "retrains": [(run["result"], run["version"]) for run in status.get("retrains", ())],
            "rejected": [one["reason"] for one in status.get("rejectedRevisions", ())],
            "history": [one["action"] for one in status.get("history", ())],
            "events": sorted(
                one["reason"] + ("" if "series" not in one else " doubled")
                for one in self._items("events")
                if one["regarding"]["kind"] == "ModelSLO"
            ),
        }


def _arm(body: Mapping[str, Any], replica_sets: int) -> dict[str, Any]:
    container = body["spec"]["template"]["spec"]["containers"][0]
    return {
        "version": next(one["value"] for one in container["env"] if one["name"] == "MODEL_VERSION"),
        "replicas": body["spec"]["replicas"],
        "generation": body["metadata"]["generation"],
        "replicaSets": replica_sets,
    }


@pytest.fixture(scope="module")
def cases(
    request: pytest.FixtureRequest, control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[tuple[str, str], Future[dict[str, Any]]]]:
    """All selected cases under way."""
    apply_crds(control_plane)
    selected = [case for item in request.session.items for case in _cases_of(item)]
    exporter = Exporter()
    scrape = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "450ms"},
        "scrape_configs": [{"job_name": "models", "static_configs": [{"targets": [exporter.target]}]}],
    }

    root = tmp_path_factory.mktemp("kills")

    def run(number: int, scenario: str, point: str) -> dict[str, Any]:
        namespace = f"kill-{number}-{secrets.token_hex(2)}"  # apart from those of a run before
        folder = root / namespace
        folder.mkdir()
        exporter.show(namespace, SCENARIOS[scenario].losses)
        try:
            return Case(control_plane, api, namespace, SCENARIOS[scenario], point, server.url, folder).run()
        finally:
            control_plane.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")

    with (
        prometheus.start(scrape) as server,
        StandIn(control_plane),
        Api(control_plane) as api,
        ThreadPoolExecutor(SIDE_BY_SIDE) as pool,
    ):
        yield {case: pool.submit(run, number, *case) for number, case in enumerate(selected)}
        pool.shutdown(cancel_futures=True)
    exporter.close()


def _cases_of(item: pytest.Item) -> list[tuple[str, str]]:
    called = getattr(item, "callspec", None)
    ours = called is not None and getattr(item, "originalname", "") == "test_a_kill_loses_and_repeats_nothing"
    return [called.params["point"]] if called is not None and ours else []


@pytest.mark.parametrize("point", list(points()), ids=lambda case: f"{case[0]}:{case[1] or 'no kill'}")
def test_a_kill_loses_and_repeats_nothing(
    cases: Mapping[tuple[str, str], Future[dict[str, Any]]], point: tuple[str, str]
) -> None:
    assert cases[point].result() == SCENARIOS[point[0]].end


def test_no_step_of_no_operation_is_left_out() -> None:
    """Who adds an operation or a step has it killed here, or is told."""
    steps = {(kind, step) for kind in OperationType for step in (INTENT, *STEPS[kind])}
    steps |= {(OperationType.PROMOTE, step) for step in RETREAT}
    assert {step for _, step in steps} == {INTENT, *Step}
    assert {point for _, point in points()} - {NO_KILL} == {point_of(*one, when) for one in steps for when in When}
