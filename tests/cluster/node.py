"""Our own image for kind's nodes, for machines that reach no registry: Debian packages, Go modules and `node/files`.

A tree of Debian with systemd and containerd gets our files, the Kubernetes binary, and the images of the control plane,
imported by the tree's own containerd. README.md in this folder says what of it took time to find out.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.cluster import archive, cache, debian, docker, golang
from tests.cluster.cache import HERE
from tests.cluster.progress import side_by_side, step
from tests.cluster.shell import run
from tests.cluster.versions import KUBERNETES

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "containerd", "runc", "iptables", "iproute2", "conntrack", "ethtool", "socat"),
    *("mount", "kmod", "procps", "ca-certificates", "containernetworking-plugins", "hostname"),
)
_RUN_UNITS = ("containerd", "kubelet", "podnet", "volumes", "node-ready")
# What a machine needs and a node must not do.
_MASKED_UNITS = (
    *("systemd-logind.service", "systemd-timesyncd.service", "systemd-networkd.service", "systemd-resolved.service"),
    *("getty.target", "console-getty.service", "systemd-udevd.service", "systemd-modules-load.service"),
    *("systemd-random-seed.service", "systemd-update-utmp.service", "apt-daily.timer", "apt-daily-upgrade.timer"),
    *("dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer", "logrotate.timer", "man-db.timer"),
)
_SKELETON = {
    **dict.fromkeys(("usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local", "usr/local/bin"), 0o755),
    **dict.fromkeys(("etc", "var", "run", "root"), 0o755),
    "tmp": 0o1777,
}
_MERGED = {name: f"usr/{name}" for name in ("bin", "sbin", "lib", "lib64")}
_XTABLES = Path("usr/lib/x86_64-linux-gnu/xtables")
_PATH = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin"]


def _base() -> Path:
    return debian.tree("debian-node", PACKAGES, "2 min")


def warm() -> None:
    """Make the parts, side by side."""
    side_by_side(_base, lambda: (golang.kube(), golang.coredns(), golang.tools()))


def image() -> str:
    """The tag of the node image, built when the Docker daemon does not have it."""
    warm()
    parts = [_base(), golang.kube(), golang.coredns(), golang.tools()]
    sources = [HERE / "node", HERE / "node.py", HERE / "archive.py"]
    tag = f"modelslo/node:{KUBERNETES}-{cache.digest([*(part.parent.name + part.name for part in parts), *sources])}"
    with cache.lock("node"):
        if not docker.has_image(tag):
            with step("assembling the node image", "1 min"):
                _assemble(tag)
    return tag


def _assemble(tag: str) -> None:
    with tempfile.TemporaryDirectory(dir=cache.root(), prefix="node-") as temporary:
        root = Path(temporary) / "root"
        run(["cp", "-a", "--reflink=auto", _base(), root])
        images = _control_plane_images(root)
        _furnish(root, pause=next(image.name for image in images if "/pause:" in image.name))
        archive.write(root / "images.tar", images)
        _import_images(root)
        (root / "images.tar").unlink()
        tree = f"{tag}-tree"
        docker.import_tree(root, tree)
    with tempfile.TemporaryDirectory() as context:
        text = (HERE / "node" / "Dockerfile").read_text()  # an import takes no STOPSIGNAL, a build does
        (Path(context) / "Dockerfile").write_text(text)
        docker.build(tag, Path(context), {"TREE": tree})


def _furnish(root: Path, pause: str) -> None:
    shutil.copytree(HERE / "node" / "files", root, dirs_exist_ok=True)
    settings = root / "etc/containerd/config.toml"
    settings.write_text(settings.read_text().replace("@PAUSE@", pause))
    shutil.copy2((golang.kube() / "kube").resolve(), root / "usr/bin/kube")
    for name in ("kubeadm", "kubelet", "kubectl"):
        (root / "usr/bin" / name).symlink_to("kube")
    (root / "kind/version").write_text(f"{KUBERNETES}\n")
    for folder in ("etc/cni/net.d", "opt/cni", "etc/kubernetes/manifests"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "opt/cni/bin").symlink_to("/usr/lib/cni")
    units = root / "etc/systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    for name in _RUN_UNITS:
        _link(wanted / f"{name}.service", f"/etc/systemd/system/{name}.service")
    for name in _MASKED_UNITS:
        _link(units / name, "/dev/null")
    _link(units / "default.target", "/lib/systemd/system/multi-user.target")


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _import_images(root: Path) -> None:
    """Import images.tar with the tree's own containerd, in mount and process namespaces that end with it."""
    shutil.copy2(HERE / "node" / "import-images", root / "import-images")
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
    run([*namespaces, "chroot", root, "/bin/sh", "/import-images"], timeout=300)
    (root / "import-images").unlink()


