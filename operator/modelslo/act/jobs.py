"""Retrain Jobs: built from the user's template under a name that follows from the operation, created once."""

from __future__ import annotations

import copy
from typing import Any, Final

from modelslo.act.kube import JOBS, PODS, AlreadyExistsError, Body, Kube
from modelslo.act.names import API_VERSION, KIND, LABEL_MODEL, LABEL_OPERATION, label_value
from modelslo.act.result import result_of
from modelslo.act.target import ActError, Target
from modelslo.api.quantity import seconds

JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
DEFAULT_ACCOUNT: Final = "default"
# A pod's host name is the Job's name and six characters; both stay within 63.
_NAME_LENGTH: Final = 52


def job_name(model: str, operation: str) -> str:
    """Name of the Job of `operation`: the start of the model's name and all of the id."""
    return f"{model.replace('.', '-')[: _NAME_LENGTH - len(operation) - 1].rstrip('-')}-{operation}"


def build_job(target: Target, operation: str, job: str, stable_version: str, accounts: frozenset[str]) -> Body:
    """The Job, or ActError with what is wrong with its template. `accounts` are the allowed service accounts."""
    if target.spec.retrain is None:
        raise ActError("spec.retrain is gone: there is no Job to launch.")
    template = copy.deepcopy(target.spec.retrain.template)
    spec = template.get("spec")
    if not isinstance(spec, dict) or not isinstance((spec.get("template") or {}).get("spec"), dict):
        raise ActError("spec.retrain.template.spec.template.spec is missing: give a JobTemplateSpec.")
    # The result is read from the pod: nothing may delete it before.
    spec.pop("ttlSecondsAfterFinished", None)
    timeout = int(seconds(target.spec.retrain.limits.timeout))
    spec["activeDeadlineSeconds"] = min(int(spec.get("activeDeadlineSeconds") or timeout), timeout)
    pod = spec["template"]["spec"]
    _pin_account(pod, accounts)
    _add_environment(pod, operation, target, stable_version)
    labels = {LABEL_MODEL: label_value(target.name), LABEL_OPERATION: operation}
    _add_labels(spec["template"], labels)
    metadata = template.get("metadata") or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job,
            "namespace": target.namespace,
            "labels": {**(metadata.get("labels") or {}), **labels},
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_of(target)],
        },
        "spec": spec,
    }


def owner_of(target: Target) -> Body:
    """The ModelSLO as the owner of an object; deleting it never waits for that object."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": target.name,
        "uid": target.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


async def create_job(kube: Kube, job: Body) -> Body:
    """Create it, or take over the one that an earlier try of the same operation has created."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    try:
        return await kube.create(JOBS, namespace, job)
    except AlreadyExistsError:
        there = await kube.get(JOBS, namespace, name)
    wanted = job["metadata"]["labels"][LABEL_OPERATION]
    found = (there["metadata"].get("labels") or {}).get(LABEL_OPERATION, "")
    if found != wanted:
        raise ActError(f"Job {name!r} exists and is not of operation {wanted!r} but of {found!r}: delete it.")
    return there


async def read_result(kube: Kube, namespace: str, job: str) -> dict[str, str]:
    """What the Job has made."""
    return result_of(await kube.list(PODS, namespace, {JOB_NAME_LABEL: job}), job)


async def require_pod_security(kube: Kube, namespace: str) -> None:
    """ActError unless the namespace keeps pods from reaching for the node (DESIGN section 11)."""
    body = await kube.namespace(namespace)
    enforced = (body["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce", "")
    if enforced not in ("baseline", "restricted"):
        raise ActError(
            f"Namespace {namespace!r} enforces pod security {enforced or 'privileged'!r}, and retrain Jobs run only "
            "under baseline or restricted. Mend it with: kubectl label namespace "
            f"{namespace} pod-security.kubernetes.io/enforce=baseline"
        )


def _pin_account(pod: dict[str, Any], accounts: frozenset[str]) -> None:
    asked = pod.get("serviceAccountName") or pod.get("serviceAccount") or DEFAULT_ACCOUNT
    if asked not in accounts:
        if asked != DEFAULT_ACCOUNT:
            raise ActError(
                f"spec.retrain.template: service account {asked!r} is not on the operator's list (serviceAccounts)."
            )
        # Whoever may write a ModelSLO must not get at what the account may do.
        pod["automountServiceAccountToken"] = False
    pod.pop("serviceAccount", None)
    pod["serviceAccountName"] = asked


def _add_environment(pod: dict[str, Any], operation: str, target: Target, stable_version: str) -> None:
    ours = {
        "MODELSLO_OPERATION_ID": operation,
        "MODELSLO_MODEL": target.name,
        "MODELSLO_STABLE_VERSION": stable_version,
    }
    for container in [*(pod.get("initContainers") or ()), *(pod.get("containers") or ())]:
        kept = [one for one in container.get("env") or () if one.get("name") not in ours]
        container["env"] = [*kept, *({"name": name, "value": value} for name, value in ours.items())]


def _add_labels(template: dict[str, Any], labels: dict[str, str]) -> None:
    metadata = template.get("metadata") or {}
    template["metadata"] = {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}
