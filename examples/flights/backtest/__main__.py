"""`python -m examples.flights.backtest [--seeds N] [--scenario NAME ...]`: the tables of the example's README."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from examples.flights.backtest.compare import CANARY_JUDGES, STABLE_JUDGES, Outcome, judges_of, notes, run, table
from examples.flights.backtest.scenarios import SCENARIOS, Scenario, Year, trace
from examples.flights.backtest.trace import Trace


def compare(chosen: Sequence[Scenario], year: Year, seeds: int) -> None:
    """Runs and prints."""
    found: dict[str, list[dict[str, Outcome]]] = {}
    for scenario in chosen:
        found[scenario.name] = []
        for seed in range(seeds):
            found[scenario.name].append(run(scenario, trace(scenario, year, seed), judges_of(scenario)))
            print(f"{scenario.name}: {seed + 1} of {seeds}", file=sys.stderr, flush=True)
    canaries = [(one, found[one.name]) for one in chosen if one.canary is not None]
    stables = [(one, found[one.name]) for one in chosen if one.canary is None]
    if canaries:
        print(table("rollout", CANARY_JUDGES, canaries), end="\n\n")
    if stables:
        print(table("stable version", STABLE_JUDGES, stables), end="\n\n")
    for one in chosen:
        for line in notes(one, found[one.name]):
            print(f"- {line}")


def write(trace: Trace, folder: Path) -> Path:
    """The lines of a trace, for `modelslo backtest --jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{trace.name}.jsonl"
    with path.open("w", encoding="utf-8") as opened:
        for line in trace.lines():
            opened.write(json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.backtest", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--seeds", type=_positive, default=10, help="random splits of the flights per scenario (10)")
    parser.add_argument("--scenario", choices=names, action="extend", nargs="+", help="default: all")
    parser.add_argument("--models", type=Path, help="folder of examples.flights.versions (default: a temporary one)")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write the lines there (tens of MB each) and stop")
    arguments = parser.parse_args(argv)
    chosen = [scenario for scenario in SCENARIOS if scenario.name in (arguments.scenario or names)]
    with tempfile.TemporaryDirectory() as temporary:
        year = Year(arguments.models or Path(temporary))
        if arguments.write is None:
            compare(chosen, year, arguments.seeds)
            return 0
        for scenario in chosen:
            for seed in range(arguments.seeds):
                print(write(trace(scenario, year, seed), arguments.write))
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} splits: give 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
