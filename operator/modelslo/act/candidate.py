"""Puts the result of a retrain Job into the canary's pod template."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from modelslo.act.deployments import put_template, with_labels_of
from modelslo.act.kube import DEPLOYMENTS, Body, Kube
from modelslo.act.target import ActError, Target
from modelslo.api.spec import Retrain
from modelslo.decide.progress import candidate_of


async def apply_candidate(kube: Kube, target: Target, result: dict[str, str], operation: str) -> Body:
    """Give the canary stable's template with the candidate in it; does nothing when it has that.

    The canary's own may be one that was rolled back, for a fault that the candidate would inherit.
    """
    if target.spec.retrain is None:
        raise ActError("spec.retrain is gone: nothing says how the candidate gets into the canary.")
    env, image = candidate_of(target.spec.retrain, target.rollout.version_from.env, result)
    canary = await kube.get(DEPLOYMENTS, target.namespace, target.rollout.canary.name)
    stable = await kube.get(DEPLOYMENTS, target.namespace, target.rollout.stable.name)
    sound = with_labels_of(stable["spec"]["template"], canary)
    return await put_template(kube, canary, with_candidate(sound, env, image), operation)


def missing_keys(retrain: Retrain, result: Mapping[str, str]) -> list[str]:
    """Keys of the result that the candidate takes and that are not there, or empty."""
    wanted = {
        "version",
        *retrain.candidate.env.values(),
        *([retrain.candidate.image] if retrain.candidate.image else []),
    }
    return sorted(key for key in wanted if not result.get(key))


def with_candidate(template: Mapping[str, Any], env: Mapping[str, str], image: str | None) -> Body:
    """`template` with these variables, as plain values, and this image in its first container."""
    changed: Body = copy.deepcopy(dict(template))
    container = changed["spec"]["containers"][0]
    if image is not None:
        container["image"] = image
    there = container.get("env") or []
    new = sorted(set(env) - {variable["name"] for variable in there})
    container["env"] = [
        {"name": name, "value": env[name]} if name in env else variable
        for name, variable in [*((variable["name"], variable) for variable in there), *((name, {}) for name in new)]
    ]
    return changed
