"""The text and the JSON of `modelslo backtest`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from statistics import median
from typing import Any

from modelslo.backtest.course import Moment
from modelslo.backtest.outcome import Outcome, notable
from modelslo.cli.plan_page import span
from modelslo.cli.text import NONE, table
from modelslo.decide.reasons import Action
from modelslo.judge.evalues import e_value
from modelslo.observe.evidence import ModelKey

ASSUMED = (
    "The cluster is simulated: pods are there at once, a retrain Job succeeds and its candidate is not seen, the "
    "canary has the share of the traffic that history gave it. History goes on as it did, whatever is decided here."
)


_SHADOW = "The canary is a shadow: it is compared, and its losses are not in the SLI."


@dataclass(frozen=True, slots=True)
class Report:
    """``outcomes``: the ModelSLO as it is, then the variants. ``labels`` that were read."""

    model: ModelKey
    begin: datetime
    end: datetime
    labels: float
    outcomes: tuple[Outcome, ...]


def page(report: Report) -> list[str]:
    """The lines that are printed."""
    first = report.outcomes[0]
    lines = [
        f"Backtest of ModelSLO {report.model}, {report.begin:%FT%TZ} to {report.end:%FT%TZ}: "
        f"{len(first.moments):,} evaluations, {report.labels:,.0f} labels",
        f"  {ASSUMED}",
        f"  {roles(first)}",
    ]
    for one in report.outcomes:
        lines += ["", _title(one), *_episodes(one)]
    if len(report.outcomes) > 1:
        head = ["", "ROLLBACKS", "PROMOTIONS", "RETRAINS", "TIME TO VERDICT", "WITHOUT SOUND DATA", "BUDGET LEFT"]
        lines += ["", "Side by side", *table(head, [_figures(one) for one in report.outcomes], "  ")]
    return lines


def roles(outcome: Outcome) -> str:
    """Who was found in which role."""
    stable = list(dict.fromkeys(one.cast.stable for one in outcome.moments if one.cast.stable is not None))
    canary = list(dict.fromkeys(one.cast.canary for one in outcome.moments if one.cast.canary is not None))
    if not stable:
        return "No version was found in that time."
    played = f"Found as stable: {', '.join(stable)}; as canary: {', '.join(canary) or 'none'}."
    rollout = outcome.variant.spec.rollout
    shadow = f" {_SHADOW}" if rollout is not None and rollout.shadow is not None else ""
    return f"{played} --stable and --canary say otherwise.{shadow}"


def _title(outcome: Outcome) -> str:
    name = outcome.variant.name
    return "As it is" if name == "as it is" else f"What if {name}"


def _episodes(outcome: Outcome) -> list[str]:
    rows = []
    for one in notable(outcome):
        decision = one.decision
        what = decision.action if decision.vetoed is None else f"{decision.vetoed} vetoed"
        lasted = (one.end - one.start).total_seconds()
        rows.append(
            [
                f"{one.start:%FT%TZ}",
                what,
                decision.reason,
                one.version or NONE,
                span(lasted) if lasted > 0 else NONE,
                decision.message,
            ]
        )
    if not rows:
        return ["  Nothing was decided."]
    return table(["TIME", "DECISION", "REASON", "VERSION", "FOR", "MESSAGE"], rows, "  ")


def _figures(outcome: Outcome) -> list[str]:
    took = [seconds for _, _, seconds in outcome.verdicts()]
    budget = next((one.status.budget.remaining for one in reversed(outcome.moments) if one.status.budget), None)
    return [
        outcome.variant.name,
        *(str(outcome.count(action)) for action in (Action.ROLLBACK, Action.PROMOTE, Action.RETRAIN)),
        span(median(took)) if took else NONE,
        f"{outcome.unjudged} of {len(outcome.moments)}",
        NONE if budget is None else f"{budget:.0%}",
    ]


def as_json(report: Report) -> dict[str, Any]:
    """The same for programs, and every evaluation: times as RFC 3339, seconds as numbers, null where nothing is."""
    return {
        "model": str(report.model),
        "begin": f"{report.begin:%FT%TZ}",
        "end": f"{report.end:%FT%TZ}",
        "labels": report.labels,
        "assumed": ASSUMED,
        "variants": [_variant(one) for one in report.outcomes],
    }


def _variant(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.variant.name,
        "rollbacks": outcome.count(Action.ROLLBACK),
        "promotions": outcome.count(Action.PROMOTE),
        "retrains": outcome.count(Action.RETRAIN),
        "withoutSoundData": outcome.unjudged,
        "verdicts": [
            {"decision": action.value, "version": version, "seconds": took}
            for action, version, took in outcome.verdicts()
        ],
        "decisions": [
            {
                "time": f"{one.start:%FT%TZ}",
                "until": f"{one.end:%FT%TZ}",
                "evaluations": one.count,
                "decision": one.decision.action.value,
                "reason": one.decision.reason.value,
                "vetoed": one.decision.vetoed.value if one.decision.vetoed else None,
                "version": one.version,
                "message": one.decision.message,
                "notable": one.notable,
            }
            for one in outcome.episodes
        ],
        "evaluations": [_moment(one) for one in outcome.moments],
    }


def _moment(one: Moment) -> dict[str, Any]:
    canary, arms = one.judgement.canary, one.judgement.arms.by_version
    compared = canary.compared if canary is not None else None
    budget = one.status.budget
    return {
        "time": f"{one.at:%FT%TZ}",
        "decision": one.decision.action.value,
        "reason": one.decision.reason.value,
        "stable": one.cast.stable,
        "canary": one.cast.canary,
        "losses": {version: finite(arm.loss) for version, arm in sorted(arms.items())},
        "ratio": finite(compared.ratio) if compared else None,
        "ratioLow": finite(compared.low) if compared else None,
        "ratioHigh": finite(compared.high) if compared else None,
        "eRollback": e_value(compared.log_e_rollback) if compared else None,
        "ePromote": e_value(compared.log_e_promote) if compared else None,
        "canaryLabels": compared.canary if compared else None,
        "budgetRemaining": finite(budget.remaining) if budget else None,
        "burnRates": [
            {"severity": burn.severity.value, "long": finite(burn.long), "short": finite(burn.short)}
            for burn in one.status.burn_rates or ()
        ],
        "problem": one.judgement.problem.reason.value if one.judgement.problem else None,
    }


def finite(value: float | None) -> float | None:
    """JSON has no NaN."""
    return value if value is not None and isfinite(value) else None
