"""`modelslo backtest`: its page, its JSON, its report and its errors, without a server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from modelslo.cli import backtest
from modelslo.cli.backtest_html import html
from modelslo.cli.backtest_page import Report, as_json, page
from modelslo.cli.errors import CommandError
from modelslo.cli.main import main
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, Gap, NoEvidence
from tests.unit.backtest.history import HOUR, Served, World, recorded, variants

HOURS = 5.0
BAD = World([Served("v1", 1.0, 60), Served("v<2>", 1.5, 20, since=HOUR)], HOURS)
FILE = """
apiVersion: modelslo.dev/v1alpha1
kind: ModelSLO
metadata: {name: fraud, namespace: shop}
spec:
  indicator: {loss: {metric: ml_huber_loss, matchLabels: {model_name: fraud}}, labels: {delay: 5m}}
  objective: {target: {value: 1.5}, window: 6h}
  rollout: {stable: {name: fraud}, canary: {name: fraud-canary}, warmup: 5m, gate: {minSamples: 100}}
"""


@pytest.fixture(scope="module")
def report() -> Report:
    of = variants("spec.rollout.gate.margin=100%")
    return backtest.replayed(recorded(BAD, HOURS, of), of)


def test_the_table(report: Report) -> None:
    text = "\n".join(page(report))
    assert text.startswith("Backtest of ModelSLO shop/fraud, 1970-01-12T13:50:00Z to 1970-01-12T18:50:00Z: 300 evalu")
    assert "Found as stable: v1; as canary: v<2>. --stable and --canary say otherwise." in text
    as_it_is, what_if = text.split("What if spec.rollout.gate.margin=100%")
    assert re.search(r"Rollback +CanaryWorse +v<2> .*1\.1 is tolerated", as_it_is)
    assert re.search(r"Promote +CanaryNotWorse +v<2> .*2 is tolerated", what_if)
    assert re.search(r"as it is +1 +0 +0 +\d+m +0 of 300", text)


def test_json_has_every_evaluation(report: Report) -> None:
    found = as_json(report)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    first, second = found["variants"]
    assert (first["rollbacks"], first["promotions"]) == (1, 0)
    assert (second["rollbacks"], second["promotions"]) == (0, 1)
    assert len(first["evaluations"]) == 300
    (at,) = (one for one in first["evaluations"] if one["decision"] == "Rollback")
    assert at["eRollback"] >= 20
    assert at["ratio"] > 1.1
    assert [one["decision"] for one in first["decisions"] if one["notable"]] == ["Start", "Rollback"]
    assert sum(one["evaluations"] for one in first["decisions"]) == 300


def test_the_report_is_one_sound_file_that_loads_nothing(report: Report) -> None:
    text = html(report)
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 8
    for picture in pictures:
        ElementTree.fromstring(picture)  # noqa: S314 - our own
    # The loss of both roles and their ratio have a band each
    assert [picture.count("fill-opacity") for picture in pictures] == [1, 1, 0, 0] * 2
    assert "<script" not in text
    assert "http" not in text
    assert "v<2>" not in text
    assert "v&lt;2&gt;" in text
    assert "spec.rollout.gate.margin=100%" in text


@pytest.fixture
def command(remembered: None, tmp_path: Path) -> list[str]:
    """The command on a Prometheus with that history, at its end."""
    return ["backtest", "-f", str(tmp_path / "fraud.yaml"), "--prometheus-url=http://p", "--from=5h"]


def test_the_command(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, f"--html={tmp_path / 'out.html'}", "-o", "json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["variants"][0]["rollbacks"] == 1
    assert f"The report is in {tmp_path / 'out.html'}." in printed.err
    assert "reading: " in printed.err
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")


def test_what_if_something_that_is_not_looked_at(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--what-if=spec.mode=DryRun", "--what-if=spec.rollout.gate.margin=5%"]) == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert [note.partition(" makes")[0] for note in notes] == ["note: --what-if spec.mode=DryRun: spec.mode"]


def test_it_goes_on_where_prometheus_failed(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, asked = tmp_path / "tape.jsonl", []
    breaks = {2}

    async def observed(ask: Ask) -> Evidence:
        asked.append(ask.since)
        if len(asked) in breaks:
            return Evidence(ask.model, ask.since, ask.until, gap=Gap(NoEvidence.QUERY_TIMEOUT, "It did not answer."))
        return BAD.evidence(ask)

    monkeypatch.setattr("modelslo.cli.backtest_read.observed", observed)
    # When Prometheus hangs in the middle
    assert main([*command, f"--record={path}"]) == 3
    said = capsys.readouterr().err
    assert (
        f"It did not answer. What was read so far is in {path}: the same command without --from and --to goes on"
        in said
    )
    # Then the same time is not given again
    assert main([*command, f"--record={path}"]) == 2
    assert "leave --from and --to out" in capsys.readouterr().err
    # And nothing is read twice
    again = [one for one in command if not one.startswith("--from")]
    assert main([*again, f"--record={path}"]) == 0
    assert "Rollback" in capsys.readouterr().out
    assert asked == sorted(asked)
    assert len(asked) == len(set(asked)) + 1
    # And in the end no Prometheus is needed
    monkeypatch.setattr("modelslo.cli.backtest.read", None)
    assert main([*again, f"--record={path}", "--what-if=spec.rollout.gate.margin=50%"]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from=yesterday"], "--from: 'yesterday' is no time: write such as 2026-11-22T08:00:00Z, or how long ago"),
        (["--to=999999999w"], "--to: '999999999w' is before 1900 or after 9998: write such as 2026-11-22T08:00:00Z"),
        (["--to=0001-01-01T00:00:00+14:00"], "--to: '0001-01-01T00:00:00+14:00' is before 1900"),
        (["--from=9999-12-31T23:59:59-14:00"], "--from: '9999-12-31T23:59:59-14:00' is before 1900 or after 9998"),
        (["--from", "-1h"], "--from: '-1h' is no time: write such as"),
        (["--from=1h", "--to=2h"], "is not before --to"),
        (["--from=60d"], "more than 31 days before --to"),
        (["--what-if=margin=5%"], "assigns no field of the spec"),
        (["--canary=v9"], "--canary: 'v9' served nothing in that time; it has v1, v<2>"),
        (["--html=/nowhere/x.html"], "--html: /nowhere/x.html: No such file or directory"),
        (["--record=/nowhere/x.jsonl"], "/nowhere/x.jsonl: No such file or directory"),
        (["--record=/"], "error: --record: /: Is no ordinary file: name another one, such as recording.jsonl"),
        (["other"], "holds no ModelSLO 'other'"),
    ],
)
def test_wrong_usage(command: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, *options]) == 2
    assert message in capsys.readouterr().err


def test_closed_streams(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["backtest", "--jsonl"]) == 2
    assert "--jsonl: standard input or output is closed" in capsys.readouterr().err
    assert main(["backtest", "-f", "-"]) == 2
    assert "-: standard input is closed: give a file" in capsys.readouterr().err


def test_without_a_model_it_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest"]) == 2
    assert "or give a file (-f FILE); or say --jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["fraud"], "NAME"),
        (["-f", "fraud.yaml", "--html=x.html"], "-f, --html"),
        (["--what-if=spec.rollout.gate.margin=5%"], "--what-if"),
        (["--record=x.jsonl"], "--record"),
        (["--from=1h", "--to=5m", "--canary=v2"], "--from, --to, --canary"),
        (["-n", "shop"], "-n"),
    ],
)
def test_jsonl_takes_nothing_of_a_model(given: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Else somebody believes that it was heeded."""
    assert main(["backtest", "--jsonl", *given]) == 2
    assert f"error: --jsonl: {named}: all that is judged" in capsys.readouterr().err


