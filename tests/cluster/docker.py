"""The Docker daemon: the one that is there is used as it is; as root on Debian a missing one is installed and started.

Our own daemon keeps its data in the cache folder; its runtime is `runc-fit` where the machine lacks CAP_SYS_RESOURCE.
Where no registry can be reached, packets from its containers to anything outside are refused at once: nothing that a
test cluster does leaves the machine, and nothing waits for an answer that cannot come.
"""

import functools
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.cluster import cache, debian, golang
from tests.cluster.access import wait_for
from tests.cluster.progress import say, step
from tests.cluster.shell import ClusterError, is_root, need, run, succeeds
from tests.cluster.versions import PYTHON_IMAGE

_PROBE_SECONDS = 15
_PROBE_LASTS = 3600
_CAP_SYS_RESOURCE = 24


def _home() -> Path:
    path = cache.root() / "docker"
    path.mkdir(exist_ok=True)
    return path


def answers() -> bool:
    """Whether a Docker daemon answers."""
    return shutil.which("docker") is not None and succeeds(["docker", "version"], timeout=15)


def ensure() -> None:
    """Make sure that a Docker daemon answers."""
    if not answers():
        with cache.lock("docker"):
            if not answers():
                _install_and_start()
    if keeps_in():
        _no_way_out()


def _install_and_start() -> None:
    if not (is_root() and debian.is_debian()):
        raise ClusterError(
            "no Docker daemon answers: please start or install Docker (https://docs.docker.com/engine/install)"
        )
    packages = {"dockerd": "docker.io", "docker": "docker.io", "containerd": "containerd", "iptables": "iptables"}
    missing = sorted({package for program, package in packages.items() if shutil.which(program) is None})
    if missing:
        debian.install(missing, "for kind")
    if not answers():  # the package may have started its daemon
        with step("starting dockerd"):
            _start()


# The daemon goes on when we end. A Popen of something that runs must not be collected: that is a ResourceWarning.
_OUTLIVING: Final[list[subprocess.Popen[bytes]]] = []


def _start() -> None:
    home = _home()
    settings: dict[str, object] = {"data-root": str(home / "data"), "storage-driver": "overlay2"}
    if not _has_capability(_CAP_SYS_RESOURCE):
        settings["runtimes"] = {"runc-fit": {"path": str(golang.tools() / "runc-fit")}}
        settings["default-runtime"] = "runc-fit"
    (home / "daemon.json").write_text(json.dumps(settings))
    (home / "docker.pid").unlink(missing_ok=True)  # of a daemon that is gone: nobody answered
    command = ["dockerd", "--config-file", str(home / "daemon.json"), "--pidfile", str(home / "docker.pid")]
    with (home / "dockerd.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=home
        )
    _OUTLIVING.append(process)

    def up() -> bool:
        if process.poll() is not None:
            said = (home / "dockerd.log").read_text(errors="replace").splitlines()[-10:]
            raise ClusterError("dockerd ended:\n" + "\n".join(said))
        return answers()

    wait_for("dockerd answering", up, timeout=60)


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return True


def _own_pid() -> int | None:
    """The process id of the daemon that we started, while it runs."""
    try:
        pid = int((_home() / "docker.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(str(_home())) in command else None


def keeps_in() -> bool:
    """Whether containers have no way out: so it is on the daemon that we started, where no registry is reached."""
    return _own_pid() is not None and not registry_reachable()


def stop_own() -> bool:
    """End the daemon if it is ours; its images stay in the cache. Says whether there was one."""
    pid = _own_pid()
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    wait_for("dockerd ending", lambda: _own_pid() is None, timeout=60)
    return True


@functools.cache
def registry_reachable() -> bool:
    """Whether public images can be pulled; asked once an hour, and for no longer than a few seconds."""
    known = cache.root() / "registry.json"
    try:
        told = json.loads(known.read_text())
        if time.time() - told["asked"] < _PROBE_LASTS:
            return bool(told["reachable"])
    except (OSError, ValueError, KeyError):
        pass
    reachable = succeeds(["docker", "manifest", "inspect", PYTHON_IMAGE], timeout=_PROBE_SECONDS)
    if not reachable:
        say("no container registry can be reached: base images and the node image are made here")
    known.write_text(json.dumps({"asked": time.time(), "reachable": reachable}))
    return reachable


def _outside_interfaces() -> list[str]:
    """The interfaces that default routes of this machine leave by."""
    lines = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    return sorted({fields[0] for fields in lines if fields[1] == "00000000" and fields[7] == "00000000"})


def _no_way_out() -> None:
    """Refuse packets from containers to the outside (chain DOCKER-USER is there for rules like this)."""
    iptables = need("iptables", "to keep the cluster's packets in")
    replies = (["-j", "REJECT"], ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"])
    for bridge in ("br-+", "docker0"):
        for outside in _outside_interfaces():
            for reply in replies:  # each goes to the top, so the one for TCP comes first
                rule = ["DOCKER-USER", "-i", bridge, "-o", outside, *reply]
                if not succeeds([iptables, "-w", "-C", *rule]):
                    run([iptables, "-w", "-I", *rule])


def has_image(tag: str) -> bool:
    """Whether the daemon has an image of this tag."""
    return succeeds(["docker", "image", "inspect", "--format", "{{.Id}}", tag])


def user_of(tag: str) -> str:
    """The user that an image runs as."""
    return run(["docker", "image", "inspect", "--format", "{{.Config.User}}", tag]).strip()


def import_tree(tree: Path, tag: str) -> None:
    """Make an image of one layer out of a folder."""
    with subprocess.Popen(
        ["tar", "-C", str(tree), "--numeric-owner", "--xattrs", "-c", "."], stdout=subprocess.PIPE
    ) as tar:
        done = subprocess.run(
            ["docker", "import", "-", tag], stdin=tar.stdout, capture_output=True, text=True, check=False
        )
    if tar.returncode != 0 or done.returncode != 0:
        raise ClusterError(f"docker import of {tag} failed: {done.stderr}")


def build(tag: str, context: Path, arguments: dict[str, str] | None = None) -> None:
    """`docker build` of a context folder that has a Dockerfile at its top."""
    values = [word for name, value in (arguments or {}).items() for word in ("--build-arg", f"{name}={value}")]
    env = {} if succeeds(["docker", "buildx", "version"]) else {"DOCKER_BUILDKIT": "0"}
    run(["docker", "build", "--quiet", "--tag", tag, *values, context], env=env)
