"""Signs that the data broke and not a model: volume, labels, coverage and delay of all versions together. Pure.

Each compares the newest quarter of the window with what was before. Only positive evidence counts: a high loss is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from modelslo.judge.arms import Arms, Count
from modelslo.judge.parameters import Parameters
from modelslo.judge.vetoed import Standing

# Less than a fifth, or more than five times, of the pace before: something upstream broke.
_LEAST_PACE: Final = 0.2
_MOST_PACE: Final = 5.0
# Labels are lost when less than half of the usual share of predictions gets one.
_LEAST_OF_COVERAGE: Final = 0.5
# Labels are late when more than half of them are, and before no more than a tenth were.
_MOST_LATE: Final = 0.5
_USUALLY_LATE: Final = 0.1
_LEAST_CELLS: Final = 20
_QUARTER: Final = 4
# Fewer in a quarter are a matter of chance.
_LEAST_EXPECTED: Final = 20.0


@dataclass(frozen=True, slots=True)
class Sign:
    """What was seen, in words, and whether it means that something upstream broke."""

    broken: bool
    words: str


def signs_of(arms: Arms, parameters: Parameters) -> tuple[Sign, ...]:
    """One sign for each thing that can be told; none while the window is short.

    All versions that users see are added up: one that comes or goes changes its own pace, and not that of all. A shadow
    would change it: it doubles what is predicted.
    """
    counts, timing = arms.counts, parameters.timing
    if len(counts) <= _LEAST_CELLS:
        return ()
    cuts = _cuts(len(counts))
    found = (
        _pace("predictions", _split([counts[at].predictions for at in cuts], cuts)),
        _pace("labels", _split([counts[at].scored for at in cuts], cuts)),
        _coverage(counts, ceil(timing.delay / timing.interval)),
        _delay(counts, timing.delay),
    )
    return tuple(one for one in found if one is not None)


def vetoes_of(standing: Sequence[Standing], names: Sequence[str], unknown: Sequence[str]) -> tuple[Sign, ...]:
    """One sign for each veto that stands; otherwise one for all, where the ModelSLO has any."""
    if standing:
        return tuple(Sign(True, one.words) for one in standing)
    if unknown:
        return (Sign(False, f"not known whether a veto stands: {', '.join(unknown)}"),)
    return (Sign(False, f"no veto stands: {', '.join(names)}"),) if names else ()


def _cuts(length: int) -> tuple[int, int, int]:
    """Where the window begins, where its newest quarter does, and its end."""
    return 0, length - 1 - (length - 1) // _QUARTER, length - 1


@dataclass(frozen=True, slots=True)
class _Split:
    """What was counted in the newest quarter, and in as long a time at the pace before."""

    now: float
    usual: float


def _split(counted: Sequence[float], cuts: tuple[int, int, int]) -> _Split:
    """Of counts at the three cuts."""
    (start, middle, end), (first, between, last) = counted, cuts
    return _Split(end - middle, (middle - start) * (last - between) / (between - first))


def _pace(what: str, found: _Split) -> Sign | None:
    if max(found.now, found.usual) < _LEAST_EXPECTED or found.usual <= 0:
        return None
    pace = found.now / found.usual
    return Sign(not _LEAST_PACE <= pace <= _MOST_PACE, f"{what} come at {pace:.2f} times their pace before")


def _coverage(counts: Sequence[Count], shift: int) -> Sign | None:
    """Labels over the predictions of one delay (`shift` cells) earlier."""
    length = len(counts) - shift
    if length <= _LEAST_CELLS:
        return None
    cuts = _cuts(length)
    scored = _split([counts[at + shift].scored for at in cuts], cuts)
    due = _split([counts[at].predictions for at in cuts], cuts)
    if min(due.now, due.usual) < _LEAST_EXPECTED or scored.usual <= 0:
        return None
    now, before = scored.now / due.now, scored.usual / due.usual
    return Sign(now < _LEAST_OF_COVERAGE * before, f"{now:.0%} of the predictions get labels, {before:.0%} before")


def _delay(counts: Sequence[Count], delay: float) -> Sign | None:
    cuts = _cuts(len(counts))
    told, late = _split([counts[at].told for at in cuts], cuts), _split([counts[at].late for at in cuts], cuts)
    if min(told.now, told.usual) < _LEAST_EXPECTED:
        return None
    now, before = late.now / told.now, late.usual / told.usual
    broken = now > _MOST_LATE and before <= _USUALLY_LATE
    return Sign(broken, f"{now:.0%} of the labels take longer than {delay:.0f} s, {before:.0%} before")
