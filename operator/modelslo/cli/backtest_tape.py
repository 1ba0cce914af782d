"""The file of a recording: JSON Lines, a header and one chunk a line. What was written before a break is used again."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from modelslo.backtest.recording import Chunk, Header, Recording, RecordingError, chunk_in, header_of
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
        raise CommandError(f"{path}: {error.strerror}", MISUSE) from None
    lines = text.split(b"\n")[:-1]  # what follows the last end of line is torn, or nothing
    if not lines:
        if text:
            raise CommandError(f"{path}: it is no recording: give another file", MISUSE)
        return None
    try:
        recording = Recording(header_of(lines[0].decode()))
        for number, line in enumerate(lines[1:], 2):
            try:
                recording.add(chunk_in(line.decode()))
            except RecordingError as error:
                raise RecordingError(f"line {number}: {error}: take that line and what follows out of it") from None
    except (RecordingError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: {error}", MISUSE) from None
    return recording


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
