"""What everybody waits on: the cluster and the operator's metrics, looked at by one thread for all scenarios."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from urllib3.exceptions import HTTPError

from tests.cluster.access import Cluster
from tests.integration.running import Operator
from tests.integration.standin import PATHS, Api

T = TypeVar("T")
_EVERY: Final = 0.4
_EVALUATED: Final = "modelslo_last_evaluation_timestamp_seconds"
_KINDS: Final = {"modelslo": "modelslos", "deployment": "deployments", "job": "jobs", "event": "events"}


class OverError(Exception):
    """The tests are over, or the world cannot be seen any more."""


@dataclass(frozen=True)
class View:
    """One look. Objects by kind, namespace and name; evaluation times (Unix s) by namespace."""

    at: float
    objects: Mapping[tuple[str, str], Mapping[str, dict[str, Any]]]
    metrics: str

    def all(self, kind: str, namespace: str) -> list[dict[str, Any]]:
        return list(self.objects.get((kind, namespace), {}).values())


@dataclass
class World:
    """Looks until closed."""

    cluster: Cluster
    operator: Operator
    evaluated: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """The distinct times at which the model of a namespace was evaluated, as the operator's metrics told them."""
    _view: View = field(default_factory=lambda: View(0.0, {}, ""))
    _seen: threading.Condition = field(default_factory=threading.Condition)
    _over: str = ""

    def start(self) -> None:
        threading.Thread(target=self._run, args=(Api(self.cluster),), name="world", daemon=True).start()

    def close(self) -> None:
        self._end("the tests are over")

    @property
    def view(self) -> View:
        with self._seen:
            return self._view

    def wait(self, what: str, ask: Callable[[], T | None], timeout: float, tell: Callable[[], str]) -> T:
        """Ask after every look until the answer is neither None nor false; fail with `what` and `tell()`."""
        deadline = time.monotonic() + timeout
        while True:
            answer = ask()
            if answer:
                return answer
            if time.monotonic() > deadline:
                raise TimeoutError(f"not seen within {timeout:.0f} s: {what}\n{tell()}")
            with self._seen:
                if self._over:
                    raise OverError(f"{self._over}, while waiting for {what}")
                self._seen.wait(2 * _EVERY)

    def _run(self, opened: Api) -> None:
        try:
            with opened as api:
                while not self._over:
                    began = time.monotonic()
                    with suppress(HTTPError, OSError):  # a busy machine: the next look will see it
                        self._look(api)
                    time.sleep(max(0.05, _EVERY - (time.monotonic() - began)))
        except Exception as error:
            self._end(f"the world cannot be seen: {type(error).__name__}: {error}")

    def _look(self, api: Api) -> None:
        found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        for kind, plural in _KINDS.items():
            for one in api.get(f"{PATHS[plural]}/{plural}")["items"]:
                found.setdefault((kind, one["metadata"]["namespace"]), {})[one["metadata"]["name"]] = one
        text = self.operator.ask("/metrics")[1]
        if self.operator.process.poll() is not None:
            raise OverError(f"the operator ended with {self.operator.process.returncode}")
        with self._seen:
            self._view = View(time.time(), found, text)
            for namespace, at in _evaluations(text):
                if at not in self.evaluated[namespace][-1:]:
                    self.evaluated[namespace].append(at)
            self._seen.notify_all()

    def _end(self, why: str) -> None:
        with self._seen:
            self._over = self._over or why
            self._seen.notify_all()


def _evaluations(text: str) -> list[tuple[str, float]]:
    found = []
    for line in text.splitlines():
        if line.startswith(_EVALUATED + "{"):
            labels, _, value = line.rpartition(" ")
            found.append((labels.partition('slo_namespace="')[2].partition('"')[0], float(value)))
    return found
