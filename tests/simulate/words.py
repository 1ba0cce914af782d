"""Words that all modules here share."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

Line = dict[str, object]
"""One JSON object of the replay interface."""

Action = Literal["hold", "promote", "rollback", "retrain"]
Right = frozenset[Action]
"""What a judge may do."""
Mode = Literal["histogram", "sums", "squares"]
Group = Literal["canary", "boundary", "stable", "extra"]
Arm = Literal["stable", "canary"]

HOLD: Final[Right] = frozenset({"hold"})
PROMOTE: Final[Right] = frozenset({"promote"})
ROLLBACK: Final[Right] = frozenset({"rollback"})
RETRAIN: Final[Right] = frozenset({"retrain"})
NO_PROMOTION: Final[Right] = HOLD | ROLLBACK
NO_ROLLBACK: Final[Right] = HOLD | PROMOTE

ARMS: Final[tuple[Arm, Arm]] = ("stable", "canary")
MODES: Final[tuple[Mode, ...]] = ("histogram", "sums", "squares")
STABLE: Final = 0
CANARY: Final = 1

Span = tuple[float, float]
"""Lowest and highest value of a number that every trace draws anew, uniformly."""
