"""Who plays which role, and since when: what the judge is told besides evidence."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from modelslo.judge.shadow import Shadow


@dataclass(frozen=True, slots=True)
class Span:
    """(start, end]; an open end is still running."""

    start: float
    end: float | None


@dataclass(frozen=True, slots=True)
class Scene:
    """Who plays which role, and since when the canary is judged.

    ``transitions`` are the stretches in which the canary's share changed (pods starting); they and the warm-up and the
    label delay behind them are not compared, because the canary's labels are younger than stable's then.
    ``shadows``: no user sees these; the canary may be one of them. ``lifted_at`` is when the last veto was lifted:
    slices from before are no evidence of drift.
    """

    stable_version: str | None
    canary_version: str | None = None
    judged_since: float | None = None
    transitions: tuple[Span, ...] = ()
    shadows: tuple[Shadow, ...] = ()
    lifted_at: float | None = None

    @property
    def shadow(self) -> bool:
        """Whether the canary is one."""
        return any(one.version == self.canary_version and one.until is None for one in self.shadows)


def settled(scene: Scene, start: float, warmup: float) -> float:
    """Seconds at `start` since the last transition, behind the first one also the warm-up; -inf while there is one.

    Labels of predictions made in that time are of both arms, at the shares of now.
    """
    found = inf
    for number, span in enumerate(scene.transitions):
        if start >= span.start:
            behind = warmup if number == 0 else 0.0
            found = min(found, -inf if span.end is None else start - span.end - behind)
    return found
