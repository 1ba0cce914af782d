"""The stage: the cluster, the images, and a fresh set of everything that plays."""

from __future__ import annotations

import time
from pathlib import Path

from examples.flights.demo.kube import NAMESPACE, Kube, KubectlError
from examples.flights.demo.view import View
from tests.cluster import golang, images, kind

ROOT = Path(__file__).resolve().parents[3]
OPERATOR_NAMESPACE = "modelslo-system"


def raise_curtain(view_of: type[View] = View) -> View:
    """Cluster up, images in it, everything from before gone, everything applied anew."""
    began = time.monotonic()
    cluster = kind.up()
    kube = Kube(golang.kubectl(), cluster.kubeconfig)
    view = view_of(kube)
    view.took("cluster", began)
    began = time.monotonic()
    tags = images.load("operator", "prometheus", "flights")
    view.took("images", began)
    began = time.monotonic()
    clear(kube)
    kube.run("apply", "--server-side", "--force-conflicts", "--kustomize", str(ROOT / "manifests/overlays/demo"))
    image = f"operator={tags['operator']}"
    kube.run("set", "image", "deployment/modelslo-operator", image, "--namespace", OPERATOR_NAMESPACE)
    kube.run("apply", "--kustomize", str(ROOT / "examples/flights/manifests"))
    kube.run("apply", "--filename", str(ROOT / "examples/flights/modelslo.yaml"))
    rolled_out(kube, "modelslo-operator", OPERATOR_NAMESPACE)
    for name in ("prometheus", "flights-joiner", "flights-stable", "flights-replay"):
        rolled_out(kube, name, NAMESPACE)
    view.took("deploy", began)
    return view


def rolled_out(kube: Kube, name: str, namespace: str) -> None:
    kube.run("rollout", "status", f"deployment/{name}", "--namespace", namespace, "--timeout=180s", timeout=200)


def clear(kube: Kube) -> None:
    """Removes what an earlier demo left."""
    for namespace in (NAMESPACE, OPERATOR_NAMESPACE):
        kube.run("delete", "namespace", namespace, "--ignore-not-found", "--timeout=180s", timeout=200)


def operator_log(kube: Kube) -> str:
    """The operator's newest lines, for an act that failed."""
    try:
        return kube.run(
            "logs", "deployment/modelslo-operator", "--namespace", OPERATOR_NAMESPACE, "--tail=40", timeout=30
        )
    except KubectlError as error:
        return str(error)
