"""Who may judge a trace: modelslo itself, another program over a pipe, and two baselines."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Mapping
from math import sqrt
from typing import Final, Protocol, cast

from tests.simulate.words import Action, Line


class Judge(Protocol):
    """Judges one trace."""

    def feed(self, scrape: Mapping[str, object]) -> Mapping[str, object]:
        """The answer to one scrape: ``action``, and what else the judge likes to say."""
        ...


Factory = Callable[[Mapping[str, object]], Judge]
"""From the meta line of a trace to its judge. A judge may have a method `close`: it is called when its trace ends."""


class Holding:
    """Always holds."""

    def __init__(self, meta: Mapping[str, object]) -> None:
        """Needs nothing of `meta`."""

    def feed(self, scrape: Mapping[str, object]) -> Mapping[str, object]:
        """Hold."""
        return {"action": "hold"}


class RepeatedTest:
    """A z test at 5 % at every scrape, on all labels since the rollout: the foil of section 7 of the study."""

    QUANTILE: Final = 1.6449
    FEWEST: Final = 30

    def __init__(self, meta: Mapping[str, object]) -> None:
        """Needs `loss_sumsq`: without it there is no variance, and it holds."""
        self._ratio = 1.0 + cast(float, meta["margin"])
        self._known = bool(meta["has_sumsq"])
        self._last: dict[str, tuple[float, float, float]] = {}
        self._sums = {"stable": [0.0, 0.0, 0.0], "canary": [0.0, 0.0, 0.0]}

    def feed(self, scrape: Mapping[str, object]) -> Mapping[str, object]:
        """Adds what is new, then tests."""
        arms = cast(Mapping[str, Mapping[str, object]], scrape["arms"])
        for name, arm in arms.items():
            self._add(name, arm, bool(scrape["rollout_started"]))
        return {"action": self._action()}

    def _add(self, name: str, arm: Mapping[str, object], counts: bool) -> None:
        if not self._known:
            return
        values = [arm["loss_count"], arm["loss_sum"], arm["loss_sumsq"]]
        if any(isinstance(value, str) for value in values):
            return
        now = cast(tuple[float, float, float], tuple(values))
        before = self._last.get(name, (0.0, 0.0, 0.0))
        self._last[name] = now
        if now[0] < before[0]:
            before = (0.0, 0.0, 0.0)
        if counts:
            self._sums[name] = [
                total + new - old for total, new, old in zip(self._sums[name], now, before, strict=True)
            ]

    def _action(self) -> Action:
        (n_s, sum_s, squares_s), (n_c, sum_c, squares_c) = self._sums["stable"], self._sums["canary"]
        if min(n_s, n_c) < self.FEWEST:
            return "hold"
        stable, canary = sum_s / n_s, sum_c / n_c
        variance = (squares_c / n_c - canary**2) / n_c + self._ratio**2 * (squares_s / n_s - stable**2) / n_s
        if variance <= 0.0:
            return "hold"
        z = (canary - self._ratio * stable) / sqrt(variance)
        if z > self.QUANTILE:
            return "rollback"
        return "promote" if z < -self.QUANTILE else "hold"


class Piped:
    """Another program that speaks the replay interface (study, section 12): started once, fed trace after trace."""

    def __init__(self, command: str) -> None:
        """Starts it."""
        self._process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._command = command

    def __call__(self, meta: Mapping[str, object]) -> _PipedTrace:
        """Begins a trace."""
        self.send(meta)
        return _PipedTrace(self, str(meta["trace"]))

    def send(self, line: Mapping[str, object]) -> None:
        """Writes one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n")
        self._process.stdin.flush()

    def receive(self) -> Line:
        """Reads one line.

        Raises:
            RuntimeError: The program ended, or answered with no JSON object.
        """
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            raise RuntimeError(f"{self._command!r} ended with status {self._process.wait()} instead of answering")
        answer = json.loads(text)
        if not isinstance(answer, dict):
            raise RuntimeError(f"{self._command!r} answered {text!r}, which is not a JSON object")
        return answer

    def stop(self) -> int:
        """Ends the input; returns the exit status."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        return self._process.wait()


class _PipedTrace:
    """One trace, judged over the pipe."""

    def __init__(self, pipe: Piped, trace: str) -> None:
        self._pipe = pipe
        self._trace = trace

    def feed(self, scrape: Mapping[str, object]) -> Mapping[str, object]:
        """Sends the scrape, waits for its answer."""
        self._pipe.send(scrape)
        answer = self._pipe.receive()
        if (answer.get("trace"), answer.get("k")) != (self._trace, scrape["k"]):
            raise RuntimeError(f"the answer to {self._trace}, k = {scrape['k']}, is {answer}")
        return answer

    def close(self) -> None:
        """Ends the trace."""
        self._pipe.send({"type": "end", "trace": self._trace})


def _modelslo(meta: Mapping[str, object]) -> Judge:
    # Only here: the rest of this package runs without the judge.
    from modelslo.backtest.replay import Replay

    return cast(Judge, Replay(meta))


_COMMAND: Final = "command:"
_KNOWN: Final[Mapping[str, Factory]] = {"modelslo": _modelslo, "hold": Holding, "ztest": RepeatedTest}


def decider(name: str) -> Factory:
    """The factory of that name: `modelslo`, `hold`, `ztest` or `command:...`.

    Raises:
        ValueError: There is none.
    """
    if name.startswith(_COMMAND):
        return Piped(name.removeprefix(_COMMAND))
    if name not in _KNOWN:
        raise ValueError(f"decider {name!r} is none of {', '.join(_KNOWN)} and {_COMMAND}...")
    return _KNOWN[name]
