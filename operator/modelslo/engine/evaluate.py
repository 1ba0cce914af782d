"""One evaluation of one model: evidence in, judgement, decision and status out. Pure.

The live operator, dry run and backtest call these functions, so that a recorded decision can be made again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from modelslo.api.spec import ModelSLOSpec
from modelslo.api.status import ModelSLOStatus, RolloutStatus
from modelslo.decide.decision import Decision, decide
from modelslo.decide.report import report
from modelslo.decide.retrain import with_breach
from modelslo.decide.reverts import with_amnesty
from modelslo.decide.revision import version_of
from modelslo.decide.rollout import scene_of, with_ready_time, with_share
from modelslo.decide.shadow import with_users, with_users_of_all
from modelslo.decide.snapshot import Snapshot
from modelslo.decide.transition import with_parameters
from modelslo.decide.veto import with_vetoed
from modelslo.judge.judgement import Judgement, Memory, judge
from modelslo.judge.parameters import Parameters
from modelslo.observe.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Evaluation:
    """``status`` holds what is known without the decision; it is what the decision rests on."""

    judgement: Judgement
    memory: Memory
    decision: Decision
    status: ModelSLOStatus


def prepared(
    status: ModelSLOStatus, spec: ModelSLOSpec, parameters: Parameters, snapshot: Snapshot, now: datetime
) -> ModelSLOStatus:
    """Status with what the cluster alone tells, before anything is judged."""
    if spec.rollout is None:
        status = with_users_of_all(status, now)
    else:
        status = with_users(status, stable_version(spec, snapshot), now)
    status = with_amnesty(status, spec.suspend)
    status = with_share(with_parameters(status, parameters, now), spec, snapshot, now)
    return with_ready_time(status, spec, snapshot, now)


def evaluate(
    spec: ModelSLOSpec,
    parameters: Parameters,
    status: ModelSLOStatus,
    snapshot: Snapshot,
    memory: Memory,
    evidence: Evidence,
    now: datetime,
) -> Evaluation:
    """Judge and decide. `status` comes from :func:`prepared`, as it was when the evidence was asked for."""
    scene = scene_of(status, stable_version(spec, snapshot))
    judgement, memory = judge(parameters, memory, evidence, scene)
    status = with_breach(with_vetoed(status, judgement, now), parameters, judgement, now)
    decision = decide(spec, parameters, status, snapshot, judgement, now)
    return Evaluation(judgement, memory, decision, status)


def reported(
    evaluation: Evaluation,
    status: ModelSLOStatus,
    spec: ModelSLOSpec,
    parameters: Parameters,
    snapshot: Snapshot,
    generation: int,
    now: datetime,
) -> ModelSLOStatus:
    """`status` with the conditions and figures of the evaluation."""
    judgement = evaluation.judgement
    if _began(evaluation.status.rollout) != _began(status.rollout):
        # The decision began a rollout, maybe in the place of another one: this one was not compared so far.
        judgement = replace(judgement, canary=None)
    return report(status, spec, parameters, snapshot, judgement, evaluation.decision, generation, now)


def _began(rollout: RolloutStatus | None) -> datetime | None:
    return None if rollout is None else rollout.started_at


def stable_version(spec: ModelSLOSpec, snapshot: Snapshot) -> str | None:
    if spec.rollout is None or snapshot.stable is None:
        return None
    return version_of(snapshot.stable.template, spec.rollout.version_from.env)
