"""A real Prometheus as a process of this machine, for integration tests: `with start(config) as prometheus: ...`."""

import ctypes
import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import debian, runs
from tests.cluster.access import wait_for
from tests.cluster.ports import free_port
from tests.cluster.shell import ClusterError

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def program() -> Path:
    """The prometheus program: the one on PATH, else the one of Debian's package."""
    if there := shutil.which("prometheus"):
        return Path(there)
    if not debian.is_debian():
        raise ClusterError("prometheus is needed for the integration tests: please put it on PATH")
    return debian.unpacked("prometheus") / "usr" / "bin" / "prometheus"


@dataclass
class Prometheus:
    """A running Prometheus."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    def ready(self) -> bool:
        """Whether it answers queries."""
        if self.process.poll() is not None:
            raise ClusterError("prometheus ended:\n" + (self.folder / "prometheus.log").read_text()[-2000:])
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:  # noqa: S310 - our own address
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def freeze(self) -> None:
        """Make it hang: it accepts connections and never answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def reload(self, config: Mapping[str, Any]) -> None:
        """Give it another configuration."""
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(dict(config)))
        self.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def launch(
    config: Mapping[str, Any], *, rules: Mapping[str, Any] | None = None, flags: Sequence[str] = ()
) -> Prometheus:
    """Start Prometheus on a free loopback port and wait until it is ready; `rules` becomes its rule file."""
    executable = program()
    folder, held = runs.new("prometheus")
    content = dict(config)
    if rules is not None:
        (folder / "rules.yml").write_text(yaml.safe_dump(dict(rules)))
        content["rule_files"] = [str(folder / "rules.yml")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(content))
    port = free_port()
    command = [
        str(executable),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *flags,
    ]
    try:
        with (folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[held],
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) and None,
            )
    finally:
        os.close(held)
    prometheus = Prometheus(f"http://127.0.0.1:{port}", folder, process)
    try:
        wait_for("prometheus being ready", prometheus.ready, timeout=60)
    except BaseException:
        prometheus.stop()
        raise
    return prometheus


@contextmanager
def start(
    config: Mapping[str, Any], *, rules: Mapping[str, Any] | None = None, flags: Sequence[str] = ()
) -> Iterator[Prometheus]:
    """`launch`, ended with the block."""
    prometheus = launch(config, rules=rules, flags=flags)
    try:
        yield prometheus
    finally:
        prometheus.stop()
