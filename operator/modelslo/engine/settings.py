"""The operator's own settings: read once at start, from a YAML file and from the environment, which wins.

Each field is an environment variable ``MODELSLO_`` + its name in capitals: ``prometheus_url`` is
``MODELSLO_PROMETHEUS_URL``, lists are comma-separated. In the file the names are in camelCase: ``prometheusUrl``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

PREFIX: Final = "MODELSLO_"
CONFIG_VARIABLE: Final = "MODELSLO_CONFIG"


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


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

    prometheus_url: str = Field(
        "http://prometheus-operated.monitoring.svc:9090", description="Prometheus of every ModelSLO that names none."
    )
    allowed_prometheus_urls: Names = Field(
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
    """From the file that ``MODELSLO_CONFIG`` names, if any, and the environment. Wrong ones raise ``ValueError``."""
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    path = environment.get(CONFIG_VARIABLE)
    if path:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        if not isinstance(loaded, dict):
            raise ValueError(f"{path}: expected a mapping of settings")
        values.update(loaded)
    for name in Settings.model_fields:
        value = environment.get(PREFIX + name.upper())
        if value is not None:
            values.pop(to_camel(name), None)
            values[name] = value
    return Settings.model_validate(values)


def _covers(allowed: str, url: str) -> bool:
    """Same scheme, host and port, and a path at or below; user names and `..` are never allowed."""
    ours, theirs = urlsplit(allowed), urlsplit(url)
    if "@" in theirs.netloc or ".." in theirs.path.split("/"):
        return False
    root = ours.path.rstrip("/")
    return (ours.scheme, ours.netloc.lower()) == (theirs.scheme, theirs.netloc.lower()) and (
        theirs.path.rstrip("/") == root or theirs.path.startswith(root + "/")
    )
