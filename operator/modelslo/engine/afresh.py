"""When the evidence of a comparison begins again at E = 1, a person is told why. Pure.

That is always valid: the error rates hold from there on. It costs the labels that were compared so far. While an
operation is under way the verdict is made, and nobody waits for the comparison any more: nothing is told.
"""

from __future__ import annotations

from typing import Final

from modelslo.act.events import EventType, Notice
from modelslo.api.status import ModelSLOStatus
from modelslo.decide.reasons import Action, Reason
from modelslo.judge.judgement import Judgement

# Status is written less often than is judged, so that a replay sees as many labels as it says, or more.
_LEAST_REPLAYED: Final = 0.9


def restarted_comparison(status: ModelSLOStatus, prepared: ModelSLOStatus) -> Notice | None:
    """`prepared` is `status` for the evaluation that comes: other parameters, or another schema of the checkpoint,
    begin the comparison again."""
    before, after = status.rollout, prepared.rollout
    if before is None or after is None or status.operation is not None or before.parameters == after.parameters:
        return None
    lost = status.comparison.canary_samples if status.comparison else 0
    note = (
        f"The comparison of version {after.version!r} begins again at E = 1: what it is judged by has changed in the "
        f"ModelSLO or in the operator (parameters {before.parameters or 'unknown'}, now {after.parameters}). "
        f"{lost} labels of the canary counted so far."
    )
    key = f"{after.revision}/{after.parameters}/{after.judged_since.isoformat()}"
    return Notice(EventType.NORMAL, Reason.COMPARISON_RESTARTED, Action.HOLD, note, key)


def lost_history(status: ModelSLOStatus, judgement: Judgement) -> Notice | None:
    """`judgement` is the first sound one after a start; it rests on Prometheus' history since ``status.rollout``
    began."""
    rollout, known, canary = status.rollout, status.comparison, judgement.canary
    if rollout is None or known is None or canary is None or status.operation is not None:
        return None
    found = canary.compared.canary
    if found >= _LEAST_REPLAYED * known.canary_samples:
        return None
    note = (
        f"After a restart Prometheus has {found:.0f} of the {known.canary_samples} labels that the comparison of "
        f"version {rollout.version!r} rested on. It goes on with those alone. Keep Prometheus' data on a volume, and "
        "for longer than a rollout lasts."
    )
    return Notice(EventType.WARNING, Reason.HISTORY_LOST, Action.HOLD, note, f"{rollout.revision}/{judgement.at:.0f}")
