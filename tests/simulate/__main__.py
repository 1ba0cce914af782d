"""python -m tests.simulate report | mixed | trace KIND NUMBER | kinds"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.simulate.kind import Kind
from tests.simulate.kinds import KINDS, choose
from tests.simulate.mixed import by_sort, mixed
from tests.simulate.mixed import run as run_mixed
from tests.simulate.report import Order, run
from tests.simulate.tables import report_text, table
from tests.simulate.trace import build
from tests.simulate.words import MODES

_GROUPS: Final = ("canary", "boundary", "stable", "extra")


def _report(arguments: argparse.Namespace) -> None:
    order = Order(
        kinds=tuple(choose(arguments.kinds, arguments.group)),
        traces=arguments.traces,
        modes=MODES if arguments.mode == "all" else (arguments.mode,),
        seed=arguments.seed,
        decider=arguments.decider,
        jobs=arguments.jobs,
        output=arguments.output,
    )
    print(report_text(run(order)))


def _trace(arguments: argparse.Namespace) -> None:
    trace = build(KINDS[arguments.kind], arguments.number, seed=arguments.seed, mode=arguments.mode)
    for line in trace.lines():
        print(json.dumps(line, allow_nan=False, separators=(",", ":")))


def _mixed(arguments: argparse.Namespace) -> None:
    rows = run_mixed(arguments.traces, arguments.seed, arguments.decider, arguments.jobs)
    head = ("sort", "n", "rolled back", "promoted", "wrong", "in an incident", "retrained")
    print(
        table(
            head,
            [
                [
                    sort,
                    str(len(found)),
                    str(found.rolled_back.x),
                    str(found.promoted.x),
                    str(found.false_rollback.x + found.false_promote.x),
                    str(found.in_incident.x),
                    str(found.false_retrain.x),
                ]
                for sort, found in by_sort(rows)
            ],
            left=1,
        )
    )
    for row in rows:
        if row.count.wrong:
            retrained = "" if row.retrain_at is None else f", retrain after {row.retrain_at:g} min"
            when = "" if row.canary_at is None else f" after {row.canary_at:g} min"
            what = f"{row.canary or 'held'}{when}{retrained}, {row.labels} labels, by {row.mode}"
            print(f"\n{what}: {mixed(row.number, row.seed)}")


def _described(kind: Kind) -> list[str]:
    canary = f"{kind.ratio:.3g}" if kind.has_canary else ""
    return [
        kind.name,
        kind.group,
        " or ".join(sorted(kind.right)),
        canary,
        f"{kind.rate:g}",
        f"{kind.hours:g}",
        kind.about,
    ]


def _kinds(arguments: argparse.Namespace) -> None:
    head = ("kind", "group", "right", "ratio", "per s", "hours", "about")
    print(table(head, [_described(kind) for kind in choose(arguments.kinds, arguments.group)], left=7))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description="Synthetic traces with their truth.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    report = commands.add_parser("report", help="judge many traces; print counts per kind and the goals of the study")
    trace = commands.add_parser("trace", help="print the JSON lines of one trace")
    kinds = commands.add_parser("kinds", help="list the kinds")
    other = commands.add_parser(
        "mixed", help="judge kinds that are put together at random; print counts, and what is wrong"
    )
    other.set_defaults(do=_mixed)
    report.set_defaults(do=_report)
    trace.set_defaults(do=_trace)
    kinds.set_defaults(do=_kinds)
    trace.add_argument("kind", choices=KINDS, metavar="KIND")
    trace.add_argument("number", type=int, metavar="NUMBER")
    for command in (report, kinds):
        command.add_argument("--kinds", nargs="+", default=["*"], metavar="GLOB", help="names of kinds (default: all)")
        command.add_argument("--group", choices=_GROUPS)
    for command in (report, trace, other):
        command.add_argument("--seed", type=int, default=0)
    trace.add_argument("--mode", choices=MODES, default="histogram")
    report.add_argument("--mode", choices=(*MODES, "all"), default="histogram")
    report.add_argument("--traces", type=int, default=20, help="of every kind (default: 20)")
    other.add_argument("--traces", type=int, default=60, help="in all (default: 60)")
    report.add_argument("--output", type=Path, help="keep the outcome of every trace here, and resume from it")
    for command in (report, other):
        command.add_argument("--jobs", type=int, default=2)
        command.add_argument(
            "--decider", default="modelslo", help="modelslo (default), hold, ztest, or command:PROGRAM"
        )
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    arguments = _parser().parse_args(words)
    try:
        arguments.do(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader has seen enough (`| head`); nothing is left to be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    # One trace per core: threads of linear algebra would only be in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
