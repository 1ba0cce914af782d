"""What is done to the pair of Deployments. Each write rests on the version that was read, and does nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelslo.act.kube import DEPLOYMENTS, REPLICA_SETS, Body, Kube, NotFoundError
from modelslo.act.names import ANNOTATION_OPERATION
from modelslo.act.patch import merge_patch
from modelslo.act.target import ActError

_REVISION: Final = "deployment.kubernetes.io/revision"
_TEMPLATE_HASH: Final = "pod-template-hash"


async def scale(kube: Kube, namespace: str, name: str, replicas: int, operation: str) -> Body:
    """Wish for this many pods."""
    current = await kube.get(DEPLOYMENTS, namespace, name)
    if current["spec"].get("replicas", 1) == replicas:
        return current
    return await _write(kube, current, {"spec": {"replicas": replicas}}, operation)


async def copy_template(kube: Kube, namespace: str, source: str, target: str, operation: str) -> Body:
    """Give `target` the pod template of `source`; its labels and selector stay its own."""
    giver = await kube.get(DEPLOYMENTS, namespace, source)
    taker = await kube.get(DEPLOYMENTS, namespace, target)
    return await put_template(kube, taker, with_labels_of(giver["spec"]["template"], taker), operation)


async def restore_template(kube: Kube, namespace: str, name: str, replica_set: str, operation: str) -> Body:
    """Give the Deployment back the pod template that one of its ReplicaSets has kept."""
    if not replica_set:
        raise ActError(f"No ReplicaSet of Deployment {name!r} was recorded: its template cannot be restored.")
    current = await kube.get(DEPLOYMENTS, namespace, name)
    try:
        kept = await kube.get(REPLICA_SETS, namespace, replica_set)
    except NotFoundError:
        raise ActError(
            f"ReplicaSet {replica_set!r} with the previous template of Deployment {name!r} is gone (see "
            "revisionHistoryLimit): set the previous template by hand."
        ) from None
    return await put_template(kube, current, with_labels_of(kept["spec"]["template"], current), operation)


async def put_template(kube: Kube, current: Body, template: Mapping[str, Any], operation: str) -> Body:
    """Make `template` the pod template of the Deployment that was read as `current`."""
    patch = merge_patch(current["spec"]["template"], template)
    return await _write(kube, current, {"spec": {"template": patch}}, operation) if patch else current


async def current_replica_set(kube: Kube, namespace: str, name: str) -> str:
    """Name of the ReplicaSet that holds the Deployment's current template."""
    deployment = await kube.get(DEPLOYMENTS, namespace, name)
    selector = deployment["spec"]["selector"].get("matchLabels") or {}
    owned = [one for one in await kube.list(REPLICA_SETS, namespace, selector) if owned_by(one, deployment)]
    same = [one for one in owned if _same_template(one, deployment)]
    if not same:
        raise ActError(f"Deployment {name!r} has no ReplicaSet with its current template yet.")
    return str(max(same, key=_revision)["metadata"]["name"])


def with_labels_of(template: Mapping[str, Any], deployment: Body) -> Body:
    """`template`'s spec and annotations under the labels that `deployment` gives its pods."""
    own = (deployment["spec"]["template"].get("metadata") or {}).get("labels") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    metadata = {"labels": dict(own)} | ({"annotations": dict(annotations)} if annotations else {})
    return {"metadata": metadata, "spec": template["spec"]}


def owned_by(body: Body, owner: Body) -> bool:
    """Whether `owner` is the controller of `body`."""
    references = body["metadata"].get("ownerReferences") or ()
    return any(one.get("controller") and one.get("uid") == owner["metadata"]["uid"] for one in references)


async def _write(kube: Kube, current: Body, change: Body, operation: str) -> Body:
    metadata = current["metadata"]
    mark = {"resourceVersion": metadata["resourceVersion"], "annotations": {ANNOTATION_OPERATION: operation}}
    return await kube.merge(DEPLOYMENTS, metadata["namespace"], metadata["name"], {"metadata": mark, **change})


def _same_template(replica_set: Body, deployment: Body) -> bool:
    kept = with_labels_of(replica_set["spec"]["template"], deployment)
    return not merge_patch(with_labels_of(deployment["spec"]["template"], deployment), kept)


def _revision(replica_set: Body) -> int:
    text = (replica_set["metadata"].get("annotations") or {}).get(_REVISION, "0")
    return int(text) if text.isdigit() else 0
