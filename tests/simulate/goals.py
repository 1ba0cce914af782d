"""The goals of section 8 of the study, against what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from tests.simulate.kind import Kind
from tests.simulate.kinds import KINDS
from tests.simulate.results import Results, Share
from tests.simulate.words import Mode

Met = Literal["aim", "must", "open", "no", "no data"]
"""``open``: above the must, but the 95 % lower bound is not: more traces would tell."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table of goals."""

    goal: int
    what: str
    must: str
    aim: str
    measured: str
    met: Met


_CANARY: Final = tuple(kind for kind in KINDS.values() if kind.group == "canary")
_REGRESSIONS: Final = tuple(kind for kind in _CANARY if kind.regression)
_PROMOTIONS: Final = tuple(kind for kind in _CANARY if not kind.regression and "hold" not in kind.right)
_BOUNDARY: Final = tuple(kind for kind in KINDS.values() if kind.group == "boundary" and not kind.strong)
_STRONG: Final = tuple(kind for kind in KINDS.values() if kind.group == "boundary" and kind.strong)
_DRIFTING: Final = tuple(kind for kind in KINDS.values() if kind.drift is not None)
_SOUND: Final = tuple(kind for kind in KINDS.values() if kind.group == "stable" and kind.drift is None)
_NAN_COUNTED: Final = KINDS["nan-counted"]
_NAN_DROPPED: Final = KINDS["nan-dropped"]
_OTHER_REGRESSIONS: Final = tuple(kind for kind in _REGRESSIONS if kind is not _NAN_COUNTED)

_ShareOf = Callable[[Results], Share]


def _percent(rate: float) -> str:
    return f"{100.0 * rate:.3g} %"


def _share(goal: int, what: str, share: Share, must: float, aim: float) -> Figure:
    """A share that must be at most `must`."""
    met: Met = "no"
    if not share.n:
        met = "no data"
    elif share.rate <= aim:
        met = "aim"
    elif share.rate <= must:
        met = "must"
    elif share.bounds[0] <= must:
        met = "open"
    return Figure(goal, what, f"<= {_percent(must)}", f"<= {_percent(aim)}", str(share) if share.n else "-", met)


def _number(goal: int, what: str, value: float | None, must: float, aim: float, unit: str = "") -> Figure:
    """A figure that must be at most `must`."""
    wanted = f"<= {must:g}{unit}", f"<= {aim:g}{unit}"
    if value is None:
        return Figure(goal, what, *wanted, "-", "no data")
    met: Met = "aim" if value <= aim else "must" if value <= must else "no"
    return Figure(goal, what, *wanted, f"{value:.3g}{unit}", met)


def _worst(results: Results, kinds: Iterable[Kind], share_of: _ShareOf) -> tuple[str, Share]:
    """The kind with the highest rate."""
    shares = [(name, share_of(each)) for name, each in results.of(kinds).by_kind().items()]
    return max(shares, key=lambda each: each[1].rate, default=("-", Share(0, 0)))


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _rolled_back(results: Results) -> Share:
    return results.rolled_back


def _promoted(results: Results) -> Share:
    return results.promoted


def _boundary(goal: int, results: Results, where: str, must: float, aim: float, action: _ShareOf, name: str) -> Figure:
    """The worst of the boundary kinds without strong dependence."""
    worst, share = _worst(results, _BOUNDARY, action)
    pooled = action(results.of(_BOUNDARY))
    return _share(goal, f"{where}: {name}, worst kind ({worst}; all {_percent(pooled.rate)})", share, must, aim)


