"""Canary against stable by Robbins' normal mixture: valid however often it is looked at.

For every stratum (segment) labels of both arms are gathered into blocks, and only means of one block are compared, so
that what both arms share (season, weather, mix of segments) cancels (decision-statistics section 3.5). With r = 1 +
margin and

    d_b = m_c - r m_s     w_b = n_c n_s / (n_s + r^2 n_c)     S = sum w_b d_b     V = sum w_b^2 phi (v_c/n_c + r^2
    v_s/n_s)

exp(l S - l^2 V / 2), mixed over l > 0 by a half-normal density of variance 1/rho, is an e-process for "mu_c <= r mu_s"
(Robbins 1970; Howard et al. 2021, Prop. 6, one-sided normal mixture):

    E(S, V) = 2 sqrt(rho / (V + rho)) exp(S^2 / (2 (V + rho))) Phi(S / sqrt(V + rho))

P(E >= 1/alpha at any look) <= alpha (Ville 1939). E(-S, V) is the same for "mu_c >= r mu_s", which promotion must
refute. The guarantee is asymptotic: variances are estimated. Losses are in the unit of the metric.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import erfc, exp, inf, isfinite, log, pi, sqrt
from typing import Final

from modelslo.judge.moments import ZERO, Moments
from modelslo.judge.parameters import GateParameters

BLOCK_SAMPLES: Final = 5  # of each arm
BLOCK_SAMPLES_WITHOUT_VARIANCE: Final = 30
BLOCKS_TO_ROLL_BACK: Final = 2
BLOCKS_TO_PROMOTE: Final = 5
HARM: Final = 5.0  # an E for "worse" from here on forbids promotion and advance
# Overdispersion of clustered samples (decision-statistics section 4.4): prior of six blocks, one outlier counts 40 at
# most.
_PRIOR_BLOCKS, _PRIOR_PHI, _MOST_PHI_TERM = 6.0, 1.5, 40.0


@dataclass(frozen=True, slots=True)
class Pending:
    """A block that is still being filled."""

    stable: Moments = ZERO
    canary: Moments = ZERO


@dataclass(frozen=True, slots=True)
class Contrast:
    """A finished block's estimate of the difference and its variance before phi, for the next block's phi."""

    difference: float
    variance: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """State and result of the test. Start: ``Comparison()``. Deterministic in the blocks it is given."""

    s: float = 0.0
    v: float = 0.0
    rho: float | None = None
    blocks: int = 0
    weight: float = 0.0
    weighted_stable: float = 0.0
    weighted_canary: float = 0.0
    stable: Moments = ZERO
    canary: Moments = ZERO
    phi_terms: int = 0
    phi_sum: float = 0.0
    pending: Mapping[str, Pending] = field(default_factory=dict)
    last: Mapping[str, Contrast] = field(default_factory=dict)

    @property
    def phi(self) -> float:
        return max(1.0, (_PRIOR_BLOCKS * _PRIOR_PHI + self.phi_sum) / (_PRIOR_BLOCKS + self.phi_terms))

    def log_e_rollback(self) -> float:
        return _log_mixture(self.s, self.v, self.rho)

    def log_e_promote(self) -> float:
        return _log_mixture(-self.s, self.v, self.rho)

    def interval(self, gate: GateParameters) -> tuple[float, float, float] | None:
        """(low, ratio, high): mean loss of canary over stable with its anytime-valid band at 1 - alpha, two-sided.

        Robbins' band |S - E S| <= sqrt((V + rho)(2 ln(1/alpha) + ln(1 + V/rho))); None before the first block.
        """
        if self.rho is None or self.blocks == 0 or self.weighted_stable <= 0:
            return None
        half = sqrt((self.v + self.rho) * (2 * log(1 / gate.alpha) + log(1 + self.v / self.rho)))
        ratio = self.weighted_canary / self.weighted_stable
        width = half / self.weighted_stable
        return ratio - width, ratio, ratio + width


def _log_mixture(s: float, v: float, rho: float | None) -> float:
    """ln E(S, V) in a form that neither over- nor underflows; 0 before anything was seen."""
    if rho is None or v <= 0:
        return 0.0
    z = s / sqrt(v + rho)
    return log(2) + 0.5 * (log(rho) - log(v + rho)) + z * z / 2 + _log_normal_cdf(z)


def _log_normal_cdf(z: float) -> float:
    if z > -30:
        return log(0.5 * erfc(-z / sqrt(2)))
    # Mills' ratio: Phi(z) ~ phi(z) / |z| (1 - 1/z^2)
    return -z * z / 2 - log(-z) - 0.5 * log(2 * pi) + log(1 - 1 / (z * z))


def e_value(log_e: float) -> float:
    """exp without overflow, for people."""
    return exp(min(log_e, 700.0))


def scaled(comparison: Comparison, history: Moments, gate: GateParameters) -> Comparison:
    """Freezes rho from what is known of stable before the first block; must not look at what will be judged.

    rho makes the boundary tightest where a difference of one margin is decided: V_opt / (2 ln(1/a) + ln(1 + 2 ln(1/a)))
    with V_opt = 2 ln(1/a) (sigma^2 / (margin mean))^2 in units of S (decision-statistics section 5).
    """
    if comparison.rho is not None or history.count < 1 or not isfinite(history.total) or history.mean <= 0:
        return comparison
    variance = history.variance or history.mean**2
    evidence = 2 * log(1 / gate.alpha)
    margin = gate.margin * history.mean
    ratio = variance / margin if margin > 0 else inf
    best = evidence * ratio * ratio
    rho = best / (evidence + log(1 + evidence))
    # Losses so small that their squares vanish give no scale; a later block will.
    return replace(comparison, rho=rho) if 0 < rho < inf else comparison


def add(comparison: Comparison, segment: str, stable: Moments, canary: Moments, gate: GateParameters) -> Comparison:
    """Takes both arms' increment of one segment; closes a block when both arms have enough labels."""
    before = comparison.pending.get(segment, Pending())
    now = Pending(before.stable + stable, before.canary + canary)
    known = now.stable.squares is not None and now.canary.squares is not None
    least = BLOCK_SAMPLES if known else BLOCK_SAMPLES_WITHOUT_VARIANCE
    if min(now.stable.count, now.canary.count) < least:
        return replace(comparison, pending={**comparison.pending, segment: now})
    closed = _close(comparison, segment, now, gate)
    return replace(closed, pending={**closed.pending, segment: Pending()})


