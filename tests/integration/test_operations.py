"""Operations carried out by the engine on a real control plane, from their record in status to their end.

What a decision would have recorded is put into status by hand; there is a real Prometheus and it has no losses, so that
nothing else is decided meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from modelslo.act.jobs import job_name
from modelslo.act.kube import Kube, load_configuration
from modelslo.controller.feed import Feed
from modelslo.controller.prune import KubeLister, Pruner
from modelslo.decide.revision import revision_of
from modelslo.engine.engine import Engine
from modelslo.engine.metrics import Metrics
from modelslo.engine.registry import Registry
from modelslo.engine.settings import Settings
from modelslo.observe.observer import Observer
from tests.cluster import prometheus
from tests.cluster.access import Cluster, apply_crds, wait_for
from tests.cluster.fixtures import Namespace
from tests.integration.standin import (
    FAIL,
    HOLD,
    MODEL,
    RESULT,
    START,
    Api,
    StandIn,
    deployment,
    evaluate_again,
    modelslo,
)

pytestmark = pytest.mark.cluster

OPERATION = "0123456789abcdef"
JOB = job_name(MODEL, OPERATION)
GOOD_RESULT = '{"version": "v3", "uri": "s3://models/v3", "loss": 0.2}'


@pytest.fixture(scope="module")
def node(control_plane: Cluster) -> Iterator[StandIn]:
    apply_crds(control_plane)
    with StandIn(control_plane) as standin:
        yield standin


@pytest.fixture(scope="module")
def prometheus_url() -> Iterator[str]:
    with prometheus.start({"global": {"scrape_interval": "1s"}}) as server:
        yield server.url


@dataclass
class World:
    """A namespace with a pair of Deployments and a ModelSLO."""

    namespace: Namespace
    api: Api
    url: str

    def apply(self, *bodies: Mapping[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": list(bodies)}
        self.namespace.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(items))

    def all(self, plural: str) -> list[dict[str, Any]]:
        return self.api.items(self.namespace.name, plural)

    def get(self, plural: str, name: str) -> dict[str, Any]:
        return next(one for one in self.all(plural) if one["metadata"]["name"] == name)

    def stable(self) -> dict[str, Any]:
        return self.get("deployments", f"{MODEL}-stable")

    def canary(self) -> dict[str, Any]:
        return self.get("deployments", f"{MODEL}-canary")

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.get("modelslos", MODEL).get("status", {})
        return status

    def spec(self, patch: Mapping[str, Any]) -> None:
        self.namespace.kubectl("patch", "modelslo", MODEL, "--type=merge", "-p", json.dumps({"spec": patch}))

    def evaluate_again(self) -> None:
        evaluate_again(self.namespace.kubectl, self.status)

    def record(self, operation: Mapping[str, Any], **more: Any) -> None:
        """Put the record of an operation into status, as a decision would have."""
        now = datetime.now(UTC).isoformat()
        record = {"id": OPERATION, "reason": "Test", "startedAt": now, "stepStartedAt": now, **operation}
        patch = json.dumps({"status": {"operation": record, "observedGeneration": 1, **more}})
        self.namespace.kubectl("patch", "modelslo", MODEL, "--subresource=status", "--type=merge", "-p", patch)

    def record_retrain(self) -> None:
        run = {"id": OPERATION, "job": JOB, "startedAt": datetime.now(UTC).isoformat(), "result": "Running"}
        self.record({"type": "Retrain", "step": "CreateJob", "job": JOB, "version": "v1"}, retrains=[run])

    def over(self) -> dict[str, Any]:
        """Wait for the end of the operation; the status then."""
        wait_for("the operation being over", lambda: "operation" not in self.status(), timeout=60)
        return self.status()

    def replica_sets(self, role: str) -> list[dict[str, Any]]:
        return [one for one in self.all("replicasets") if one["metadata"]["labels"].get("role") == role]


@pytest.fixture
def world(node: StandIn, namespace: Namespace, prometheus_url: str) -> Iterator[World]:
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=baseline")
    with Api(namespace.cluster) as api:
        yield World(namespace, api, prometheus_url)


@contextlib.contextmanager
def operating(world: World) -> Iterator[Metrics]:
    """The engine at work in the world's namespace, in a thread of its own."""
    stop = threading.Event()
    metrics = Metrics()
    thread = threading.Thread(target=lambda: asyncio.run(_operate(world, metrics, stop)), name="engine", daemon=True)
    thread.start()
    try:
        yield metrics
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


