"""Cells of the grid: live in small asks and replay in one give the same bits; edges are brought together."""

from __future__ import annotations

import random
from itertools import pairwise
from math import inf, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.observe.answer import Series
from modelslo.observe.cells import (
    INVALID,
    PREDICTIONS,
    Cell,
    Cursor,
    Gathered,
    advance,
    boundaries,
    coarser,
    on_common_edges,
    shared_edges,
)
from modelslo.observe.evidence import Increment, Losses
from modelslo.observe.series import STALENESS_MS, Parts

EDGES = (0.5, 1.0, inf)
START = 1_700_000_000_000
STREAMS = st.integers(0, 2**32).map(random.Random)


def random_series(rng: random.Random, cells: int) -> dict[str, tuple[str, str, list[tuple[int, list[float]]]]]:
    """Per pod: version, segment, scrapes (time, [count, sum, squares, bucket...]); with restarts, gaps and NaN."""
    found = {}
    for pod in range(rng.randint(1, 4)):
        at, state, rows = START - STALENESS_MS + rng.randint(1, 20_000), [0.0] * 6, []
        while at < START + cells * 60_000:
            if rng.random() < 0.05:
                state = [0.0] * 6
            for _ in range(rng.randint(0, 3)):
                loss = nan if rng.random() < 0.02 else rng.uniform(0, 2)
                state[1] += loss
                state[2] += loss * loss
                if loss == loss:
                    state[0] += 1
                    for position, edge in enumerate(EDGES):
                        state[3 + position] += loss <= edge
            if rng.random() < 0.95:
                rows.append((at, list(state)))
            at += rng.choice([1, 5_000, 15_000, 15_000, 15_001, 61_000]) if rng.random() < 0.98 else 400_000
        found[f"pod={pod}"] = (f"v{pod % 2}", "" if pod % 3 else "s", rows)
    return found


def window(streams: dict[str, tuple[str, str, list[tuple[int, list[float]]]]], start: int, end: int) -> Gathered:
    """What Prometheus answers for (start, end]."""
    gathered = Gathered()
    for key, (version, segment, rows) in streams.items():
        mine = [(at, values) for at, values in rows if start < at <= end]
        if not mine:
            continue
        times = [at for at, _ in mine]

        def column(index: int, times: list[int] = times, mine: list[tuple[int, list[float]]] = mine) -> Series:
            return Series({}, times, [values[index] for _, values in mine])

        buckets = [(edge, column(3 + position)) for position, edge in enumerate(EDGES)]
        age = 60.0 if key.endswith("1") else inf
        gathered.histograms[key] = (version, segment, age, Parts(column(0), column(1), column(2), buckets))
        gathered.delays[key] = (version, "", inf, Parts(column(0), None, None, buckets))
        gathered.counters[key] = (version, segment, PREDICTIONS, column(0))
        gathered.counters[f"{key} reason"] = (version, segment, INVALID, column(5))
    return gathered


@settings(deadline=None)
@given(STREAMS, st.integers(1, 6), st.data())
def test_live_in_pieces_equals_replay_in_one(rng: random.Random, cells: int, data: st.DataObject) -> None:
    streams = random_series(rng, cells)
    ends = boundaries(START / 1000, START / 1000 + cells * 60, 60)
    whole, cursor = advance(None, window(streams, START - STALENESS_MS, ends[-1]), ends)
    cuts = sorted({0, cells, *data.draw(st.lists(st.integers(0, cells), max_size=5))})
    pieces: list[Cell] = []
    live: Cursor | None = None
    for first, last in pairwise(cuts):
        if data.draw(st.integers(0, 3)) == 0:
            live = None  # the operator was restarted
        start = ends[first] - STALENESS_MS if live is None else ends[first]
        found, live = advance(live, window(streams, start, ends[last]), ends[first : last + 1])
        pieces += found
    assert repr(pieces) == repr(whole)
    assert live is not None
    assert repr(live.newest()) == repr(cursor.newest())


@settings(deadline=None)
@given(STREAMS)
def test_every_loss_is_in_one_cell(rng: random.Random) -> None:
    """Without restarts and long gaps the cells add up to last minus first."""
    rows, at, state = [], START - 1, [0.0] * 6
    while at < START + 600_000:
        rows.append((at, list(state)))
        count = rng.randint(0, 5)
        state = [state[0] + count, state[1] + count * 0.25, state[2], *(value + count for value in state[3:])]
        at += rng.randint(1, 90_000)
    ends = boundaries(START / 1000, START / 1000 + 600, 60)
    cells, _ = advance(None, window({"a": ("v", "", rows)}, START - STALENESS_MS, ends[-1]), ends)
    last = [values for at, values in rows if at <= ends[-1]][-1]
    assert sum(one.increment.losses.count for one in cells) == last[0]
    assert sum(one.increment.losses.total for one in cells) == last[1]
    assert sum(one.increment.predictions for one in cells) == last[0]
    assert sum(sum(one.increment.delays) for one in cells) == last[0]
    assert {one.delay_edges for one in cells if one.increment.delays} <= {EDGES[:-1]}


def test_a_sample_on_a_boundary_belongs_to_the_cell_before_it() -> None:
    rows = [(START + number * 60_000, [float(number)] * 6) for number in range(4)]
    ends = boundaries(START / 1000, START / 1000 + 180, 60)
    cells, _ = advance(None, window({"a": ("v", "", rows)}, START - STALENESS_MS, ends[-1]), ends)
    assert [(one.increment.start, one.increment.end) for one in cells] == [
        (START / 1000 + number * 60, START / 1000 + (number + 1) * 60) for number in range(3)
    ]


