"""Files of ModelSLOs, as every command with -f reads them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelslo.cli.main import main
from tests.unit.api.bad_resources import GOOD
from tests.unit.cli.test_backtest import FILE

COMMANDS = (["plan", "--rate=2/s", "--cv=1", "-f"], ["backtest", "-f"], ["aa", "-f"])
every_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("2026-99-99", "'2026-99-99' is no timestamp (month must be in 1..12): write another, or put it in quotes"),
        ("0x_", "'0x_' is no int"),
        ("1" * 5000, "is no int (Exceeds the limit"),
        ('!!int "abc"', "'abc' is no int"),
        ('!!int ""', "'' is no int"),
        ('!!float "abc"', "'abc' is no float"),
        ('!!bool "abc"', "'abc' is no bool"),
        ('!!timestamp "abc"', "'abc' is no timestamp"),
        ("[" * 5000, "it is nested too deeply"),
        ("{2026-01-01: x}", "it cannot be JSON, as the API server needs it"),
        ("&a {x: *a}", "it cannot be JSON"),
        ("!!binary 'a'", "failed to decode base64"),
    ],
    ids=lambda value: value[:20],
)
def test_yaml_that_cannot_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, message: str
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(FILE + f"  suspend: {value}\n")
    for command, code in ((["validate"], 1), *((command, 2) for command in COMMANDS)):
        assert main([*command, str(file)]) == code
        said = capsys.readouterr().err
        assert message in said
        assert said.startswith(f"error: {file} is no YAML: ")


@pytest.mark.parametrize("depth", [50, 150, 250, 400])
def test_any_depth_has_an_answer(tmp_path: Path, depth: int) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(FILE + f"  suspend: {'[' * depth}{']' * depth}\n")
    assert main(["validate", str(file)]) == 1
    assert main(["backtest", "-f", str(file)]) == 2


@every_command
@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"metadata": [1]}, "metadata.name: None is no name of an object: write lower-case letters"),
        ({"metadata": "x"}, "metadata.name: None is no name of an object"),
        ({"metadata": {"name": "fraud", "namespace": ["a"]}}, "metadata.namespace: ['a'] is no name of a namespace"),
        ({"metadata": {"name": 5}}, "metadata.name: 5 is no name of an object"),
        (
            {"apiVersion": "modelslo.dev/v1"},
            "apiVersion: 'modelslo.dev/v1' is not known here: write modelslo.dev/v1alp",
        ),
    ],
    ids=str,
)
def test_what_stands_around_the_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], part: dict[str, object], message: str
) -> None:
    file = tmp_path / "some.json"
    file.write_text(json.dumps(GOOD | part))
    assert main([*command, str(file)]) == 2
    assert message in capsys.readouterr().err
    assert main(["validate", str(file)]) == 1
    assert message in capsys.readouterr().out


@every_command
def test_two_of_one_name_are_not_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    file = tmp_path / "some.json"
    other = GOOD | {"metadata": {"name": "other"}}
    file.write_text(json.dumps({"kind": "List", "items": [GOOD, GOOD, other]}))
    assert main([*command, str(file)]) == 2
    assert "holds 3 of ModelSLO: name one of fraud, other" in capsys.readouterr().err
    assert main([*command, str(file), "fraud"]) == 2
    assert "holds 2 of ModelSLO 'fraud': give a file with the one that is meant" in capsys.readouterr().err
    assert main([*command, str(file), "third"]) == 2
    assert "holds no ModelSLO 'third'; it has fraud, fraud, other" in capsys.readouterr().err


def test_a_list_is_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.json"
    file.write_text(json.dumps({"kind": "List", "items": [{"kind": "Service"}, GOOD]}))
    assert main([*COMMANDS[0], str(file)]) == 0
    assert "Plan for ModelSLO" in capsys.readouterr().out


@every_command
def test_no_file(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert main([*command, ""]) == 2
    assert "error: '': Is a directory: give a file with a ModelSLO" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["plan", "-f"], *COMMANDS[1:]], ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("http://[::1", 2, "--prometheus-url: 'http://[::1' is no URL (Invalid IPv6 URL): write such as http://"),
        ("", 2, "--prometheus-url: '' does not begin with http:// or https://: write such as http://"),
        ("me:secret@prometheus", 2, "--prometheus-url: "),
        (
            "http://me:secret@127.0.0.1:1",
            3,
            "Cannot talk to http://***@127.0.0.1:1: Connection refused. Is it the right",
        ),
    ],
)
def test_a_prometheus_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], url: str, code: int, message: str
) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(FILE)
    assert main([*command, str(file), f"--prometheus-url={url}"]) == code
    said = capsys.readouterr().err
    assert f"error: {message}" in said
    assert "secret" not in said


def test_a_prometheus_of_the_spec_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.yaml"
    file.write_text(FILE.replace("indicator: {", "indicator: {prometheus: {url: 'http://[::1'}, "))
    assert main(["plan", "-f", str(file)]) == 2
    assert "error: spec.indicator.prometheus.url: 'http://[::1' is no URL" in capsys.readouterr().err
