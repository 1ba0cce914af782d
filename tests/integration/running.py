"""The operator as a process of this machine, with no more rights than its manifests give it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.cluster.access import Cluster, wait_for
from tests.cluster.ports import free_port

REPO = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("modelslo")
SYSTEM = "modelslo-system"
ACCOUNT = "modelslo-operator"
QUICK_LEASE = {
    "LEASE_DURATION": "4",
    "LEASE_RENEW_DEADLINE": "3",
    "LEASE_RETRY": "0.5",
    "LEASE_REQUEST_TIMEOUT": "0.45",
}


def install_rights(cluster: Cluster) -> None:
    """Namespace, service account and roles of manifests/operator, without the Deployment."""
    rendered = yaml.safe_load_all(cluster.kubectl("kustomize", str(REPO / "manifests" / "operator")))
    kinds = {"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    wanted = sorted((o for o in rendered if o["kind"] in kinds), key=lambda o: bool(o["kind"] != "Namespace"))
    cluster.apply(yaml.safe_dump_all(wanted), "--server-side", "--force-conflicts")


def operator_kubeconfig(cluster: Cluster, folder: Path) -> Path:
    """The cluster's kubeconfig with a token of the operator's service account in place of the admin's."""
    token = cluster.kubectl("--namespace", SYSTEM, "create", "token", ACCOUNT, "--duration", "1h").strip()
    content = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    for user in content["users"]:
        user["user"] = {"token": token}
    path = folder / "operator.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@dataclass
class Operator:
    """One `modelslo run`. Its log is read from a file, line by line, as JSON."""

    kubeconfig: Path
    folder: Path
    name: str = "operator"
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] = field(init=False)

    def __enter__(self) -> Self:
        variables = {"LOG_LEVEL": "INFO", "HOST": "127.0.0.1", "PORT": str(self.port), **QUICK_LEASE, **self.settings}
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "KUBECONFIG": str(self.kubeconfig),
            "POD_NAME": self.name,
            "PYTHONWARNINGS": "default",
            **{f"MODELSLO_{name}": value for name, value in variables.items()},
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([PROGRAM, "run"], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if error is not None:
            sys.stderr.write(f"--- {self.log}\n{self.log.read_text(encoding='utf-8', errors='replace')[-12000:]}\n")

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines; one that is not JSON fails the test."""
        return [json.loads(line) for line in self.text().splitlines()]

    def said(self, words: str) -> list[dict[str, Any]]:
        return [line for line in self.lines() if words in str(line.get("message", ""))]

    def ask(self, path: str) -> tuple[int, str]:
        """(status, text) of one of its endpoints; status 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, line: str) -> float | None:
        """The value of the sample that begins with `line`."""
        found = [text.rpartition(" ")[2] for text in self.ask("/metrics")[1].splitlines() if text.startswith(line)]
        return float(found[0]) if found else None

    def wait_ready(self) -> Self:
        wait_for("the operator being ready", lambda: self._alive() and self.ask("/readyz")[0] == 200, timeout=30)
        return self

    def wait_leading(self) -> Self:
        wait_for("the operator leading", lambda: self._alive() and self.metric("modelslo_leading ") == 1, timeout=30)
        return self

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def _alive(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the operator ended with {self.process.returncode}:\n{self.text()[-4000:]}")
        return True
