"""`modelslo validate FILE...`: what the API server and the operator would say, without either."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from modelslo.api.crd import API_VERSION, GROUP, KIND
from modelslo.api.resource import InvalidResource, Problem, parse_spec
from modelslo.cli.errors import MISUSE, CommandError
from modelslo.cli.manifest import documents

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH: Final = 253
# ObjectMeta of the Kubernetes API.
_METADATA: Final = frozenset(
    (
        *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid"),
        *("resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
        *("selfLink", "managedFields"),
    )
)


def run(arguments: argparse.Namespace) -> int:
    files = [*arguments.files, *arguments.more_files]
    if not files:
        raise CommandError("no file is given: name one or more, or - for standard input", MISUSE)
    sound = [_check_file(file) for file in files]
    return 0 if all(sound) else 1


def problems_of(body: Mapping[str, Any]) -> tuple[Problem, ...]:
    """Everything that is wrong with a ModelSLO in a file."""
    problems = list(_envelope_problems(body))
    try:
        parse_spec(body.get("spec"))
    except InvalidResource as error:
        problems += error.problems
    return tuple(problems)


def _check_file(file: str) -> bool:
    """Prints what is found in the file; tells whether it holds ModelSLOs and all are sound."""
    shown = "standard input" if file == "-" else file
    sound, found = True, False
    for body in _objects(documents(file)):
        kind = body.get("kind", "object without kind")
        name = f"{kind}/{_metadata(body).get('name', '?')}"
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


def _objects(documents: list[Any]) -> Iterator[Mapping[str, Any]]:
    """The objects in the documents; a List is opened, an empty document left out."""
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, Mapping):
            yield {}
        elif document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from _objects(document["items"])
        else:
            yield document


def _metadata(body: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _envelope_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    version, name = body.get("apiVersion"), _metadata(body).get("name")
    if version != API_VERSION:
        yield Problem("apiVersion", version, f"{version!r} is not known here: write {API_VERSION}")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        mend = f"write lower-case letters, digits, - and ., at most {_NAME_LENGTH} characters"
        yield Problem("metadata.name", name, f"{name!r} is no name of an object: {mend}")
    for field in sorted(map(str, _metadata(body).keys() - _METADATA)):
        close = get_close_matches(str(field), sorted(_METADATA), n=1)
        mend = f"did you mean {close[0]}?" if close else "take it out"
        yield Problem(f"metadata.{field}", _metadata(body).get(field), f"is a field that there is not: {mend}")
    known = {"apiVersion", "kind", "metadata", "spec", "status"}
    for field in body.keys() - known:
        yield Problem(str(field), body[field], "is a field that there is not: take it out, or move it into spec")
