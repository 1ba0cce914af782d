"""The sections of a description: each a function from spec and status to lines. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from modelslo.api.quantity import ratio
from modelslo.api.spec import Gate, Mode, ModelSLOSpec
from modelslo.api.status import DecisionStatus, ModelSLOStatus, RolloutStatus
from modelslo.cli.text import NONE, age, bar, number, percent, table
from modelslo.decide.rollout import shares_of

_INDENT: Final = "  "


def promise(spec: ModelSLOSpec) -> list[str]:
    """What the user asked for, in one or two sentences."""
    loss, objective = spec.indicator.loss, spec.objective
    labels = ", ".join(f'{name}="{value}"' for name, value in loss.match_labels.items())
    lines = [
        f"SLO: {spec.indicator.statistic.value.lower()} of {loss.metric}{{{labels}}} is at most "
        f"{number(objective.target.value)} in {objective.goal} of the {objective.slice} slices of {objective.window}",
    ]
    if spec.suspend:
        lines.append("Suspended: it is judged, and nothing is begun.")
    if spec.mode is Mode.DRY_RUN:
        lines.append("Dry run: it is decided and reported, and nothing is done.")
    return lines


def state(spec: ModelSLOSpec | None, status: ModelSLOStatus, now: datetime) -> list[str]:
    """What is measured, done and remembered. Sections without content are left out."""
    if not status.conditions and status.last_evaluation_time is None:
        return ["", "No operator has looked at it yet."]
    sections = {
        "Objective": _objective(status, now),
        "Roles": _roles(status),
        "Canary": _canary(spec, status, now),
        "Diagnosis": _diagnosis(status),
        "Operation": _operation(status, now),
        "Conditions": _conditions(status, now),
        "Decisions": _decisions(status, now),
        "Rejected revisions": _rejected(status, now),
        "Retrains": _retrains(spec, status, now),
    }
    lines: list[str] = []
    for title, content in sections.items():
        if content:
            lines += ["", title, *(f"{_INDENT}{line}" for line in content)]
    return lines


def _objective(status: ModelSLOStatus, now: datetime) -> list[str]:
    lines = []
    if status.sli is not None:
        sli = status.sli
        ended = f", slice ended {age(sli.slice_end, now)} ago" if sli.slice_end else ""
        lines.append(f"loss    {number(sli.value)} (target {number(sli.target)}, {sli.samples} samples{ended})")
    if status.budget is not None:
        budget = status.budget
        left = (
            f"{bar(budget.remaining)} {percent(budget.remaining)} left" if budget.remaining is not None else "unknown"
        )
        lines.append(f"budget  {left}: {budget.bad} bad, {budget.good} good, {budget.missing} missing slices")
    for rate in status.burn_rates:
        verdict = "burning" if rate.burning else "calm"
        lines.append(
            f"burn    {rate.severity.value}: {number(rate.long, 3)} over the long and {number(rate.short, 3)} over the "
            f"short window, limit {number(rate.factor)}: {verdict}"
        )
    if status.drift is not None:
        drift = status.drift
        lines.append(f"drift   {drift.state}: e-value {number(drift.e_value, 2)} of {number(drift.threshold, 6)}")
    if status.vetoed is not None and status.vetoed.lifted_at is None:
        lines.append(f"veto    {', '.join(status.vetoed.names)}: stands for {age(status.vetoed.since, now)}")
    if status.breach_since is not None:
        lines.append(f"breach  for {age(status.breach_since, now)}")
    if status.last_evaluation_time is not None:
        lines.append(f"judged  {age(status.last_evaluation_time, now)} ago")
    return lines


def _roles(status: ModelSLOStatus) -> list[str]:
    rows = [
        [
            name,
            role.version or NONE,
            str(role.replicas),
            number(role.loss),
            str(role.samples),
            percent(role.traffic_share),
        ]
        for name, role in (("stable", status.stable), ("canary", status.canary))
        if role is not None
    ]
    return table(("ROLE", "VERSION", "PODS", "LOSS", "SAMPLES", "SHARE"), rows) if rows else []


def _canary(spec: ModelSLOSpec | None, status: ModelSLOStatus, now: datetime) -> list[str]:
    rollout = status.rollout
    if rollout is None:
        return []
    lines = [
        f"{rollout.version} against {rollout.stable_version} for {age(rollout.started_at, now)}, {rollout.phase.value}",
        _shadow(status, rollout, now) if rollout.shadow else _step(spec, rollout, now),
    ]
    return lines + (_comparison(spec.rollout.gate if spec and spec.rollout else None, status))


def _step(spec: ModelSLOSpec | None, rollout: RolloutStatus, now: datetime) -> str:
    steps = shares_of(spec.rollout) if spec and spec.rollout else ()
    share = f" of {len(steps)} ({steps[rollout.step]})" if rollout.step < len(steps) else ""
    return f"step {rollout.step + 1}{share} for {age(rollout.transitions[-1].started_at, now)}, {_pods(rollout, now)}"


def _shadow(status: ModelSLOStatus, rollout: RolloutStatus, now: datetime) -> str:
    stable, shadow = (role.traffic_share if role else None for role in (status.stable, status.canary))
    copied = f" {percent(shadow / stable)} of stable's requests" if stable and shadow is not None else " requests"
    return f"shadow: gets copies of{copied}, no user sees its answers; {_pods(rollout, now)}"


def _pods(rollout: RolloutStatus, now: datetime) -> str:
    ready = rollout.transitions[-1].ready_at
    return f"pods available for {age(ready, now)}" if ready else "waiting for its pods"


def _comparison(gate: Gate | None, status: ModelSLOStatus) -> list[str]:
    comparison = status.comparison
    if comparison is None:
        return ["not compared so far"]
    tolerated = f", tolerated up to {number(1 + ratio(gate.margin))}" if gate else ""
    interval = f"{number(comparison.ratio_low)} and {number(comparison.ratio_high)}"
    return [
        f"loss ratio {number(comparison.ratio)} (between {interval}){tolerated}",
        f"evidence for rollback  {_evidence(comparison.e_rollback, gate.false_rollback if gate else None)}",
        f"evidence for promotion {_evidence(comparison.e_promote, gate.false_promote if gate else None)}",
        f"compared {comparison.canary_samples} samples of canary with {comparison.stable_samples} of stable"
        + (f", at least {gate.min_samples} for a promotion" if gate else ""),
    ]


def _evidence(e_value: float, error_rate: str | None) -> str:
    """An e-value against its threshold, which is one over the accepted error rate."""
    if error_rate is None:
        return number(e_value, 3)
    threshold = 1 / ratio(error_rate)
    return f"{number(e_value, 3)} of {number(threshold, 3)} {bar(e_value / threshold)}"


def _diagnosis(status: ModelSLOStatus) -> list[str]:
    """Nothing while nothing is supported: then there is nothing to disagree with."""
    if status.diagnosis is None or not any(one.supported for one in status.diagnosis.explanations):
        return []
    rows = [[one.cause, "yes" if one.supported else "no", one.evidence] for one in status.diagnosis.explanations]
    return table(("CAUSE", "SUPPORTED", "EVIDENCE"), rows)


def _operation(status: ModelSLOStatus, now: datetime) -> list[str]:
    operation = status.operation
    if operation is None:
        return []
    lines = [
        f"{operation.type.value}, step {operation.step} for {age(operation.step_started_at, now)} "
        f"(begun {age(operation.started_at, now)} ago, id {operation.id})",
        f"why     {operation.reason}: {operation.message}",
    ]
    if operation.version:
        lines.append(f"version {operation.version}")
    if operation.job:
        lines.append(f"job     {operation.job}")
    if operation.result:
        lines.append("result  " + ", ".join(f"{key}={value}" for key, value in sorted(operation.result.items())))
    if operation.failure:
        lines.append(f"failed  {operation.failure}: on its way back")
    return lines


def _conditions(status: ModelSLOStatus, now: datetime) -> list[str]:
    rows = [
        [one.type, one.status, age(one.last_transition_time, now), one.reason, one.message] for one in status.conditions
    ]
    return table(("TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"), rows) if rows else []


def _decisions(status: ModelSLOStatus, now: datetime) -> list[str]:
    """Newest first."""
    decisions = list(reversed(status.history)) or ([status.last_decision] if status.last_decision else [])
    rows = [_decision(one, now) for one in decisions]
    return table(("AGE", "ACTION", "VERSION", "REASON", "MESSAGE"), rows) if rows else []


def _decision(decision: DecisionStatus, now: datetime) -> list[str]:
    action = f"{decision.action} (dry run)" if decision.mode == Mode.DRY_RUN else decision.action
    return [age(decision.at, now), action, decision.version or NONE, decision.reason, decision.message]


def _rejected(status: ModelSLOStatus, now: datetime) -> list[str]:
    rows = [[age(one.at, now), one.version, one.revision, one.reason] for one in reversed(status.rejected_revisions)]
    return table(("AGE", "VERSION", "REVISION", "REASON"), rows) if rows else []


def _retrains(spec: ModelSLOSpec | None, status: ModelSLOStatus, now: datetime) -> list[str]:
    rows = [
        [
            age(one.started_at, now),
            one.job,
            one.result.value,
            age(one.started_at, one.finished_at) if one.finished_at else NONE,
            one.version or NONE,
            one.message,
        ]
        for one in reversed(status.retrains)
    ]
    if not rows:
        return []
    limit = [f"at most {spec.retrain.limits.max_runs} in {spec.retrain.limits.per}"] if spec and spec.retrain else []
    return limit + table(("AGE", "JOB", "RESULT", "TOOK", "VERSION", "MESSAGE"), rows)
