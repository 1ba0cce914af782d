"""`modelslo backtest`: what would have been decided, and why."""

from __future__ import annotations

import argparse
import sys

from modelslo.backtest.jsonl import LineError, replay_lines
from modelslo.cli.errors import MISUSE, CommandError


def run(arguments: argparse.Namespace) -> int:
    if not arguments.jsonl:
        raise CommandError("say --jsonl: observations on standard input, decisions on standard output", MISUSE)
    try:
        # Bytes: JSON is UTF-8, whatever the locale says.
        replay_lines(sys.stdin.buffer, sys.stdout)
    except LineError as error:
        raise CommandError(str(error), MISUSE) from None
    return 0
