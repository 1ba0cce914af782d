"""Reads the history of one model from Prometheus, chunk by chunk, by the operator's own queries."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

from modelslo.backtest.recording import Chunk, Header, Recording, chunk_of
from modelslo.backtest.span import asks_of
from modelslo.backtest.variants import Variant
from modelslo.cli.backtest_tape import Tape
from modelslo.cli.errors import INTERRUPTED, MISUSE, UNREACHABLE, CommandError
from modelslo.cli.ground import observed
from modelslo.cli.plan_page import span
from modelslo.observe.ask import Source
from modelslo.observe.evidence import Gap, NoEvidence

_BAR = 30


def read(header: Header, recording: Recording | None, variant: Variant, source: Source, path: Path | None) -> Recording:
    """Reads what is still missing. With a `path` each chunk is kept there; CommandError when Prometheus fails."""
    recording = recording or Recording(header)
    if recording.complete:
        return recording
    tape = Tape(path, header) if path is not None else None
    show = _progress(recording)
    try:
        for ask in asks_of(recording, variant, source):
            evidence = asyncio.run(observed(ask))
            for gap in (evidence.gap, evidence.slice_gap):
                if gap is not None and gap.reason is not NoEvidence.NO_DATA:
                    raise CommandError(_failed(gap, path), UNREACHABLE)
            chunk = chunk_of(evidence, ask.last_slice)
            if tape is not None:
                _kept(tape, chunk, path)
            recording.add(chunk)
            show(recording)
    except KeyboardInterrupt:
        if path is None:
            raise
        raise CommandError(f"Interrupted{_goes_on(path)}", INTERRUPTED) from None
    finally:
        if tape is not None:
            tape.close()
        _end_of_bar()
    return recording


def _kept(tape: Tape, chunk: Chunk, path: Path | None) -> None:
    try:
        tape.add(chunk)
    except OSError as error:
        said = f"--record: {path} cannot be written: {error.strerror}{_goes_on(path)}, when there is room"
        raise CommandError(said, MISUSE) from None


def _failed(gap: Gap, path: Path | None) -> str:
    mend = ". Is it the right address? --prometheus-url may name a port-forward; --record FILE keeps what was read"
    return f"{gap.message.rstrip('.')}{mend if path is None else _goes_on(path)}"


def _goes_on(path: Path | None) -> str:
    return f". What was read so far is in {path}: the same command without --from and --to goes on from there"


def _progress(recording: Recording) -> Callable[[Recording], None]:
    """A bar on a terminal, else a line now and then."""
    header, began, start = recording.header, time.monotonic(), recording.until
    told = [0]

    def show(now: Recording) -> None:
        done = (now.until - header.since) / (header.until - header.since)
        left = (time.monotonic() - began) * (header.until - now.until) / max(now.until - start, 1.0)
        if sys.stderr.isatty():
            full = round(done * _BAR)
            bar = f"[{'#' * full}{'.' * (_BAR - full)}]"
            print(f"\rreading {bar} {done:4.0%}, {span(left)} left   ", end="", file=sys.stderr, flush=True)
        elif int(done * 10) > told[0]:
            told[0] = int(done * 10)
            print(f"reading: {done:.0%}", file=sys.stderr, flush=True)

    return show


def _end_of_bar() -> None:
    if sys.stderr.isatty():
        print(f"\r{' ' * (_BAR + 40)}\r", end="", file=sys.stderr, flush=True)
