"""Starts the processes of a bare control plane and ends them all when it ends; run as `python supervisor.py PLAN`.

It is the first process of the cluster's own namespaces where there are any. Its standard input is a pipe from the
process that wanted the cluster: when that one is gone, the pipe ends and so does everything here. Lines on the pipe are
orders: `signal NAME NUMBER` and `restart NAME`, for fault tests. Needs the standard library only.
"""

import ctypes
import fcntl
import json
import os
import selectors
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_libc = ctypes.CDLL(None, use_errno=True)


def loopback_up() -> None:
    """Bring `lo` of a new network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", answer)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


class Supervisor:
    """The processes of one plan."""

    def __init__(self, plan: dict[str, Any], folder: Path) -> None:
        self.folder = folder
        self.specs: dict[str, dict[str, Any]] = {
            spec["name"]: spec for stage in plan["stages"] for spec in stage["start"]
        }
        self.stages: list[dict[str, Any]] = plan["stages"]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self.pending = b""

    def start(self, name: str) -> None:
        """Start one process of the plan; it dies with this one and writes NAME.log."""
        spec = self.specs[name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                spec["command"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                pass_fds=spec.get("fds", []),
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) and None,
            )

    def turn(self, seconds: float) -> None:
        """Obey what comes in for a while, then look whether everything still runs."""
        for _ in self.selector.select(seconds):
            data = os.read(sys.stdin.fileno(), 4096)
            if not data:
                raise SystemExit("the process that started this cluster is gone")
            *lines, self.pending = (self.pending + data).split(b"\n")
            for line in lines:
                self.obey(line.decode().split())
        for name, process in self.running.items():
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with {process.returncode}: see {self.folder / name}.log")

    def obey(self, words: list[str]) -> None:
        """Carry out one order."""
        match words:
            case ["signal", name, number]:
                self.running[name].send_signal(int(number))
            case ["restart", name]:
                self.running[name].kill()
                self.running[name].wait()
                self.start(name)
            case _:
                raise SystemExit(f"unknown order {words}")

    def run(self) -> None:
        """Start stage after stage, each when the one before is ready, then watch."""
        for stage in self.stages:
            for spec in stage["start"]:
                self.start(spec["name"])
            while "ready" in stage and not answers(stage["ready"], stage["token"]):
                self.turn(0.05)
        (self.folder / "started").touch()
        while True:
            self.turn(0.25)

    def end(self) -> None:
        """End everything."""
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait()


def answers(url: str, token: str) -> bool:
    """Whether the API server at this loopback address is ready."""
    context = ssl._create_unverified_context()  # noqa: S323 - loopback, and its certificate is seconds old
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=2, context=context) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        time.sleep(0.01)
        return False


def main() -> None:
    """Run the plan of the file named on the command line."""
    file = Path(sys.argv[1])
    plan = json.loads(file.read_text())
    if plan["namespaced"]:
        loopback_up()
    supervisor = Supervisor(plan, file.parent)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    try:
        supervisor.run()
    except SystemExit as why:
        (file.parent / "ended").write_text(f"{why}\n")
    finally:
        supervisor.end()


if __name__ == "__main__":
    main()
