"""What decisions become Events. Pure."""

from __future__ import annotations

from modelslo.act.events import EventType, Notice
from modelslo.decide.decision import Decision


def notice_of(decision: Decision, identifier: str) -> Notice:
    """The Event of a decision that is not an operation: these tell of themselves while they go on."""
    if decision.vetoed is not None:
        note = f"{decision.vetoed} is held back. {decision.message}"
        return Notice(EventType.WARNING, decision.reason, decision.vetoed, note, identifier)
    return Notice(EventType.NORMAL, decision.reason, decision.action, decision.message, identifier)
