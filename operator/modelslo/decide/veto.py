"""Upstream vetoes in what is decided: what they hold back, and for how long slices of their time trigger no retrain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from modelslo.api.status import ModelSLOStatus, Vetoed
from modelslo.judge.judgement import Judgement
from modelslo.judge.parameters import Parameters
from modelslo.judge.vetoed import Standing


def words_of(standing: Sequence[Standing]) -> str:
    """A sentence for a person."""
    words = "; ".join(one.words for one in standing)
    return f"{words[:1].upper()}{words[1:]}: the data upstream are broken, and nothing is decided meanwhile."


def with_vetoed(status: ModelSLOStatus, judgement: Judgement, now: datetime) -> ModelSLOStatus:
    """Keeps since when vetoes stand, and when the last one was lifted. While one is not known it stays as it was."""
    before, names = status.vetoed, [one.name for one in judgement.standing]
    running = before if before is not None and before.lifted_at is None else None
    if names:
        after = Vetoed(names=names, since=running.since if running is not None else now)
        return status if after == before else status.model_copy(update={"vetoed": after})
    if judgement.unknown_vetoes:
        return status
    if running is not None:
        return status.model_copy(update={"vetoed": running.model_copy(update={"lifted_at": now})})
    at, known = judgement.vetoed_at, before.lifted_at if before is not None else None
    if at is None or (known is not None and known.timestamp() >= at):
        return status
    # One that came and went while nobody could look.
    since = datetime.fromtimestamp(at, now.tzinfo)
    return status.model_copy(update={"vetoed": Vetoed(names=list(judgement.stood), since=since, lifted_at=now)})


def stained_until(status: ModelSLOStatus, parameters: Parameters, now: datetime) -> datetime | None:
    """Until when slices of a veto's time may be what the retrain trigger sees; None: no longer, or never.

    The trigger must be met by slices alone whose predictions came after the veto: its short window, one slice because
    slices do not begin when the veto ends, and the label delay before and behind them. The drift detector leaves those
    of before out by itself, from the next slice on.
    """
    vetoed, timing = status.vetoed, parameters.timing
    if vetoed is None or vetoed.lifted_at is None:
        return None
    short = max((rule.short for rule in parameters.burn_rules if rule.severity is parameters.trigger), default=0)
    window = 0.0 if parameters.drift else short * timing.slice
    until = vetoed.lifted_at + timedelta(seconds=window + timing.slice + 2 * timing.delay + timing.settle)
    return until if now < until else None
