"""Rules across fields, each stated once: the API server gets it as CEL, the operator and the CLI evaluate it here.

A rule says where it stands (``at``), which field is at fault, what must hold, and in words which value is wrong and
what mends it. Add a rule by adding an entry to :data:`RULES` and a row to ``tests/unit/api/bad_resources.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from modelslo.api.expression import Term, absent, first_of, present, ratio, seconds, text, this
from modelslo.api.rule import Rule
from modelslo.api.rules_indicator import INDICATOR

MAX_SLICES: Final = 20_000
MAX_BURN_RATES: Final = 4
MAX_VETOES: Final = 8


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a resource breaks."""

    rule: Rule
    value: Any
    message: str


def broken_rules(resource: Mapping[str, Any]) -> Iterator[Broken]:
    """The rules that `resource` (camelCase, defaults filled in, nothing null) breaks, in the order of the table."""
    for rule in RULES:
        part = _walk(resource, rule.at)
        if part is not None and not rule.holds.of({"self": part}):
            yield Broken(rule, _walk(part, rule.field), str(rule.message.of({"self": part})))


def with_rules(schema: dict[str, Any]) -> dict[str, Any]:
    """A copy of the resource's `schema` with the rules where they stand."""
    schema = deepcopy(schema)
    for rule in RULES:
        part = schema
        for name in rule.at.split(".") if rule.at else ():
            part = part["properties"][name]
        part.setdefault("x-kubernetes-validations", []).append(rule.as_validation())
    return schema


def _walk(value: Any, path: str) -> Any:
    for name in path.split(".") if path else ():
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _at_most(at: str, field: str, limit: str, mend: str) -> Rule:
    """The duration `field` is at most the duration `limit`; both are always given."""
    return Rule(
        name=f"{field.rsplit('.', 1)[-1]}-within-{limit.rsplit('.', 1)[-1]}",
        at=at,
        field=field,
        holds=seconds(this(field)) <= seconds(this(limit)),
        fault=text(this(field), f" is longer than {limit} (", this(limit), ")"),
        mend=mend,
    )


def _percent_between(field: str, most: float, mend: str, *, at: str = "spec.rollout.gate") -> Rule:
    """The percentage `field` is above 0% and at most `most`."""
    return Rule(
        name=f"{field}-in-range",
        at=at,
        field=field,
        holds=(ratio(this(field)) > 0.0) & (ratio(this(field)) <= most),
        fault=text(this(field), f" is not above 0% and at most {most:.0%}"),
        mend=mend,
    )


def _burn_rate_rule(name: str, good: Callable[[Term], Term], fault: Callable[[Term], Term], mend: str) -> Rule:
    """`good` holds of every entry of burnRates; `fault` says what is wrong with one."""
    rates = this("burnRates")
    entries = [(index, rates.at(index)) for index in range(MAX_BURN_RATES)]
    bad = [
        ((rates.size() > index) & ~good(entry), text(f"the entry at index {index}: ", fault(entry)))
        for index, entry in entries
    ]
    return Rule(
        name=name,
        at="spec.objective",
        field="burnRates",
        holds=absent("burnRates") | rates.each(good),
        fault=first_of(bad),
        mend=mend,
    )


_SLICE, _WINDOW = this("slice"), this("window")
_STEPS = this("steps")
_GOAL = this("goal")

