"""The report of `modelslo backtest` as one HTML file: no scripts, nothing is loaded from anywhere. Pure."""

from __future__ import annotations

from html import escape
from math import log, log10
from typing import Final

from modelslo.backtest.course import Moment
from modelslo.backtest.outcome import Outcome, notable
from modelslo.cli.backtest_page import ASSUMED, Report, finite, roles
from modelslo.cli.plan_page import span
from modelslo.cli.svg import Band, Line, Mark, Panel, Rule, drawn
from modelslo.cli.text import NONE
from modelslo.decide.reasons import Action

_STYLE: Final = """
:root { --ink: #1b1f24; --soft: #6a737d; --page: #ffffff; --grid: #e3e6ea; --stable: #0969da; --canary: #d1570b;
  --good: #1a7f37; --bad: #cf222e; --hold: #8250df; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #8b949e; --page: #0d1117; --grid: #272d35;
  --stable: #58a6ff; --canary: #f0883e; --good: #3fb950; --bad: #f85149; --hold: #bc8cff; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto;
  max-width: 64rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.5rem; } p { color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: 13px; } th, td { text-align: left; padding: .3rem .6rem;
  border-bottom: 1px solid var(--grid); vertical-align: top; } td.time { white-space: nowrap; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
.Rollback { color: var(--bad); } .Promote { color: var(--good); } .Hold { color: var(--hold); }
"""
_ACTS: Final = {
    Action.START: "var(--soft)",
    Action.PROMOTE: "var(--good)",
    Action.ROLLBACK: "var(--bad)",
    Action.RETRAIN: "var(--hold)",
    Action.ABANDON: "var(--soft)",
}
# e-values beyond are shown at the edge: they are decided long before.
_MOST_TENS: Final = 4.0
_ROOM: Final = 1.5  # above the largest loss


def html(report: Report) -> str:
    """The whole file."""
    first = report.outcomes[0]
    title = f"Backtest of {report.model}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{report.begin:%FT%TZ} to {report.end:%FT%TZ}, {len(first.moments):,} evaluations, "
        f"{report.labels:,.0f} labels. {escape(roles(first))} {escape(ASSUMED)}</p>",
    ]
    if len(report.outcomes) > 1:
        parts.append(_side_by_side(report))
    for outcome in report.outcomes:
        parts += [f"<h2>{escape(outcome.variant.name)}</h2>", _table(outcome), *_panels(outcome)]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"\n<body>{body}</body></html>\n"
    )


def _side_by_side(report: Report) -> str:
    head = "".join(
        f"<th>{one}</th>"
        for one in ("", "rollbacks", "promotions", "retrains", "time to verdicts", "without sound data")
    )
    rows = ""
    for one in report.outcomes:
        took = ", ".join(f"{action} {version} {span(seconds)}" for action, version, seconds in one.verdicts()) or NONE
        cells = [
            one.variant.name,
            *(str(one.count(action)) for action in (Action.ROLLBACK, Action.PROMOTE, Action.RETRAIN)),
            took,
            f"{one.unjudged} of {len(one.moments)}",
        ]
        rows += f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    return f"<table><tr>{head}</tr>{rows}</table>"


def _table(outcome: Outcome) -> str:
    rows = ""
    for one in notable(outcome):
        decision = one.decision
        what = decision.action if decision.vetoed is None else f"{decision.vetoed} vetoed"
        lasted = (one.end - one.start).total_seconds()
        rows += (
            f'<tr><td class="time">{one.start:%FT%TZ}</td><td class="{decision.action}">{escape(what)}</td>'
            f"<td>{escape(decision.reason)}</td><td>{escape(one.version)}</td>"
            f"<td>{span(lasted) if lasted > 0 else NONE}</td><td>{escape(decision.message)}</td></tr>"
        )
    if not rows:
        return "<p>Nothing was decided.</p>"
    head = "".join(f"<th>{one}</th>" for one in ("time", "decision", "reason", "version", "for", "message"))
    return f"<table><tr>{head}</tr>{rows}</table>"


