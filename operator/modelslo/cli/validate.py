"""`modelslo validate FILE...`: what the API server and the operator would say, without either."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from modelslo.api.crd import GROUP, KIND
from modelslo.api.resource import InvalidResource, Problem, parse_spec
from modelslo.cli.errors import MISUSE, CommandError
from modelslo.cli.manifest import envelope_problems, metadata_of, objects_of


def run(arguments: argparse.Namespace) -> int:
    files = [*arguments.files, *arguments.more_files]
    if not files:
        raise CommandError("no file is given: name one or more, or - for standard input", MISUSE)
    sound = [_check_file(file) for file in files]
    return 0 if all(sound) else 1


def problems_of(body: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything that is wrong with a ModelSLO in a file."""
    problems = list(envelope_problems(body))
    try:
        parse_spec(body.get("spec"))
    except InvalidResource as error:
        problems += error.problems
    return tuple(problems)


def _check_file(file: str) -> bool:
    """Prints what is found in the file; tells whether it holds ModelSLOs and all are sound."""
    shown = "standard input" if file == "-" else file
    sound, found = True, False
    for body in objects_of(file):
        kind = body.get("kind", "object without kind")
        name = f"{kind}/{metadata_of(body).get('name', '?')}"
        if kind != KIND:
            if str(body.get("apiVersion", "")).startswith(f"{GROUP}/"):
                found, sound = True, False
                print(f"{shown}: {name}: kind: {kind!r} is not known here: write {KIND}")
            else:
                print(f"{shown}: {name}: skipped, no {KIND}")
            continue
        found = True
        problems = problems_of(body)
        sound = sound and not problems
        for problem in problems:
            print(f"{shown}: {name}: {problem}")
        if not problems:
            print(f"{shown}: {name}: valid")
    if not found:
        print(f"{shown}: holds no {KIND}")
    return sound and found
