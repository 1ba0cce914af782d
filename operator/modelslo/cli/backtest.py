"""`modelslo backtest`: what would have been decided, and why."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from modelslo.api.quantity import seconds
from modelslo.backtest.course import course
from modelslo.backtest.jsonl import LineError, replay_lines
from modelslo.backtest.outcome import Outcome
from modelslo.backtest.recording import Recording
from modelslo.backtest.span import header_for, misfit
from modelslo.backtest.variants import Variant, VariantError, variants_of
from modelslo.cli.backtest_html import html
from modelslo.cli.backtest_page import Report, as_json, page
from modelslo.cli.backtest_read import read
from modelslo.cli.backtest_tape import load
from modelslo.cli.cluster import Cluster
from modelslo.cli.errors import MISUSE, NEGATIVE, CommandError
from modelslo.cli.ground import local_settings, source_for
from modelslo.cli.manifest import model_in
from modelslo.cli.outfile import apart, appendable, writable, write_whole
from modelslo.cli.streams import while_read
from modelslo.engine.asks import tick_of
from modelslo.engine.settings import Settings
from modelslo.observe.evidence import ModelKey

_DEFAULT = 86_400.0
_LONGEST = 31 * 86_400.0
# What says of a ModelSLO which one, when, and what to do with it; --jsonl has none.
_OF_A_MODEL: Final = {
    "name": "NAME",
    "file": "-f",
    "begin": "--from",
    "end": "--to",
    "stable": "--stable",
    "canary": "--canary",
    "what_if": "--what-if",
    "record": "--record",
    "html": "--html",
    "prometheus_url": "--prometheus-url",
    "namespace": "-n",
    "context": "--context",
    "kubeconfig": "--kubeconfig",
}
_TIMES = (datetime(1900, 1, 1, tzinfo=UTC).timestamp(), datetime(9999, 1, 1, tzinfo=UTC).timestamp())
_IDLE = (
    "the ModelSLO says so already, or a backtest does not look at it, as at spec.mode, spec.suspend and "
    "spec.rollout.steps: it always acts, and the canary's share is that of history"
)


def run(arguments: argparse.Namespace) -> int:
    if arguments.jsonl:
        return _jsonl(arguments)
    report_file, record = _files(arguments)
    model, raw = _model(arguments)
    settings = local_settings(arguments.prometheus_url)
    try:
        variants = variants_of(raw, arguments.what_if, settings)
    except VariantError as error:
        raise CommandError(str(error), MISUSE) from None
    _tell_idle(variants)
    recording = _recording(arguments, model, variants, settings, record)
    report = replayed(recording, variants, (arguments.stable, arguments.canary))
    if report_file is not None:
        write_whole("--html", report_file, html(report).encode("utf-8", "backslashreplace"))
    if arguments.output == "json":
        print(json.dumps(as_json(report), indent=2, allow_nan=False))
    else:
        print("\n".join(page(report)))
    if report_file is not None:
        print(f"The report is in {report_file}.", file=sys.stderr)
    return 0


def _files(arguments: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """The files of --html and --record; neither is one that is read."""
    read = {"-f": arguments.file, "--kubeconfig": arguments.kubeconfig}
    apart({**read, "--record": arguments.record, "--html": arguments.html})
    return (
        None if arguments.html is None else writable("--html", arguments.html, "report.html"),
        None if arguments.record is None else appendable("--record", arguments.record, "recording.jsonl"),
    )


def _tell_idle(variants: tuple[Variant, ...]) -> None:
    for one in variants:
        if one.idle:
            print(f"note: --what-if {one.name}: {', '.join(one.idle)} makes no difference: {_IDLE}", file=sys.stderr)


def replayed(
    recording: Recording, variants: tuple[Variant, ...], named: tuple[str | None, str | None] = (None, None)
) -> Report:
    """Every variant over the whole recording. CommandError when there is nothing to judge."""
    header = recording.header
    labels = sum(cell.increment.losses.count for cell in recording.cells)
    if not recording.cells:
        raise CommandError(
            f"Prometheus had no series of {header.model} from {_text(header.begin)} to {_text(header.end)}: "
            "`modelslo doctor` says which label excludes them",
            NEGATIVE,
        )
    served = {cell.increment.version for cell in recording.cells}
    for option, version in zip(("--stable", "--canary"), named, strict=True):
        if version is not None and version not in served:
            raise CommandError(
                f"{option}: {version!r} served nothing in that time; it has {', '.join(sorted(served))}", MISUSE
            )
    outcomes = tuple(
        Outcome(one, tuple(course(one.spec, one.parameters, recording, header.begin, header.end, named)))
        for one in variants
    )
    return Report(header.model, _time(header.begin), _time(header.end), labels, outcomes)


def _jsonl(arguments: argparse.Namespace) -> int:
    given = [option for name, option in _OF_A_MODEL.items() if getattr(arguments, name)]
    if given:
        raise CommandError(
            f"--jsonl: {', '.join(given)}: all that is judged, and by what, is in the observations on standard input: "
            f"leave out {' and '.join(given)}, or --jsonl",
            MISUSE,
        )
    if sys.stdin is None or sys.stdout is None:
        raise CommandError(
            "--jsonl: standard input or output is closed: give observations, such as < observations.jsonl", MISUSE
        )
    try:
        # Bytes: JSON is UTF-8, whatever the locale says.
        replay_lines(while_read(sys.stdin.buffer, sys.stdout), sys.stdout)
    except LineError as error:
        raise CommandError(str(error), MISUSE) from None
    return 0


def _model(arguments: argparse.Namespace) -> tuple[ModelKey, Mapping[str, Any]]:
    """Whose backtest it is, and its spec as it is written."""
    if arguments.file is not None:
        model, body = model_in(arguments.file, arguments.name, arguments.namespace)
        return model, body.get("spec") or {}
    if arguments.name is None:
        raise CommandError(
            "name a ModelSLO of the cluster, or give a file (-f FILE); or say --jsonl: observations on standard input, "
            "decisions on standard output",
            MISUSE,
        )
    cluster = Cluster(arguments.kubeconfig, arguments.context)
    model = ModelKey(arguments.namespace or cluster.namespace, arguments.name)
    return model, cluster.model(model.namespace, model.name).get("spec") or {}


def _recording(
    arguments: argparse.Namespace,
    model: ModelKey,
    variants: tuple[Variant, ...],
    settings: Settings,
    path: Path | None,
) -> Recording:
    """What Prometheus had; what the file of --record (`path`) holds is not read again."""
    kept = load(path) if path is not None else None
    if kept is None:
        begin, end = _times(arguments, variants[0], time.time())
        header = header_for(variants, model, begin, end)
    else:
        header = kept.header
        if arguments.begin is not None or arguments.end is not None:
            raise CommandError(
                f"--record: {path} is a recording from {_text(header.begin)} to {_text(header.end)} already: leave "
                "--from and --to out, or give another file",
                MISUSE,
            )
        problem = misfit(header, variants, model)
        if problem:
            raise CommandError(f"--record: {path} does not serve: {problem}", MISUSE)
    if kept is not None and kept.complete:
        return kept
    source = source_for(variants[0].spec, settings, arguments.prometheus_url)
    return read(header, kept, variants[0], source, path)


def _times(arguments: argparse.Namespace, variant: Variant, now: float) -> tuple[float, float]:
    """First and last grid time; the first one is exclusive."""
    interval = variant.parameters.timing.interval
    end = tick_of(now if arguments.end is None else _moment("--to", arguments.end, now), interval)
    begin = tick_of(now - _DEFAULT if arguments.begin is None else _moment("--from", arguments.begin, now), interval)
    end = min(end, tick_of(now, interval))
    if begin >= end:
        raise CommandError(f"--from: {_text(begin)} is not before --to, {_text(end)}", MISUSE)
    if end - begin > _LONGEST:
        raise CommandError("--from: more than 31 days before --to: give a shorter time", MISUSE)
    return begin, end


def _moment(option: str, text: str, now: float) -> float:
    """Unix seconds of an RFC 3339 time, or of so long ago."""
    mend = "write such as 2026-11-22T08:00:00Z, or how long ago, such as 12h"
    try:
        found = now - seconds(text)
    except ValueError:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise CommandError(f"{option}: {text!r} is no time: {mend}", MISUSE) from None
        found = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    if not _TIMES[0] <= found < _TIMES[1]:
        raise CommandError(f"{option}: {text!r} is before 1900 or after 9998: {mend}", MISUSE)
    return found


def _time(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _text(at: float) -> str:
    return f"{_time(at):%FT%TZ}"
