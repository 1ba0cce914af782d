"""What the demo asks of the cluster, all through one kubectl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

NAMESPACE = "flights"
_POST = """
import sys, urllib.request
urllib.request.urlopen("http://127.0.0.1:8080" + sys.argv[1], sys.argv[2].encode(), timeout=10).read()
"""


class KubectlError(RuntimeError):
    """kubectl failed; the message is its own."""


@dataclass(frozen=True, slots=True)
class Kube:
    """One cluster. Reads go to the API server each time: what is shown is what is."""

    kubectl: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Output of `kubectl ARGUMENTS`; :class:`KubectlError` when it fails or takes longer than `timeout` (s)."""
        try:
            done = subprocess.run(
                [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), *arguments],
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlError(f"kubectl {' '.join(arguments)}: no answer within {timeout:.0f} s") from error
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", kind, name, "--namespace", namespace, "--output=json"))
        return found

    def items(self, kind: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("get", kind, "--namespace", namespace, "--output=json"))[
            "items"
        ]
        return found

    def post(self, deployment: str, path: str, body: Mapping[str, Any]) -> None:
        """POSTs JSON to a Deployment's own port 8080, from inside its pod.

        Not through the API server's proxy: kubectl sends bodies in chunks there, which small servers refuse.
        """
        self.run(
            *("exec", f"deployment/{deployment}", "--namespace", NAMESPACE, "--", "python", "-c", _POST),
            path,
            json.dumps(body),
        )

    def prometheus(self, query: str, *, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Series of a range query: each {"metric": labels, "values": [[time, text], ...]}."""
        arguments = urlencode({"query": query, "start": start, "end": end, "step": step})
        url = f"/api/v1/namespaces/{NAMESPACE}/services/prometheus:9090/proxy/api/v1/query_range?{arguments}"
        answer = json.loads(self.run("get", "--raw", url))
        series: list[dict[str, Any]] = answer["data"]["result"]
        return series
