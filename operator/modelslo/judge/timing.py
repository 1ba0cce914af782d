"""Every time constant of judging, in seconds, in one frozen place (DESIGN section 7).

The operator's setting ``timeScale`` divides the times of a ModelSLO: the demo replays days in seconds. What belongs
to the infrastructure (scrape interval, settle, HTTP time-outs, a Job's time-out) is real time and is not divided.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from modelslo.api.quantity import seconds
from modelslo.api.spec import ModelSLOSpec
from modelslo.observe.evidence import STALENESS as STALENESS


@dataclass(frozen=True, slots=True)
class Tempo:
    """Time constants of the tests themselves, in seconds; defaults of decision-statistics sections 3 to 6.

    ``block``: a block with few labels ends then. ``restart``: between two copies of the rollback process.
    ``least_age``: of a canary that may be promoted. ``forecast``: memory of stable's mean. ``delays``: memory of the
    label delays. ``quick``, ``fast``, ``slow``: means of the watch for incidents. ``rate``: memory of the usual rate.
    ``windows``: on which overdispersion is looked at besides one block. ``drift_block``, ``quiet``, ``day``,
    ``season``: blocks of the drift detector, the longest silence, the period of the season, the least history for it.
    """

    block: float = 600.0
    restart: float = 600.0
    least_age: float = 600.0
    forecast: float = 3600.0
    delays: float = 7200.0
    quick: float = 60.0
    fast: float = 300.0
    slow: float = 7200.0
    rate: float = 600.0
    windows: tuple[float, ...] = (300.0, 1200.0)
    drift_block: float = 300.0
    quiet: float = 3600.0
    day: float = 86400.0
    season: float = 72000.0

    def scaled(self, scale: float) -> Tempo:
        """All divided by `scale`, as `timeScale` says."""
        windows = tuple(window / scale for window in self.windows)
        others = {one.name: getattr(self, one.name) / scale for one in fields(self) if one.name != "windows"}
        return Tempo(windows=windows, **others)


def tempo_of(scale: float, interval: float) -> Tempo:
    """Time constants at this `timeScale`; what is a memory or a pace spans some evaluations, however short it gets."""
    tempo = Tempo().scaled(scale)
    return replace(
        tempo,
        restart=max(tempo.restart, 5 * interval),
        forecast=max(tempo.forecast, 60 * interval),
        quick=max(tempo.quick, 5 * interval),
        fast=max(tempo.fast, 5 * interval),
        slow=max(tempo.slow, 120 * interval),
    )


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of one ModelSLO in real seconds, `timeScale` already applied."""

    interval: float
    settle: float
    slice: float
    window: float
    delay: float
    max_age: float
    warmup: float
    step_duration: float
    min_duration: float
    deadline: float
    sustained_for: float
    false_alarm_interval: float
    retrain_per: float
    cooldown_rollback: float
    cooldown_promote: float
    cooldown_retrain: float
    tempo: Tempo = Tempo()

    def of_judging(self) -> Timing:
        """Without the times that matter to decisions alone, whatever was judged."""
        return replace(
            self,
            step_duration=0.0,
            deadline=0.0,
            retrain_per=0.0,
            cooldown_rollback=0.0,
            cooldown_promote=0.0,
            cooldown_retrain=0.0,
        )


def timing_of(spec: ModelSLOSpec, *, scale: float, settle: float) -> Timing:
    """Times of `spec` divided by `scale` (1 is real time); `settle` (seconds) is taken as it is.

    The interval is at least one second, however large the scale: no Prometheus is asked more often.
    """

    def scaled(duration: str | None, missing: float = 0.0) -> float:
        return missing if duration is None else seconds(duration) / scale

    interval = max(1.0, scaled(spec.interval))
    delay = scaled(spec.indicator.labels.delay)
    rollout, retrain, cooldown = spec.rollout, spec.retrain, spec.guardrails.cooldown
    return Timing(
        interval=interval,
        settle=settle,
        slice=scaled(spec.objective.slice),
        window=scaled(spec.objective.window),
        delay=delay,
        max_age=scaled(spec.indicator.labels.max_age, 4 * interval + delay + settle),
        warmup=scaled(rollout.warmup) if rollout else 0.0,
        step_duration=scaled(rollout.step_duration) if rollout else 0.0,
        min_duration=scaled(rollout.gate.min_duration) if rollout else 0.0,
        deadline=scaled(rollout.gate.deadline) if rollout else 0.0,
        sustained_for=scaled(retrain.trigger.sustained_for) if retrain else 0.0,
        false_alarm_interval=scaled(retrain.trigger.false_alarm_interval) if retrain else 0.0,
        retrain_per=scaled(retrain.limits.per) if retrain else 0.0,
        cooldown_rollback=scaled(cooldown.rollback),
        cooldown_promote=scaled(cooldown.promote),
        cooldown_retrain=scaled(cooldown.retrain),
        tempo=tempo_of(scale, interval),
    )