_OBJECTIVE = (
    _at_most("spec.objective", "slice", "window", "choose a slice that divides the window, such as 5m for 28d"),
    Rule(
        name="window-in-whole-slices",
        at="spec.objective",
        field="window",
        holds=(seconds(_SLICE) > seconds(_WINDOW)) | (seconds(_WINDOW) % seconds(_SLICE)).equals(0),
        fault=text(_WINDOW, " is not a whole multiple of the slice (", _SLICE, ")"),
        mend="choose a window that the slice divides, such as 28d for 5m",
    ),
    Rule(
        name="not-too-many-slices",
        at="spec.objective",
        field="slice",
        holds=seconds(_WINDOW) // seconds(_SLICE) <= MAX_SLICES,
        fault=text(
            _SLICE,
            " cuts the window (",
            _WINDOW,
            f") into more than {MAX_SLICES} slices",
        ),
        mend="choose a longer slice or a shorter window",
    ),
    Rule(
        name="goal-leaves-a-budget",
        at="spec.objective",
        field="goal",
        holds=(ratio(_GOAL) > 0.0) & (ratio(_GOAL) < 1.0),
        fault=text(_GOAL, " leaves no error budget or promises nothing"),
        mend="choose a goal above 0% and below 100%, such as 99%",
    ),
    _burn_rate_rule(
        "short-below-long",
        lambda one: seconds(one.get("short")) < seconds(one.get("long")),
        lambda one: text("short (", one.get("short"), ") is not below long (", one.get("long"), ")"),
        "choose a short window of about a twelfth of the long one",
    ),
    _burn_rate_rule(
        "long-within-window",
        lambda one: seconds(one.get("long")) <= seconds(_WINDOW),
        lambda one: text("long (", one.get("long"), ") is longer than the window (", _WINDOW, ")"),
        "choose a long window of at most the objective's window",
    ),
    _burn_rate_rule(
        "burn-windows-in-whole-slices",
        lambda one: (
            (seconds(one.get("short")) % seconds(_SLICE)).equals(0)
            & (seconds(one.get("long")) % seconds(_SLICE)).equals(0)
        ),
        lambda one: text(
            "short (",
            one.get("short"),
            ") or long (",
            one.get("long"),
            ") is not a whole multiple of the slice (",
            _SLICE,
            ")",
        ),
        "choose windows that the slice divides",
    ),
    _burn_rate_rule(
        "burn-rate-reachable",
        # When every slice is bad the budget burns at 1 / (1 - goal): a higher factor can never be seen.
        lambda one: one.get("factor") * (1.0 - ratio(_GOAL)) <= 1.000001,
        lambda one: text(
            "the factor of ",
            one.get("severity"),
            " over ",
            one.get("long"),
            " can never be reached with a goal of ",
            _GOAL,
        ),
        "choose a factor of at most 1 / (1 - goal), such as 10 for 90%",
    ),
)

_GATE = "spec.rollout.gate"
_ROLLOUT = (
    Rule(
        name="two-deployments",
        at="spec.rollout",
        field="canary.name",
        holds=this("stable.name").differs(this("canary.name")),
        fault=text(this("canary.name"), " is the stable Deployment too"),
        mend="name a second Deployment behind the same Service",
    ),
    Rule(
        name="a-shadow-has-no-steps",
        at="spec.rollout",
        field="steps",
        holds=absent("shadow") | absent("steps"),
        fault=text(_STEPS.joined(", "), " stands beside shadow, which has no share of the traffic"),
        mend="take steps out, or take shadow out for a canary that users see",
    ),
    Rule(
        name="steps-in-range",
        at="spec.rollout",
        field="steps",
        holds=absent("steps") | _STEPS.each(lambda step: (ratio(step) > 0.0) & (ratio(step) < 1.0)),
        fault=text(_STEPS.joined(", "), " has a share of 0% or 100%"),
        mend="write shares above 0% and below 100%; promotion follows the last one by itself",
    ),
    Rule(
        name="steps-ascend",
        at="spec.rollout",
        field="steps",
        holds=absent("steps") | _STEPS.mapped(ratio).ascending(),
        fault=text(_STEPS.joined(", "), " does not ascend"),
        mend="write each share larger than the one before, such as 10%, 25%, 50%",
    ),
    _percent_between("margin", 1.0, "choose how much worse than stable is still acceptable, such as 10%"),
    _percent_between("falseRollback", 0.5, "choose an error rate such as 5%"),
    _percent_between("falsePromote", 0.5, "choose an error rate such as 5%"),
    _at_most(_GATE, "minDuration", "deadline", "no canary could be promoted in time: raise the deadline"),
    _at_most("spec.rollout", "warmup", "gate.deadline", "no canary could be judged in time: raise the deadline"),
)