def _libraries(root: Path, programs: Sequence[str]) -> dict[str, Path | bytes]:
    """The shared libraries of programs of the tree."""
    done = subprocess.run(["chroot", str(root), "ldd", *programs], capture_output=True, text=True, check=False)
    found = set(re.findall(r"(/\S+\.so\S*)", done.stdout)) - {f"{program}:" for program in programs}
    return {_merged(path): root / path.lstrip("/") for path in sorted(found)}


def _merged(path: str) -> str:
    """Images keep everything under /usr, as Debian does."""
    return path if path.startswith("/usr") else f"/usr{path}"


def _control_plane_images(root: Path) -> list[archive.Image]:
    """The images that kubeadm asks for, by the names it gives them."""
    kube = _kube_layer(root)
    images = []
    for name in _kubeadm_images():
        layers, config = [kube], dict[str, Any](Env=_PATH)
        match name.rsplit("/", 1)[-1].split(":")[0]:
            case "coredns":
                layers, config = [archive.Layer(files={"coredns": golang.coredns()})], {"Entrypoint": ["/coredns"]}
            case "pause":
                layers = [archive.Layer(files={"pause": golang.tools() / "pause"})]
                config = {"Entrypoint": ["/pause"], "User": "65535:65535"}
            case "kube-proxy":
                layers = [kube, _network_layer(root)]
        images.append(archive.Image(name, layers, config))
    return images


def _kubeadm_images() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        kubeadm = Path(folder) / "kubeadm"
        kubeadm.symlink_to((golang.kube() / "kube").resolve())
        return run([kubeadm, "config", "images", "list", "--kubernetes-version", KUBERNETES]).split()


def _kube_layer(root: Path) -> archive.Layer:
    users = b"root:x:0:0:root:/root:/bin/false\nnonroot:x:65532:65532::/:/bin/false\n"
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd")
    return archive.Layer(
        files={
            **_libraries(root, ["/bin/true"]),
            "usr/local/bin/kube": golang.kube() / "kube",
            "etc/passwd": users,
        },
        links={**_MERGED, **{f"usr/local/bin/{name}": "kube" for name in programs}},
        folders=_SKELETON,
    )


def _network_layer(root: Path) -> archive.Layer:
    """What kube-proxy runs; the libraries of iptables' plug-ins too, or Services with two endpoints fail."""
    plugins = {f"{_XTABLES}/{p.name}": p for p in sorted((root / _XTABLES).iterdir()) if p.is_file()}
    tools = ("/usr/sbin/xtables-nft-multi", "/usr/sbin/xtables-legacy-multi", "/usr/sbin/conntrack", "/usr/bin/kmod")
    common = _libraries(root, ["/bin/true"])
    libraries = _libraries(root, [*tools, *(f"/{name}" for name in plugins)])
    names = [f"{ip}{verb}" for ip in ("iptables", "ip6tables") for verb in ("", "-save", "-restore")]
    return archive.Layer(
        files={
            **{tool: root / tool.lstrip("/") for tool in tools},
            **{name: path for name, path in libraries.items() if name not in common},
            **plugins,
        },
        links={**{f"usr/sbin/{name}": "xtables-nft-multi" for name in names}, "usr/sbin/modprobe": "/usr/bin/kmod"},
    )
