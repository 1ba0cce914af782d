"""Counts over many traces, with bounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma, log

from tests.simulate.deciders import Factory
from tests.simulate.drive import Row, drive
from tests.simulate.kind import Kind
from tests.simulate.kinds import KINDS
from tests.simulate.words import Mode


def _tail(n: int, x: int, p: float) -> float:
    """P(at most x of n), each of probability p."""
    if p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 1.0 if x >= n else 0.0
    whole = lgamma(n + 1)
    terms = (exp(whole - lgamma(i + 1) - lgamma(n - i + 1) + i * log(p) + (n - i) * log(1.0 - p)) for i in range(x + 1))
    return min(1.0, sum(terms))


def _solve(n: int, x: int, level: float) -> float:
    """The p at which P(at most x of n) = level."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _tail(n, x, middle) > level else (low, middle)
    return (low + high) / 2.0


@lru_cache(maxsize=4096)
def clopper_pearson(x: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact bounds of a probability of which x of n was seen (Clopper & Pearson 1934), two-sided."""
    half = (1.0 - confidence) / 2.0
    lower = 0.0 if x == 0 else _solve(n, x - 1, 1.0 - half)
    upper = 1.0 if x >= n else _solve(n, x, half)
    return lower, upper


@dataclass(frozen=True, slots=True)
class Share:
    """`x` of `n` traces."""

    x: int
    n: int

    @property
    def rate(self) -> float:
        """x / n, 0 of nothing."""
        return self.x / self.n if self.n else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """95 % bounds of the probability."""
        return clopper_pearson(self.x, self.n)

    def __str__(self) -> str:
        low, high = self.bounds
        return f"{self.x} of {self.n} ({100 * self.rate:.2f} %, 95 %: {100 * low:.2f} to {100 * high:.2f})"


@dataclass(frozen=True, slots=True)
class Results:
    """Traces that were judged."""

    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, kinds: Iterable[Kind]) -> Results:
        """Those of some kinds."""
        names = {kind.name for kind in kinds}
        return Results(tuple(row for row in self.rows if row.kind in names))

    def by_kind(self) -> Mapping[str, Results]:
        """Per kind, in the order of the kinds."""
        rows: dict[str, list[Row]] = {name: [] for name in KINDS}
        for row in self.rows:
            rows[row.kind].append(row)
        return {name: Results(tuple(each)) for name, each in rows.items() if each}

    @property
    def wrong(self) -> Share:
        """Traces with any wrong action."""
        return self._share(row.count.wrong for row in self.rows)

    @property
    def missed(self) -> Share:
        """Traces without the verdict that was due."""
        return self._share(row.count.missed for row in self.rows)

    @property
    def right(self) -> Share:
        """Traces with a right verdict."""
        return self._share(row.count.right for row in self.rows)

    @property
    def rolled_back(self) -> Share:
        """Rolled back, rightly or not."""
        return self._share(row.canary == "rollback" for row in self.rows)

    @property
    def promoted(self) -> Share:
        """Promoted, rightly or not."""
        return self._share(row.canary == "promote" for row in self.rows)

    @property
    def retrained(self) -> Share:
        """Retrained, rightly or not."""
        return self._share(row.retrain_at is not None for row in self.rows)

    @property
    def false_rollback(self) -> Share:
        """Rolled back wrongly."""
        return self._share(row.count.false_rollback for row in self.rows)

    @property
    def false_promote(self) -> Share:
        """Promoted wrongly."""
        return self._share(row.count.false_promote for row in self.rows)

    @property
    def false_retrain(self) -> Share:
        """Retrained wrongly."""
        return self._share(row.count.false_retrain for row in self.rows)

    @property
    def in_incident(self) -> Share:
        """Decided while an incident ran."""
        return self._share(row.count.in_incident for row in self.rows)

    @property
    def moot(self) -> Share:
        """Promoted before the regression began."""
        return self._share(row.count.moot for row in self.rows)

    @property
    def delays(self) -> list[float]:
        """Minutes to the right verdict, of the traces that have one."""
        return [row.count.delay for row in self.rows if row.count.delay is not None]

    @property
    def over_bound(self) -> list[float]:
        """Labels after the warm-up over the lower bound, of the right verdicts for which one is known."""
        return [row.labels / row.bound for row in self.rows if row.bound and row.count.right]

    @property
    def cost(self) -> float:
        """Mean CPU time of a scrape inside the judge, in microseconds."""
        scrapes = sum(row.scrapes for row in self.rows)
        return sum(row.cost * row.scrapes for row in self.rows) / scrapes if scrapes else 0.0

    def mean_of_medians(self) -> float | None:
        """Mean over kinds of the median delay, in minutes, as section 7 of the study counts."""
        medians = [statistics.median(each.delays) for each in self.by_kind().values() if each.delays]
        return statistics.fmean(medians) if medians else None

    @staticmethod
    def _share(flags: Iterable[bool]) -> Share:
        listed = list(flags)
        return Share(sum(listed), len(listed))


def quantile(values: Sequence[float], share: float) -> float | None:
    """The value at that share of the sorted values; None of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def count(
    kind_names: Iterable[str], traces: int, factory: Factory, *, seed: int = 0, mode: Mode = "histogram"
) -> Results:
    """Has traces 0 <= number < `traces` of every named kind judged, in this process. For tests."""
    return Results(
        tuple(
            drive(KINDS[name], number, factory, seed=seed, mode=mode) for name in kind_names for number in range(traces)
        )
    )