def test_nothing_measured_is_no_cell() -> None:
    cells, cursor = advance(None, Gathered(), boundaries(0, 120, 60))
    assert cells == []
    assert cursor.newest() == {}


def test_predictions_without_the_segment_label_stand_alone() -> None:
    gathered = Gathered()
    gathered.counters["p"] = ("v", "", PREDICTIONS, Series({}, [START + 1, START + 2], [1.0, 5.0]))
    cells, _ = advance(None, gathered, boundaries(START / 1000, START / 1000 + 60, 60))
    assert [(one.increment.segment, one.increment.predictions) for one in cells] == [("", 4.0)]
    assert cells[0].increment.losses == Losses()


def test_boundaries_end_where_they_are_told_to() -> None:
    assert boundaries(10, 130, 60) == (10_000, 70_000, 130_000)
    assert boundaries(10, 131, 60) == (10_000, 70_000, 130_000, 131_000)
    assert boundaries(0.1, 0.4, 0.1) == (100, 200, 300, 400)


def test_label_delays_stand_with_no_segment_beside_losses_of_segments() -> None:
    def column(*values: float) -> Series:
        return Series({}, [START + 1, START + 2], list(values))

    gathered = Gathered()
    gathered.histograms["a"] = ("v", "s", inf, Parts(column(0, 3), column(0, 2), None, [(1.0, column(0, 2))]))
    gathered.delays["a"] = ("v", "", inf, Parts(column(0, 3), None, None, [(60.0, column(0, 1)), (inf, column(0, 3))]))
    gathered.delays["idle"] = ("w", "", inf, Parts(column(5, 5), None, None, [(60.0, column(5, 5))]))
    cells, cursor = advance(None, gathered, boundaries(START / 1000, START / 1000 + 60, 60))
    merged = on_common_edges(cells)
    assert merged.delay_edges == (60.0,)
    assert [(one.segment, one.losses.count, one.delays) for one in merged.increments] == [
        ("", 0.0, (1.0, 2.0)),
        ("s", 3.0, ()),
    ]
    assert cursor.newest() == {"v": (START + 2) / 1000}


def test_losses_of_each_age_stand_alone_beside_predictions_without_one() -> None:
    def column(*values: float) -> Series:
        return Series({}, [START + 1, START + 2], list(values))

    gathered = Gathered()
    for age, count in ((600.0, 2.0), (60.0, 3.0), (inf, 0.0)):
        gathered.histograms[f"age={age}"] = ("v", "", age, Parts(column(0, count), column(0, count)))
    gathered.counters["p"] = ("v", "", PREDICTIONS, column(0, 9))
    cells, _ = advance(None, gathered, boundaries(START / 1000, START / 1000 + 60, 60))
    assert [(one.increment.age, one.increment.losses.count, one.increment.predictions) for one in cells] == [
        (60.0, 3.0, 0.0),
        (600.0, 2.0, 0.0),
        (inf, 0.0, 9.0),
    ]


def test_label_delays_of_other_edges_are_compared_on_what_they_share() -> None:
    def with_delays(version: str, edges: tuple[float, ...], delays: tuple[float, ...]) -> Cell:
        return Cell(Increment(0, 60, version, "", Losses(), delays=delays), (), edges)

    merged = on_common_edges([with_delays("a", (1.0, 5.0), (1, 2, 3)), with_delays("b", (5.0, 9.0), (4, 5, 6))])
    assert merged.delay_edges == (5.0,)
    assert [one.delays for one in merged.increments] == [(3, 3), (4, 11)]


def test_edges_in_common() -> None:
    assert shared_edges([(1.0, 2.0), (1.0, 2.0)]) == (1.0, 2.0)
    assert shared_edges([(1.0, 2.0, 3.0), (1.0, 3.0, 4.0)]) == (1.0, 3.0)
    assert shared_edges([]) == ()
    assert coarser((1.0, 2.0, 3.0), (5, 6, 7, 8), (2.0,)) == (11, 15)


def cell(version: str, edges: tuple[float, ...], buckets: tuple[float, ...], total: float = 1.0) -> Cell:
    return Cell(Increment(0, 60, version, "", Losses(sum(buckets) or 4.0, total, buckets)), edges)


def test_versions_with_other_edges_are_compared_on_what_they_share() -> None:
    merged = on_common_edges([cell("a", (1.0, 2.0, 4.0), (1, 2, 3, 4)), cell("b", (1.0, 4.0, 8.0), (5, 6, 7, 8))])
    assert merged.edges == (1.0, 4.0)
    assert [one.losses.buckets for one in merged.increments] == [(1, 5, 4), (5, 6, 15)]
    assert "edges differ" in merged.notes[0]


@pytest.mark.parametrize("other", [(3.0,), ()])
def test_no_shared_edge_means_no_buckets(other: tuple[float, ...]) -> None:
    second = cell("b", other, (2, 2) if other else ())
    merged = on_common_edges([cell("a", (1.0,), (1, 3)), second])
    assert merged.edges == (() if other else (1.0,))
    assert merged.increments[1].losses.buckets == ()
    assert merged.increments[0].losses.buckets == (() if other else (1, 3))
    assert merged.notes


def test_a_nan_is_noted() -> None:
    assert "NaN" in on_common_edges([cell("a", (1.0,), (1, 3), nan)]).notes[0]
