"""The four acts. Each ends with what is read back from the cluster: Deployments, Job, status, Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from examples.flights.demo.kube import NAMESPACE, Kube
from examples.flights.demo.view import ActError, View

STABLE, CANARY, JOINER, REPLAY = "flights-stable", "flights-canary", "flights-joiner", "flights-replay"
WORSE, RECENT, SPRING = "2013-03-19", "2013-03-25", "2013-04-28"
"""From the first on `v2-bad` is clearly worse for days, from the second on `v2-good` is better; then v1 drifts."""
STABLE_PODS = 3
MIN_SAMPLES = 300
"""The gate's minSamples in modelslo.yaml."""


@dataclass(slots=True)
class Demo:
    """What the acts share."""

    kube: Kube
    view: View
    marks: list[tuple[float, str]] = field(default_factory=list)

    def mark(self, text: str) -> None:
        """Remembers a moment for the picture."""
        self.marks.append((time.time(), text))

    def deployment(self, name: str) -> dict[str, Any]:
        return self.kube.get("deployment", name)

    def version(self, name: str) -> str | None:
        return environment(self.deployment(name)).get("MODEL_VERSION")

    def start_canary(self, version: str, *, same_model: bool = False) -> None:
        """What a user or a pipeline does: another image and version in the canary's template.

        `same_model`: another version alone, of what the canary's template holds already.
        """
        there = self.deployment(CANARY)["spec"]["template"]["spec"]["containers"][0]
        container = {
            "name": there["name"],
            "image": there["image"] if same_model else f"modelslo/flights:{version}",
            "env": [{"name": "MODEL_VERSION", "value": version}],
        }
        patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
        self.kube.run("patch", "deployment", CANARY, "--namespace", NAMESPACE, "--patch", json.dumps(patch))
        self.mark(f"{version} starts as canary")
        self.view.say(f"version {version} is put into Deployment {CANARY}")

    def jump(self, date: str) -> None:
        """Moves the replay to another day; flights in the air land nowhere."""
        self.kube.post(REPLAY, "/jump", {"date": date})
        self.mark(f"jump to {date}")
        self.view.say(f"the replay jumps to {date}")

    def jump_once_served(self, date: str) -> None:
        """Moves the replay as soon as the canary has a pod: the days that it is judged on do not depend on the machine.

        A pod that takes 40 seconds is judged from three days later on, and v2-good needs weeks from 29 March on.
        """
        self.view.until("the canary's pods serve", lambda: rolled_out(self.deployment(CANARY)), within=120)
        self.jump(date)

    def canary_empty(self) -> bool:
        canary = self.deployment(CANARY)
        return canary["spec"]["replicas"] == 0 and not canary.get("status", {}).get("replicas")

    def rejected(self, version: str) -> str | None:
        """Reason for which `version` was rolled back."""
        found = [one for one in self.view.status().get("rejectedRevisions", []) if one["version"] == version]
        return str(found[-1]["reason"]) if found else None

    def condition(self, kind: str) -> tuple[str, str]:
        conditions = {one["type"]: one for one in self.view.status().get("conditions", [])}
        one = conditions.get(kind, {"status": "Unknown", "reason": ""})
        return one["status"], one["reason"]

    def idle(self) -> bool:
        status = self.view.status()
        return not status.get("operation") and not status.get("rollout")

    def serves(self, version: str) -> bool:
        """Stable serves `version` with all its pods, the canary has none, and nothing is going on."""
        stable = self.deployment(STABLE)
        settled = rolled_out(stable) and stable["status"]["replicas"] == STABLE_PODS
        return environment(stable).get("MODEL_VERSION") == version and settled and self.canary_empty() and self.idle()


def rolled_out(deployment: dict[str, Any]) -> bool:
    """Whether all its pods, of which there are some, are of its template and available."""
    there = deployment.get("status", {})
    counts = [there.get(name, 0) for name in ("updatedReplicas", "availableReplicas", "replicas")]
    seen = there.get("observedGeneration") == deployment["metadata"]["generation"]
    return bool(seen and counts[0] == counts[1] == counts[2] > 0)


def environment(deployment: dict[str, Any]) -> dict[str, str]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {one["name"]: one.get("value", "") for one in container.get("env", [])}


def check(true: bool, what: str) -> None:
    if not true:
        raise ActError(what)


