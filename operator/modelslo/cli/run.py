"""`modelslo run`: the operator."""

from __future__ import annotations

import argparse

from modelslo.controller.main import main


def run(_arguments: argparse.Namespace) -> int:
    return main()
