"""Pipes whose reader has gone, full disks and narrow locales: as processes, for they show at exit only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import pytest

from tests.unit.cli.test_backtest import FILE

COMMAND = [sys.executable, "-c", "from modelslo.cli.main import command; command()"]
PLAN = ["plan", "--rate=2/s", "--cv=1"]
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
both = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


def environment(**more: str) -> Mapping[str, str]:
    return os.environ | {"PYTHONUNBUFFERED": ""} | more


def heard() -> None:
    """What a shell runs in the background ignores SIGINT, and so would the command."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def told(arguments: list[str], output: int | IO[bytes], unbuffered: str) -> subprocess.CompletedProcess[bytes]:
    """The command with that standard output."""
    return subprocess.run(
        [*COMMAND, *arguments],
        stdout=output,
        stderr=subprocess.PIPE,
        timeout=50,
        check=False,
        env=environment(PYTHONUNBUFFERED=unbuffered),
    )


def to_nobody(arguments: list[str], unbuffered: str) -> subprocess.CompletedProcess[bytes]:
    """The command with a standard output that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    try:
        return told(arguments, write, unbuffered)
    finally:
        os.close(write)


@both
def test_a_reader_that_has_gone_changes_nothing(tmp_path: Path, unbuffered: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: ModelSLO")
    for arguments, code in ((PLAN, 0), (["validate", str(bad)], 1), (["plan", "--help"], 0)):
        ended = to_nobody(arguments, unbuffered)
        assert (ended.returncode, ended.stderr) == (code, b""), arguments


@both
@needs_full
def test_a_full_disk_is_told_in_one_line(tmp_path: Path, unbuffered: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("kind: ModelSLO")
    for arguments in (PLAN, ["validate", str(bad)], ["--version"]):
        with FULL.open("wb") as full:
            ended = told(arguments, full, unbuffered)
        said = b"error: standard output cannot be written: No space left on device: make room, or send it elsewhere\n"
        assert (ended.returncode, ended.stderr) == (2, said), arguments


def test_letters_that_the_locale_has_not_are_escaped(tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("{apiVersion: modelslo.dev/v1alpha1, kind: ModelSLO, metadata: {name: Größe}}", encoding="utf-8")
    ended = subprocess.run(
        [*COMMAND, "validate", str(file)],
        capture_output=True,
        timeout=50,
        check=False,
        env=environment(PYTHONIOENCODING="ascii"),
    )
    assert (ended.returncode, ended.stderr) == (1, b"")
    assert rb"'Gr\xf6\xdfe' is no name of an object" in ended.stdout


@pytest.mark.timeout(300)
def test_ctrl_c_says_how_to_go_on_and_does_not_wait_for_prometheus(tmp_path: Path) -> None:
    patient = FILE.replace("labels: {delay: 5m}", "labels: {delay: 5m}, prometheus: {timeout: 10m}")
    (tmp_path / "fraud.yaml").write_text(patient)
    with socket.create_server(("127.0.0.1", 0)) as prometheus:
        # Given a Prometheus that does not answer
        prometheus.settimeout(120)
        url = f"http://127.0.0.1:{prometheus.getsockname()[1]}"
        options = ["backtest", "-f", "fraud.yaml", f"--prometheus-url={url}", "--record=r.jsonl", "--html=q.html"]
        with subprocess.Popen(
            [*COMMAND, *options],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            preexec_fn=heard,
        ) as process:
            connection, _ = prometheus.accept()
            # When somebody has waited long enough
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=120)  # on a busy machine; it would wait ten minutes
            connection.close()
    # Then the recording is spoken of, and nothing else was written
    assert (process.returncode, output) == (130, b"")
    assert errors == (
        b"error: Interrupted. What was read so far is in r.jsonl: the same command without --from and --to goes on "
        b"from there\n"
    )
    assert sorted(os.listdir(tmp_path)) == ["fraud.yaml", "r.jsonl"]
