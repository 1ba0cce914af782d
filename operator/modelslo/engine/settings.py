"""The operator's own settings: read once at start, from a YAML file and from the environment, which wins.

Each field is an environment variable ``MODELSLO_`` + its name in capitals: ``prometheus_url`` is
``MODELSLO_PROMETHEUS_URL``, lists are comma-separated. In the file the names are in camelCase: ``prometheusUrl``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from modelslo.api.manifest import YamlError, value_of
from modelslo.api.spec import URL_PATTERN

PREFIX: Final = "MODELSLO_"
CONFIG_VARIABLE: Final = "MODELSLO_CONFIG"


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _with_scheme(value: str) -> str:
    if not re.fullmatch(URL_PATTERN, value):
        raise ValueError(f"{value!r} is no URL: write such as http://prometheus.monitoring.svc:9090")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
Url = Annotated[str, AfterValidator(_with_scheme)]


class LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


class PodSecurity(StrEnum):
    """What a namespace must enforce before a retrain Job runs in it."""

    BASELINE = "baseline"
    PRIVILEGED = "privileged"  # ask for nothing


class Settings(BaseModel):
    """Times are real seconds."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)

    prometheus_url: Url = Field(
        "http://prometheus-operated.monitoring.svc:9090", description="Prometheus of every ModelSLO that names none."
    )
    allowed_prometheus_urls: Annotated[tuple[Url, ...], BeforeValidator(_split)] = Field(
        (), description="URLs that a ModelSLO may name, each with everything under it. prometheusUrl always is."
    )
    namespaces: Names = Field((), description="Namespaces that are looked after. Empty: all.")
    service_accounts: Names = Field(
        (),
        description="Service accounts that a retrain Job may name. A template that names none runs as `default`, and "
        "gets no token unless `default` is on this list.",
    )
    pod_security: PodSecurity = Field(
        PodSecurity.BASELINE, description="Pod security level that a namespace must enforce before Jobs run in it."
    )
    time_scale: float = Field(1.0, gt=0, le=100_000, description="Divides the times of judging; for demos and tests.")
    settle: float = Field(60.0, ge=0, le=3600, description="Age at which samples are read: two scrape intervals.")
    threads: int = Field(8, ge=1, le=256, description="Queries in flight.")
    writes: int = Field(16, ge=1, le=256, description="Requests to the API server in flight.")
    request_timeout: float = Field(15.0, gt=0, le=300, description="Longest wait for the API server.")
    status_interval: float = Field(60.0, ge=0, description="Least time between two writes of mere figures.")
    heartbeat: float = Field(900.0, gt=0, description="Most time between two writes of status.")
    lease_name: str = Field("modelslo-operator", min_length=1)
    lease_namespace: str = Field("modelslo-system", min_length=1)
    lease_duration: float = Field(15.0, gt=0)
    lease_renew_deadline: float = Field(10.0, gt=0)
    lease_retry: float = Field(2.0, gt=0)
    lease_request_timeout: float = Field(1.8, gt=0)
    host: str = Field("0.0.0.0", description="Address of /healthz, /readyz and /metrics.")  # noqa: S104
    port: int = Field(8080, ge=0, le=65535)
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_format: LogFormat = LogFormat.JSON
    failpoint: str = Field(
        "", description="Test hook: <Type>/<Step>/<before|after>. The process kills itself there, once."
    )

    def allows(self, url: str) -> bool:
        """Whether a ModelSLO may have this Prometheus asked."""
        return any(_covers(allowed, url) for allowed in (self.prometheus_url, *self.allowed_prometheus_urls))

    def watches(self, namespace: str) -> bool:
        return not self.namespaces or namespace in self.namespaces


def load_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """From the file that ``MODELSLO_CONFIG`` names, if any, and the environment.

    Raises:
        ValueError: What is wrong, each with its name, value and mend.
        OSError: The file cannot be read.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    path = environment.get(CONFIG_VARIABLE)
    if path:
        values.update(_of_file(Path(path)))
    for name in Settings.model_fields:
        value = environment.get(PREFIX + name.upper())
        if value is not None:
            values.pop(to_camel(name), None)
            values[name] = value
    problems = [*_misspelt(environment)]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_problem(one) for one in error.errors(include_url=False)]
    if problems:
        raise ValueError("; ".join(problems))
    return settings


def _of_file(path: Path) -> dict[str, Any]:
    try:
        loaded = value_of(path.read_text(encoding="utf-8")) or {}
    except (YamlError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from None
    if not isinstance(loaded, dict):
        raise ValueError(f"{path}: {loaded!r} is no mapping of settings: write such as settle: 30")
    return loaded


def _misspelt(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables that look like a setting with its words run together, which would do nothing."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    joined = {one.replace("_", ""): one for one in known}
    for name in environment.keys() - known:
        meant = joined.get(name.upper().replace("_", "")) if name.upper().startswith(PREFIX) else None
        if meant is not None:
            yield f"{name}: {environment[name]!r} is in a variable that there is not: did you mean {meant}?"


def _problem(error: ErrorDetails) -> str:
    """A fault in words; names are those of the file."""
    first, *others = error["loc"]
    name = to_camel(str(first))
    if error["type"] == "extra_forbidden":
        known = [to_camel(one) for one in Settings.model_fields]
        close = get_close_matches(name, known, n=1)
        mend = f"did you mean {close[0]}?" if close else f"take it out, or use one of {', '.join(known)}"
        return f"{first}: {error['input']!r} is in a setting that there is not: {mend}"
    where = "".join(f"[{one}]" for one in others)
    said = error["msg"].removeprefix("Value error, ").replace("Input should", "it must")
    if error["type"] == "value_error":
        return f"{name}{where}: {said}"
    return f"{name}{where}: {error['input']!r} does not fit: {said}"


def _covers(allowed: str, url: str) -> bool:
    """Same scheme, host and port, and a path at or below; user names and `..` are never allowed."""
    ours, theirs = urlsplit(allowed), urlsplit(url)
    if "@" in theirs.netloc or ".." in theirs.path.split("/"):
        return False
    root = ours.path.rstrip("/")
    return (ours.scheme, ours.netloc.lower()) == (theirs.scheme, theirs.netloc.lower()) and (
        theirs.path.rstrip("/") == root or theirs.path.startswith(root + "/")
    )
