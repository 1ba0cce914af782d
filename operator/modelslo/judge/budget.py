"""Error budget and burn rates over timeslices (SRE workbook, chapter 5; OpenSLO's Timeslices).

A slice is good when the mean loss of its labelled samples is within the target. A slice with too few samples, or whose
sum is not finite, says nothing: it is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite

from modelslo.api.spec import NoData, Severity
from modelslo.judge.parameters import BurnRule, Parameters
from modelslo.observe.evidence import Slice, SliceTable

# Under Hold at least this share of a burn-rate window must have been measured.
_LEAST_COVERED = 0.5


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
    """The SLO over its window; ``remaining`` is the share of the error budget left, None while nothing was measured."""

    sli: Mean
    slice_end: datetime | None
    good: int
    bad: int
    missing: int
    remaining: float | None
    burns: tuple[Burn, ...]

    def burning(self, severity: Severity) -> bool | None:
        """Whether a rule of this severity burns; None when none does and one is unknown (or there is none)."""
        found = [burn.burning for burn in self.burns if burn.rule.severity is severity]
        if True in found:
            return True
        return None if None in found or not found else False


def mean_of(slice_: Slice, versions: frozenset[str] | None, least: int) -> Mean:
    """Mean loss over the given versions (None: all), weighted by their samples."""
    arms = [arm for version, arm in slice_.by_version.items() if versions is None or version in versions]
    total, count = sum(arm[0] for arm in arms), sum(arm[1] for arm in arms)
    measured = isfinite(total) and isfinite(count) and count >= least
    return Mean(total / count if measured else None, int(count) if isfinite(count) else 0)


def health_of(table: SliceTable, parameters: Parameters, versions: frozenset[str] | None = None) -> Health:
    """Judges the window that ends with the table's last slice: one flag a slice, True is bad, None is missing."""
    flags: dict[int, bool | None] = {}
    newest: Mean = Mean(None, 0)
    oldest_measured = None
    for one in table.slices:
        mean = mean_of(one, versions, parameters.min_slice_samples)
        if mean.value is not None and oldest_measured is None:
            oldest_measured = one.index
        flags[one.index] = None if mean.value is None else mean.value > parameters.target
        if one.index == table.last:
            newest = mean
    window = range(table.last - parameters.window_slices + 1, table.last + 1)
    # Before the first sample there was no service: under Bad these slices do not count either.
    born = oldest_measured if oldest_measured is not None else table.last + 1
    if parameters.no_data is NoData.BAD:
        flags |= {index: True for index in window if index >= born and flags.get(index) is None}
    values = [flags.get(index) for index in window]
    good, bad = values.count(False), values.count(True)
    return Health(
        sli=newest,
        slice_end=datetime.fromtimestamp((table.last + 1) * table.length, UTC),
        good=good,
        bad=bad,
        missing=len(values) - good - bad,
        remaining=_remaining(good, bad, parameters),
        burns=tuple(_burn(rule, flags, table.last, parameters) for rule in parameters.burn_rules),
    )


def _remaining(good: int, bad: int, parameters: Parameters) -> float | None:
    """1 - bad / (B * N). Missing slices stay in N under Hold and Bad, where they spend nothing; under Exclude not."""
    if good + bad == 0:
        return None
    promised = good + bad if parameters.no_data is NoData.EXCLUDE else parameters.window_slices
    return 1 - bad / (parameters.budget * promised)


def _burn(rule: BurnRule, flags: Mapping[int, bool | None], last: int, parameters: Parameters) -> Burn:
    def rate(length: int) -> float | None:
        window = range(last - length + 1, last + 1)
        measured = [flag for index in window if (flag := flags.get(index)) is not None]
        least = 1 if parameters.no_data is NoData.EXCLUDE else max(1.0, _LEAST_COVERED * length)
        return sum(measured) / len(measured) / parameters.budget if len(measured) >= least else None

    return Burn(rule, rate(rule.long), rate(rule.short))
