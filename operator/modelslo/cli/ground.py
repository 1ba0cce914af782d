"""What `doctor`, `plan` and `aa` start from: a sound spec, the operator's settings, the Prometheus and what it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelslo.api.address import fault_of, shown
from modelslo.api.resource import InvalidResource, parse_spec
from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.errors import MISUSE, NEGATIVE, CommandError
from modelslo.engine.asks import source_of
from modelslo.engine.settings import Settings, load_settings
from modelslo.observe.ask import Ask, Source
from modelslo.observe.evidence import Evidence
from modelslo.observe.observer import Observer


def sound_spec(body: Mapping[str, Any], exit_code: int = NEGATIVE) -> ModelSLOSpec:
    """CommandError with every problem when it is not sound."""
    try:
        return parse_spec(body.get("spec"))
    except InvalidResource as error:
        lines = "\n".join(f"  {problem}" for problem in error.problems)
        raise CommandError(f"the spec is not sound:\n{lines}", exit_code) from None


def local_settings(url: str | None) -> Settings:
    """The operator's settings as far as they are known here; the Prometheus given wins."""
    try:
        settings = load_settings()
    except (ValueError, OSError) as error:
        raise CommandError(f"the operator's settings cannot be read: {error}") from None
    return settings if url is None else settings.model_copy(update={"prometheus_url": url})


def source_for(spec: ModelSLOSpec, settings: Settings, url: str | None) -> Source:
    """The Prometheus of the spec or of the settings; `url` goes before both. CommandError when it is no address."""
    source = source_of(spec, settings.prometheus_url)
    source = source if url is None else replace(source, url=url)
    own = spec.indicator.prometheus.url is not None
    name = "--prometheus-url" if url is not None else "spec.indicator.prometheus.url" if own else "prometheusUrl"
    fault = fault_of(source.url)
    if fault:
        said = f"{name}: {shown(source.url)!r} {fault}: write such as http://prometheus.monitoring.svc:9090"
        raise CommandError(said, MISUSE)
    return source


async def observed(ask: Ask) -> Evidence:
    """The evidence of one model. Nothing is raised for what goes wrong at Prometheus."""
    observer = Observer(1)
    try:
        return (await observer.observe([ask]))[ask.model]
    finally:
        observer.close()
