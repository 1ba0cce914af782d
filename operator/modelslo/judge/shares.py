"""The canary's share of the traffic changes: its labels are then younger, or older, than stable's (section 3.7).

With survival S of the label delays, rho_j the odds canary : stable of the predictions in stretch j of the rollout, and
m_j the part of stable's labels of now that are of it, both arms' labels are of the same age but for

    TV = 1/2 sum_j m_j |rho_j / sum_i m_i rho_i - 1|,

the total variation distance of their ages. Where the canary had no traffic before its first prediction that is the
share of stable's labels that are older: the rule of the study is this one for a share that changes once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Final

import numpy as np

from modelslo.judge.betting import Array, row_sums
from modelslo.judge.frozen import changed, frozen
from modelslo.judge.maturity import older_shares

# A window of predictions is of another share when it is off by so many standard errors, predictions and odds.
_STANDARD_ERRORS: Final = 4.0
_PREDICTIONS: Final = 2.0
_ODDS: Final = 1.25
_LEAST_PREDICTIONS: Final = 50.0
_LASTING: Final = 0.3  # of a window: what lasts no longer may be a scrape that came late, and will be made up for
# Predictions of an arm without which it is not idle, but shown as it was at the scrape before.
_LEAST_OF_STILL: Final = 8.0
_MOST_STRETCHES: Final = 16
_PRIOR_WINDOWS: Final = 2.0
_PRIOR: Final = 2.0
_MOST_TERM: Final = 4.0
_FORGOTTEN: Final = 1e-4


@frozen()
class Counted:
    """Predictions of both arms since some time (s)."""

    since: float
    canary: float = 0.0
    stable: float = 0.0

    @property
    def total(self) -> float:
        return self.canary + self.stable

    @property
    def odds(self) -> float:
        return (self.canary + 0.5) / (self.stable + 0.5)

    def add(self, canary: float, stable: float) -> Counted:
        return Counted(self.since, self.canary + canary, self.stable + stable)


@dataclass(frozen=True)
class Shares:
    """Stretches of one share each, the newest last, and the window that is being counted. ``suspect``: what
    came after the first scrape that looked as if of another share.

    ``terms`` of ``number`` windows tell by how much counts scatter more than independent predictions would. ``broken``:
    an arm was not seen, so that its next increment is of a longer time; so it is where it stands still there.
    ``still``: since when an arm stands still; ``held``: what was counted meanwhile, as long as it is waited for.
    """

    stretches: tuple[Counted, ...] = ()
    window: Counted | None = None
    terms: float = 0.0
    number: int = 0
    broken: bool = False
    suspect: Counted | None = None
    still: float | None = None
    held: Counted | None = None

    @property
    def since(self) -> float:
        """When the share of now began; it did so with the rollout where it has not changed."""
        return self.stretches[-1].since if len(self.stretches) > 1 else float("-inf")

    @property
    def kept(self) -> float:
        """What stable has of the traffic that it had before the newest change, the first one being the rollout's."""
        if not self.stretches:
            return 1.0
        now = self.stretches[-1] if self.stretches[-1].total > 0 else self.window
        before = self.stretches[-2].odds if len(self.stretches) > 1 else 0.0
        return 1.0 if now is None else (1 + before) / (1 + now.odds)


def shared(shares: Shares, at: float, elapsed: float, canary: float, stable: float, span: float) -> Shares:
    """Takes the predictions of both arms in the last `elapsed` seconds before `at`; windows last `span` seconds.

    A pod that is not scraped once stands still and then counts double: only another share that lasts is one. An arm
    that stands still is waited for, so that both making up for each other are no change either; but once, and not
    for longer than a change has to last.
    """
    since = None
    if shares.stretches and _still(shares.stretches[-1], canary, stable):
        since = at - elapsed if shares.still is None else shares.still
    waits = since is not None and at - since <= max(_LASTING * span, elapsed)
    if shares.broken:
        # What an arm that stands still now makes up for at the next scrape is of a longer time, too.
        return changed(shares, broken=waits, still=since)
    now = (shares.held or Counted(at - elapsed)).add(canary, stable)
    if not shares.stretches:
        # That there is a first prediction is no sample of how many there are.
        return changed(shares, stretches=(Counted(now.since),)) if canary > 0 else shares
    if waits:
        return changed(shares, held=now, still=since)
    window = shares.window
    if since is not None and window is not None and window.since < since:
        window = None  # it was waited for in vain: what was before does not blur what has come since
    return _counted(changed(shares, window=window, held=None, still=since), at, now, span)


