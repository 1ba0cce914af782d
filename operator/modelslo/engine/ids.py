"""Ids that follow from what is recorded, so that deciding the same thing again gives the same id. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime

from modelslo.api.status import ModelSLOStatus
from modelslo.decide.decision import Decision
from modelslo.decide.reasons import Action


def digest(*parts: str) -> str:
    """Sixteen hexadecimal digits; fits into names, labels and annotations."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def decision_id(uid: str, status: ModelSLOStatus, decision: Decision, now: datetime) -> str:
    """Id of a decision, and of the operation that it starts.

    A promotion and a rollback are named after the rollout that they end; a retrain after its episode, which is the
    breach that led to it, and the attempt within it. Everything else only gets an id to be found in the log by.
    """
    action = decision.vetoed or decision.action
    match action:
        case Action.PROMOTE | Action.ROLLBACK:
            began = status.rollout.started_at.isoformat() if status.rollout else ""
            return digest(uid, action, decision.revision, began)
        case Action.RETRAIN:
            return digest(uid, action, *_episode(status))
        case _:
            return digest(uid, action, decision.reason, decision.revision, now.isoformat())


def _episode(status: ModelSLOStatus) -> tuple[str, str]:
    since = status.breach_since
    if since is None:
        return "", str(len(status.retrains))
    return since.isoformat(), str(sum(run.started_at >= since for run in status.retrains))
