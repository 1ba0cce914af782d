"""What the engine keeps of each model between evaluations. All of it can be lost: it is read or replayed again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from modelslo.engine.plan import Plan, Unfit, plan_of
from modelslo.engine.settings import Settings
from modelslo.engine.trouble import Trouble
from modelslo.engine.views import Model
from modelslo.judge.judgement import Memory
from modelslo.judge.parameters import Parameters
from modelslo.observe.ask import Selector, Source
from modelslo.observe.evidence import ModelKey

_FIRST_DELAY = 1.0
_LONGEST_DELAY = 120.0


@dataclass(slots=True)
class ModelState:
    """``judged_at`` is the end of what `memory` has taken in; ``replaying`` until history could be judged by.

    ``lock`` is held by whoever acts for the model. ``era``: another object whenever judging begins anew, so that what
    was asked for before is known by it.
    """

    plan: Plan | Unfit
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    memory: Memory = field(default_factory=Memory)
    judged_at: float | None = None
    era: object = field(default_factory=object)
    replaying: bool = True
    evaluated: bool = False
    restored: bool = False
    failing: str = ""  # which work fails
    failures: int = 0
    retry_at: float = 0.0
    trouble: Trouble | None = None

    def forget(self) -> None:
        """Judge from the beginning: the history is replayed."""
        self.memory, self.judged_at, self.era, self.replaying = Memory(), None, object(), True

    def failed(self, work: str, now: float) -> float:
        """Count a failure of this kind of work; seconds until the next try."""
        self.failing = work
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0**self.failures)
        self.failures = min(self.failures + 1, 16)
        self.retry_at = now + delay
        return delay

    def succeeded(self, work: str) -> None:
        """What failed went well."""
        if self.failing == work:
            self.clear()

    def clear(self) -> None:
        self.failing = ""
        self.failures, self.retry_at, self.trouble = 0, 0.0, None


class States:
    """The states by model. A spec that changes what is judged begins a memory of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._states: dict[ModelKey, ModelState] = {}

    def of(self, model: Model) -> ModelState:
        state = self._states.get(model.key)
        if state is None or state.plan.uid != model.uid:
            state = self._states[model.key] = ModelState(plan_of(model, self._settings))
        elif state.plan.generation != model.generation:
            self._replan(state, model)
        return state

    def drop(self, key: ModelKey) -> None:
        self._states.pop(key, None)

    def intervals(self) -> Iterator[tuple[ModelKey, float]]:
        """The models that can be judged, with their interval."""
        for key, state in self._states.items():
            if isinstance(state.plan, Plan):
                yield key, state.plan.parameters.timing.interval

    def _replan(self, state: ModelState, model: Model) -> None:
        before, state.plan = state.plan, plan_of(model, self._settings)
        state.clear()
        after = state.plan
        if not (isinstance(before, Plan) and isinstance(after, Plan)):
            state.forget()
        elif _judged_by(before) != _judged_by(after) or before.vetoes != after.vetoes:
            state.forget()
            # With other vetoes fewer labels may count than before, and none was lost.
            state.replaying = before.vetoes == after.vetoes


def _judged_by(plan: Plan) -> tuple[Parameters, Selector, Source]:
    """What the memory depends on; without the vetoes."""
    parameters = replace(plan.parameters, vetoes=(), trigger=None, timing=plan.parameters.timing.of_judging())
    return parameters, plan.selector, plan.source
