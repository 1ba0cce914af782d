"""What a retrain Job reports: the termination message of its last succeeded pod, one JSON object. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from modelslo.act.target import Body, NoResultError

MAX_BYTES: Final = 4096
MAX_KEYS: Final = 32
_MAX_KEY: Final = 63
_MAX_VALUE: Final = 1024
_REQUIRED: Final = "version"


def result_of(pods: Iterable[Body], job: str) -> dict[str, str]:
    """The result of the Job whose pods these are; NoResultError says what is missing or wrong."""
    succeeded = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
    if not succeeded:
        raise NoResultError(f"Job {job!r} has no succeeded pod left to read the result from.")
    last = max(succeeded, key=_finished_at)
    return parse_result(_message(last), f"pod {last['metadata']['name']!r} of Job {job!r}")


def parse_result(text: str, where: str) -> dict[str, str]:
    """`text` as a JSON object with the key `version`; `{"metrics": {"loss": 1}}` gives the key `metrics.loss`."""
    if not text.strip():
        raise NoResultError(f"The termination message of {where} is empty: write the result to /dev/termination-log.")
    if len(text.encode()) > MAX_BYTES:
        raise NoResultError(f"The termination message of {where} is longer than {MAX_BYTES} bytes.")
    try:
        # NaN and Infinity are no JSON; a model with such a metric is no candidate.
        parsed = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise NoResultError(f"The termination message of {where} is no JSON object: {error}.") from None
    if not isinstance(parsed, dict):
        raise NoResultError(f"The termination message of {where} is no JSON object.")
    flat = _flat(parsed)
    if len(flat) > MAX_KEYS:
        raise NoResultError(f"The result in {where} has more than {MAX_KEYS} keys.")
    result = {key: _scalar(key, value, where) for key, value in flat.items()}
    if not result.get(_REQUIRED):
        raise NoResultError(f"The result in {where} has no {_REQUIRED!r}.")
    return result


def _flat(parsed: dict[str, Any]) -> dict[str, Any]:
    """Objects within the object by dotted keys, one level deep; what lies deeper stays what it is."""
    flat: dict[str, Any] = {}
    for key, value in parsed.items():
        inner = {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, dict) else {key: value}
        flat |= inner
    return flat


def _scalar(key: str, value: Any, where: str) -> str:
    if not key or len(key) > _MAX_KEY:
        raise NoResultError(
            f"The result in {where} has a key with no or more than {_MAX_KEY} characters: {key[:80]!r}."
        )
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool | int | float):
        text = json.dumps(value)
    else:
        raise NoResultError(f"The result's {key!r} in {where} is no text, number or truth value.")
    if len(text) > _MAX_VALUE:
        raise NoResultError(f"The result's {key!r} in {where} has more than {_MAX_VALUE} characters.")
    return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _terminated(pod: Body) -> Body:
    statuses = pod["status"].get("containerStatuses") or ()
    return next((s["state"]["terminated"] for s in statuses if (s.get("state") or {}).get("terminated")), {})


def _finished_at(pod: Body) -> tuple[str, str]:
    return str(_terminated(pod).get("finishedAt", "")), str(pod["metadata"]["name"])


def _message(pod: Body) -> str:
    """Of the first container that left one, in the order of the pod's spec."""
    statuses = {one["name"]: one for one in pod["status"].get("containerStatuses") or ()}
    for container in pod["spec"]["containers"]:
        state = (statuses.get(container["name"]) or {}).get("state") or {}
        message = (state.get("terminated") or {}).get("message")
        if message:
            return str(message)
    return ""