def prologue(demo: Demo) -> None:
    """Stable serves, its losses are measured."""
    demo.view.until("stable serves v1 and the operator judges it", lambda: demo.serves("v1"), within=180)
    demo.view.until("losses arrive", lambda: demo.condition("DataSufficient") == ("True", "Measured"), within=90)


def act_1(demo: Demo) -> None:
    """A version that is worse by a plausible mistake is rolled back; stable is untouched."""
    before = demo.deployment(STABLE)["metadata"]["generation"]
    demo.start_canary("v2-bad")
    demo.jump_once_served(WORSE)
    demo.view.until(
        "v2-bad is rolled back because it is worse", lambda: demo.rejected("v2-bad") == "CanaryWorse", within=240
    )
    demo.mark("v2-bad rolled back")
    demo.view.until("the canary has no pod left", lambda: demo.canary_empty() and demo.idle(), within=60)
    check(demo.deployment(STABLE)["metadata"]["generation"] == before, "stable was changed by a rollback")
    check(demo.serves("v1"), "stable does not serve v1 any more")


def act_2(demo: Demo) -> None:
    """An A/A canary is not rolled back; a truly better version is promoted."""
    demo.start_canary("v1-aa")
    demo.view.until("v1-aa is judged", lambda: demo.condition("CanaryInProgress")[0] == "True", within=60)
    demo.view.until("enough of its labels are compared, or it is decided", lambda: settled(demo, "v1-aa"), within=180)
    demo.view.holds("v1-aa, the same model, is not rolled back", lambda: demo.rejected("v1-aa") is None, during=30)
    if demo.version(STABLE) == "v1-aa":
        demo.view.say("  v1-aa was found good in the meantime and promoted, which is right too")
    demo.start_canary("v2-good")
    demo.jump_once_served(RECENT)
    demo.view.until("v2-good is promoted: stable serves it with all pods", lambda: demo.serves("v2-good"), within=240)
    demo.mark("v2-good promoted")
    check(demo.rejected("v1-aa") is None, "the A/A canary was rolled back")


def act_3(demo: Demo) -> None:
    """Drift: a retrain Job trains, its candidate passes the canary and is promoted, the loss falls."""
    jobs_before = {job["metadata"]["name"] for job in demo.kube.items("jobs")}
    demo.jump(SPRING)
    demo.view.until(
        "stable burns its budget and a retrain Job is launched",
        lambda: bool({job["metadata"]["name"] for job in demo.kube.items("jobs")} - jobs_before),
        within=240,
    )
    drifted = stable_loss(demo)
    demo.mark("retrain")
    demo.view.until("the Job has a result", lambda: last_retrain(demo).get("result") == "Succeeded", within=180)
    run = last_retrain(demo)
    result = job_result(demo, run["job"])
    demo.view.say(f"  trained on {result['dataFrom']} to {result['dataTo']}, held-back loss {result['metrics']}")
    check(
        result["metrics"]["candidateLoss"] < result["metrics"]["currentLoss"],
        f"the candidate is no better on held-back flights: {result['metrics']}",
    )
    version = run["version"]
    demo.view.until(f"the candidate {version} is promoted", lambda: demo.serves(version), within=240)
    demo.mark(f"{version} promoted")
    check(
        environment(demo.deployment(STABLE)).get("MODEL_SHA256") == result["sha256"], "stable serves another model file"
    )
    new_jobs = {job["metadata"]["name"] for job in demo.kube.items("jobs")} - jobs_before
    check(len(new_jobs) == 1, f"one retrain Job was expected, there are {sorted(new_jobs)}")
    demo.view.until(
        f"the loss falls below {drifted:.0f}",
        lambda: (loss := stable_loss(demo)) == loss and loss < drifted,
        within=90,
    )


