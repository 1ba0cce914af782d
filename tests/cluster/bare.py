"""A bare control plane in seconds: etcd, API server, controller-manager and scheduler as processes, without a node.

As root all of it runs in its own network, mount and process namespaces: killing one process ends everything, several
run side by side on the same ports, and nothing can talk to the outside. A listening socket on a free loopback port of
this machine is handed to `forward` inside. Without the right to make namespaces they are plain processes on free
loopback ports under the same supervisor. Either way they end when the process that started them ends, however it does.
"""

import base64
import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.cluster import golang, runs
from tests.cluster.access import Cluster, wait_for
from tests.cluster.cache import HERE
from tests.cluster.ports import free_port
from tests.cluster.shell import ClusterError, is_root, need, run, succeeds

_UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
_SERVICE_RANGE = "10.96.0.0/16"


@functools.cache
def can_unshare() -> bool:
    """Whether this process may make namespaces of its own."""
    return is_root() and shutil.which("unshare") is not None and succeeds([*_UNSHARE, "true"])


@dataclass
class _Plan:
    """What is started, where, with which credentials."""

    folder: Path
    programs: Path
    etcd_port: int
    peer_port: int
    api_port: int
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def etcd(self) -> dict[str, Any]:
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        flags = {
            "data-dir": self.folder / "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }
        return self._process("etcd", flags)

    def api_server(self, alone: bool, more: Mapping[str, str | Path]) -> dict[str, Any]:
        key = self.folder / "service-accounts.key"
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self.etcd_port}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": self.api_port,
            "endpoint-reconciler-type": "none",  # nobody runs in this cluster who could reach a loopback address
            "cert-dir": self.folder / "certs",
            "token-auth-file": self.folder / "tokens.csv",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "authorization-mode": "Node,RBAC",
            "service-cluster-ip-range": _SERVICE_RANGE,
            "allow-privileged": "true",
        }
        if alone:  # nobody makes the default service accounts that this plug-in waits for
            flags["disable-admission-plugins"] = "ServiceAccount"
        return self._process("kube-apiserver", flags | dict(more))

    def controller_manager(self) -> dict[str, Any]:
        flags = {
            "kubeconfig": self.folder / "inside.kubeconfig",
            "leader-elect": "false",
            "secure-port": 0,
            "service-account-private-key-file": self.folder / "service-accounts.key",
            "root-ca-file": self.certificate,
            "service-cluster-ip-range": _SERVICE_RANGE,
            "kube-api-qps": 200,
            "kube-api-burst": 400,
        }
        return self._process("kube-controller-manager", flags)

    def scheduler(self) -> dict[str, Any]:
        flags = {"kubeconfig": self.folder / "inside.kubeconfig", "leader-elect": "false", "secure-port": 0}
        return self._process("kube-scheduler", flags)

    def _process(self, name: str, flags: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "command": [str(self.programs / name), *(f"--{k}={v}" for k, v in flags.items())]}

    @property
    def certificate(self) -> Path:
        """The certificate that the API server makes for itself, with its authority behind it."""
        return self.folder / "certs" / "apiserver.crt"

    def write_credentials(self) -> None:
        openssl = need("openssl", "to make the cluster's signing key")
        key = self.folder / "service-accounts.key"
        run([openssl, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key])
        (self.folder / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        self.write_kubeconfig("inside.kubeconfig", self.api_port, {"certificate-authority": str(self.certificate)})

    def write_kubeconfig(self, name: str, port: int, authority: dict[str, str]) -> Path:
        where = {"server": f"https://127.0.0.1:{port}", **authority}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bare", "cluster": where}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "bare", "context": {"cluster": "bare", "user": "admin"}}],
            "current-context": "bare",
        }
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(content))
        return path


