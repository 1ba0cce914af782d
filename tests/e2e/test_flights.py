"""The operator, from its image and under its own rights, keeps the flights model in a real cluster.

Real pods, a real Prometheus, real flights. One stage for all tests; each begins with stable v1 on 25 March 2013. Where
a verdict is awaited the replay jumps there again (or to 19 March, for `v2-bad`) once the canary has a pod: of 60 splits
of the flights from those days on each is decided right in 15 days, which are 180 seconds. Some kill the operator in the
middle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import yaml

from examples.flights.demo.acts import (
    CANARY,
    RECENT,
    SPRING,
    STABLE,
    WORSE,
    Demo,
    act_4,
    environment,
    job_result,
    last_retrain,
    prologue,
    settled,
)
from examples.flights.demo.kube import NAMESPACE, KubectlError
from examples.flights.demo.stage import OPERATOR_NAMESPACE, ROOT, raise_curtain
from tests.cluster.access import Cluster
from tests.cluster.kind import NODE
from tests.cluster.shell import run

pytestmark = [pytest.mark.kind, pytest.mark.timeout(600)]

PROMISE = ROOT / "examples/flights/modelslo.yaml"


@pytest.fixture(scope="module")
def stage(kind_cluster: Cluster) -> Demo:
    """Operator and flights, applied anew."""
    if kind_cluster.flavour != "kind":
        pytest.skip("loads images into the node and kills there, which only works with our kind cluster")
    view = raise_curtain()
    return Demo(view.kube, view)


@pytest.fixture
def demo(stage: Demo) -> Iterator[Demo]:
    """Stable v1, no canary, a ModelSLO without a past."""
    stage.kube.run("delete", "modelslo", "flights", "--namespace", NAMESPACE, "--ignore-not-found")
    for name, pods in ((STABLE, 3), (CANARY, 0)):
        put(stage, name, image="modelslo/flights:v1", version="v1", replicas=pods)
    promise(stage)
    prologue(stage)
    stage.jump(RECENT)
    yield stage
    stage.view.decisions.clear()


def promise(demo: Demo, change: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
    """Applies the demo's ModelSLO, changed where a test wants it."""
    resource = yaml.safe_load(PROMISE.read_text())
    change(resource["spec"])
    demo.kube.run("apply", "--filename", "-", stdin=json.dumps(resource))


def put(demo: Demo, name: str, *, image: str, version: str, replicas: int | None = None) -> None:
    """Sets a Deployment's image and version, and takes a retrained model's variables away."""
    deployment = demo.deployment(name)
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["image"] = image
    container["env"] = [{"name": "MODEL_VERSION", "value": version}]
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0", "value": container}]
    if replicas is not None:
        patch.append({"op": "replace", "path": "/spec/replicas", "value": replicas})
    demo.kube.run("patch", "deployment", name, "--namespace", NAMESPACE, "--type=json", "--patch", json.dumps(patch))


def in_node(*command: str) -> str:
    return run(["docker", "exec", NODE, *command], timeout=60)


def retag(name: str, as_name: str) -> None:
    """Gives a node's image a second name: what a push to a mutable tag does."""
    in_node("ctr", "-n", "k8s.io", "images", "tag", "--force", f"docker.io/{name}", f"docker.io/{as_name}")


def kill_operator(demo: Demo) -> None:
    """kill -9 of the operator's process, from the node; the kubelet starts it again."""
    before = operator_restarts(demo)
    in_node("sh", "-c", "kill -9 $(pgrep -f '[m]odelslo run')")
    demo.view.until("the killed operator is back", lambda: operator_restarts(demo) > before, within=60)


def operator_restarts(demo: Demo) -> int:
    """Containers of the operator that ended, over all its pods."""
    pods = demo.kube.items("pods", OPERATOR_NAMESPACE)
    return sum(one["restartCount"] for pod in pods for one in pod["status"].get("containerStatuses", []))


def rolled_back(demo: Demo, version: str, reason: str, within: float = 180) -> None:
    demo.view.until(f"{version}: {reason}", lambda: demo.rejected(version) == reason, within)
    demo.view.until("no canary pod is left", lambda: demo.canary_empty() and demo.idle(), within=60)
    assert demo.serves("v1")


def decisions(demo: Demo, action: str) -> list[dict[str, Any]]:
    return [one for one in demo.view.status().get("history", []) if one["action"] == action]


