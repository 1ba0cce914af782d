"""What comes from Debian's archive: packages installed on this machine, or single files taken out of a package."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.cluster import cache
from tests.cluster.progress import step
from tests.cluster.shell import ClusterError, is_root, run
from tests.cluster.versions import DEBIAN


def is_debian() -> bool:
    """Whether this machine installs packages with apt."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def install(packages: Sequence[str], why: str) -> None:
    """Install packages that are missing; a clear message where that is not ours to do."""
    names = " ".join(packages)
    if not (is_debian() and is_root()):
        raise ClusterError(f"{names} needed {why}: please install (as root on Debian this is done for you)")
    env = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # 1: do not start daemons of what is installed
    with cache.lock("apt"), step(f"installing {names}", "1 min"):
        run(["apt-get", "update", "--quiet"])
        run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages], env=env)


def unpacked(package: str) -> Path:
    """The folder with the files of one package, downloaded and unpacked in the cache; nothing is installed."""

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=cache.root()) as download:
            os.chmod(download, 0o755)  # noqa: S103 - apt downloads as a user of its own
            try:
                run(["apt-get", "download", package], cwd=Path(download))
            except ClusterError:
                if not is_root():
                    raise
                run(["apt-get", "update", "--quiet"])
                run(["apt-get", "download", package], cwd=Path(download))
            (archive,) = Path(download).glob("*.deb")
            run(["dpkg-deb", "--extract", archive, folder])

    return cache.artefact(f"debian-{package}", [package], build, "20 s")


_MIRRORS = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
_NOT_NEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/bash-completion",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
)


def _mirror() -> list[str]:
    """The mirror that apt of this machine uses for the release, if it does; debootstrap knows the public one."""
    for line in run(_MIRRORS).splitlines():
        site, release, component = line.split()
        if (release, component) == (DEBIAN, "main"):
            return [site]
    return []


def tree(name: str, packages: Sequence[str], expect: str) -> Path:
    """A minimal Debian with these packages, as a folder, without documentation and translations."""
    if not (is_debian() and is_root()):
        raise ClusterError(
            f"{name} has to be made with debootstrap, which takes root on Debian. "
            "Use a machine that reaches a container registry, or run as root on Debian."
        )

    def build(folder: Path) -> None:
        if shutil.which("debootstrap") is None:
            install(["debootstrap"], f"to make {name}")
        wanted = ",".join(packages)
        run(["debootstrap", "--variant=minbase", f"--include={wanted}", DEBIAN, folder / "root", *_mirror()])
        for path in _NOT_NEEDED:
            shutil.rmtree(folder / "root" / path, ignore_errors=True)
            (folder / "root" / path).mkdir(parents=True)

    return cache.artefact(name, [DEBIAN, *packages], build, expect) / "root"
