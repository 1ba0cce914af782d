"""One scheduler for all models: evaluations on the grid in batches, and operations as soon as the cluster moves.

The evaluation of grid time ``T = k * interval`` begins when it is T and reads up to ``T - settle``. All models of an
interval and a Prometheus are asked for together. A pass that is not over when the next is due makes that one missed:
passes never pile up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

from modelslo.engine.asks import ask_for, by_source, tick_of
from modelslo.engine.clock import Clock
from modelslo.engine.metrics import Metrics
from modelslo.engine.plan import Plan
from modelslo.engine.registry import Change, Registry
from modelslo.engine.state import ModelState, States
from modelslo.engine.status import StatusWriter
from modelslo.engine.trouble import TroubleReason
from modelslo.engine.worker import Worker
from modelslo.observe.ask import Ask, Source
from modelslo.observe.evidence import Evidence, Gap, ModelKey, NoEvidence

log = logging.getLogger(__name__)

# New and changed models are gathered for so long, so that a start with thousands of them makes one pass.
_GATHER: Final = 0.25
_LONGEST_PAUSE: Final = 1.0
_SHORTEST: Final = 15.0
# Real seconds that work under way gets when the engine stops.
_GRACE: Final = 2.0
# So many models are concluded without anything else getting a turn: some 20 ms.
_BREATH: Final = 32
# What was judged so many intervals in the future was judged by a clock that was wrong.
_CLOCK_SLACK: Final = 2.0
Lane = tuple[float, Source]


class Observer(Protocol):
    async def observe(self, asks: Sequence[Ask]) -> Mapping[ModelKey, Evidence]:
        """Evidence for each ask. What cannot be read is a gap in the evidence, not an exception."""

    def forget(self, model: ModelKey) -> None:
        """The model is gone."""


class Scheduler:
    """Run it by :meth:`run`; wake it by :meth:`changed`."""

    def __init__(
        self,
        registry: Registry,
        states: States,
        worker: Worker,
        writer: StatusWriter,
        observer: Observer,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._registry, self._states, self._worker, self._writer = registry, states, worker, writer
        self._observer, self._metrics, self._clock = observer, metrics, clock
        self._ticked: dict[float, float] = {}
        self._lanes: dict[Lane, asyncio.Task[None]] = {}
        self._fresh: set[ModelKey] = set()
        self._woken: dict[ModelKey, asyncio.Task[None]] = {}
        self._again: set[ModelKey] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        self._alarm = asyncio.Event()
        self._running = False
        self.passed_at = 0.0  # when it last looked for what is due

    def changed(self, key: ModelKey, change: Change) -> None:
        """The registry tells of a change."""
        match change:
            case Change.MODEL:
                self._fresh.add(key)
                self._alarm.set()
            case Change.WORLD:
                self.wake(key)
            case Change.GONE:
                self._states.drop(key)
                self._writer.forget(key)
                self._metrics.forget(key)
                self._observer.forget(key)

    def wake(self, key: ModelKey) -> None:
        """Go on with the model's operation, once for any number of calls while it is being looked at."""
        if not self._running:
            return
        if key in self._woken:
            self._again.add(key)
            return
        self._woken[key] = self._spawn(self._progress(key))

    def later(self, key: ModelKey, delay: float) -> None:
        """Look at the model again after `delay` seconds."""
        task = self._spawn(self._wake_later(key, delay))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; what is not over soon after is given up, which loses nothing."""
        stopping = asyncio.create_task(stop.wait())
        self._running = True
        try:
            while not stop.is_set():
                self.passed_at = self._clock.now()
                await self._pass_fresh()
                self._pass_due()
                await self._pause(stopping)
        finally:
            self._running = False
            stopping.cancel()
            await self._give_up()

    def lateness(self) -> float:
        """By how many intervals the most overdue pass has not begun; an interval counts as 15 s at least.

        A pass that waits for Prometheus has begun: a restart would not make it answer.
        """
        if not self._running:
            return 0.0
        now = self._clock.now()
        late = ((now - tick - interval) / max(interval, _SHORTEST) for interval, tick in self._ticked.items())
        return max(0.0, *late, (now - self.passed_at - _LONGEST_PAUSE) / _SHORTEST)

    # --- what is due

    def _pass_due(self) -> None:
        """Begin the passes whose grid time has come."""
        now = self._clock.now()
        due: dict[float, list[ModelKey]] = {}
        ticks: dict[float, float] = {}
        for key, interval in self._states.intervals():
            tick = ticks.setdefault(interval, tick_of(now, interval))
            # Not the last one: a new one, or the clock was set back.
            if tick != self._ticked.get(interval):
                due.setdefault(interval, []).append(key)
        # An interval that no model has any more is never due.
        self._ticked = {interval: tick for interval, tick in self._ticked.items() if interval in ticks}
        for interval, keys in due.items():
            self._ticked[interval] = ticks[interval]
            self._begin(keys, ticks[interval], interval)

    async def _pass_fresh(self) -> None:
        """Judge new and changed models at once, on the newest grid time, or say why they cannot be."""
        if not self._fresh:
            return
        await self._clock.sleep(_GATHER)
        fresh, self._fresh = self._fresh, set()
        by_interval: dict[float, list[ModelKey]] = {}
        for key in sorted(fresh):
            model = self._registry.model(key)
            if model is None:
                continue
            plan = self._states.of(model).plan
            if isinstance(plan, Plan):
                by_interval.setdefault(plan.parameters.timing.interval, []).append(key)
            else:
                self._spawn(self._worker.refuse(key))
        for interval, keys in by_interval.items():
            tick = tick_of(self._clock.now(), interval)
            # An interval that is new has no other models than these.
            self._ticked.setdefault(interval, tick)
            self._spawn(self._judge(keys, tick))

    def _begin(self, keys: list[ModelKey], tick: float, interval: float) -> None:
        lanes: dict[Lane, list[ModelKey]] = {}
        for key in keys:
            model = self._registry.model(key)
            plan = self._states.of(model).plan if model else None
            if isinstance(plan, Plan):
                lanes.setdefault((interval, plan.source), []).append(key)
        for lane, members in lanes.items():
            running = self._lanes.get(lane)
            if running is not None and not running.done():
                self._metrics.missed(len(members))
                log.warning("Evaluations missed: the pass before is not over", extra={"models": len(members)})
                continue
            self._lanes[lane] = self._spawn(self._judge(members, tick))

    async def _judge(self, keys: list[ModelKey], tick: float) -> None:
        """One pass: fetch what is unknown, ask for all at once, conclude each."""
        strange = [key for key in keys if not self._known(key)]
        failed = {key for key, ready in zip(strange, await self._prepare(strange), strict=True) if not ready}
        asks: dict[ModelKey, Ask] = {}
        eras: dict[ModelKey, object] = {}
        for key in keys:
            found = None if key in failed else self._ask(key, tick)
            if found is not None:
                asks[key], eras[key] = found
        await asyncio.gather(*(self._pass(group, eras, tick) for group in by_source(asks).values()))

    def _known(self, key: ModelKey) -> bool:
        model = self._registry.model(key)
        return model is None or (self._states.of(model).restored and not self._registry.unknown(key))

    async def _prepare(self, keys: Sequence[ModelKey]) -> list[bool]:
        ready = await asyncio.gather(*(self._worker.prepare(key) for key in keys))
        for key in keys:
            model = self._registry.model(key)
            if model is not None and model.status.operation is not None:
                self.wake(key)  # whatever Prometheus will say
        return ready

    def _ask(self, key: ModelKey, tick: float) -> tuple[Ask, object] | None:
        """What to ask, and the era of the state that it is asked for."""
        model = self._registry.model(key)
        if model is None:
            return None
        state = self._states.of(model)
        plan = state.plan
        if not isinstance(plan, Plan) or self._backing_off(state):
            return None
        timing = plan.parameters.timing
        if state.judged_at is not None and state.judged_at > tick - timing.settle + _CLOCK_SLACK * timing.interval:
            log.warning("The clock was set back; judging begins again", extra={"model": str(key)})
            state.forget()
        if state.judged_at is not None and state.judged_at >= tick - timing.settle:
            return None  # judged already
        rollout, begun = model.status.rollout, state.judged_at is not None
        if begun and rollout is not None and state.memory.judged_since != rollout.judged_since.timestamp():
            state.forget()  # the comparison begins with stable's history, as it does after a restart
        ask = ask_for(
            key, plan.source, plan.selector, plan.parameters, model.status, state.judged_at, tick, plan.vetoes
        )
        return ask, state.era

    def _backing_off(self, state: ModelState) -> bool:
        """A model that trips the operator up is tried less and less often."""
        poisoned = state.trouble is not None and state.trouble.reason is TroubleReason.INTERNAL_ERROR
        return poisoned and self._clock.now() < state.retry_at

    async def _pass(self, asks: Mapping[ModelKey, Ask], eras: Mapping[ModelKey, object], tick: float) -> None:
        try:
            found = await self._observer.observe(list(asks.values()))
        except Exception as error:
            log.exception("The observer failed")
            found = {key: _nothing(ask, error) for key, ask in asks.items()}
        concluding = []
        for key in asks.keys() & found.keys():
            concluding.append(self._spawn(self._worker.conclude(key, found[key], tick, eras[key])))
            if len(concluding) % _BREATH == 0:
                await asyncio.sleep(0)  # probes and watches get their turn between thousands of models
        await asyncio.gather(*concluding)

    # --- what is woken

    async def _progress(self, key: ModelKey) -> None:
        try:
            model = self._registry.model(key)
            if model is not None and self._states.of(model).restored:
                await self._worker.progress(key)
        finally:
            del self._woken[key]
            if key in self._again:
                self._again.discard(key)
                self.wake(key)

    async def _wake_later(self, key: ModelKey, delay: float) -> None:
        await self._clock.sleep(delay)
        model = self._registry.model(key)
        if model is not None and not isinstance(self._states.of(model).plan, Plan):
            await self._worker.refuse(key)
        elif model is not None:
            self.wake(key)

    # --- time and tasks

    async def _pause(self, stopping: asyncio.Task[bool]) -> None:
        """Until the next grid time, a change, or the end."""
        now = self._clock.now()
        following = min((tick + interval for interval, tick in self._ticked.items()), default=now + _LONGEST_PAUSE)
        pause = min(max(0.0, following - now), _LONGEST_PAUSE)
        alarm = asyncio.create_task(self._alarm.wait())
        sleep = asyncio.create_task(self._clock.sleep(pause))
        await asyncio.wait({alarm, sleep, stopping}, return_when=asyncio.FIRST_COMPLETED)
        alarm.cancel()
        sleep.cancel()
        self._alarm.clear()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("A task of the scheduler failed", exc_info=task.exception())

    async def _give_up(self) -> None:
        """What is under way gets a moment to end in order; what only waits does not."""
        for task in self._waiting:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_GRACE)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _nothing(ask: Ask, error: Exception) -> Evidence:
    gap = Gap(NoEvidence.QUERY_ERROR, f"The evidence could not be read: {type(error).__name__}: {error}")
    return Evidence(model=ask.model, since=ask.since, at=ask.until, gap=gap, slice_gap=gap)