def _panels(outcome: Outcome) -> list[str]:
    """Loss of both roles, the ratio with its band, e-values against their thresholds, the budget."""
    moments, gate = outcome.moments, outcome.variant.parameters.gate
    marks = [
        Mark(one.at.timestamp(), _ACTS[one.decision.action], f"{one.decision.action} {one.decision.version}")
        for one in moments
        if one.decision.action in _ACTS
    ]
    times = [one.at.timestamp() for one in moments]

    def line(name: str, colour: str, values: list[float | None]) -> Line:
        return Line(name, colour, list(zip(times, values, strict=True)))

    of_stable, of_canary = ([_loss(one, getattr(one.cast, role)) for one in moments] for role in ("stable", "canary"))
    target = outcome.variant.parameters.target
    loss = Panel(
        "mean loss; shaded: the canary's, by the interval of its ratio to stable's",
        [line("stable", "var(--stable)", of_stable), line("canary", "var(--canary)", of_canary)],
        bands=[Band("var(--canary)", [_interval(*of) for of in zip(moments, of_stable, strict=True)])],
        rules=[Rule(target, "var(--bad)", "target")],
        marks=marks,
        least=0.0,
        # The first intervals are so wide that nothing else would be seen.
        most=_ROOM * max(target, *(one for one in (*of_stable, *of_canary) if one is not None)),
    )
    ratio = Panel(
        "canary's mean loss over stable's, with its anytime-valid interval",
        [line("ratio", "var(--canary)", [_compared(one, "ratio") for one in moments])],
        bands=[
            Band(
                "var(--canary)",
                [(one.at.timestamp(), _compared(one, "low"), _compared(one, "high")) for one in moments],
            )
        ],
        rules=[Rule(gate.tolerated_ratio, "var(--bad)", "tolerated"), Rule(1.0, "var(--soft)", "the same")],
        marks=marks,
        least=0.0,
        most=3.0,
    )
    evidence = Panel(
        "e-values (logarithmic)",
        [
            line("worse", "var(--bad)", [_tens(one, "log_e_rollback") for one in moments]),
            line("not worse", "var(--good)", [_tens(one, "log_e_promote") for one in moments]),
        ],
        rules=[
            Rule(log10(1 / gate.alpha), "var(--bad)", f"rollback at {1 / gate.alpha:g}"),
            Rule(log10(1 / gate.beta), "var(--good)", f"promote at {1 / gate.beta:g}"),
        ],
        marks=marks,
        ticks=lambda tens: f"{10**tens:.3g}",
    )
    budget = Panel(
        "error budget left",
        [line("budget", "var(--hold)", [_budget(one) for one in moments])],
        rules=[Rule(0.0, "var(--bad)", "none")],
        marks=marks,
        ticks=lambda share: f"{share:.0%}",
    )
    judged = any(one.judgement.canary is not None for one in moments)
    return [drawn(panel) for panel in (loss, *((ratio, evidence) if judged else ()), budget)]


def _loss(one: Moment, version: str | None) -> float | None:
    arm = one.judgement.arms.by_version.get(version) if version is not None else None
    return finite(arm.loss) if arm is not None else None


def _interval(one: Moment, stable: float | None) -> tuple[float, float | None, float | None]:
    """Of the canary's mean loss, at that time; None where there is none."""
    low, high = _compared(one, "low"), _compared(one, "high")
    if stable is None or low is None or high is None:
        return one.at.timestamp(), None, None
    return one.at.timestamp(), low * stable, high * stable


def _compared(one: Moment, name: str) -> float | None:
    canary = one.judgement.canary
    return finite(getattr(canary.compared, name)) if canary is not None else None


def _tens(one: Moment, name: str) -> float | None:
    """Decimal logarithm of the e-value."""
    found = _compared(one, name)
    return None if found is None else min(max(found / log(10), -_MOST_TENS), _MOST_TENS)


def _budget(one: Moment) -> float | None:
    return finite(one.status.budget.remaining) if one.status.budget is not None else None
