"""What ends a command with a message instead of a traceback."""

from __future__ import annotations

from typing import Final

NEGATIVE: Final = 1
MISUSE: Final = 2
UNREACHABLE: Final = 3
INTERRUPTED: Final = 130


class CommandError(Exception):
    """Ends the command; the message says what is wrong and what to do."""

    def __init__(self, message: str, exit_code: int = NEGATIVE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