async def _operate(world: World, metrics: Metrics, stop: threading.Event) -> None:
    settings = Settings(prometheus_url=world.url, settle=1.0, status_interval=1.0)
    registry, observer = Registry(), Observer(threads=2)
    configuration = await load_configuration(str(world.namespace.cluster.kubeconfig))
    async with Kube(configuration) as kube:
        engine = Engine(settings, registry, kube, observer, metrics)
        pruner = Pruner(Feed(registry), KubeLister(kube, [world.namespace.name]))
        await pruner.once()
        stopping = asyncio.Event()
        running = asyncio.create_task(engine.run(stopping))
        while not stop.is_set():
            await asyncio.sleep(0.1)
            await pruner.once()
        stopping.set()
        await running
    observer.close()


def start_pair(world: World, canary: Mapping[str, Any], job: Mapping[str, str] | None = None) -> None:
    """Stable runs v1 in two pods; the ModelSLO is there; the canary as given."""
    world.apply(deployment("stable", "v1", 2), canary, modelslo(world.url, job))
    world.namespace.kubectl("wait", "--for=condition=Available", f"deployment/{MODEL}-stable", "--timeout=30s")


def record_rollout(world: World, kind: str, step: str) -> None:
    """A canary in the middle of its life, and the operation that ends it."""
    revision = revision_of(world.canary()["spec"]["template"])
    now = datetime.now(UTC).isoformat()
    rollout = {
        "revision": revision,
        "version": "v2",
        "stableVersion": "v1",
        "startedAt": now,
        "transitions": [{"startedAt": now}],
        "judgedSince": now,
        "parameters": "test",
    }
    previous = world.replica_sets("stable")[0]["metadata"]["name"]
    operation = {"type": kind, "step": step, "revision": revision, "version": "v2", "previousReplicaSet": previous}
    world.record(operation, rollout=rollout)


def test_promotion_gives_stable_the_canarys_template_under_its_own_labels(world: World) -> None:
    start_pair(world, deployment("canary", "v2", 1, {"example.com/data": "2026-10"}))
    selector = world.stable()["spec"]["selector"]
    record_rollout(world, "Promote", "CopyTemplate")
    with operating(world):
        status = world.over()
    stable, canary = world.stable(), world.canary()
    assert stable["spec"]["template"]["spec"] == canary["spec"]["template"]["spec"]
    assert stable["spec"]["template"]["metadata"]["annotations"] == {"example.com/data": "2026-10"}
    assert stable["spec"]["template"]["metadata"]["labels"] == {"app": MODEL, "role": "stable"}
    assert stable["spec"]["selector"] == selector
    assert (
        stable["spec"]["replicas"] == stable["status"]["availableReplicas"] == stable["status"]["updatedReplicas"] == 2
    )
    assert canary["spec"]["replicas"] == 0
    assert stable["metadata"]["annotations"]["modelslo.dev/operation"] == OPERATION
    assert "rollout" not in status
    assert "stableSince" in status
    # The previous ReplicaSet is there to go back to.
    assert len(world.replica_sets("stable")) == 2


def test_promotion_that_never_becomes_available_brings_the_previous_template_back(world: World) -> None:
    start_pair(world, deployment("canary", "v2", 1, {START: "never"}))
    before = world.stable()["spec"]["template"]
    record_rollout(world, "Promote", "CopyTemplate")
    with operating(world):
        status = world.over()
    stable = world.stable()
    assert stable["spec"]["template"] == before
    assert stable["status"]["availableReplicas"] == 2
    assert world.canary()["spec"]["replicas"] == 0
    assert [one["reason"] for one in status["rejectedRevisions"]] == ["PromotionFailed"]