@dataclass
class BareCluster(Cluster):
    """A running bare control plane; stop it, or use it in a `with`."""

    folder: Path
    process: subprocess.Popen[bytes]

    def order(self, *words: str | int) -> None:
        """Tell the supervisor something: `restart NAME` or `signal NAME NUMBER`."""
        assert self.process.stdin is not None
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())
        self.process.stdin.flush()

    def freeze(self, program: str = "kube-apiserver") -> None:
        """Stop a program where it is: it accepts connections and answers nothing."""
        self.order("signal", program, int(signal.SIGSTOP))

    def thaw(self, program: str = "kube-apiserver") -> None:
        """Let a frozen program go on."""
        self.order("signal", program, int(signal.SIGCONT))

    def restart(self, program: str = "kube-apiserver") -> None:
        """Kill a program and start it again; every connection to it is lost."""
        self.order("restart", program)

    def stop(self) -> None:
        """End everything and remove the run folder."""
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _programs(api_only: bool) -> Path:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets or not api_only:
        return golang.kube()
    for name in ("etcd", "kube-apiserver"):
        if not (Path(assets) / name).exists():
            raise ClusterError(f"KUBEBUILDER_ASSETS names {assets}, where there is no {name}")
    return Path(assets)


def _namespaced() -> bool:
    """Own namespaces need the forwarder, which needs Go (people with envtest's binaries may have none)."""
    return can_unshare() and (shutil.which("go") is not None or not os.environ.get("KUBEBUILDER_ASSETS"))


def start(
    api_only: bool = False, timeout: float = 120, api_flags: Mapping[str, str | Path] | None = None
) -> BareCluster:
    """Start a control plane and wait until it can be used; `api_only` leaves out controller-manager and scheduler.

    `api_flags` are more flags of kube-apiserver, without the dashes.
    """
    namespaced = _namespaced()
    programs = _programs(api_only)
    folder, held = runs.new("bare")
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            ports = (2379, 2380, 6443) if namespaced else (free_port(), free_port(), free_port())
            plan = _Plan(folder, programs, *ports)
            plan.write_credentials()
            stages = _stages(plan, api_only, listener if namespaced else None, api_flags or {})
            (folder / "plan.json").write_text(json.dumps({"namespaced": namespaced, "stages": stages}))
            command = [sys.executable, str(HERE / "supervisor.py"), str(folder / "plan.json")]
            with (folder / "supervisor.log").open("wb") as log:
                process = subprocess.Popen(
                    [*_UNSHARE, *command] if namespaced else command,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=[held, listener.fileno()] if namespaced else [held],
                    start_new_session=True,
                )
            port = int(listener.getsockname()[1]) if namespaced else plan.api_port
    finally:
        os.close(held)
    cluster = BareCluster(folder / "kubeconfig", "bare", folder, process)
    try:
        wait_for("the bare control plane starting", lambda: _started(cluster), timeout, every=0.02)
        authority = {"certificate-authority-data": base64.b64encode(plan.certificate.read_bytes()).decode()}
        plan.write_kubeconfig("kubeconfig", port, authority)
        if not api_only:
            _wait_for_controllers(cluster, timeout)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def _stages(
    plan: _Plan, api_only: bool, listener: socket.socket | None, api_flags: Mapping[str, str | Path]
) -> list[dict[str, Any]]:
    first = [plan.etcd(), plan.api_server(alone=api_only, more=api_flags)]
    if listener is not None:
        number = listener.fileno()
        command = [str(golang.tools() / "forward"), str(number), f"127.0.0.1:{plan.api_port}"]
        first.append({"name": "forward", "command": command, "fds": [number]})
    ready = {"ready": f"https://127.0.0.1:{plan.api_port}/readyz", "token": plan.token}
    rest = [] if api_only else [plan.controller_manager(), plan.scheduler()]
    return [{"start": first, **ready}, {"start": rest}]


def _started(cluster: BareCluster) -> bool:
    if cluster.process.poll() is None:
        return (cluster.folder / "started").exists()
    ended = cluster.folder / "ended"
    why = ended.read_text() if ended.exists() else (cluster.folder / "supervisor.log").read_text()
    logs = (file.read_text(errors="replace").splitlines()[-5:] for file in sorted(cluster.folder.glob("*.log")))
    raise ClusterError("the bare control plane ended: " + why + "\n".join(line for lines in logs for line in lines))


def _wait_for_controllers(cluster: BareCluster, timeout: float) -> None:
    """The controller-manager is at work once it has made the default service account."""
    wait_for("the default service account", lambda: _has_default_account(cluster), timeout, every=0.05)


def _has_default_account(cluster: BareCluster) -> bool:
    try:
        return bool(cluster.kubectl("get", "serviceaccount", "default", "--namespace", "default", "--output", "name"))
    except ClusterError:
        _started(cluster)
        return False