_VERSION_VARIABLE = this("rollout.versionFrom.env")
_ACROSS = (
    _at_most("spec", "interval", "objective.slice", "judge at least once a slice: choose a shorter interval"),
    Rule(
        name="delay-before-deadline",
        at="spec",
        field="rollout.gate.deadline",
        holds=absent("rollout")
        | absent("indicator.labels.delay")
        | (seconds(this("indicator.labels.delay")) < seconds(this("rollout.gate.deadline"))),
        fault=text(
            this("rollout.gate.deadline"),
            " is not longer than indicator.labels.delay (",
            this("indicator.labels.delay"),
            ")",
        ),
        mend="the first labels come too late for it: raise the deadline",
    ),
    Rule(
        name="max-age-beyond-interval",
        at="spec",
        field="indicator.labels.maxAge",
        holds=absent("indicator.labels.maxAge")
        | (seconds(this("indicator.labels.maxAge")) > seconds(this("interval"))),
        fault=text(this("indicator.labels.maxAge"), " is not longer than the interval (", this("interval"), ")"),
        mend="labels would be too old between two looks: raise maxAge, or leave it out",
    ),
    Rule(
        name="retrain-needs-rollout",
        at="spec",
        field="retrain",
        holds=absent("retrain") | present("rollout"),
        fault=text("is given without rollout"),
        mend="the candidate goes through the canary: add rollout with stable and canary",
    ),
    Rule(
        name="version-variable-is-ours",
        at="spec",
        field="retrain.candidate.env",
        holds=absent("retrain") | absent("rollout") | ~_VERSION_VARIABLE.within(this("retrain.candidate.env")),
        fault=text("contains ", _VERSION_VARIABLE, ", which is rollout.versionFrom.env"),
        mend="it is set by itself from the result's version: take it out",
    ),
    Rule(
        name="trigger-is-a-burn-rate",
        at="spec",
        field="retrain.trigger.burnRate",
        holds=absent("retrain")
        | this("retrain.trigger.type").equals("Drift")
        | absent("objective.burnRates")
        | this("objective.burnRates").some(lambda one: one.get("severity").equals(this("retrain.trigger.burnRate"))),
        fault=text(this("retrain.trigger.burnRate"), " is no severity in objective.burnRates"),
        mend="add a burn rate of this severity, or name one that is there",
    ),
    Rule(
        name="sustained-within-window",
        at="spec",
        field="retrain.trigger.sustainedFor",
        holds=absent("retrain") | (seconds(this("retrain.trigger.sustainedFor")) <= seconds(this("objective.window"))),
        fault=text(
            this("retrain.trigger.sustainedFor"), " is longer than objective.window (", this("objective.window"), ")"
        ),
        mend="choose a shorter time",
    ),
    Rule(
        name="drift-needs-history",
        at="spec",
        field="retrain.trigger.sustainedFor",
        holds=absent("retrain")
        | this("retrain.trigger.type").equals("BurnRate")
        | (seconds(this("retrain.trigger.sustainedFor")) * 4 <= seconds(this("objective.window"))),
        fault=text(
            this("retrain.trigger.sustainedFor"),
            " is longer than a quarter of objective.window (",
            this("objective.window"),
            "), and trigger.type is Drift",
        ),
        mend="the rest of the window tells what is usual: choose a shorter time or a longer window",
    ),
    Rule(
        name="false-alarms-are-rare",
        at="spec",
        field="retrain.trigger.falseAlarmInterval",
        holds=absent("retrain")
        | (seconds(this("retrain.trigger.falseAlarmInterval")) > seconds(this("retrain.trigger.sustainedFor"))),
        fault=text(
            this("retrain.trigger.falseAlarmInterval"),
            " is not longer than trigger.sustainedFor (",
            this("retrain.trigger.sustainedFor"),
            ")",
        ),
        mend="write the time that may pass on average between two alarms for nothing, such as 90d",
    ),
)

_VETOES = this("vetoes")


def _named_alone(veto: Term) -> Term:
    return _VETOES.one(lambda other: other.get("name").equals(veto.get("name")))


_GUARDRAILS = (
    Rule(
        name="vetoes-named-apart",
        at="spec.guardrails",
        field="vetoes",
        holds=absent("vetoes") | _VETOES.each(_named_alone),
        fault=first_of(
            [
                (
                    (_VETOES.size() > index) & ~_named_alone(_VETOES.at(index)),
                    text(_VETOES.at(index).get("name"), " is there twice"),
                )
                for index in range(MAX_VETOES)
            ]
        ),
        mend="people and metrics know a veto by its name: give each its own",
    ),
)

RULES: Final = INDICATOR + _OBJECTIVE + _ROLLOUT + _ACROSS + _GUARDRAILS