def test_rollback_takes_the_canary_away_and_leaves_stable_alone(world: World) -> None:
    start_pair(world, deployment("canary", "v2", 1))
    generation = world.stable()["metadata"]["generation"]
    record_rollout(world, "Rollback", "ScaleCanaryDown")
    with operating(world):
        status = world.over()
        events = wait_for("both Events", lambda: _events(world, 2))
    assert world.canary()["spec"]["replicas"] == 0
    assert world.stable()["metadata"]["generation"] == generation
    assert [one["reason"] for one in status["rejectedRevisions"]] == ["Test"]
    assert sorted(one["reason"] for one in events) == ["RolledBack", "Test"]


def _events(world: World, least: int) -> list[dict[str, Any]] | None:
    mine = [one for one in world.all("events") if one["regarding"].get("kind") == "ModelSLO"]
    return mine if len(mine) >= least else None


def test_retrain_runs_one_job_and_its_candidate_becomes_the_canarys_template(world: World) -> None:
    start_pair(world, deployment("canary", "v1", 0), {RESULT: GOOD_RESULT})
    world.record_retrain()
    with operating(world):
        status = world.over()
    (job,) = world.all("jobs")
    assert job["metadata"]["name"] == JOB
    assert job["metadata"]["labels"]["modelslo.dev/operation"] == OPERATION
    assert job["metadata"]["ownerReferences"][0]["name"] == MODEL
    assert "ttlSecondsAfterFinished" not in job["spec"]
    assert job["spec"]["activeDeadlineSeconds"] == 600
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "default"
    assert pod["automountServiceAccountToken"] is False
    told = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    assert told == {
        "MODELSLO_OPERATION_ID": OPERATION,
        "MODELSLO_MODEL": MODEL,
        "MODELSLO_STABLE_VERSION": "v1",
    }
    canary = world.canary()["spec"]["template"]["spec"]["containers"][0]
    assert {one["name"]: one["value"] for one in canary["env"]} == {
        "MODEL_VERSION": "v3",
        "MODEL_URI": "s3://models/v3",
    }
    assert [(run["result"], run["version"]) for run in status["retrains"]] == [("Succeeded", "v3")]


def test_retrain_takes_over_the_job_that_an_earlier_try_created(world: World) -> None:
    start_pair(world, deployment("canary", "v1", 0), {RESULT: GOOD_RESULT})
    world.apply(_job(OPERATION, {RESULT: GOOD_RESULT}))
    uid = world.get("jobs", JOB)["metadata"]["uid"]
    world.record_retrain()
    with operating(world):
        status = world.over()
    assert [one["metadata"]["uid"] for one in world.all("jobs")] == [uid]
    assert status["retrains"][0]["result"] == "Succeeded"


def test_retrain_does_not_take_over_a_job_of_somebody_else(world: World) -> None:
    start_pair(world, deployment("canary", "v1", 0), {RESULT: GOOD_RESULT})
    world.apply(_job("another", {RESULT: GOOD_RESULT}))
    world.record_retrain()
    with operating(world):
        status = world.over()
    assert status["retrains"][0]["result"] == "Failed"
    assert "is not of operation" in status["retrains"][0]["message"]
    assert "MODEL_URI" not in json.dumps(world.canary()["spec"]["template"])


def _job(operation: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    pod = modelslo("http://none", annotations)["spec"]["retrain"]["template"]["spec"]["template"]
    labels = {"modelslo.dev/model": MODEL, "modelslo.dev/operation": operation}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": JOB, "labels": labels},
        "spec": {"backoffLimit": 0, "template": pod},
    }


@pytest.mark.parametrize(
    ("annotations", "result", "message"),
    [
        ({FAIL: "true"}, "Failed", "BackoffLimitExceeded"),
        ({RESULT: ""}, "NoResult", "is empty"),
        ({RESULT: "no json"}, "NoResult", "no JSON object"),
        ({RESULT: '{"uri": "s3://x"}'}, "NoResult", "has no 'version'"),
        ({RESULT: '{"version": "v3"}'}, "NoResult", "lacks 'uri'"),
        ({RESULT: '{"version": "v3", "uri": ["x"]}'}, "NoResult", "no text, number or truth value"),
    ],
)
def test_retrain_without_a_usable_result_changes_nothing_and_says_why(
    world: World, annotations: Mapping[str, str], result: str, message: str
) -> None:
    start_pair(world, deployment("canary", "v1", 0), annotations)
    generation = world.canary()["metadata"]["generation"]
    world.record_retrain()
    with operating(world):
        status = world.over()
    run = status["retrains"][0]
    assert run["result"] == result
    assert message in run["message"]
    assert world.canary()["metadata"]["generation"] == generation


