"""Logs: one event a line on standard output, as JSON for machines or as text for people.

What is passed as ``extra`` becomes a field of its own: ``model`` (namespace/name) and ``decision`` (its id) on whatever
concerns a model, and whatever else the caller knows.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from modelslo.engine.settings import LogFormat

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# kopf hangs its own settings and object references on its records.
_FOREIGN: Final = frozenset({"settings", "k8s_skip", "k8s_ref", "args"})
# Chatty at INFO about what is none of the reader's business.
_QUIET: Final = ("aiohttp.access", "asyncio", "urllib3", "kubernetes")


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that the caller added, in the order in which they were added."""
    return {
        key: value
        for key, value in record.__dict__.items()
        if key not in _STANDARD and key not in _FOREIGN and not key.startswith("_")
    }


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= extras(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = "".join(f" {key}={_plain(value)}" for key, value in extras(record).items())
        line = f"{time} {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _plain(value: object) -> str:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


class _NotInMainThread(logging.Filter):
    """kopf warns that it leaves signals alone outside the main thread; that is why it runs there."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "running not in the main thread" not in record.getMessage()


def configure(form: LogFormat, level: str, stream: TextIO | None = None) -> None:
    """Route every logger through one handler. Called once, at the start of the process."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    handler.addFilter(_NotInMainThread())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # In a pod there is no kubeconfig, and that is no reason to warn.
    logging.getLogger("kubernetes.aio.config.kube_config").setLevel(logging.ERROR)
    kopf = logging.getLogger("kopf")
    kopf.handlers = []
    kopf.propagate = True
    kopf.setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
