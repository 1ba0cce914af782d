"""Standard output and error of a command: a reader that has gone is no fault, and a full disk is one with a message."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO, TypeVar, cast

from modelslo.cli.errors import MISUSE, CommandError

T = TypeVar("T")
_UTF8: Final = ("utf-8", "utf8")


class Stream:
    """Writes to `stream` until its reader has gone (`modelslo get | head`); what comes then is dropped.

    So the command goes on to its end, with its own exit status. Any other failure is told once, by
    CommandError, or not at all where `mute`.
    """

    def __init__(self, stream: TextIO, *, mute: bool = False) -> None:
        self.stream, self.gone, self._mute = stream, False, mute
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names may have letters that the locale has not

    def write(self, text: str) -> int:
        if not self.gone:
            with self._watched():
                self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        if not self.gone:
            with self._watched():
                self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.gone = True
            _sink(self.stream)
            if not self._mute and not isinstance(error, BrokenPipeError):
                said = f"standard output cannot be written: {error.strerror}: make room, or send it elsewhere"
                raise CommandError(said, MISUSE) from None


@contextmanager
def watched() -> Iterator[Stream | None]:
    """Puts a Stream in the place of standard output and error; gives that of standard output, where it is open."""
    output, error = sys.stdout, sys.stderr
    found = None if output is None else Stream(output)
    if found is not None:
        sys.stdout = cast(TextIO, found)
    if error is not None:
        sys.stderr = cast(TextIO, Stream(error, mute=True))
    try:
        yield found
    finally:
        sys.stdout, sys.stderr = output, error


def while_read(lines: Iterable[T], output: object) -> Iterator[T]:
    """The lines, as long as anybody reads the answers."""
    left = iter(lines)
    while not getattr(output, "gone", False):
        try:
            line = next(left)
        except StopIteration:
            return
        yield line


def in_utf8() -> bool:
    """Whether standard output has every letter."""
    return (getattr(sys.stdout, "encoding", None) or "").lower() in _UTF8


def _sink(stream: TextIO) -> None:
    """What is still in buffers is lost; Python would try it once more at exit, and complain."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