def test_standard_input_that_is_closed_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["backtest", "--jsonl"]) == 2
    assert "standard input or output is closed: give observations" in capsys.readouterr().err
    assert main(["backtest", "-f", "-"]) == 2
    assert "-: standard input is closed: give a file" in capsys.readouterr().err
    assert main(["validate", "-"]) == 1
    assert "-: standard input is closed: give a file" in capsys.readouterr().err


def test_a_recording_that_does_not_serve_says_what_to_do(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a recording
    path = tmp_path / "tape.jsonl"
    assert main([*command, f"--record={path}"]) == 0
    again = [*(one for one in command if not one.startswith("--from")), f"--record={path}"]
    capsys.readouterr()
    # When a longer window is tried on it
    assert main([*again, "--what-if=spec.objective.window=8h"]) == 2
    # Then field, value and mend are named
    said = capsys.readouterr().err
    assert f"--record: {path} does not serve: --what-if spec.objective.window=8h looks further back" in said
    assert "record again with that, into another file" in said


def test_a_recording_that_is_damaged_is_no_traceback(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a recording of which one number became another
    path = tmp_path / "tape.jsonl"
    assert main([*command, f"--record={path}"]) == 0
    again = [*(one for one in command if not one.startswith("--from")), f"--record={path}"]
    header, *rest = path.read_text().splitlines(keepends=True)
    for damaged in ('"end":1e15', '"end":1', '"end":Infinity'):
        path.write_text("".join([re.sub(r'"end":[^,}]+', damaged, header), *rest]))
        # When it is replayed, then that is said and nothing is decided
        capsys.readouterr()
        assert main(again) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert f"{path}: line 1: end: " in printed.err


def test_nothing_in_prometheus_is_no_verdict() -> None:
    with pytest.raises(CommandError, match="Prometheus had no series of shop/fraud from 1970-01-12T13:50:00Z"):
        backtest.replayed(recorded(World([], 1), 1), variants())
