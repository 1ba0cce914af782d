"""Files that a command writes: whole or not at all, and never over what it reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from errno import EBUSY, EXDEV
from itertools import combinations
from pathlib import Path
from secrets import token_hex

from modelslo.cli.errors import MISUSE, CommandError


def apart(files: Mapping[str, str | None]) -> None:
    """CommandError when two options, the inputs first, name one file."""
    named = [(option, text) for option, text in files.items() if text and text != "-"]
    for (first, one), (second, other) in combinations(named, 2):
        if _same(one, other):
            raise CommandError(
                f"{second}: {other!r} is the file of {first}, too, and would be written over: name another file", MISUSE
            )


def writable(option: str, text: str, example: str) -> Path:
    """The file for :func:`write_whole`. CommandError when it cannot be written: before an hour of reading."""
    path = _named(option, text, example)
    try:
        fault = _fault(path)
    except (OSError, RuntimeError) as error:  # too long a name; links in a ring
        fault = f"{getattr(error, 'strerror', None) or error}: name another file"
    if fault:
        raise CommandError(f"{option}: {path}: {fault}", MISUSE)
    return path


def appendable(option: str, text: str, example: str) -> Path:
    """The file that is read and then written on. CommandError when it can be none."""
    path = _named(option, text, example)
    try:
        ordinary = path.is_file() or not path.exists()
    except OSError as error:
        raise CommandError(f"{option}: {path}: {error.strerror}: name another file", MISUSE) from None
    if not ordinary:
        raise CommandError(f"{option}: {path}: Is no ordinary file: name another one, such as {example}", MISUSE)
    return path


def write_whole(option: str, path: Path, content: bytes) -> None:
    """All of `content`, or what was there before. CommandError when it cannot be written."""
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as stream:  # a device or a pipe has nothing to be kept
                stream.write(content)
        else:
            _replaced(path.resolve(), content)
    except OSError as error:
        mend = "make room, or name another file"
        raise CommandError(f"{option}: {path} cannot be written: {error.strerror}: {mend}", MISUSE) from None


def _named(option: str, text: str, example: str) -> Path:
    if not text:
        raise CommandError(f"{option}: '' names no file: write such as {example}", MISUSE)
    return Path(text)


def _replaced(target: Path, content: bytes) -> None:
    part = target.with_name(f".modelslo-{token_hex(8)}.part")
    try:
        with part.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists():
            shutil.copymode(target, part)
        try:
            part.replace(target)
        except OSError as error:
            if error.errno not in (EBUSY, EXDEV):
                raise
            target.write_bytes(content)  # a file that is mounted by itself cannot be replaced
    finally:
        part.unlink(missing_ok=True)


def _same(one: str, other: str) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def _fault(path: Path) -> str:
    """Why it cannot be written, and the mend; empty when it can."""
    folder = path.resolve().parent
    if path.is_dir():
        return f"Is a directory: name a file in it, such as {path / 'file'}"
    if path.exists() and not os.access(path, os.W_OK):
        return "Permission denied: make it writable, or name another file"
    if path.exists() and not path.is_file():
        return ""
    if not folder.is_dir():
        return f"No such file or directory: make the folder {folder}, or name another file"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"Permission denied: the folder {folder} cannot be written: name a file in another one"
    return ""
