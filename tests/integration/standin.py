"""Plays the node for the pods of the tests: they become ready, and a Job's pods end, as their template says.

These pods name a scheduler that nobody is (:data:`SCHEDULER`), so that they are left to us on any cluster, also on one
that has nodes. Only their status is written; everything else (ReplicaSets, rollouts, Jobs' conditions) is done by the
real controllers. What a pod does is told by annotations of its template:

* ``test/start: never``: it is not scheduled; the Deployment runs into its deadline. A role in its place (``canary``)
  means that only pods of this role are.
* ``test/result: TEXT``: it succeeds at once and TEXT is its termination message (pods of Jobs).
* ``test/fail: "true"``: it fails at once (pods of Jobs).
* ``test/hold: "true"``: it runs on (pods of Jobs), until the stand-in's ``release`` is called with its Job's name.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tests.cluster.access import Cluster, wait_for

SCHEDULER: Final = "modelslo-stand-in"
START: Final = "test/start"
RESULT: Final = "test/result"
FAIL: Final = "test/fail"
HOLD: Final = "test/hold"
_JOB_NAME: Final = "batch.kubernetes.io/job-name"
_EVERY: Final = 0.2
# From the API server's cache: read often, and what is a moment old does.
_OURS: Final = f"/api/v1/pods?fieldSelector=spec.schedulerName={SCHEDULER}&resourceVersion=0"
PATHS: Final = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "jobs": "/apis/batch/v1",
    "events": "/apis/events.k8s.io/v1",
    "modelslos": "/apis/modelslo.dev/v1alpha1",
}


class Api:
    """Reads objects as JSON; many reads a second cost little, unlike kubectl's.

    Make it in the main thread (the client reads os.environ, which pytest changes between two tests); any may use it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.client = cluster.client()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()  # type: ignore[no-untyped-call]

    def get(self, path: str) -> dict[str, Any]:
        request = self.client.param_serialize(
            "GET", path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
        )
        answer = self.client.call_api(*request, _request_timeout=20)
        body: dict[str, Any] = json.loads(answer.read())  # type: ignore[no-untyped-call]
        if answer.status != 200:
            raise LookupError(f"{path}: {body.get('message')}")
        return body

    def items(self, namespace: str, plural: str) -> list[dict[str, Any]]:
        """All objects of a kind of :data:`PATHS` in the namespace."""
        items: list[dict[str, Any]] = self.get(f"{PATHS[plural]}/namespaces/{namespace}/{plural}")["items"]
        return items


@dataclass
class StandIn:
    """Looks after the pods of a cluster while the block lasts."""

    cluster: Cluster
    _released: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, args=(Api(self.cluster),), name="stand-in", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def release(self, job: str) -> None:
        """Let the held pods of this Job succeed."""
        self._released.add(job)

    def _run(self, opened: Api) -> None:
        with opened as api:
            while not self._stop.wait(_EVERY):
                try:
                    self._once(api)
                except (HTTPError, OSError) as error:  # a busy machine; a node would try again too
                    sys.stderr.write(f"stand-in: {error}\n")

    def _once(self, api: Api) -> None:
        core = client.CoreV1Api(api.client)
        for pod in api.get(_OURS)["items"]:
            status = None if "deletionTimestamp" in pod["metadata"] else self._next(pod)
            if status is None:
                continue
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            try:
                core.patch_namespaced_pod_status(name, namespace, {"status": status}, _request_timeout=10)
            except ApiException as error:
                if error.status not in (404, 409):
                    raise

    def _next(self, pod: Mapping[str, Any]) -> dict[str, Any] | None:
        """The status that the pod gets now; None: as it is."""
        metadata, phase = pod["metadata"], pod["status"]["phase"]
        annotations: Mapping[str, str] = metadata.get("annotations") or {}
        labels: Mapping[str, str] = metadata.get("labels") or {}
        job = labels.get(_JOB_NAME)
        if phase in ("Succeeded", "Failed") or annotations.get(START, labels.get("role")) != labels.get("role"):
            return None
        if FAIL in annotations:
            return _ended(pod, "Failed", 1, "")
        if RESULT in annotations and (HOLD not in annotations or job in self._released):
            return _ended(pod, "Succeeded", 0, annotations[RESULT])
        return _running(pod) if phase == "Pending" else None


