"""Judges of the same trace side by side, and what became of many traces as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, cast

from examples.flights.backtest.rules import (
    ARGO_BY_DAYS,
    DAY,
    FLAGGER_BY_DAYS,
    HOUR,
    MINUTE,
    Alert,
    ArgoLike,
    FlaggerLike,
    Judge,
)
from examples.flights.backtest.scenarios import Scenario
from examples.flights.backtest.trace import TARGET, Trace
from examples.flights.data import event_text, event_time
from modelslo.backtest.replay import Replay

Factory = Callable[[Mapping[str, object]], Judge]
"""From the meta line of a trace to its judge."""


def _limit(meta: Mapping[str, object]) -> float:
    return 1.0 + cast(float, meta["margin"])


CANARY_JUDGES: Final[Mapping[str, Factory]] = {
    "modelslo": Replay,
    "Argo-like, documented": lambda meta: ArgoLike(_limit(meta)),
    "Argo-like, by days": lambda meta: ArgoLike(_limit(meta), ARGO_BY_DAYS),
    "Flagger-like, documented": lambda meta: FlaggerLike(_limit(meta)),
    "Flagger-like, by days": lambda meta: FlaggerLike(_limit(meta), FLAGGER_BY_DAYS),
}
STABLE_JUDGES: Final[Mapping[str, Factory]] = {
    "modelslo": Replay,
    "alert: 24 h mean above the target": lambda meta: Alert(TARGET, DAY),
    "alert: 6 h mean above it for 30 min": lambda meta: Alert(TARGET, 6 * HOUR, 30 * MINUTE),
}
_VERDICTS: Final = {"rollback": "rolled back", "promote": "promoted", "retrain": "retrained", "hold": "held"}


@dataclass(slots=True)
class Outcome:
    """How one judge ended one trace. ``labels`` of the judged arm and ``minutes`` count from the start of the rollout.

    ``reasons`` are what it said at the scrapes of the watched days; ``retrain_at`` is its first retrain (event time).
    """

    action: str = "hold"
    at: float | None = None
    minutes: float = 0.0
    labels: int = 0
    retrain_at: float | None = None
    reasons: Counter[str] = field(default_factory=Counter)


def judges_of(scenario: Scenario) -> Mapping[str, Factory]:
    """Who judges it: without a canary there is nothing for Argo Rollouts and Flagger to look at."""
    return STABLE_JUDGES if scenario.canary is None else CANARY_JUDGES


def run(scenario: Scenario, trace: Trace, judges: Mapping[str, Factory]) -> dict[str, Outcome]:
    """Feeds one trace to all, until each has its verdict: the first that counts (study, section 12)."""
    running = {name: factory(trace.meta) for name, factory in judges.items()}
    found = {name: Outcome() for name in judges}
    arm = "stable" if scenario.canary is None else "canary"
    verdicts = ("retrain",) if scenario.canary is None else ("rollback", "promote")
    before = 0
    for scrape in trace.scrapes():
        k, labels = cast(int, scrape["k"]), _labels(scrape, arm)
        before = labels if k <= trace.times.k0 else before
        for name, judge in list(running.items()):
            answer = judge.feed(scrape)
            if k < trace.times.k0:
                continue
            _hear(found[name], answer, scenario, cast(float, scrape["t"]))
            if answer["action"] in verdicts:
                _settle(found[name], str(answer["action"]), scenario, cast(float, scrape["t"]), labels - before)
                del running[name]
        if not running:
            break
    return found


def _labels(scrape: Mapping[str, object], arm: str) -> int:
    arms = cast(Mapping[str, Mapping[str, int]], scrape["arms"])
    return arms[arm]["loss_count"] if arm in arms else 0


def _hear(outcome: Outcome, answer: Mapping[str, object], scenario: Scenario, at: float) -> None:
    now = event_time(scenario.times.begin) + at
    if scenario.watched and event_time(scenario.watched[0]) <= now < event_time(scenario.watched[1]):
        outcome.reasons[str(answer.get("reason"))] += 1
    if answer["action"] == "retrain" and outcome.retrain_at is None:
        outcome.retrain_at = now


def _settle(outcome: Outcome, action: str, scenario: Scenario, at: float, labels: int) -> None:
    outcome.action, outcome.labels = action, labels
    outcome.at = event_time(scenario.times.begin) + at
    outcome.minutes = (outcome.at - event_time(scenario.times.rollout)) / MINUTE


def table(title: str, judges: Iterable[str], rows: Sequence[tuple[Scenario, Sequence[Mapping[str, Outcome]]]]) -> str:
    """Markdown: a row per scenario, a column per judge. What is wrong is bold."""
    names = list(judges)
    lines = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for scenario, outcomes in rows:
        cells = [cell(scenario, [one[name] for one in outcomes]) for name in names]
        lines.append(f"| {scenario.text} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(scenario: Scenario, outcomes: Sequence[Outcome]) -> str:
    """Verdicts by number; medians of labels and minutes; for a retrain the days of the first and the last."""
    return "<br>".join(_counted(scenario, outcomes))


def _counted(scenario: Scenario, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for action, number in Counter(one.action for one in outcomes).most_common():
        those = [one for one in outcomes if one.action == action]
        verdict = _VERDICTS[action]
        if _wrong(scenario, action, those):
            verdict = f"**{verdict}**"
        text = f"{verdict} {number} of {len(outcomes)}"
        if action == "retrain":
            days = sorted(event_text(one.at)[5:16].replace("T", " ") for one in those if one.at is not None)
            text += f": {days[0]}" + (f" to {days[-1]}" if days[-1] != days[0] else "")
        if action != "hold":
            minutes = median(one.minutes for one in those)
            text += f"; {median(one.labels for one in those):,.0f} labels, {minutes:,.0f} min ({_long(minutes)})"
        yield text


def _wrong(scenario: Scenario, action: str, those: Sequence[Outcome]) -> bool:
    if action not in scenario.right:
        return True
    early = event_time(scenario.watched[1]) if action == "retrain" and scenario.watched else 0.0
    return any(one.at is not None and one.at < early for one in those)


def _long(minutes: float) -> str:
    return f"{minutes / 1440:.1f} d" if minutes >= 1440 else f"{minutes / 60:.1f} h"


def notes(scenario: Scenario, outcomes: Sequence[Mapping[str, Outcome]]) -> Iterator[str]:
    """What modelslo said during the watched days, and retrains that came while the canary was judged."""
    ours = [one["modelslo"] for one in outcomes]
    reasons = sum((one.reasons for one in ours), Counter[str]())
    if scenario.canary is not None and reasons:
        shares = ", ".join(f"{name} {number / reasons.total():.0%}" for name, number in reasons.most_common())
        yield f"{scenario.name}: reasons from {' to '.join(scenario.watched or ())}: {shares}"
    retrained = [one.retrain_at for one in ours if one.retrain_at is not None]
    if scenario.canary is not None and retrained:
        yield f"{scenario.name}: retrain of stable before the verdict in {len(retrained)}, {event_text(min(retrained))}"
