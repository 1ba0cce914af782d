"""What the canary gate says at one look; it holds however often one looks (decision-statistics section 4.7)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite, log, log1p
from typing import Final

from modelslo.judge.contrast import Contrast
from modelslo.judge.effort import labels_per_nat
from modelslo.judge.gate import Gate
from modelslo.judge.scale import Data, Rules
from modelslo.judge.trial import Trial

HARM: Final = 5.0
# An e-value is divided by 1 plus, over this, the nats that the compared labels were worth on a canary a margin off the
# margin. What tempering misses adds up with them; a verdict that needs many is one near the margin, and what matters is
# found with few. Measured: docs/judging-evidence.md.
DOUBT_ROLLBACK: Final = 4.0
DOUBT_PROMOTION: Final = 20.0
BLOCKS_TO_PROMOTE: Final = 5
LARGE_BLOCKS: Final = 3
LARGE_LABELS: Final = 100.0
RARE_LOSS: Final = 30.0
"""Without buckets a promotion must have seen losses so many times the mean, were they frequent enough to matter."""


class GateVerdict(StrEnum):
    """What the gate says at one look. A reason of the closed list."""

    ROLLBACK = "Rollback"
    PROMOTE = "Promote"
    INSUFFICIENT_DATA = "InsufficientData"
    IMMATURE = "Immature"
    INCIDENT = "Incident"
    NEAR_MARGIN = "NearMargin"
    NAN_LOSS = "NaNLoss"


@dataclass(frozen=True, slots=True)
class Said:
    """Evidence as natural logarithms, less what is kept back. Divided by at least 1, an e-value is one still."""

    rollback: float
    promote: float


def said_by(trial: Trial) -> Said:
    """The e-values that verdicts rest on: against 1/alpha and 1/beta."""
    return Said(
        trial.e.rollback - log1p(worth(trial, trial.contrast, True) / DOUBT_ROLLBACK),
        trial.e.promote - log1p(worth(trial, _promoted_by(trial), False) / DOUBT_PROMOTION),
    )


def measure(r: float, worse: bool) -> float:
    """The ratio of a canary that is as far off the margin as the margin is from one: 1 + 2 m if `worse`, else 1."""
    return 2 * r - 1 if worse else 1.0


def worth(trial: Trial, compared: Contrast, worse: bool) -> float:
    """Nats that the compared labels would give for "worse" (or "not worse") on such a canary.

    Bets that were made without history are too small for losses that vary less, and gain no more by them.
    """
    if compared.canary <= 0 or compared.stable <= 0:
        return 0.0
    r, kappa = trial.scale.r, compared.canary / compared.stable
    cv2 = max(trial.cv2, trial.scale.cv2)
    return compared.canary / labels_per_nat(measure(r, worse), r, cv2, kappa, trial.top)


def harmful(trial: Trial) -> bool:
    """Evidence of harm that forbids promotion and advance: in full, without anything kept back."""
    return trial.e.rollback >= log(HARM)


def verdict_of(gate: Gate, rules: Rules, at: float, said: Said | None = None) -> GateVerdict:
    """What may be said at this look (section 4.7). `said`: what :func:`said_by` says, if it was asked already."""
    trial = gate.trial
    if trial is None or trial.first_prediction is None or at < trial.first_prediction + rules.warmup:
        return GateVerdict.INSUFFICIENT_DATA
    if gate.watch.frozen:
        return GateVerdict.INCIDENT
    said = said or said_by(trial)
    if said.rollback >= log(1 / rules.alpha):
        return GateVerdict.ROLLBACK
    if said.promote >= log(1 / rules.beta) and not harmful(trial):
        return _promotion(trial, rules, at)
    if trial.closed is None or at - trial.closed > rules.tempo.quiet:
        return GateVerdict.INSUFFICIENT_DATA if trial.ripe or trial.closed is not None else GateVerdict.IMMATURE
    return GateVerdict.IMMATURE if trial.young else GateVerdict.NEAR_MARGIN


def rare_labels(margin: float, beta: float) -> float:
    """Labels among which a loss of thirty times the mean is seen with probability 1 - `beta`, if such losses make the
    mean worse by `margin`. Buckets that reach so far ask for as many by themselves; sums and squares bet that what was
    never seen is not there."""
    return log(beta) / log1p(-min(0.5, margin / (RARE_LOSS - 1)))


def _enough(trial: Trial, rules: Rules, at: float) -> bool:
    """Five blocks; three where labels come rarely and many at once, so that five would be a day."""
    contrast, began = _promoted_by(trial), trial.began
    if trial.scale.data is not Data.HISTOGRAM and contrast.canary < rare_labels(rules.margin, rules.beta):
        return False
    if contrast.blocks >= BLOCKS_TO_PROMOTE:
        return True
    long = began is not None and at - began >= rules.tempo.slow
    return long and contrast.blocks >= LARGE_BLOCKS and contrast.canary >= LARGE_LABELS * contrast.blocks


def _promoted_by(trial: Trial) -> Contrast:
    """The blocks that speak for labels of all ages."""
    return trial.contrast if trial.whole is None else trial.whole


def _promotion(trial: Trial, rules: Rules, at: float) -> GateVerdict:
    """The evidence is there; what else must hold before a promotion."""
    contrast = _promoted_by(trial)
    if trial.canary_nan:
        return GateVerdict.NAN_LOSS
    young = trial.first_prediction is None or at < trial.first_prediction + rules.tempo.least_age
    if young or not _enough(trial, rules, at):
        return GateVerdict.INSUFFICIENT_DATA
    raw = contrast.of_canary - trial.scale.r * contrast.of_stable
    if isfinite(raw) and raw > 0:
        return GateVerdict.NEAR_MARGIN
    return GateVerdict.PROMOTE
