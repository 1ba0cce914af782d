"""The replay interface (section 12): a bad line is reported with its number, key, value as it was written, and mend."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from modelslo.backtest.jsonl import LineError, replay_lines
from tests.unit.backtest.lines import Line, answers, changed, text, trace


def line_of(lines: list[Line], change: Callable[[list[Line]], Line | str]) -> LineError:
    """The error when line 8, the seventh scrape, is changed."""
    given: list[str] = text(lines[:7])
    found = change(lines)
    given.append(found if isinstance(found, str) else json.dumps(found) + "\n")
    with pytest.raises(LineError) as caught:
        answers(given)
    return caught.value


SCRAPE = "arms.stable"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("type", "scrap", ("type", '"scrap"', '"scrape"')),
        ("type", ..., ("type", '"meta"')),
        ("trace", "other", ("trace", '"other"', "end")),
        ("trace", ..., ("trace", "end")),
        ("k", 9, ("k", "9", "6 is next")),
        ("k", "6", ("k", '"6"', "6 is next")),
        ("k", ..., ("k", "6 is next")),
        ("k", True, ("k", "true", "6 is next")),
        ("t", 180.01, ("t", "180.01 is not the time of scrape 6", "k times dt: 180")),
        ("t", 150.0, ("t", "150.0 is not the time of scrape 6", "k times dt: 180")),
        ("t", -180.0, ("t", "-180.0 is not the time")),
        ("t", "NaN", ("t", '"NaN" is no time', "k times dt: 180")),
        ("rollout_started", "no", ('rollout_started: "no": write true or false',)),
        ("rollout_started", 0, ("rollout_started: 0: write true or false",)),
        ("t", "180", ("t", '"180"', "seconds")),
        ("t", None, ("t", "seconds")),
        ("t", True, ("t", "seconds")),
        ("t", 10**400, ("t", "seconds")),
        ("t", ..., ("t", "seconds")),
        ("arms", ..., ("arms", "is missing: write")),
        ("arms", None, ("arms: null: write an object",)),
        ("arms", [], ("arms: []: write an object", '"canary"')),
        (SCRAPE, 1, (f"{SCRAPE}: 1: write an object",)),
        (f"{SCRAPE}.loss_count", ..., ("loss_count", "is missing: write")),
        (f"{SCRAPE}.loss_count", None, ("loss_count", "null", '"NaN"')),
        (f"{SCRAPE}.loss_count", True, ("loss_count", "true", '"NaN"')),
        (f"{SCRAPE}.loss_count", "nan", ("loss_count", '"nan"', '"NaN"')),
        (f"{SCRAPE}.loss_count", "12", ("loss_count", '"12"', '"NaN"')),
        (f"{SCRAPE}.loss_count", 10**400, ("loss_count", "too large", '"+Inf"')),
        (f"{SCRAPE}.loss_sum", [], ("loss_sum", '"NaN"')),
        (f"{SCRAPE}.loss_sumsq", ..., ("loss_sumsq", "has_sumsq")),
        (f"{SCRAPE}.loss_sumsq", None, ("loss_sumsq",)),
        (f"{SCRAPE}.predictions_total", ..., ("predictions_total", "is missing: write")),
        (f"{SCRAPE}.buckets", ..., ("buckets", "is missing: write")),
        (f"{SCRAPE}.buckets", [1, 2], ("buckets", "2 counts", "one more than edges")),
        (f"{SCRAPE}.buckets", 7, ("buckets",)),
        (f"{SCRAPE}.buckets.3", "x", ("buckets.3", '"x"', '"NaN"')),
        (f"{SCRAPE}.buckets.3", None, ("buckets.3", '"NaN"')),
        (f"{SCRAPE}.buckets.3", [1], ("buckets.3", '"NaN"')),
        (f"{SCRAPE}.lag_buckets", [1], ("lag_buckets", "one more than edges")),
        (f"{SCRAPE}.lag_buckets", ..., ("lag_buckets", "is missing: write")),
        (f"{SCRAPE}.segments", None, ("segments: null: write an object",)),
        (f"{SCRAPE}.segments", [], ("segments: []: write an object",)),
        (f"{SCRAPE}.segments.north", None, ("segments.north: null: write an object",)),
        (f"{SCRAPE}.segments.north.loss_count", ..., ("segments.north.loss_count", "is missing: write")),
        (f"{SCRAPE}.segments.north.buckets", [1.0], ("segments.north.buckets", "one more than edges")),
    ],
)
def test_a_bad_scrape_is_reported_with_line_key_and_mend(path: str, value: Any, words: tuple[str, ...]) -> None:
    error = str(line_of(trace("one-segment", hours=0.05), lambda lines: changed(lines[7], path, value)))
    assert error.startswith("line 8: ")
    assert all(word in error for word in words), error


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("trace", ..., "trace: is missing: write a string"),
        ("trace", 5, "trace: 5: write a string"),
        ("dt", 0, "dt: 0: write the seconds between scrapes, a number above 0"),
        ("dt", "30", 'dt: "30": write the seconds'),
        ("dt", True, "dt: true: write the seconds"),
        ("dt", 1e300, "dt: 1e+300: write the seconds"),
        ("dt", ..., "dt: is missing: write the seconds"),
        ("k0", -1, "k0: -1: write the index"),
        ("k0", "2", 'k0: "2": write the index'),
        ("k0", True, "k0: true: write the index"),
        ("k0", 1e300, "k0: 1e+300: write the index"),
        ("k0", 2.5, "k0: 2.5: write the index"),
        (
            "edges",
            [1.0, 0.5],
            "edges: [1.0, 0.5] do not ascend: write the finite upper bounds of the buckets, smallest",
        ),
        ("edges", [1.0, 1.0], "edges: [1.0, 1.0] do not ascend"),
        ("edges", ..., "edges: is missing: write the finite upper bounds"),
        ("edges", ["a"], 'edges.0: "a": write the finite upper bounds'),
        ("edges", [1.0, "+Inf"], 'edges.1: "+Inf": write the finite upper bounds'),
        ("edges", [10**400], "edges.0: 1000"),
        ("edges", 5, "edges: 5: write the finite upper bounds"),
        ("lag_edges", [60.0, 30.0], "lag_edges: [60.0, 30.0] do not ascend"),
        ("margin", 0, "margin: 0: write a fraction from 0.0001 to 1: 0.1 for 10 %"),
        ("margin", 10, "margin: 10: write a fraction from 0.0001 to 1: 0.1 for 10 %"),
        ("margin", 1e-17, "margin: 1e-17: write a fraction"),
        ("margin", 1e200, "margin: 1e+200: write a fraction"),
        ("margin", "NaN", 'margin: "NaN": write a fraction'),
        ("margin", "10%", 'margin: "10%": write a fraction'),
        ("segment_margin", 1e200, "segment_margin: 1e+200: write a fraction from 0.0001 to 100"),
        ("alpha", 5, "alpha: 5: write a fraction above 0, at most 0.5: 0.05 for 5 %"),
        ("alpha", 0.6, "alpha: 0.6: write a fraction"),
        ("beta", 0, "beta: 0: write a fraction"),
        ("warmup_s", -1, "warmup_s: -1: write seconds"),
        ("slo_loss", 0, "slo_loss: 0: write the SLO's mean loss"),
        ("slo_loss", 1e300, "slo_loss: 1e+300: write the SLO's mean loss"),
        ("slo_loss", ..., "slo_loss: is missing: write the SLO's mean loss"),
        ("has_canary", "yes", 'has_canary: "yes": write true or false'),
        ("has_canary", 1, "has_canary: 1: write true or false"),
        ("has_sumsq", "no", 'has_sumsq: "no": write true or false'),
        ("segments", "north", 'segments: "north": write a list of names'),
        ("segments", [1], "segments.0: 1: write a list of names"),
        ("false_retrain_days", 0, "false_retrain_days: 0: write days"),
        ("retrain_persist_s", 0, "retrain_persist_s: 0: write seconds"),
    ],
)
def test_a_bad_beginning_is_reported_with_line_key_and_mend(path: str, value: Any, words: str) -> None:
    meta, *_ = trace("one-segment", hours=0.05)
    with pytest.raises(LineError) as caught:
        answers(text([changed(meta, path, value)]))
    assert str(caught.value).startswith(f"line 1: {words}")


def test_a_recording_is_named_as_such() -> None:
    header = '{"modelsloRecording":1,"namespace":"shop","name":"fraud"}\n'
    with pytest.raises(LineError, match=r"line 1: .*this is a recording.*`modelslo backtest NAME --record FILE`"):
        answers([header])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("\n", ("no JSON", "one object a line")),
        ("{\n", ("no JSON", "one object a line")),
        ("nonsense\n", ("no JSON", "one object a line")),
        ("[1, 2]\n", ("[1, 2]", "one JSON object a line")),
        ("null\n", ("null", "one JSON object a line")),
        ('{"type": "scrape", "trace": "t", "k": 6, "t": NaN}\n', ("NaN", '"NaN"')),
        ('{"type": "scrape", "trace": "t", "k": 6, "t": Infinity}\n', ("Infinity", '"+Inf"')),
        ('{"type": "end"}\n', ("trace", "send its end")),
        ('{"type": "end", "trace": "another"}\n', ("trace", '"another"')),
        ("[" * 100_000 + "\n", ("no JSON",)),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_what_is_no_line_of_the_trace_is_reported(line: str, words: tuple[str, ...]) -> None:
    error = str(line_of(trace("one-segment", hours=0.05), lambda lines: line))
    assert error.startswith("line 8: ")
    assert all(word in error for word in words), error


def test_no_utf8_is_reported() -> None:
    meta, *rest = trace("one-segment", hours=0.05)
    with pytest.raises(LineError, match=r"line 2: no JSON \(.*utf-8.*\): write one object a line"):
        answers([text([meta])[0].encode(), b'{"type": "scrape", "trace": "\xff"}\n'])
    assert rest


def test_lines_out_of_order_are_reported() -> None:
    meta, one, two, *_ = text(trace("one-segment", hours=0.05))
    for given, words in (
        ([one], 'a "scrape" before any "meta"'),
        (['{"type": "end", "trace": "t"}\n'], 'a "end" before any "meta"'),
        ([meta, meta], '"meta" inside a trace: send its "end"'),
        ([meta, two], "0 is next: whole numbers without holes"),
        ([meta, one, one], "1 is next"),
    ):
        with pytest.raises(LineError, match=f"line {len(given)}: ") as caught:
            answers(given)
        assert words in str(caught.value)


def test_what_was_answered_before_a_bad_line_stands() -> None:
    lines, output = text(trace("small-binary", hours=0.05)), io.StringIO()
    with pytest.raises(LineError, match="line 6: "):
        replay_lines([*lines[:5], "nonsense\n"], output)
    assert [json.loads(line)["k"] for line in output.getvalue().splitlines()] == [0, 1, 2, 3]