def test_a_job_runs_only_where_pod_security_is_enforced(world: World) -> None:
    namespace = world.namespace
    namespace.cluster.kubectl("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce-")
    start_pair(world, deployment("canary", "v1", 0), {RESULT: GOOD_RESULT})
    world.record_retrain()
    with operating(world):
        status = world.over()
    assert world.all("jobs") == []
    assert "enforces pod security 'privileged'" in status["retrains"][0]["message"]


def test_a_job_under_a_service_account_that_is_not_on_the_list_is_refused(world: World) -> None:
    start_pair(world, deployment("canary", "v1", 0), {RESULT: GOOD_RESULT})
    world.spec({"retrain": {"template": {"spec": {"template": {"spec": {"serviceAccountName": "admin"}}}}}})
    world.record_retrain()
    with operating(world):
        status = world.over()
    assert world.all("jobs") == []
    assert "'admin' is not on the operator's list" in status["retrains"][0]["message"]


def test_suspend_stops_before_the_next_step_and_goes_on_afterwards(world: World, node: StandIn) -> None:
    start_pair(world, deployment("canary", "v1", 0), {RESULT: GOOD_RESULT, HOLD: "true"})
    world.record_retrain()
    with operating(world):
        wait_for("the Job", lambda: world.all("jobs"))
        wait_for("the step", lambda: world.status()["operation"]["step"] == "AwaitJob")
        world.spec({"suspend": True})
        wait_for("the new generation being seen", lambda: world.status()["observedGeneration"] == 2)
        node.release(JOB)
        world.namespace.kubectl("wait", "--for=condition=Complete", f"job/{JOB}", "--timeout=30s")
        world.evaluate_again()
        assert world.status()["operation"]["step"] == "AwaitJob"
        world.spec({"suspend": False})
        status = world.over()
    assert status["retrains"][0]["result"] == "Succeeded"


def test_dry_run_writes_nothing_but_status(world: World) -> None:
    start_pair(world, deployment("canary", "v2", 1))
    world.spec({"mode": "DryRun"})
    record_rollout(world, "Promote", "CopyTemplate")
    before = [world.stable()["metadata"]["resourceVersion"], world.canary()["metadata"]["resourceVersion"]]
    with operating(world):
        wait_for("an evaluation", lambda: "lastEvaluationTime" in world.status())
        world.evaluate_again()
    after = [world.stable()["metadata"]["resourceVersion"], world.canary()["metadata"]["resourceVersion"]]
    assert after == before
    assert world.status()["operation"]["step"] == "CopyTemplate"


def test_the_ledger_of_retrains_is_rebuilt_from_jobs_when_status_is_lost(world: World, node: StandIn) -> None:
    start_pair(world, deployment("canary", "v1", 0), {RESULT: GOOD_RESULT, HOLD: "true"})
    world.apply(_job(OPERATION, {RESULT: GOOD_RESULT, HOLD: "true"}))
    with operating(world):
        wait_for("the run being adopted", lambda: world.status().get("operation", {}).get("job") == JOB)
        node.release(JOB)
        status = world.over()
    assert len(world.all("jobs")) == 1
    assert [(run["id"], run["result"], run["version"]) for run in status["retrains"]] == [
        (OPERATION, "Succeeded", "v3")
    ]
    assert "retrain" in status["lastActions"]


def test_what_cannot_be_judged_is_stalled_and_says_why(world: World) -> None:
    start_pair(world, deployment("canary", "v1", 0))
    world.spec({"indicator": {"prometheus": {"url": "http://elsewhere.example:9090"}}})
    with operating(world):
        wait_for("Stalled", lambda: _condition(world, "Stalled"))
        assert _condition(world, "Stalled")["reason"] == "URLNotAllowed"
        world.spec({"indicator": {"prometheus": {"url": world.url}}})
        wait_for("Ready", lambda: (_condition(world, "Ready") or {}).get("status") == "True")
        assert _condition(world, "Stalled") is None


def _condition(world: World, kind: str) -> Any:
    return next((one for one in world.status().get("conditions", ()) if one["type"] == kind), None)
