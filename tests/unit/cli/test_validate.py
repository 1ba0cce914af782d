"""`modelslo validate`: what it prints and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from modelslo.cli.main import main
from tests.unit.api.bad_resources import GOOD, changed

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_sound_files(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(EXAMPLES / f"modelslo-{name}.yaml") for name in ("minimal", "full")]
    assert main(["validate", *files]) == 0
    said = capsys.readouterr().out
    assert "ModelSLO/fraud: valid" in said
    assert "ModelSLO/fraud-full: valid" in said


def test_the_one_of_the_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    (shown,) = [text for block in blocks if "kind: ModelSLO" in (text := block.partition("```")[0])]
    assert len(shown.splitlines()) <= 25
    file = tmp_path / "readme.yaml"
    file.write_text(shown, encoding="utf-8")
    assert main(["validate", str(file)]) == 0
    assert "ModelSLO/fraud: valid" in capsys.readouterr().out


def write(tmp_path: Path, *documents: object) -> str:
    file = tmp_path / "some.yaml"
    file.write_text("\n---\n".join(json.dumps(document) for document in documents), encoding="utf-8")
    return str(file)


def test_every_fault_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, changed({"spec.objective.goal": "100%", "spec.rollout.canary.name": "fraud-stable"}), GOOD)
    assert main(["validate", file]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{file}: ModelSLO/fraud: spec.objective.goal: 100% leaves no error budget")
    assert lines[1].startswith(f"{file}: ModelSLO/fraud: spec.rollout.canary.name: fraud-stable is the stable")
    assert lines[2] == f"{file}: ModelSLO/fraud: valid"


def test_other_kinds_are_skipped_and_lists_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "fraud"}}
    file = write(tmp_path, None, service, {"kind": "List", "items": [GOOD, service]})
    assert main(["validate", file]) == 0
    assert capsys.readouterr().out.count(": skipped, no ModelSLO\n") == 2


def test_files_are_given_as_to_kubectl_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, GOOD)
    assert main(["validate", "-f", file, "-f", file]) == 0
    assert capsys.readouterr().out == f"{file}: ModelSLO/fraud: valid\n" * 2
    assert main(["validate"]) == 2
    assert capsys.readouterr().err == "error: no file is given: name one or more, or - for standard input\n"


def test_a_misspelt_kind_of_ours_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", write(tmp_path, GOOD, GOOD | {"kind": "ModelSlo"})]) == 1
    assert "ModelSlo/fraud: kind: 'ModelSlo' is not known here: write ModelSLO" in capsys.readouterr().out


def test_a_file_without_modelslo_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", write(tmp_path, "text", 5)]) == 1
    assert "holds no ModelSLO" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"apiVersion": "modelslo.dev/v1"}, ("apiVersion: 'modelslo.dev/v1'", "write modelslo.dev/v1alpha1")),
        ({"metadata": {"name": "Fraud_1"}}, ("metadata.name: 'Fraud_1'", "write lower-case letters")),
        ({"metadata": {}}, ("metadata.name: None", "write lower-case letters")),
        ({"metadata": "fraud"}, ("metadata.name: None", "write lower-case letters")),
        ({"metadata": {"name": "a" * 254}}, ("metadata.name", "at most 253")),
        (
            {"metadata": {"name": "fraud", "nmespace": "shop"}},
            ("metadata.nmespace: is a field", "did you mean namespace?"),
        ),
        ({"objective": {}}, ("objective: is a field that there is not", "move it into spec")),
    ],
    ids=str,
)
def test_what_stands_around_the_spec(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], part: dict[str, object], words: tuple[str, ...]
) -> None:
    assert main(["validate", write(tmp_path, GOOD | part)]) == 1
    said = capsys.readouterr().out
    assert all(word in said for word in words), said


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(GOOD)))
    assert main(["validate", "-"]) == 0
    assert capsys.readouterr().out == "standard input: ModelSLO/fraud: valid\n"


def test_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "/nowhere/fraud.yaml"]) == 1
    said = (
        "error: /nowhere/fraud.yaml: No such file or directory: give a file with a ModelSLO, or - for standard input\n"
    )
    assert capsys.readouterr().err == said


def test_no_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("a: [", encoding="utf-8")
    assert main(["validate", str(file)]) == 1
    assert "is no YAML: while parsing" in capsys.readouterr().err


def test_a_key_that_is_there_twice_is_refused_as_by_kubectl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("a: &a {x: 1}\nb: {<<: *a, <<: *a, metric: a, other: 1, metric: b}\n", encoding="utf-8")
    assert main(["validate", str(file)]) == 1
    said = capsys.readouterr().err
    assert "the key 'metric' is there twice: take one out" in said
    assert "line 2" in said
    assert main(["plan", "-f", str(file)]) == 2
    assert "the key 'metric' is there twice" in capsys.readouterr().err


def test_yaml_dates_and_numbers_are_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("apiVersion: modelslo.dev/v1alpha1\nkind: ModelSLO\nspec: {interval: 2026-01-01, 5: .nan}\n")
    assert main(["validate", str(file)]) == 1
    assert "spec.interval: '2026-01-01' is not a duration" in capsys.readouterr().out