def _counted(shares: Shares, at: float, now: Counted, span: float) -> Shares:
    """Whether the window that is counted is of another share, with what is new in it."""
    *before, newest = shares.stretches
    window = now if shares.window is None else shares.window.add(now.canary, now.stable)
    off, scatter = _off(newest, window)
    limit = _STANDARD_ERRORS * sqrt(scatter * _overdispersion(shares)) + _PREDICTIONS
    if newest.total >= _LEAST_PREDICTIONS and off > limit and not _alike(window, newest):
        # The first scrape is not held against it: it may make up for one before.
        suspect = Counted(now.since) if shares.suspect is None else shares.suspect.add(now.canary, now.stable)
        if at - suspect.since <= _LASTING * span or not suspect.total:
            return changed(shares, window=window, suspect=suspect)
        if (suspect.odds - newest.odds) * (window.odds - newest.odds) <= 0 or _alike(suspect, newest):
            return changed(shares, window=None, suspect=None)
        return changed(shares, stretches=(*shares.stretches, suspect)[-_MOST_STRETCHES:], window=None, suspect=None)
    if at - window.since < span:
        return changed(shares, window=window, suspect=None)
    terms, number = shares.terms, shares.number
    if newest.total >= _LEAST_PREDICTIONS and scatter > 0:
        # A change in the middle of a window is no scatter.
        terms, number = terms + min(off * off / scatter, _MOST_TERM * _overdispersion(shares)), number + 1
    stretches = (*before, newest.add(window.canary, window.stable))
    return changed(shares, stretches=stretches, window=None, suspect=None, terms=terms, number=number)


def unseen(shares: Shares) -> Shares:
    """An arm is missing."""
    return changed(shares, broken=True, held=None)


def _still(usual: Counted, canary: float, stable: float) -> bool:
    """Whether one arm has no predictions while the other has, and at the usual share it would."""
    return (canary == 0 and stable * usual.odds >= _LEAST_OF_STILL) or (
        stable == 0 and canary / usual.odds >= _LEAST_OF_STILL
    )


def _alike(one: Counted, other: Counted) -> bool:
    return 1 / _ODDS < one.odds / other.odds < _ODDS


def _off(usual: Counted, window: Counted) -> tuple[float, float]:
    """By how many predictions the canary's are off, and the variance of that if each is sent at random."""
    share = (usual.canary + 1.0) / (usual.total + 2.0)
    scatter = window.total * share * (1 - share) * (1 + window.total / (usual.total + 2.0))
    return abs(window.canary - window.total * share), scatter


def _overdispersion(shares: Shares) -> float:
    return max(1.0, (_PRIOR_WINDOWS * _PRIOR + shares.terms) / (_PRIOR_WINDOWS + shares.number))


@frozen(eq=False)
class Ages:
    """Of what age the canary's labels of now are beside stable's.

    ``missing`` (J,) is the part of the labels of each delay that it lacks, beside the delay of which it has most.
    ``apart``: the total variation distance, 0 to 1. ``late``: the parts of stable's labels that are from before each
    change of the share, the oldest change first.
    """

    missing: Array
    apart: float
    late: tuple[float, ...]


def ages(shares: Shares, counts: Array, edges: tuple[float, ...], at: float) -> Ages:
    """`counts` (J,) of stable's delays, some at least. What came before the first prediction is not in it."""
    older = [older_shares(edges, at - one.since) for one in shares.stretches[1:]]
    odds = [one.odds for one in shares.stretches]
    # Labels of a stretch are older than the change that ended it, and no older than the one that began it.
    present = np.full(len(counts), odds[-1])
    for share, before, after in zip(older, odds, odds[1:], strict=False):
        present += share * (before - after)
    total = float(row_sums(counts))
    late = tuple(float(counts.dot(one)) / total for one in older)
    parts = [more - less for less, more in pairwise((0.0, *late, 1.0))]
    mean = sum(part * one for part, one in zip(parts, odds, strict=True))
    found = sum(part * abs(one / mean - 1.0) for part, one in zip(parts, odds, strict=True)) / 2
    return Ages(1.0 - present / max(present.tolist()), found, late)


def recent(shares: Shares, found: Ages) -> Shares:
    """Without the stretches that no label is of any more."""
    gone = sum(one < _FORGOTTEN for one in found.late)
    return changed(shares, stretches=shares.stretches[gone:]) if gone else shares
