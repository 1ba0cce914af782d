"""The table of subcommands, how errors end, and what is loaded when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelslo.cli.main import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_subcommand_is_there(command: object, capsys: pytest.CaptureFixture[str]) -> None:
    name = getattr(command, "name", "")
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"usage: modelslo {name}" in said.replace(Path(sys.argv[0]).name, "modelslo", 1)
    assert f"{getattr(command, 'help', '')[1:]}." in " ".join(said.split())


def test_without_a_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_as_a_plugin_of_kubectl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/kubectl-modelslo"])
    with pytest.raises(SystemExit):
        main(["get", "--help"])
    assert "usage: kubectl modelslo get" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("modelslo ")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("modelslo.cli.main", ("kubernetes", "kopf", "pydantic", "yaml")),
        ("modelslo.cli.validate", ("kubernetes", "kopf")),
        ("modelslo.cli.describe", ("kopf", "prometheus_api_client")),
    ],
)
def test_only_what_a_subcommand_needs_is_loaded(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([name for name in {unwanted!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert answer.stdout == "[]\n"


def test_no_cluster(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert main(["get", "--kubeconfig", "/nowhere/config"]) == 3
    assert capsys.readouterr().err.startswith("error: the kubeconfig cannot be used: ")


@pytest.mark.parametrize("text", ["a: [", "foo", "[1]"])
def test_a_kubeconfig_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(text)
    assert main(["get", "--kubeconfig", str(kubeconfig)]) == 3
    assert capsys.readouterr().err.startswith("error: the kubeconfig cannot be used")


def test_a_kubeconfig_of_other_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_bytes(b"\xff\xfe")
    assert main(["get", "--kubeconfig", str(kubeconfig)]) == 3
    assert capsys.readouterr().err.startswith("error: the kubeconfig cannot be used, it is not sound: ")


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ("http://[::1", "the kubeconfig: clusters[].cluster.server: Invalid IPv6 URL: write such as https"),
        ("http://a:99999", "'http://a:99999' is no URL (Port out of range"),
        ("", "'' does not begin with http:// or https://: write such as https://10.0.0.1:6443"),
        (
            "http://me:secret@127.0.0.1:1",
            "API server at http://***@127.0.0.1:1 cannot be reached: Connection refused\n",
        ),
    ],
)
def test_a_server_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], server: str, message: str) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, users: [{name: x, user: {}}],"
        f" clusters: [{{name: x, cluster: {{server: '{server}'}}}}],"
        " contexts: [{name: x, context: {cluster: x, user: x}}]}"
    )
    assert main(["get", "--kubeconfig", str(kubeconfig)]) == 3
    assert message in capsys.readouterr().err


def test_name_in_all_namespaces(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "fraud", "-A"]) == 2
    assert "leave out -A" in capsys.readouterr().err


def test_nobody_at_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, users: [{name: x, user: {}}],"
        " clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}],"
        " contexts: [{name: x, context: {cluster: x, user: x}}]}"
    )
    assert main(["describe", "fraud", "--kubeconfig", str(kubeconfig)]) == 3
    assert "the API server at http://127.0.0.1:1 cannot be reached" in capsys.readouterr().err
    assert main(["get", "--kubeconfig", str(kubeconfig), "--context", "y"]) == 3
    assert "Expected object with name y" in capsys.readouterr().err