def test_exchanging_the_images_exchanges_the_outcomes_and_a_kill_changes_nothing(demo: Demo) -> None:
    # Given a candidate tag that holds the bad model
    retag("modelslo/flights:v2-bad", "modelslo/flights:candidate")
    put(demo, CANARY, image="modelslo/flights:candidate", version="v2")
    demo.jump_once_served(WORSE)
    # When the operator is killed as soon as it has decided to roll back
    demo.view.until("the rollback is decided", lambda: bool(decisions(demo, "Rollback")), within=240)
    kill_operator(demo)
    # Then the rollback is completed once
    rolled_back(demo, "v2", "CanaryWorse")
    assert len(decisions(demo, "Rollback")) == 1
    # Given the same YAML, and the good model under the same tag
    demo.kube.run("delete", "modelslo", "flights", "--namespace", NAMESPACE)
    retag("modelslo/flights:v2-good", "modelslo/flights:candidate")
    promise(demo)
    demo.jump_once_served(RECENT)
    # When the operator is killed in the middle of the promotion
    demo.view.until("the promotion is decided", lambda: bool(decisions(demo, "Promote")), within=240)
    kill_operator(demo)
    # Then stable serves it, once
    demo.view.until("stable serves v2", lambda: demo.serves("v2"), within=120)
    assert len(decisions(demo, "Promote")) == 1
    assert not decisions(demo, "Rollback")


def test_a_canary_inside_the_margin_is_not_rolled_back(demo: Demo) -> None:
    put(demo, CANARY, image="modelslo/flights:v2-5pct", version="v2-5pct")
    demo.view.until("enough of its labels are compared, or it is decided", lambda: settled(demo, "v2-5pct"), within=180)
    demo.view.holds("v2-5pct is not rolled back", lambda: demo.rejected("v2-5pct") is None, during=45)
    assert not decisions(demo, "Rollback")


def test_a_canary_with_nan_losses_is_rolled_back(demo: Demo) -> None:
    put(demo, CANARY, image="modelslo/flights:v2-nan", version="v2-nan")
    rolled_back(demo, "v2-nan", "CanaryInvalidLosses")


def test_an_image_that_cannot_be_pulled(demo: Demo) -> None:
    with deadline(demo, CANARY, 15):
        put(demo, CANARY, image="modelslo/flights:nowhere", version="v9")
        rolled_back(demo, "v9", "CanaryUnavailable")


def test_an_image_that_is_gone_in_mid_promotion_brings_the_previous_template_back(demo: Demo) -> None:
    # Given a good canary that waits for approval
    demo.kube.run("delete", "modelslo", "flights", "--namespace", NAMESPACE)
    promise(demo, lambda spec: spec["rollout"].update(promotion="Manual"))
    retag("modelslo/flights:v2-good", "modelslo/flights:fleeting")
    with deadline(demo, STABLE, 15):
        put(demo, CANARY, image="modelslo/flights:fleeting", version="v8")
        demo.jump_once_served(RECENT)
        demo.view.until(
            "the good canary waits for approval", lambda: demo.condition("ApprovalRequired")[0] == "True", within=240
        )
        # When its image is gone from the node, and a person approves
        in_node("ctr", "-n", "k8s.io", "images", "rm", "docker.io/modelslo/flights:fleeting")
        demo.kube.run("annotate", "modelslo", "flights", "--namespace", NAMESPACE, "modelslo.dev/approve=v8")
        # Then stable is back where it was
        rolled_back(demo, "v8", "PromotionFailed", within=180)
    assert environment(demo.deployment(STABLE))["MODEL_VERSION"] == "v1"


def test_broken_data_touch_nothing_though_the_operator_is_killed(demo: Demo) -> None:
    act_4(demo, meanwhile=lambda: kill_operator(demo))
    assert {one["action"] for one in demo.view.status()["history"]} <= {"Start", "Advance", "Hold"}


def test_drift_launches_one_retrain_though_the_operator_is_killed(demo: Demo) -> None:
    """The last one: v1's losses of spring would burn the budget of the next, and launch a retrain there."""
    jobs = {job["metadata"]["name"] for job in demo.kube.items("jobs")}
    demo.jump(SPRING)
    demo.view.until("a retrain is decided", lambda: bool(decisions(demo, "Retrain")), within=240)
    kill_operator(demo)
    demo.view.until("it has a result", lambda: last_retrain(demo).get("result") == "Succeeded", within=180)
    made = {job["metadata"]["name"] for job in demo.kube.items("jobs")} - jobs
    assert made == {last_retrain(demo)["job"]}
    result = job_result(demo, made.copy().pop())
    assert result["metrics"]["candidateLoss"] < result["metrics"]["currentLoss"]
    version = result["version"]
    demo.view.until("the candidate is promoted", lambda: demo.serves(version), within=240)
    assert environment(demo.deployment(STABLE))["MODEL_SHA256"] == result["sha256"]


class deadline:  # noqa: N801 - reads as a word of the test
    """Within it a Deployment's progress deadline is this short (seconds)."""

    def __init__(self, demo: Demo, name: str, seconds: int) -> None:
        self._demo, self._name, self._seconds = demo, name, seconds

    def __enter__(self) -> None:
        self._set(self._seconds)

    def __exit__(self, *_: object) -> None:
        with suppress(KubectlError):
            self._set(120)

    def _set(self, seconds: int) -> None:
        patch = json.dumps({"spec": {"progressDeadlineSeconds": seconds}})
        self._demo.kube.run("patch", "deployment", self._name, "--namespace", NAMESPACE, "--patch", patch)
