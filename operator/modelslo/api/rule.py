"""What a rule across fields is: stated once as a term, which is CEL for the API server and is evaluated here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelslo.api.expression import Term, quoted, text


@dataclass(frozen=True, slots=True)
class Rule:
    """A cross-field rule. ``at`` and ``field`` are paths; ``field`` starts at ``at``."""

    name: str
    at: str
    field: str
    holds: Term
    fault: Term
    mend: str

    @property
    def path(self) -> str:
        return f"{self.at}.{self.field}".removeprefix(".")

    @property
    def message(self) -> Term:
        return text(self.fault, f": {self.mend}")

    def as_validation(self) -> dict[str, Any]:
        """The entry of ``x-kubernetes-validations``."""
        return {
            "rule": self.holds.cel,
            "messageExpression": f"{self.fault.cel} + {quoted(f': {self.mend}')}",
            "message": f"{self.field} breaks the rule {self.name}: {self.mend}",
            "fieldPath": f".{self.field}",
        }
