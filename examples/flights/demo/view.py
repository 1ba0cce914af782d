"""What the terminal shows while an act runs, and waiting for what must come true."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from examples.flights.demo.kube import Kube, KubectlError

_LOOK_EVERY = 1.0
_BLIND = 20.0
"""Longest time without an answer of the cluster in which a thing may still be said to hold (s)."""


class ActError(RuntimeError):
    """An act did not end as it has to."""


@dataclass(slots=True)
class View:
    """Prints a line whenever something changed, and keeps where the time went."""

    kube: Kube
    started: float = field(default_factory=time.monotonic)
    spent: list[tuple[str, float]] = field(default_factory=list)
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    _last: str = ""
    _shown: float = 0.0

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self.started:5.0f} s] {text}", flush=True)

    def act(self, title: str) -> None:
        print(f"\n\033[1m{title}\033[0m", flush=True)

    def took(self, what: str, since: float) -> None:
        self.spent.append((what, time.monotonic() - since))

    def until(self, what: str, true: Callable[[], bool], within: float) -> None:
        """Shows the model until `true`; :class:`ActError` with the last status when it stays false."""
        start = time.monotonic()
        while True:
            try:
                self.show()
                if true():
                    self.say(f"✔ {what} ({time.monotonic() - start:.0f} s)")
                    return
            except KubectlError as error:
                self.say(f"  … {error}")
            if time.monotonic() - start > within:
                raise ActError(f"{what}: not within {within:.0f} s. Last seen: {self._last}")
            time.sleep(_LOOK_EVERY)

    def holds(self, what: str, true: Callable[[], bool], during: float) -> None:
        """Shows the model for `during` seconds; :class:`ActError` as soon as `true` is not, or nothing can be seen."""
        start = seen = time.monotonic()
        while seen - start < during:
            try:
                self.show()
                still = true()
            except KubectlError as error:
                self.say(f"  … {error}")
                if time.monotonic() - seen > _BLIND:
                    raise ActError(f"{what}: not seen for {_BLIND:.0f} s: {error}") from error
            else:
                seen = time.monotonic()
                if not still:
                    raise ActError(f"{what}: no longer after {seen - start:.0f} s. Last seen: {self._last}")
            time.sleep(_LOOK_EVERY)
        self.say(f"✔ {what} (for {during:.0f} s)")

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.kube.get("modelslo", "flights").get("status") or {}
        for one in status.get("history", []):
            self.decisions.setdefault(one["id"], one)
        return status

    def show(self) -> None:
        """Prints the model's line when it changed, and at least every ten seconds."""
        line = line_of(self.status())
        if line != self._last or time.monotonic() - self._shown > 10:
            self._last, self._shown = line, time.monotonic()
            self.say(f"  {line}")

    def summary(self) -> None:
        print("\nWhere the time went:")
        for what, seconds in self.spent:
            print(f"  {seconds:6.1f} s  {what}")
        print(f"  {time.monotonic() - self.started:6.1f} s  in all", flush=True)
        sys.stdout.flush()


def line_of(status: dict[str, Any]) -> str:
    """One line: both roles, the comparison, the budget, and what is being done and why."""
    parts = [_role("stable", status.get("stable"))]
    if status.get("canary"):
        parts.append(_role("canary", status["canary"]))
    comparison = status.get("comparison") or {}
    if comparison.get("ratio") is not None:
        parts.append(
            f"ratio {comparison['ratio']:.2f} [{comparison['ratioLow']:.2f}, {comparison['ratioHigh']:.2f}] "
            f"E worse {comparison['eRollback']:.2g}, not worse {comparison['ePromote']:.2g}"
        )
    remaining = (status.get("budget") or {}).get("remaining")
    if remaining is not None:
        parts.append(f"budget {remaining:.0%}")
    operation = status.get("operation")
    if operation:
        parts.append(f"\033[33m{operation['type']}: {operation['step']}\033[0m")
    conditions = {one["type"]: one for one in status.get("conditions", [])}
    for kind, normal in (("DataSufficient", "True"), ("CanaryInProgress", "False"), ("Ready", "True")):
        condition = conditions.get(kind)
        if condition and (condition["status"] != normal or kind == "CanaryInProgress"):
            why = f" ({condition['message']})" if condition["status"] == "False" and normal == "True" else ""
            parts.append(f"{kind} {condition['status']}: {condition['reason']}{why}")
    return " | ".join(parts)


def _role(name: str, role: dict[str, Any] | None) -> str:
    role = role or {}
    loss = role.get("loss")
    shown = "no labels" if loss is None else f"loss {loss:.0f}"
    return f"{name} {role.get('version', '?')} ({role.get('replicas', 0)} pods) {shown}"
