"""A recording gives each evaluation the evidence that Prometheus would have given, however it was read and kept."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.backtest.course import course
from modelslo.backtest.recording import Chunk, Recording, RecordingError, chunk_of
from modelslo.backtest.span import asks_of, header_for, misfit
from modelslo.backtest.written import chunk_in, header_of
from modelslo.cli.backtest_tape import Tape, load
from modelslo.cli.errors import CommandError
from modelslo.engine.asks import slices_of
from modelslo.observe.ask import Ask, Source, Veto
from modelslo.observe.cells import Cell, advance, boundaries
from modelslo.observe.evidence import Evidence, Increment, Losses, ModelKey, Stood, VetoSeen
from modelslo.observe.series import STALENESS_MS
from tests.unit.backtest.history import BEGIN, EDGES, HOUR, MODEL, RAW, Served, World, recorded, variants
from tests.unit.backtest.lines import changed
from tests.unit.observe import test_cells

HOURS = 6.0
WORLD = World([Served("v1", 1.0, 10), Served("v2", 1.3, 4, since=HOUR)], HOURS)
NUMBERS = st.floats(min_value=0, allow_infinity=True) | st.just(nan)


def chunks(recording: Recording) -> list[Chunk]:
    """What was added to it, read again."""
    fresh = Recording(recording.header)
    found = []
    for ask in asks_of(fresh, variants()[0], Source("", 1.0)):
        mine = [cell for cell in recording.cells if ask.since < cell.increment.end <= ask.until]
        found.append(Chunk(ask.since, ask.until, ask.last_slice, tuple(mine), tuple(WORLD.rows(ask))))
        fresh.add(found[-1])
    return found


def plain(evidence: Evidence) -> tuple[object, ...]:
    table = evidence.slices
    assert table is not None
    shown = [(one.index, dict(one.by_version)) for one in table.slices]
    return evidence.increments, evidence.edges, dict(evidence.newest), table.first, table.last, shown, evidence.gap


def test_each_evaluation_gets_what_prometheus_would_have_said() -> None:
    recording, (variant,) = recorded(WORLD, HOURS), variants()
    timing = variant.parameters.timing
    for number in (1, 2, 3, 60, 61, 65, 200, 360):
        until = BEGIN + 60.0 * number - timing.settle
        first, last = slices_of(variant.parameters, until)
        for since in (until - 60, until - 3600):
            ask = next(iter(asks_of(Recording(recording.header), variant, Source("", 1.0))))
            ask = replace(ask, since=since, until=until, first_slice=first, last_slice=last)
            ours, theirs = recording.evidence(ask), WORLD.evidence(ask)
            assert plain(ours) == plain(theirs)


def test_the_table_of_slices_is_the_same_object_until_one_closes() -> None:
    recording, (variant,) = recorded(WORLD, HOURS), variants()
    ask = next(iter(asks_of(Recording(recording.header), variant, Source("", 1.0))))

    def table(last: int) -> object:
        return recording.evidence(replace(ask, first_slice=last - 70, last_slice=last)).slices

    last = ask.last_slice
    assert table(last) is table(last)
    assert table(last + 1) is not table(last)


@given(
    total=NUMBERS,
    squares=st.none() | NUMBERS,
    buckets=st.booleans(),
    delays=st.booleans(),
    age=st.just(inf) | st.floats(0.1, 1e9),
    version=st.text(),
    segment=st.text(),
    rows=st.lists(st.tuples(st.integers(0, 7), st.text(), NUMBERS, st.floats(0, 1e9))),
)
def test_a_line_is_read_as_it_was_written(
    total: float,
    squares: float | None,
    buckets: bool,
    delays: bool,
    age: float,
    version: str,
    segment: str,
    rows: list[tuple[int, str, float, float]],
) -> None:
    counted = (1.0,) * (len(EDGES) + 1) if buckets else ()
    one = Increment(
        60.0,
        120.0,
        version,
        segment,
        Losses(13.0, total, counted, squares),
        5.0,
        2.0,
        (1.0, 2.0) if delays else (),
        age,
    )
    cell = Cell(one, EDGES if buckets else (), (60.0,) if delays else ())
    chunk = Chunk(60.0, 120.0, 7, (cell,), tuple(rows))
    assert repr(chunk_in(chunk.line())) == repr(chunk)  # a NaN is not equal to itself
    json.loads(chunk.line(), parse_constant=pytest.fail)


@settings(deadline=None)
@given(test_cells.STREAMS, st.integers(1, 6), st.sampled_from([60.0, 12.3456, 1.0 / 3.0]))
def test_whatever_prometheus_has_is_recorded_and_read_again(rng: random.Random, minutes: int, grid: float) -> None:
    """Restarts, gaps, NaN and cells that are no whole milliseconds make sense: nothing of it is refused."""
    since = test_cells.START / 1000 + rng.random()
    until = since + minutes * 60
    ends = boundaries(since, until, grid)
    streams = test_cells.random_series(rng, minutes)
    cells, _ = advance(None, test_cells.window(streams, ends[0] - STALENESS_MS, ends[-1]), ends)
    chunk = Chunk(since, until, 7, tuple(cells), ())
    assert repr(chunk_in(chunk.line())) == repr(chunk)


def test_broken_off_anywhere_it_goes_on_and_comes_to_the_same(tmp_path: Path) -> None:
    whole, (variant,) = recorded(WORLD, HOURS), variants()
    parts = chunks(whole)
    expected = [one.status for one in course(variant.spec, variant.parameters, whole, BEGIN, BEGIN + HOURS * HOUR)]
    assert len(parts) > 3
    for kept in (0, 1, len(parts) - 1, len(parts)):
        path = tmp_path / f"{kept}.jsonl"
        tape = Tape(path, whole.header)
        for part in parts[:kept]:
            tape.add(part)
        tape.close()
        with path.open("ab") as file:  # and killed in the middle of a line
            file.write(parts[-1].line().encode()[:100])
        found = load(path)
        assert found is not None
        assert found.complete is (kept == len(parts))
        tape = Tape(path, found.header)
        for ask in asks_of(found, variant, Source("", 1.0)):
            part = next(one for one in parts if one.since == ask.since)
            tape.add(part)
            found.add(part)
        tape.close()
        again = load(path)
        assert again is not None
        said = [one.status for one in course(variant.spec, variant.parameters, again, BEGIN, BEGIN + HOURS * HOUR)]
        assert said == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"words", "no recording"),
        (b"{}\n", "line 1: it is not the first line of a recording: record again, into another file"),
        (b'{"modelsloRecording": 2}\n', "line 1: modelsloRecording: 2: only schema 1 can be read"),
        (b'{"modelsloRecording": 1}\n', "line 1: namespace: is missing: record again"),
        (b"nonsense\n", 'line 1: "nonsense" is no JSON'),
        (b"[1]\n", r"line 1: \[1\] is no JSON object"),
        (b"ab\xff\n", "line 1: byte 3, 0xff, is no UTF-8: record again"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(text)
    with pytest.raises(CommandError, match=message) as caught:
        load(path)
    assert caught.value.exit_code == 2


def test_a_chunk_that_is_damaged_or_missing_is_named(tmp_path: Path) -> None:
    whole = recorded(WORLD, HOURS)
    header, first, second, *_ = [whole.header.line(), *(one.line() for one in chunks(whole))]
    path = tmp_path / "x.jsonl"
    for lines, message in (
        ([first, first], r"line 3: since: .* is next"),
        ([second], r"line 2: since: .* is next"),
        ([first, '{"since": 1}'], "line 3: until: is missing"),
        ([first, "[1]"], r"line 3: \[1\] is no JSON object"),
        ([first[:90]], "line 2: .* is no JSON"),
    ):
        path.write_text("\n".join([header, *lines, ""]))
        with pytest.raises(CommandError, match=message) as caught:
            load(path)
        # What stands before the line can be gone on from
        assert f"(sed -i '{1 + len(lines)},$d' {path})" in str(caught.value)
        path.write_text("\n".join([header, *lines[:-1], ""]))
        kept = load(path)
        assert kept is not None
        assert not kept.complete
    path.write_bytes(header.encode() + b'\n{"since": "\xff"}\n')
    with pytest.raises(CommandError, match="line 2: byte 12, 0xff, is no UTF-8: delete this line and all after it"):
        load(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("end", 1, "end: 1.0 is not after begin, 1000200.0"),
        ("end", 10**400, "end: 1000"),
        ("end", inf, "end: Infinity should be"),
        ("end", 2e9, "end: 2000000000.0 is more than an hour after until"),
        ("begin", "nan", 'begin: "nan" should be a valid number'),
        ("begin", inf, "begin: Infinity should be"),
        ("begin", 1e15, "begin: 1000000000000000.0 should be less than"),
        ("begin", 1, "begin: 1.0 is not after since"),
        ("until", nan, "until: NaN should be"),
        ("until", 2e6, "until: 2000000.0 is after end"),
        ("since", 2e6, "until: .* is not after since, 2000000.0"),
        ("firstSlice", inf, "firstSlice: Infinity should be a valid integer"),
        ("firstSlice", 10**6, "lastSlice: .* is before firstSlice, 1000000"),
        ("lastSlice", inf, "lastSlice: Infinity should be a valid integer"),
        ("lastSlice", 10**400, "lastSlice: 1000"),
        ("grid", 0, "grid: 0 should be greater than 0"),
        ("grid", True, "grid: true should be a valid number"),
        ("sliceLength", nan, "sliceLength: NaN should be"),
        ("name", 7, "name: 7 should be a valid string"),
        ("vetoes", [], r"vetoes: \[\] should be a valid dictionary"),
    ],
)
def test_a_first_line_that_makes_no_sense_is_refused(tmp_path: Path, field: str, value: object, message: str) -> None:
    # Given a first line of which one field is damaged
    path = tmp_path / "x.jsonl"
    plain = json.loads(recorded(WORLD, HOURS).header.line())
    path.write_text(json.dumps(plain | {field: value}) + "\n")
    # When it is read, then line, field, value and mend are named
    with pytest.raises(CommandError, match=f"line 1: {message}.*: record again, into another file"):
        load(path)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("buckets", [1.0] * 10, "buckets: 10 counts, and 12 edges ask for 13"),
        ("buckets", [1.0] * 13, r"buckets: .* add up to 13, and losses counts 10"),
        ("buckets.3", -1.0, "buckets.3: -1.0 should be greater than or equal to 0"),
        ("buckets.3", 10**400, "buckets.3: 1000"),
        ("buckets", ..., "buckets: 0 counts, and 12 edges ask for 13"),
        ("edges", list(EDGES)[::-1], "edges: .* do not ascend"),
        ("edges.2", 10**400, "edges.2: 1000"),
        ("edges.2", "nan", 'edges.2: "nan" should be'),
        ("edges", ..., "buckets: 13 counts, and 0 edges ask for 0"),
        ("delays", [1.0], "delays: 1 counts, and 0 delayEdges ask for 0"),
        ("losses.0", -10.0, "losses.0: -10.0 should be greater than or equal to 0"),
        ("losses.0", 10**400, "losses.0: 1000"),
        ("losses.1", "many", 'losses.1: "many" should be a valid number'),
        ("losses", [1.0], "losses.1: is missing"),
        ("counted.0", -990.0, "counted.0: -990.0 should be greater than or equal to 0"),
        ("version", 1, "version: 1 should be a valid string"),
        ("at", ..., "at: is missing"),
        ("at.0", 1e6, "at: .* is not the next in"),
        ("at.1", 1.0, "at: .* ends before it begins"),
        ("age", nan, "age: NaN should be"),
    ],
)
def test_a_cell_that_makes_no_sense_is_refused(tmp_path: Path, path: str, value: object, message: str) -> None:
    # Given a recording of which one number is damaged
    whole = recorded(WORLD, HOURS)
    header, *lines = [json.loads(line) for line in (whole.header.line(), *(one.line() for one in chunks(whole)))]
    lines[1] = changed(lines[1], f"cells.5.{path}", value)
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in (header, *lines)))
    # When it is read, then line, field and value are named, and how to go on from before it
    with pytest.raises(CommandError, match=rf"line 3: cells\.5\.{message}.*: delete this line and all after it"):
        load(file)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("since", nan, "since: NaN should be"),
        ("until", 1e7, "until: 10000000.0 is not from"),
        ("until", 1.0, "until: 1.0 is not after since"),
        ("lastSlice", inf, "lastSlice: Infinity should be"),
        ("lastSlice", 10**9, "lastSlice: 1000000000 is not from"),
        ("cells", {}, r"cells: \{\} should be a valid list"),
        ("slices.0", [1, "v1"], "slices.0.2: is missing"),
        ("slices.0.0", 10**9, "slices.0.0: 1000000000 is after lastSlice"),
        ("slices.0.0", 1, "slices: 1 is there, and .* is next"),
        ("slices.0.3", -1.0, "slices.0.3: -1.0: a count is never below 0"),
        ("vetoes", {"x": []}, "vetoes: 'x' is none of those that the first line names"),
        ("vetoes", {"x": [[2.0, 1.0, 1], [1.0, 1.0, 1]]}, r"vetoes.x: the times \[2.0, 1.0\] do not ascend"),
    ],
)
def test_a_chunk_that_makes_no_sense_is_refused(tmp_path: Path, path: str, value: object, message: str) -> None:
    whole = recorded(WORLD, HOURS)
    header, *lines = [json.loads(line) for line in (whole.header.line(), *(one.line() for one in chunks(whole)))]
    lines[0] = changed(lines[0], path, value)
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in (header, *lines)))
    with pytest.raises(CommandError, match=f"line 2: {message}.*: delete this line and all after it"):
        load(file)


def test_what_is_not_there_and_what_is_empty_is_begun(tmp_path: Path) -> None:
    assert load(tmp_path / "none.jsonl") is None
    (tmp_path / "empty.jsonl").touch()
    assert load(tmp_path / "empty.jsonl") is None


def test_the_header_is_read_as_it_was_written() -> None:
    header = recorded(WORLD, HOURS).header
    assert header_of(header.line()) == header


def test_a_recording_of_something_else_does_not_serve() -> None:
    header = recorded(WORLD, HOURS).header
    assert misfit(header, variants(), MODEL) == ""
    other = ModelKey("shop", "ads")
    assert misfit(header, variants(), other) == "it is of shop/fraud, and this is shop/ads: give another file"
    assert "other series" in misfit(replace(header, series="x"), variants(), MODEL)
    anew = "when it was made: record again, into another file"
    assert misfit(replace(header, grid=30.0), variants(), MODEL) == f"spec.interval is 60s, and was 30s {anew}"
    assert (
        misfit(replace(header, slice_length=60.0), variants(), MODEL)
        == f"spec.objective.slice is 300s, and was 60s {anew}"
    )
    # What looks further back is named, with its value
    back = "looks further back than was read: record again with that, into another file (with --from and --to)"
    for what_if in ("spec.objective.window=8h", "spec.indicator.labels.delay=4h"):
        found = misfit(header, variants("spec.rollout.gate.margin=5%", what_if), MODEL)
        assert found == f"--what-if {what_if} {back}"
    raw = {**RAW, "objective": {**RAW["objective"], "window": "8h"}}
    named = "spec.objective.window=8h with spec.indicator.labels.delay=5m"
    assert misfit(header, variants(raw=raw), MODEL) == f"{named} {back}"
    # So are labels that come sooner, and samples that are read sooner or later
    assert "delay=1s needs newer slices than were read: record" in misfit(
        header, variants("spec.indicator.labels.delay=1s"), MODEL
    )
    late = replace(header, until=header.until - 60, since=header.since - 60)
    assert misfit(late, variants(), MODEL).startswith("the setting settle is 60s, and was 120s when it was made")
    assert misfit(header, variants("spec.objective.window=3h"), MODEL) == ""


def test_without_anything_in_prometheus_there_is_a_gap() -> None:
    recording = recorded(World([], HOURS), HOURS)
    ask: Ask = next(iter(asks_of(Recording(recording.header), variants()[0], Source("", 1.0))))
    assert recording.evidence(ask).gap is not None


def test_a_chunk_out_of_order_is_refused() -> None:
    recording = Recording(recorded(WORLD, HOURS).header)
    with pytest.raises(RecordingError, match="is next"):
        recording.add(Chunk(0.0, 60.0, 1, (), ()))


def test_infinite_sums_survive() -> None:
    one = Increment(0.0, 60.0, "v1", "", Losses(1.0, inf), 1.0)
    assert chunk_in(Chunk(0.0, 60.0, 0, (Cell(one, ()),), ()).line()).cells[0].increment.losses.total == inf


VETOED = {**RAW, "guardrails": {"vetoes": [{"name": "features-stale", "query": "lag > 900"}]}}


def test_when_vetoes_stood_is_kept(tmp_path: Path) -> None:
    # Given a recording of a world in which a veto stood for a while
    world = World([Served("v1", 1.0, 10)], HOURS, broken=(HOUR, 2 * HOUR))
    of = variants(raw=VETOED)
    recording = Recording(header_for(of, MODEL, BEGIN, BEGIN + HOURS * HOUR))
    path = tmp_path / "x.jsonl"
    tape = Tape(path, recording.header)
    for ask in asks_of(recording, of[0], Source("", 1.0)):
        chunk = chunk_of(world.evidence(ask), ask.last_slice)
        tape.add(chunk)
        recording.add(chunk)
    tape.close()
    # When it is read again
    found = load(path)
    assert found is not None
    # Then each evaluation is told of its own time, whatever the veto is called now
    ask = replace(ask, since=BEGIN + HOUR - 60, until=BEGIN + HOUR + 60, vetoes=(Veto("renamed", "lag > 900"),))
    assert found.evidence(ask).vetoes == (
        VetoSeen("renamed", (Stood(BEGIN + HOUR, 1.0, 1), Stood(BEGIN + HOUR + 60, 1.0, 1))),
    )
    later = replace(ask, since=BEGIN + 3 * HOUR, until=BEGIN + 3 * HOUR + 60)
    assert found.evidence(later).vetoes == (VetoSeen("renamed"),)
    # And a query that was not asked is not known
    assert found.evidence(replace(ask, vetoes=(Veto("other", "x > 1"),))).vetoes == ()


def test_a_recording_without_the_vetoes_does_not_serve() -> None:
    without, watched = recorded(WORLD, HOURS).header, header_for(variants(raw=VETOED), MODEL, BEGIN, BEGIN + HOUR)
    assert "guardrails.vetoes" in misfit(without, variants(raw=VETOED), MODEL)
    assert "vetoes" not in without.line()
    assert misfit(watched, variants(), MODEL) == ""
    assert header_of(watched.line()) == watched


def test_two_queries_of_one_name_are_both_recorded() -> None:
    other = "spec.guardrails.vetoes=[{name: features-stale, query: 'lag > 60'}]"
    header = header_for(variants(other, raw=VETOED), MODEL, BEGIN, BEGIN + HOUR)
    assert header.vetoes == (Veto("features-stale", "lag > 900"), Veto("features-stale-1", "lag > 60"))


def test_a_name_that_is_made_up_for_one_of_them_is_nobody_elses() -> None:
    """Else what one query returned would count as the other's."""
    stale, made = {"name": "stale", "query": "lag > 900"}, {"name": "stale-2", "query": "lag > 60"}
    raw = {**RAW, "guardrails": {"vetoes": [stale, made]}}
    header = header_for(
        variants("spec.guardrails.vetoes=[{name: stale, query: 'lag > 5'}]", raw=raw), MODEL, BEGIN, BEGIN + HOUR
    )
    assert {one.query for one in header.vetoes} == {"lag > 900", "lag > 60", "lag > 5"}
    assert len({one.name for one in header.vetoes}) == 3
    assert header_of(header.line()) == header


def test_a_chunk_that_tells_of_a_veto_that_was_not_asked_is_refused() -> None:
    recording = Recording(recorded(WORLD, HOURS).header)
    chunk = Chunk(recording.until, recording.until + 60, recording.last_slice, (), (), (VetoSeen("x"),))
    with pytest.raises(RecordingError, match="vetoes: 'x' is none of those"):
        recording.add(chunk_in(chunk.line()))
