"""Which template and which version a Deployment serves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

# `kubectl rollout restart` changes no model.
_RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"


def revision_of(template: Mapping[str, Any]) -> str:
    """Digest of a pod template without its labels: these tell the roles apart and stay when a template is promoted."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    compared = {
        "spec": template.get("spec") or {},
        "annotations": {key: value for key, value in annotations.items() if key != _RESTARTED_AT},
    }
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:16]


def version_of(template: Mapping[str, Any], env: str) -> str | None:
    """Plain value of the variable `env` of the first container; None when it is not there or comes by reference."""
    return _plain_env(template).get(env)


def _plain_env(template: Mapping[str, Any]) -> dict[str, str]:
    containers = (template.get("spec") or {}).get("containers") or [{}]
    return {one["name"]: one["value"] for one in containers[0].get("env") or [] if one.get("value")}


def image_of(template: Mapping[str, Any]) -> str:
    """Image of the first container."""
    containers = (template.get("spec") or {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))


def carries(template: Mapping[str, Any], env: Mapping[str, str], image: str | None) -> bool:
    """Whether the first container has these plain variables and this image (None: any)."""
    have = _plain_env(template)
    return all(have.get(name) == value for name, value in env.items()) and image in (None, image_of(template))
