"""Files with ModelSLOs: what is in them, and what is wrong around the spec."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from modelslo.api.crd import API_VERSION, KIND
from modelslo.api.manifest import YamlError, documents_of
from modelslo.api.resource import Problem
from modelslo.cli.errors import MISUSE, NEGATIVE, CommandError
from modelslo.observe.evidence import ModelKey

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH: Final = 253
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# ObjectMeta of the Kubernetes API.
_METADATA: Final = frozenset(
    (
        *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences", "uid"),
        *("resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
        *("selfLink", "managedFields"),
    )
)


def objects_of(file: str, exit_code: int = NEGATIVE) -> Iterator[Mapping[str, Any]]:
    """The objects in the file, - for standard input; a List is opened, an empty document left out.

    CommandError when it cannot be read or is no YAML.
    """
    return _objects(_documents(file, exit_code))


def metadata_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Empty when it is no mapping."""
    metadata = body.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def envelope_problems(body: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a ModelSLO around its spec."""
    version, metadata = body.get("apiVersion"), metadata_of(body)
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if version != API_VERSION:
        yield Problem("apiVersion", version, f"{version!r} is not known here: write {API_VERSION}")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > _NAME_LENGTH:
        mend = f"write lower-case letters, digits, - and ., at most {_NAME_LENGTH} characters"
        yield Problem("metadata.name", name, f"{name!r} is no name of an object: {mend}")
    if namespace is not None and not (isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace)):
        mend = "write lower-case letters, digits and -, at most 63 characters"
        yield Problem("metadata.namespace", namespace, f"{namespace!r} is no name of a namespace: {mend}")
    for field in sorted(map(str, metadata.keys() - _METADATA)):
        close = get_close_matches(str(field), sorted(_METADATA), n=1)
        mend = f"did you mean {close[0]}?" if close else "take it out"
        yield Problem(f"metadata.{field}", metadata.get(field), f"is a field that there is not: {mend}")
    known = {"apiVersion", "kind", "metadata", "spec", "status"}
    for field in body.keys() - known:
        yield Problem(str(field), body[field], "is a field that there is not: take it out, or move it into spec")


def model_in(file: str, name: str | None, namespace: str | None) -> tuple[ModelKey, Mapping[str, Any]]:
    """The one ModelSLO of the file, that of this name if one is given, sound around its spec. Else CommandError.

    `namespace`: where it is, whatever the file says.
    """
    models = [one for one in objects_of(file, MISUSE) if one.get("kind") == KIND]
    names = [str(metadata_of(one).get("name", "?")) for one in models]
    found = [one for one, called in zip(models, names, strict=True) if name is None or called == name]
    if not found:
        which = "" if name is None else f" {name!r}; it has {', '.join(names) or 'none'}"
        raise CommandError(f"{file} holds no {KIND}{which}", MISUSE)
    if len(found) > 1 and name is None and len(set(names)) > 1:
        known = ", ".join(dict.fromkeys(names))
        raise CommandError(f"{file} holds {len(found)} of {KIND}: name one of {known}", MISUSE)
    if len(found) > 1:
        mend = "give a file with the one that is meant"
        raise CommandError(f"{file} holds {len(found)} of {KIND} {name or names[0]!r}: {mend}", MISUSE)
    problems = [f"  {problem}" for problem in envelope_problems(found[0])]
    if problems:
        raise CommandError("\n".join([f"{file}: the {KIND} is not sound:", *problems]), MISUSE)
    metadata = metadata_of(found[0])
    return ModelKey(namespace or metadata.get("namespace") or "default", str(metadata.get("name", ""))), found[0]


def _documents(file: str, exit_code: int) -> list[Any]:
    if file == "-" and sys.stdin is None:
        raise CommandError("-: standard input is closed: give a file with a ModelSLO", exit_code)
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return documents_of(text)
    except OSError as error:
        mend = "give a file with a ModelSLO, or - for standard input"
        raise CommandError(f"{file or repr(file)}: {error.strerror}: {mend}", exit_code) from None
    except (YamlError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} is no YAML: {error}", exit_code) from None


def _objects(documents: list[Any]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, Mapping):
            yield {}
        elif document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from _objects(document["items"])
        else:
            yield document
