"""Error budget and burn rates over timeslices (SRE workbook, chapter 5; OpenSLO's Timeslices).

A slice is good when the mean loss of its labelled samples is within the target. A slice with too few samples, or whose
sum is not finite, says nothing: it is missing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from modelslo.api.spec import NoData, Severity
from modelslo.judge.parameters import BurnRule, Parameters
from modelslo.judge.shadow import Shadow, hidden
from modelslo.observe.evidence import Slice, SliceTable

# Under Hold at least this share of a burn-rate window must have been measured.
_LEAST_COVERED = 0.5
_MISSING: Final = b"\0"
_GOOD: Final = b"\1"
_BAD: Final = b"\2"


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean loss of `samples` labelled predictions; None when there are too few or the sum is not finite."""

    value: float | None
    samples: int


@dataclass(frozen=True, slots=True)
class Burn:
    """Burn rates of one rule; None where too few slices were measured."""

    rule: BurnRule
    long: float | None
    short: float | None

    @property
    def burning(self) -> bool | None:
        """None: unknown. A rate of one window below the factor is enough to say no."""
        rates = (self.long, self.short)
        if any(rate is not None and rate < self.rule.factor for rate in rates):
            return False
        return None if None in rates else True


@dataclass(frozen=True, slots=True)
class Health:
    """The SLO over its window; ``remaining`` is the share of the error budget left, None while nothing was measured.

    ``flags`` holds what was measured of each slice up to slice ``last``, for the next table.
    """

    sli: Mean
    slice_end: datetime | None
    good: int
    bad: int
    missing: int
    remaining: float | None
    burns: tuple[Burn, ...]
    last: int
    flags: bytes = field(repr=False)

    def burning(self, severity: Severity) -> bool | None:
        """Whether a rule of this severity burns; None when none does and one is unknown (or there is none)."""
        found = [burn.burning for burn in self.burns if burn.rule.severity is severity]
        if True in found:
            return True
        return None if None in found or not found else False


@dataclass(frozen=True, slots=True)
class _Whose:
    """Whose losses count: those of ``versions`` (None: all) that are no shadows in the slice, of `length` s."""

    versions: frozenset[str] | None
    shadows: Sequence[Shadow]
    length: float

    def sums(self, slice_: Slice) -> tuple[float, float]:
        """Loss and samples."""
        total = count = 0.0
        unseen = hidden(self.shadows, slice_.index * self.length, (slice_.index + 1) * self.length)
        for version, (loss, samples) in slice_.by_version.items():
            if (self.versions is None or version in self.versions) and version not in unseen:
                total += loss
                count += samples
        return total, count


def _mean_of(slice_: Slice, whose: _Whose, least: int) -> Mean:
    """Mean loss, weighted by samples."""
    total, count = whose.sums(slice_)
    measured = isfinite(total) and isfinite(count) and count >= least
    return Mean(total / count if measured else None, int(count) if isfinite(count) else 0)


def health_of(
    table: SliceTable,
    parameters: Parameters,
    versions: frozenset[str] | None = None,
    before: Health | None = None,
    shadows: Sequence[Shadow] = (),
) -> Health:
    """Judges the window that ends with the table's last slice, over `versions` (None: all) without `shadows`.

    `before` is the health of an earlier table of the same model, parameters and versions: closed slices are never
    revised, so that only those behind it are looked at. The result is the same without it.
    """
    whose = _Whose(versions, shadows, table.length)
    flags = _flags_of(table, parameters, whose, before)
    judged = flags
    # Before the first sample there was no service: under Bad these slices do not count either.
    if parameters.no_data is NoData.BAD:
        born = len(flags) - len(flags.lstrip(_MISSING))
        judged = flags[:born] + flags[born:].replace(_MISSING, _BAD)
    good, bad = judged.count(_GOOD), judged.count(_BAD)
    newest = table.slices[-1] if table.slices else None
    return Health(
        sli=_mean_of(newest, whose, parameters.min_slice_samples)
        if newest is not None and newest.index == table.last
        else Mean(None, 0),
        slice_end=datetime.fromtimestamp((table.last + 1) * table.length, UTC),
        good=good,
        bad=bad,
        missing=len(judged) - good - bad,
        remaining=_remaining(good, bad, parameters),
        burns=tuple(_burn(rule, judged, parameters) for rule in parameters.burn_rules),
        last=table.last,
        flags=flags,
    )


def _flags_of(table: SliceTable, parameters: Parameters, whose: _Whose, before: Health | None) -> bytes:
    """One byte for each slice of the window, oldest first."""
    first, target, least = table.last - parameters.window_slices + 1, parameters.target, parameters.min_slice_samples
    flags, start = bytearray(parameters.window_slices), first
    if before is not None and len(before.flags) == len(flags) and first <= before.last <= table.last:
        kept = before.flags[table.last - before.last :]
        flags[: len(kept)] = kept
        start = before.last + 1
    slices: Iterable[Slice] = table.slices
    if start > first:
        position = bisect_left(table.slices, start, key=lambda one: one.index)
        slices = (table.slices[number] for number in range(position, len(table.slices)))
    for one in slices:
        if one.index < start:
            continue
        total, count = whose.sums(one)
        if count >= least and isfinite(total) and isfinite(count):
            flags[one.index - first] = _BAD[0] if total / count > target else _GOOD[0]
    return bytes(flags)


def _remaining(good: int, bad: int, parameters: Parameters) -> float | None:
    """1 - bad / (B * N). Missing slices stay in N under Hold and Bad, where they spend nothing; under Exclude not."""
    if good + bad == 0:
        return None
    promised = good + bad if parameters.no_data is NoData.EXCLUDE else parameters.window_slices
    return 1 - bad / (parameters.budget * promised)


def _burn(rule: BurnRule, flags: bytes, parameters: Parameters) -> Burn:
    def rate(length: int) -> float | None:
        window = flags[-length:]
        bad = window.count(_BAD)
        measured = bad + window.count(_GOOD)
        least = 1 if parameters.no_data is NoData.EXCLUDE else max(1.0, _LEAST_COVERED * length)
        return bad / measured / parameters.budget if measured >= least else None

    return Burn(rule, rate(rule.long), rate(rule.short))
