"""Renders the kustomizations with kubectl, which has kustomize built in."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import golang

REPO = Path(__file__).parents[3]
MANIFESTS = REPO / "manifests"


@cache
def render(folder: str) -> tuple[dict[str, Any], ...]:
    """All objects of ``manifests/<folder>``. Skips the test where no kubectl is found."""
    kubectl = golang.kubectl_at_hand()
    if kubectl is None:
        pytest.skip("there is no kubectl yet, neither on PATH nor in the cache of the test clusters")
    text = subprocess.run(
        [kubectl, "kustomize", str(MANIFESTS / folder)], check=True, capture_output=True, text=True, timeout=50
    ).stdout
    return tuple(yaml.safe_load_all(text))


def one(folder: str, kind: str, name: str) -> dict[str, Any]:
    (found,) = [o for o in render(folder) if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def load(path: str) -> list[dict[str, Any]]:
    """The documents of one file as they stand."""
    return list(yaml.safe_load_all((MANIFESTS / path).read_text(encoding="utf-8")))