def act_4(demo: Demo, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Broken data while a canary is judged: the operator holds still, says why, and recovers by itself.

    `meanwhile` is done while it holds.
    """
    again = f"{demo.version(STABLE)}-again"
    demo.start_canary(again, same_model=True)
    demo.view.until("the losses of both roles are measured", lambda: both_measured(demo), within=120)
    demo.kube.post(JOINER, "/faults", {"invalid": "observe"})
    demo.kube.post(REPLAY, "/faults", {"nanLabels": True})
    demo.mark("NaN labels")
    demo.view.until("the loss sums of both roles are NaN", lambda: both_nan(demo, again), within=60)
    held(demo, "NaN in the losses of both roles: hold", {"NaNLoss"})
    before = [demo.deployment(name)["metadata"]["generation"] for name in (STABLE, CANARY)]
    demo.kube.post(REPLAY, "/faults", {"nanLabels": False})
    demo.kube.run("scale", "deployment", JOINER, "--namespace", NAMESPACE, "--replicas=0")
    demo.mark("the joiner is gone")
    held(demo, "the joiner is gone: hold", {"NoData", "Stale", "VersionNotSeen"})
    meanwhile()
    demo.view.holds("nothing is touched", lambda: untouched(demo, before), during=20)
    demo.kube.run("scale", "deployment", JOINER, "--namespace", NAMESPACE, "--replicas=1")
    demo.view.until("the joiner is back, and both roles are judged again", lambda: both_measured(demo), within=120)
    demo.mark("recovered")
    check(demo.rejected(again) is None, f"{again} was rolled back for data that were broken in both roles")


def settled(demo: Demo, version: str) -> bool:
    """Whether `version` was decided, or its comparison rests on as many labels as a verdict may."""
    compared = int((demo.view.status().get("comparison") or {}).get("canarySamples", 0)) >= MIN_SAMPLES
    return compared or demo.version(STABLE) == version or demo.rejected(version) is not None


def both_measured(demo: Demo) -> bool:
    status = demo.view.status()
    losses = [(status.get(role) or {}).get("loss") for role in ("stable", "canary")]
    return None not in losses and demo.condition("DataSufficient") == ("True", "Measured")


def both_nan(demo: Demo, canary: str) -> bool:
    """Whether Prometheus has NaN in the loss sums of stable's version and of the canary's."""
    now = time.time()
    query = f'sum by (model_version) (ml_huber_loss_sum{{model_version=~"{demo.version(STABLE)}|{canary}"}})'
    newest = [float(series["values"][-1][1]) for series in demo.kube.prometheus(query, start=now - 1, end=now, step=1)]
    return len(newest) == 2 and all(value != value for value in newest)


def held(demo: Demo, what: str, reasons: set[str]) -> None:
    def true() -> bool:
        status, reason = demo.condition("DataSufficient")
        return status == "False" and reason in reasons

    demo.view.until(what, true, within=90)


def untouched(demo: Demo, before: list[int]) -> bool:
    now = [demo.deployment(name)["metadata"]["generation"] for name in (STABLE, CANARY)]
    return now == before and not demo.view.status().get("operation")


def last_retrain(demo: Demo) -> dict[str, Any]:
    runs: list[dict[str, Any]] = demo.view.status().get("retrains", [])
    return runs[-1] if runs else {}


def job_result(demo: Demo, job: str) -> dict[str, Any]:
    """What the Job's pod itself wrote as its termination message."""
    for pod in demo.kube.items("pods"):
        if pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name") != job:
            continue
        for one in pod["status"].get("containerStatuses", []):
            message = one.get("state", {}).get("terminated", {}).get("message")
            if message and pod["status"]["phase"] == "Succeeded":
                result: dict[str, Any] = json.loads(message)
                return result
    raise ActError(f"no pod of Job {job} left a result")


def stable_loss(demo: Demo) -> float:
    """Mean loss of what stable serves over the last 15 seconds, from Prometheus; NaN without labels."""
    version, now = demo.version(STABLE), time.time()
    query = (
        f'sum(rate(ml_huber_loss_sum{{model_version="{version}"}}[15s]))'
        f' / sum(rate(ml_huber_loss_count{{model_version="{version}"}}[15s]))'
    )
    series = demo.kube.prometheus(query, start=now - 1, end=now, step=1)
    return float(series[0]["values"][-1][1]) if series else float("nan")


ACTS: list[tuple[str, Callable[[Demo], None]]] = [
    ("Prologue: stable serves v1, in March 2013", prologue),
    ("Act 1: a bad version is rolled back", act_1),
    ("Act 2: the same model is kept, a better one is promoted", act_2),
    ("Act 3: spring comes, the model drifts and is retrained", act_3),
    ("Act 4: broken data, nothing is touched", act_4),
]