def _running(pod: Mapping[str, Any]) -> dict[str, Any]:
    now = _now()
    conditions = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "startTime": now,
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in conditions],
        "containerStatuses": [
            {**_container(one), "ready": True, "started": True, "state": {"running": {"startedAt": now}}}
            for one in pod["spec"]["containers"]
        ],
    }


def _ended(pod: Mapping[str, Any], phase: str, code: int, message: str) -> dict[str, Any]:
    now = _now()
    state = {"terminated": {"exitCode": code, "startedAt": now, "finishedAt": now, "message": message}}
    return {
        "phase": phase,
        "startTime": now,
        "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": now}],
        "containerStatuses": [
            {**_container(one), "ready": False, "started": False, "state": state} for one in pod["spec"]["containers"]
        ],
    }


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": container["name"], "image": container["image"], "imageID": container["image"], "restartCount": 0}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- what the tests put into the cluster: a pair of Deployments and their ModelSLO

MODEL: Final = "fraud"


def deployment(role: str, version: str, replicas: int, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """One of the pair. The image follows the version, so that templates of two versions differ in more than a name."""
    labels = {"app": MODEL, "role": role}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{MODEL}-{role}", "labels": {"app": MODEL}},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 4,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": dict(annotations or {})},
                "spec": {
                    "schedulerName": SCHEDULER,
                    "terminationGracePeriodSeconds": 0,
                    "containers": [
                        {
                            "name": "server",
                            "image": f"registry.example/{MODEL}:{version}",
                            "env": [{"name": "MODEL_VERSION", "value": version}],
                            "envFrom": [{"configMapRef": {"name": f"{MODEL}-settings", "optional": True}}],
                        }
                    ],
                },
            },
        },
    }


def evaluate_again(
    kubectl: Callable[..., str], status: Callable[[], Mapping[str, Any]], least: int = 6, timeout: float = 30
) -> None:
    """Change the spec and wait for an evaluation of it: its time may be that of the one before, on a short grid."""
    patch = json.dumps({"spec": {"objective": {"minSamples": least}}})
    changed = json.loads(kubectl("patch", "modelslo", MODEL, "--type=merge", "-p", patch, "-o", "json"))
    generation = changed["metadata"]["generation"]
    wait_for("another evaluation", lambda: status()["observedGeneration"] == generation, timeout)


def modelslo(prometheus_url: str, job_annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A ModelSLO over the pair, with times of seconds."""
    pod = {
        "metadata": {"annotations": dict(job_annotations or {})},
        "spec": {
            "schedulerName": SCHEDULER,
            "restartPolicy": "Never",
            "containers": [{"name": "trainer", "image": "registry.example/trainer:1"}],
        },
    }
    return {
        "apiVersion": "modelslo.dev/v1alpha1",
        "kind": "ModelSLO",
        "metadata": {"name": MODEL},
        "spec": {
            "interval": "1s",
            "indicator": {
                "prometheus": {"url": prometheus_url, "timeout": "5s"},
                "loss": {"metric": "ml_huber_loss", "matchLabels": {"model_name": MODEL}},
            },
            "objective": {
                "target": {"value": 0.35},
                "goal": "90%",
                "window": "120s",
                "slice": "2s",
                "minSamples": 5,
                "burnRates": [{"severity": "Slow", "long": "8s", "short": "2s", "factor": 2}],
            },
            "rollout": {
                "stable": {"name": f"{MODEL}-stable"},
                "canary": {"name": f"{MODEL}-canary"},
                "steps": ["25%", "50%"],
                "stepDuration": "2s",
                "warmup": "1s",
                "gate": {"minSamples": 20, "minDuration": "2s", "deadline": "10m"},
            },
            "retrain": {
                "trigger": {"burnRate": "Slow", "sustainedFor": "2s"},
                "template": {"spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 3600, "template": pod}},
                "candidate": {"env": {"MODEL_URI": "uri"}},
                "limits": {"timeout": "10m"},
            },
            "guardrails": {"cooldown": {"rollback": "1s", "promote": "1s", "retrain": "1h"}},
        },
    }
