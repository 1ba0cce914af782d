"""A test hook: the process kills itself at a named point of an operation, as a node that loses power would.

``MODELSLO_FAILPOINT=Promote/CopyTemplate/after`` means: after the outside write of that step, before it is recorded.
``before`` means: the step is recorded and nothing of it is done. ``Intent`` stands for the write of the operation's
record itself. Without the variable nothing here does anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import Final

INTENT: Final = "Intent"


class When(StrEnum):
    BEFORE = "before"
    AFTER = "after"


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Failpoint:
    """Armed with one point; empty: never."""

    def __init__(self, point: str = "", kill: Callable[[], None] = kill_self) -> None:
        self._point, self._kill = point, kill

    def reach(self, operation: str, step: str, when: When) -> None:
        if self._point and self._point == point_of(operation, step, when):
            self._point = ""
            self._kill()


def point_of(operation: str, step: str, when: When) -> str:
    return f"{operation}/{step}/{when}"
