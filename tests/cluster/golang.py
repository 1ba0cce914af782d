"""The programs that are built from Go modules: Kubernetes, CoreDNS, kind and three small ones of our own."""

import os
import shutil
from pathlib import Path

from tests.cluster import versions
from tests.cluster.cache import HERE, artefact, place
from tests.cluster.shell import need, run

_KUBE = HERE / "kube"
_CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kube-proxy")


def _go() -> str:
    return need("go", "to build the test cluster's programs (https://go.dev/dl, 1.25 or newer)")


def _kube_flags() -> str:
    version = versions.KUBERNETES
    major, minor, _ = version.removeprefix("v").split(".")
    # Without these kubeadm takes itself for v0.0.0 and asks for images that are not there.
    values = {
        "k8s.io/component-base/version.gitVersion": version,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": version,
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


def kube() -> Path:
    """The folder with `kube` and the names that it goes by (etcd, kube-apiserver, ..., kubectl)."""
    flags = _kube_flags()

    def build(folder: Path) -> None:
        run([_go(), "build", "-ldflags", flags, "-o", folder / "kube", "."], cwd=_KUBE)
        for name in _CONTROL_PLANE:
            (folder / name).symlink_to("kube")

    return artefact("kube", [_KUBE, flags], build, "5 min at first, 30 s with Go's own cache warm")


def coredns() -> Path:
    """The CoreDNS program."""
    return _install("coredns", f"github.com/coredns/coredns@{versions.COREDNS}", "2-5 min at first")


def kind() -> Path:
    """The kind program."""
    return _install("kind", f"sigs.k8s.io/kind@{versions.KIND}", "20 s")


def tools() -> Path:
    """The folder with our own small programs: forward, pause, runc-fit."""
    source = HERE / "tools"

    def build(folder: Path) -> None:
        run(
            [_go(), "build", "-ldflags", "-s -w", "-o", folder, "./..."],
            cwd=source,
            env={"CGO_ENABLED": "0"},
        )

    return artefact("tools", [source], build, "10 s")


def _install(name: str, module: str, expect: str) -> Path:
    def build(folder: Path) -> None:
        env = {"GOBIN": str(folder), "CGO_ENABLED": "0"}
        run([_go(), "install", "-ldflags", "-s -w", module], env=env)

    return artefact(name, [module], build, expect) / name


def kubectl() -> Path:
    """A kubectl: that of KUBEBUILDER_ASSETS where set, else ours if Go can build it, else the one on PATH."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / "kubectl").exists():
        return Path(assets) / "kubectl"
    if shutil.which("go") is None and (there := shutil.which("kubectl")):
        return Path(there)
    return kube() / "kubectl"


def kubectl_at_hand() -> Path | None:
    """A kubectl that needs no building: the one on PATH, else ours when the cache has it."""
    if there := shutil.which("kubectl"):
        return Path(there)
    ours = place("kube", [_KUBE, _kube_flags()]) / "kubectl"
    return ours if ours.exists() else None
