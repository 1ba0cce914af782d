"""Files that commands write: never over what is read, and whole or not at all."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelslo.cli.errors import CommandError
from modelslo.cli.main import main
from modelslo.cli.outfile import apart, writable, write_whole
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence
from tests.unit.cli.test_backtest import FILE


@contextmanager
def little_room(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def command(remembered: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backtest of a Prometheus that has a history"""
    monkeypatch.chdir(tmp_path)
    return ["backtest", "-f", "fraud.yaml", "--prometheus-url=http://p"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--record=r.jsonl", "--html=r.jsonl"], "--html: 'r.jsonl' is the file of --record, too, and would be wri"),
        (["--html=./fraud.yaml"], "--html: './fraud.yaml' is the file of -f, too"),
        (["--record=other/../fraud.yaml"], "--record: 'other/../fraud.yaml' is the file of -f, too"),
        (["--html=link.yaml"], "--html: 'link.yaml' is the file of -f, too"),
        (["--kubeconfig=config", "--html=config"], "--html: 'config' is the file of --kubeconfig, too"),
        (["--html="], "--html: '' names no file: write such as report.html"),
        (["--record="], "--record: '' names no file: write such as recording.jsonl"),
        (["--html=other"], "--html: other: Is a directory: name a file in it"),
        (["--record=other"], "--record: other: Is no ordinary file: name another one"),
        (["--record=/dev/null"], "--record: /dev/null: Is no ordinary file"),
        (["--html=ring"], "--html: ring: "),
        ([f"--html={'x' * 300}"], ": File name too long: name another file"),
        ([f"--record={'x' * 300}"], ": File name too long: name another file"),
    ],
    ids=lambda value: value[0][:30] if isinstance(value, list) else "",
)
def test_what_is_no_place_to_write(
    command: list[str], options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "link.yaml").symlink_to("fraud.yaml")
    (tmp_path / "ring").symlink_to("ring")
    before = sorted(os.listdir())
    assert main([*command, *options]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "reading" not in said
    assert (tmp_path / "fraud.yaml").read_text() == FILE
    assert sorted(os.listdir()) == before


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    with pytest.raises(CommandError, match=r"Permission denied: the folder .* cannot be written: name a file in anot"):
        writable("--html", str(tmp_path / "x.html"), "report.html")
    file = tmp_path / "read-only.html"
    file.touch()
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != file)
    with pytest.raises(CommandError, match="Permission denied: make it writable, or name another file"):
        writable("--html", str(file), "report.html")


def test_an_older_report_stays_until_the_new_one_is_whole(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    report.write_text("older")
    report.chmod(0o640)
    # When the run fails
    assert main([*command, "--html=report.html", "--from=5h", "--canary=v9"]) == 2
    # Or there is no room
    with little_room(1000):
        assert main([*command, "--html=report.html", "--from=5h"]) == 2
    # Then it is as it was, and nothing is beside it
    said = "error: --html: report.html cannot be written: File too large: make room, or name another file\n"
    assert capsys.readouterr().err.endswith(said)
    assert report.read_text() == "older"
    assert sorted(os.listdir()) == ["fraud.yaml", "report.html"]
    # When there is room again, then the new one is there, for those who could read the older one
    assert main([*command, "--html=report.html", "--from=5h"]) == 0
    assert report.read_text().startswith("<!doctype html>")
    assert stat.S_IMODE(report.stat().st_mode) == 0o640


def test_a_file_that_is_mounted_by_itself_is_written_in_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    report = tmp_path / "report.html"
    report.write_text("older")
    monkeypatch.setattr(Path, "replace", busy)
    write_whole("--html", report, b"newer")
    assert report.read_text() == "newer"
    assert os.listdir(tmp_path) == ["report.html"]


def test_a_link_stays_one_and_a_device_is_written_itself(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    write_whole("--html", link, b"text")
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"text"
    write_whole("--html", Path("/dev/null"), b"text")
    with pytest.raises(CommandError, match="--html: /dev/full cannot be written: No space left on device: make room"):
        write_whole("--html", Path("/dev/full"), b"text")
    assert Path("/dev/full").is_char_device()


def test_a_hard_link_is_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    with pytest.raises(CommandError, match="is the file of -f, too"):
        apart({"-f": str(tmp_path / "a"), "--html": str(tmp_path / "b")})
    apart({"-f": "-", "--record": None, "--html": "-"})


def test_a_recording_goes_on_after_a_full_disk(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # When the disk is full in the middle
    with little_room(100_000):
        assert main([*command, "--from=5h", "--record=r.jsonl"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "error: --record: r.jsonl cannot be written: File too large. What was read so far is in r.jsonl: the same "
        "command without --from and --to goes on from there, when there is room"
    )
    assert (tmp_path / "r.jsonl").stat().st_size == 100_000
    # Then the same command goes on
    assert main([*command, "--record=r.jsonl"]) == 0


def test_a_recording_that_is_interrupted_says_how_to_go_on(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def observed(ask: Ask) -> Evidence:
        raise KeyboardInterrupt

    monkeypatch.setattr("modelslo.cli.backtest_read.observed", observed)
    assert main([*command, "--record=r.jsonl"]) == 130
    assert capsys.readouterr().err == (
        "error: Interrupted. What was read so far is in r.jsonl: the same command without --from and --to goes on "
        "from there\n"
    )
    # Without a file there is nothing to be said
    assert main(command) == 130
    assert capsys.readouterr().err == ""
