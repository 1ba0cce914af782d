"""Plain threshold rules: how Argo Rollouts, Flagger and an alert would judge the same scrapes. None knows a clock.

What they look at is what a user would write in PromQL, `increase(loss_sum[W]) / increase(loss_count[W])` of the canary
over the same of stable. A window without labels gives 0/0: NaN, which meets no condition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, nan
from typing import Final, Literal, Protocol, cast

MINUTE: Final = 60.0
HOUR: Final = 3600.0
DAY: Final = 86_400.0
_FROM_MINUTES: Final = 288.0  # 5 minutes become a day

Action = Literal["hold", "promote", "rollback", "retrain"]
Answer = Mapping[str, object]


class Judge(Protocol):
    """Judges one trace, scrape by scrape."""

    def feed(self, scrape: Mapping[str, object]) -> Answer:
        """The answer to one scrape: `action` and, if it likes, `reason`."""
        ...


class Mean:
    """Mean loss of one arm over a sliding window of `window` seconds; NaN without labels."""

    def __init__(self, arm: str, window: float) -> None:
        self._arm, self._window = arm, window
        self._seen: deque[tuple[float, float, float]] = deque()

    def feed(self, scrape: Mapping[str, object]) -> float:
        """The mean after this scrape. The last counters from before the window are those it starts from."""
        at = cast(float, scrape["t"])
        arms = cast(Mapping[str, Mapping[str, float]], scrape["arms"])
        arm = arms.get(self._arm)
        if arm is not None:
            self._seen.append((at, arm["loss_count"], arm["loss_sum"]))
        while len(self._seen) > 1 and self._seen[1][0] <= at - self._window:
            self._seen.popleft()
        if not self._seen:
            return nan
        (_, first, began), (_, last, total) = self._seen[0], self._seen[-1]
        return (total - began) / (last - first) if last > first else nan


class Ratio:
    """Windowed mean loss of the canary over that of stable; NaN where one of them has no labels."""

    def __init__(self, window: float) -> None:
        self._stable, self._canary = Mean("stable", window), Mean("canary", window)

    def feed(self, scrape: Mapping[str, object]) -> float:
        """The ratio after this scrape."""
        stable, canary = self._stable.feed(scrape), self._canary.feed(scrape)
        return canary / stable if stable > 0 else nan


@dataclass(frozen=True, slots=True)
class ArgoSettings:
    """Seconds. The defaults are the example of Argo Rollouts' documentation (features/analysis.md).

    Four steps of 10 minutes; the analysis starts with the second, measures every 5 minutes over 5 minutes, and aborts
    at the fourth failure (`failed > failureLimit`). Failures add up over the run; success never takes one back.
    """

    starting: float = 10 * MINUTE
    interval: float = 5 * MINUTE
    window: float = 5 * MINUTE
    steps: float = 40 * MINUTE
    failure_limit: int = 3


ARGO_BY_DAYS: Final = ArgoSettings(
    starting=2 * DAY, interval=DAY, window=DAY, steps=40 * MINUTE * _FROM_MINUTES, failure_limit=3
)
"""The same, given so much time that a window is a day: four steps of two days."""


class ArgoLike:
    """`successCondition: result[0] <= limit` on the ratio of windowed means, in the background of timed steps."""

    def __init__(self, limit: float, settings: ArgoSettings | None = None) -> None:
        self._limit, self._settings = limit, settings or ArgoSettings()
        self._ratio = Ratio(self._settings.window)
        self._began: float | None = None
        self._due = 0.0
        self._failed = 0

    def feed(self, scrape: Mapping[str, object]) -> Answer:
        """Promotes when the steps are through, rolls back when too many measurements failed."""
        ratio, at, settings = self._ratio.feed(scrape), cast(float, scrape["t"]), self._settings
        if not scrape["rollout_started"]:
            return _answer("hold", "NoRollout")
        if self._began is None:
            self._began, self._due = at, at + settings.starting
        if at >= self._began + settings.steps:
            return _answer("promote", f"{self._failed} of its measurements failed")
        if at >= self._due:
            self._due = at + settings.interval
            self._failed += not ratio <= self._limit
        if self._failed > settings.failure_limit:
            return _answer("rollback", f"failed ({self._failed}) > failureLimit ({settings.failure_limit})")
        return _answer("hold", f"failed ({self._failed})")


@dataclass(frozen=True, slots=True)
class FlaggerSettings:
    """Seconds and per cent. The defaults are the example of Flagger's documentation (usage/how-it-works.md)."""

    interval: float = MINUTE
    window: float = MINUTE
    threshold: int = 10
    max_weight: int = 50
    step_weight: int = 5


FLAGGER_BY_DAYS: Final = FlaggerSettings(interval=DAY, window=DAY)
"""The same, given so much time that a window is a day: ten steps of a day."""


class FlaggerLike:
    """`thresholdRange: {max: limit}` on the ratio of windowed means; a check that passes moves the weight on.

    The first tick only sets the first weight. Failed checks add up over the run, and the tick after the one that
    reaches the threshold rolls back. The weights are counted here; the replay's split stays what it is.
    """

    def __init__(self, limit: float, settings: FlaggerSettings | None = None) -> None:
        self._limit, self._settings = limit, settings or FlaggerSettings()
        self._ratio = Ratio(self._settings.window)
        self._due: float | None = None
        self._passed = -1
        self._failed = 0

    def feed(self, scrape: Mapping[str, object]) -> Answer:
        """Promotes when the highest weight has passed, rolls back when too many checks failed."""
        ratio, at, settings = self._ratio.feed(scrape), cast(float, scrape["t"]), self._settings
        if not scrape["rollout_started"]:
            return _answer("hold", "NoRollout")
        if self._due is None:
            self._due = at + settings.interval
        if at < self._due:
            return _answer("hold", f"failed checks {self._failed}")
        self._due = at + settings.interval
        if self._failed >= settings.threshold:
            return _answer("rollback", f"failed checks threshold reached {self._failed}")
        if self._passed < 0 or ratio <= self._limit:
            self._passed += 1
        else:
            self._failed += 1
        if self._passed >= ceil(settings.max_weight / settings.step_weight):
            return _answer("promote", f"failed checks {self._failed}")
        return _answer("hold", f"failed checks {self._failed}")


class Alert:
    """A Prometheus alert that starts the retraining: the mean of stable over `window` above `level` for `lasting`."""

    def __init__(self, level: float, window: float, lasting: float = 0.0) -> None:
        self._level, self._lasting = level, lasting
        self._mean = Mean("stable", window)
        self._since: float | None = None

    def feed(self, scrape: Mapping[str, object]) -> Answer:
        """Retrain while it fires."""
        mean, at = self._mean.feed(scrape), cast(float, scrape["t"])
        if not mean > self._level:
            self._since = None
            return _answer("hold", "Inactive")
        self._since = at if self._since is None else self._since
        return _answer("retrain", "Firing") if at - self._since >= self._lasting else _answer("hold", "Pending")


def _answer(action: Action, reason: str) -> Answer:
    return {"action": action, "reason": reason}
