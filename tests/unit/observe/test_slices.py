"""Closed slices are fetched once, packed small, and keep their identity."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan

from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.observe.answer import Series
from modelslo.observe.evidence import Slice
from modelslo.observe.slices import History, Missing, PackedSlices, extended, missing, rows_of
from tests.unit.observe.asks import ask

ROWS = st.dictionaries(
    st.tuples(st.integers(0, 50), st.sampled_from(["v1", "v2", "v3"])),
    st.tuples(st.floats(allow_nan=False), st.floats(min_value=1, max_value=1e9)),
    max_size=40,
)


@settings(deadline=None)
@given(ROWS, st.integers(0, 50))
def test_packing_loses_nothing(rows: dict[tuple[int, str], tuple[float, float]], first: int) -> None:
    flat = [(index, version, *value) for (index, version), value in sorted(rows.items())]
    packed = PackedSlices(flat)
    expected: dict[int, dict[str, tuple[float, float]]] = {}
    for index, version, total, count in flat:
        expected.setdefault(index, {})[version] = (total, count)
    wanted = tuple(Slice(index, of) for index, of in expected.items())
    assert tuple(packed) == wanted
    assert packed == wanted
    assert len(packed) == len(wanted)
    assert packed[:2] == wanted[:2]
    assert not wanted or packed[-1] == wanted[-1]
    assert list(packed.rows(first)) == [row for row in flat if row[0] >= first]
    later = [(60, "v9", 1.0, 2.0), (61, "v1", 3.0, 4.0)]
    assert packed.moved(first, later) == PackedSlices([*packed.rows(first), *later])
    assert packed == wanted


def test_versions_that_are_gone_are_forgotten() -> None:
    packed = PackedSlices([(index, f"v{index}", 1.0, 1.0) for index in range(100)])
    moved = packed.moved(90, [(100, "v100", 1.0, 1.0)])
    assert moved == PackedSlices([(index, f"v{index}", 1.0, 1.0) for index in range(90, 101)])
    assert len(moved._versions) == 11


def history(first: int, last: int) -> History:
    rows = [(index, "v", float(index), 1.0) for index in range(first, last + 1)]
    return extended(ask(slices=(first, last)), None, rows, last)


def test_only_what_is_missing_is_fetched() -> None:
    assert missing(ask(slices=(0, 9)), None) == Missing(60.0, 0, 9)
    assert missing(ask(slices=(0, 9)), history(0, 9)) is None
    assert missing(ask(slices=(1, 10)), history(0, 9)) == Missing(60.0, 10, 10)
    assert missing(ask(slices=(5, -1)), None) is None


def test_another_question_starts_afresh() -> None:
    known = history(0, 9)
    for other in (
        ask(slices=(-5, 9)),  # a longer window
        ask(slices=(0, 9), slice_length=30.0),
        ask(slices=(0, 9), url="http://q"),
        ask(slices=(0, 9), match=(("model_name", "x"),)),
        ask(slices=(0, 8)),  # the clock went back
    ):
        assert missing(other, known) == Missing(other.slice_length, other.first_slice, other.last_slice)
        assert len(extended(other, known, (), other.last_slice).table.slices) == 0


def test_the_window_slides_and_the_table_is_the_same_until_then() -> None:
    known = history(0, 9)
    assert extended(ask(slices=(0, 9)), known, (), 9) is known
    later = extended(ask(slices=(1, 10)), known, [(10, "v", 10.0, 1.0)], 10)
    assert (later.table.first, later.table.last) == (1, 10)
    assert [one.index for one in later.table.slices] == list(range(1, 11))
    assert [one.index for one in known.table.slices] == list(range(10))


def test_rows_of_an_answer() -> None:
    mine, other = ask(), ask(name="other", match=(("model_name", "other"),))

    def half(part: str, version: str, *values: float, model: str = "m") -> Series:
        labels = {"namespace": "n", "model_name": model, "version": version, "modelslo_part": part}
        return Series(labels, [(number + 1) * 60_000 for number in range(len(values))], list(values))

    found = rows_of(
        [mine, other],
        [
            half("sum", "v1", 1.0, nan, 3.0),
            half("count", "v1", 10.0, 20.0, 30.0),
            half("sum", "idle", 0.0, 0.0),
            half("count", "idle", 0.0, 0.0),
            half("count", "no sum", 4.0),
            half("sum", "no count", 4.0),
            half("count", "v1", 7.0, model="nobody's"),
        ],
        60.0,
    )
    assert found[other.model] == ()
    rows = {(index, version): (total, count) for index, version, total, count in found[mine.model]}
    assert rows.keys() == {(0, "v1"), (1, "v1"), (2, "v1"), (0, "no sum")}
    assert rows[0, "v1"] == (1.0, 10.0)
    assert isnan(rows[1, "v1"][0])
    assert isnan(rows[0, "no sum"][0])


def test_slices_of_odd_lengths_find_their_index() -> None:
    length = 300 / 7
    one = Series(
        {"namespace": "n", "model_name": "m", "version": "v", "modelslo_part": "count"},
        [round((index + 1) * length * 1000) for index in (1000, 1001, 5000)],
        [1.0, 1.0, 1.0],
    )
    found = rows_of([replace(ask(), slice_length=length)], [one], length)
    assert [row[0] for row in found[ask().model]] == [1000, 1001, 5000]