def _close(comparison: Comparison, segment: str, block: Pending, gate: GateParameters) -> Comparison:
    stable, canary = comparison.stable + block.stable, comparison.canary + block.canary
    tracked = replace(comparison, stable=stable, canary=canary)
    if comparison.rho is None:  # nothing was known before: this block only sets the scale
        return scaled(tracked, block.stable, gate)
    r, n_s, n_c = gate.tolerated_ratio, block.stable.count, block.canary.count
    v_s, v_c = _variances(stable, canary)
    contrast = Contrast(block.canary.mean - r * block.stable.mean, v_c / n_c + r * r * v_s / n_s)
    weight = n_s * n_c / (n_s + r * r * n_c)
    phi_sum, phi_terms = comparison.phi_sum, comparison.phi_terms
    previous = comparison.last.get(segment)
    if previous is not None and contrast.variance + previous.variance > 0:
        term = (contrast.difference - previous.difference) ** 2 / (contrast.variance + previous.variance)
        phi_sum, phi_terms = phi_sum + min(term, _MOST_PHI_TERM), phi_terms + 1
    return replace(
        tracked,
        s=comparison.s + weight * contrast.difference,
        v=comparison.v + weight * weight * contrast.variance * comparison.phi,  # past blocks' phi only
        blocks=comparison.blocks + 1,
        weight=comparison.weight + weight,
        weighted_stable=comparison.weighted_stable + weight * block.stable.mean,
        weighted_canary=comparison.weighted_canary + weight * block.canary.mean,
        phi_sum=phi_sum,
        phi_terms=phi_terms,
        last={**comparison.last, segment: contrast},
    )


def _variances(stable: Moments, canary: Moments) -> tuple[float, float]:
    """Variance of one sample of each arm, over all blocks so far.

    The canary's is at least stable's: a young canary with lucky labels must not look more certain than it is. Where
    squares are not known the squared mean stands in, as for an exponential loss; phi corrects it from the blocks.
    """
    of_stable = stable.variance if stable.variance is not None else stable.mean**2
    of_canary = canary.variance if canary.variance is not None else canary.mean**2
    return of_stable, max(of_canary, of_stable)
