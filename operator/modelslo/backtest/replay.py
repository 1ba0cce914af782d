"""One trace of the replay interface: observations in, actions out (decision-statistics section 12). Pure.

The same functions judge here and in the live operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modelslo.api.quoted import quoted
from modelslo.backtest.observations import ObservationError, counters_of, meta_of
from modelslo.judge.drift import Detector, Health, began, detect, health_of
from modelslo.judge.evalues import e_value
from modelslo.judge.gate import Gate, advance, swollen
from modelslo.judge.increments import Meters, step_of
from modelslo.judge.verdict import GateVerdict, said_by, verdict_of

_LATEST: Final = 1e12
_ROUNDING: Final = 1e-6
_DECIDED: Final = {GateVerdict.ROLLBACK: "rollback", GateVerdict.PROMOTE: "promote"}


class Replay:
    """Judges the scrapes of one trace; `meta` is its first line. Raises ObservationError."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._meta = meta_of(meta)
        self._rules, self._drift = self._meta.rules(), self._meta.drift()
        self._meters, self._gate, self._detector = Meters(), Gate(), Detector()
        self._next = 0
        self._owed = False  # a retrain that fell due together with a verdict
        self._asked: tuple[int, float, bool] | None = None

    def feed(self, scrape: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to the next scrape. Raises ObservationError, and then nothing was taken."""
        rules = self._rules
        at = self._expected(scrape)
        stable, canary = counters_of(rules, scrape, "stable"), counters_of(rules, scrape, "canary")
        self._next += 1
        self._meters, step, _ = step_of(self._meters, at, stable, canary, rules.tempo, rules.edges)
        history = self._gate.history
        if self._meta.has_canary or self._detector.baseline is None:  # nothing else is asked of the gate
            self._gate = advance(self._gate, rules, step, self._meta.has_canary and scrape["k"] >= self._meta.k0)
        if scrape["k"] >= self._meta.k0 and self._detector.baseline is None:
            self._detector = began(self._detector, rules, self._drift, history)
        stable_now = None if self._swollen(at) else step.stable
        self._detector = detect(self._detector, rules, self._drift, stable_now, at)
        return self._answer(at, scrape["k"])

    def _swollen(self, at: float) -> bool:
        """Asked once for each block of the detector, and anew where the canary's share changes."""
        trial = self._gate.trial
        if trial is None:
            return False
        block, since = self._drift.index(at), trial.shares.since
        if self._asked is None or self._asked[:2] != (block, since):
            self._asked = block, since, swollen(self._gate, self._rules, at)
        return self._asked[2]

    def belongs(self, line: Mapping[str, Any]) -> None:
        """Raises ObservationError unless the line is of this trace."""
        if line.get("trace") != self._meta.trace:
            raise ObservationError(
                "trace", f"{quoted(line.get('trace'))}, and the trace is {quoted(self._meta.trace)}: send its end"
            )

    def _expected(self, scrape: Mapping[str, Any]) -> float:
        """The time of the scrape; only the next one of this trace is taken."""
        self.belongs(scrape)
        k, at, started = scrape.get("k"), scrape.get("t"), scrape.get("rollout_started", False)
        if k != self._next or isinstance(k, bool):
            raise ObservationError("k", f"{quoted(k)}, and {self._next} is next: whole numbers without holes")
        due, dt = k * self._meta.dt, self._meta.dt
        if isinstance(at, bool) or not isinstance(at, (int, float)) or not abs(at) < _LATEST:
            raise ObservationError("t", f"{quoted(at)} is no time: write seconds, k times dt: {due:g}")
        if abs(at - due) > _ROUNDING * max(due, dt):
            raise ObservationError(
                "t", f"{quoted(at)} is not the time of scrape {k}: write seconds, k times dt: {due:g}"
            )
        if type(started) is not bool:
            raise ObservationError("rollout_started", f"{quoted(started)}: write true or false")
        return float(at)

    def _answer(self, at: float, k: int) -> dict[str, Any]:
        answer: dict[str, Any] = {"trace": self._meta.trace, "k": k, "action": "hold", "reason": "Healthy"}
        drift = health_of(self._detector, self._drift, at, self._rules.tempo.quiet)
        trial = self._gate.trial
        if trial is not None:
            said = said_by(trial)
            verdict = verdict_of(self._gate, self._rules, at, said)
            answer["reason"] = str(verdict)
            answer["e_rollback"] = e_value(said.rollback)
            answer["e_promote"] = e_value(said.promote)
            # Both may fall due at once: one now, the other one next, also where the alarm is over by then.
            if verdict in _DECIDED and not self._owed:
                self._owed = drift is Health.DRIFT
                return answer | {"action": _DECIDED[verdict]}
        owed, self._owed = self._owed, False
        if drift is Health.DRIFT or owed:
            return answer | {"action": "retrain", "reason": "Drift"}
        if drift is Health.INSUFFICIENT and trial is None:
            answer["reason"] = "InsufficientData"
        return answer