def _histogram(results: Results) -> Iterator[Figure]:
    """Goals 1 to 8."""
    canary, regressions, promotions = (results.of(each) for each in (_CANARY, _REGRESSIONS, _PROMOTIONS))
    yield _share(1, "wrong actions on canary traces", canary.wrong, 2 / 10800, 0.0)
    yield _share(1, "regressions promoted", regressions.false_promote, 0.0, 0.0)
    yield _share(2, "regressions missed", regressions.missed, 6 / 4200, 2 / 4200)
    yield _share(2, "promotions missed", promotions.missed, 3 / 4800, 2 / 4800)
    yield _boundary(3, results, "boundary", 0.015, 0.015, _rolled_back, "rollback")
    yield _boundary(3, results, "boundary", 0.04, 0.03, _promoted, "promote")
    yield _share(4, "strong dependence: rollback", results.of(_STRONG).rolled_back, 0.153, 0.05)
    yield _share(4, "strong dependence: promote", results.of(_STRONG).promoted, 0.159, 0.05)
    yield _number(5, "delay of rollback", regressions.mean_of_medians(), 42.5, 38.0, " min")
    yield _number(5, "delay of promotion", promotions.mean_of_medians(), 73.4, 68.0, " min")
    yield _number(6, "labels over lower bound, rollback", _median(regressions.over_bound), 2.5, 2.0)
    yield _number(6, "labels over lower bound, promote", _median(promotions.over_bound), 1.3, 1.25)
    drifting = results.of(_DRIFTING)
    yield _share(7, "false retrain", results.of(_SOUND).false_retrain, 1 / 2000, 0.0)
    yield _share(7, "drift missed", drifting.missed, 0.0, 0.0)
    yield _number(7, "delay of retrain", drifting.mean_of_medians(), 170.0, 150.0, " min")
    counted = results.of([_NAN_COUNTED])
    yield _share(8, "NaN counted in +Inf: not rolled back", Share(counted.missed.x, counted.missed.n), 0.0, 0.0)
    yield _number(8, "NaN counted in +Inf: delay", _median(counted.delays), 2.3, 2.3, " min")
    yield _share(8, "NaN dropped: promoted", results.of([_NAN_DROPPED]).false_promote, 0.02, 0.0)


def _sums(results: Results) -> Iterator[Figure]:
    """Goal 9."""
    regressions, promotions = results.of(_OTHER_REGRESSIONS), results.of(_PROMOTIONS)
    yield _boundary(9, results, "sums only, boundary", 0.05, 0.05, _rolled_back, "rollback")
    yield _boundary(9, results, "sums only, boundary", 0.05, 0.05, _promoted, "promote")
    yield _share(9, "sums only: regressions missed besides NaN", regressions.missed, 1 / 4000, 1 / 4000)
    yield _share(9, "sums only: promotions missed", promotions.missed, 0.032, 0.01)
    yield _number(9, "sums only: delay of rollback", regressions.mean_of_medians(), 57.0, 50.0, " min")


def _squares(results: Results) -> Iterator[Figure]:
    """Goal 10."""
    regressions = results.of(_OTHER_REGRESSIONS)
    yield _share(10, "sums and squares: regressions missed besides NaN", regressions.missed, 0.009, 0.009)
    yield _number(10, "sums and squares: delay of rollback", regressions.mean_of_medians(), 78.0, 57.0, " min")
    nan = results.of([_NAN_COUNTED, _NAN_DROPPED])
    yield _share(10, "sums and squares: NaN losses promoted", nan.false_promote, 0.02, 0.0)


_MODES: Final[Mapping[Mode, Callable[[Results], Iterator[Figure]]]] = {
    "histogram": _histogram,
    "sums": _sums,
    "squares": _squares,
}


def figures(results: Mapping[Mode, Results]) -> list[Figure]:
    """The lines for the modes that were run. Goal 11 is a unit test of the judge, not of its verdicts."""
    table = [line for mode, rows in results.items() for line in _MODES[mode](rows)]
    for mode, rows in results.items():
        cost = rows.cost / 1000.0 if len(rows) else None
        table.append(_number(12, f"cost of a scrape ({mode})", cost, 1.0, 0.2, " ms"))
    return table
