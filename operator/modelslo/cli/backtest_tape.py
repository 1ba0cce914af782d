"""The file of a recording: JSON Lines, a header and one chunk a line. What was written before a break is used again."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from modelslo.backtest.recording import Chunk, Header, Recording, RecordingError
from modelslo.backtest.written import chunk_in, header_of
from modelslo.cli.errors import MISUSE, CommandError


def load(path: Path) -> Recording | None:
    """What the file holds; None when there is none, or it is empty. A last line that is torn is left out.

    CommandError when it is no recording.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}: give a file that can be read", MISUSE) from None
    lines = text.split(b"\n")[:-1]  # what follows the last end of line is torn, or nothing
    if not lines:
        if text:
            raise CommandError(f"{path}: it is no recording: give another file", MISUSE)
        return None
    return _read(path, lines)


def _read(path: Path, lines: Sequence[bytes]) -> Recording:
    number = 1
    try:
        recording = Recording(header_of(lines[0].decode()))
        for number, line in enumerate(lines[1:], 2):  # noqa: B007 - told below
            recording.add(chunk_in(line.decode()))
    except RecordingError as error:
        raise _damaged(path, number, str(error)) from None
    except UnicodeDecodeError as error:
        raise _damaged(path, number, f"byte {error.start + 1}, {error.object[error.start]:#04x}, is no UTF-8") from None
    return recording


def _damaged(path: Path, number: int, problem: str) -> CommandError:
    """Chunks before the one that is damaged are sound; without a sound first line nothing is."""
    mend = "record again, into another file"
    if number > 1:
        mend = (
            f"delete this line and all after it (sed -i '{number},$d' {shlex.quote(str(path))}), and the same command "
            f"reads them from Prometheus again; or {mend}"
        )
    return CommandError(f"{path}: line {number}: {problem}: {mend}", MISUSE)


class Tape:
    """Appends chunks to the file; each is on the disk when :meth:`add` returns."""

    def __init__(self, path: Path, header: Header) -> None:
        """CommandError when the file cannot be written."""
        try:
            self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
            self._cut(header)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}: give a file that can be written", MISUSE) from None

    def _cut(self, header: Header) -> None:
        """Behind the last whole line."""
        text = self._file.read()
        self._file.seek(text.rfind(b"\n") + 1)
        self._file.truncate()
        if not text:
            self._write(header.line())

    def add(self, chunk: Chunk) -> None:
        self._write(chunk.line())

    def _write(self, line: str) -> None:
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        with suppress(OSError):  # a full disk: what was left of a line was told already, and is cut off next time
            self._file.close()
