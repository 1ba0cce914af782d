"""One event a line, with the fields that people filter by."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from modelslo.controller.logs import configure
from modelslo.engine.settings import LogFormat


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_fields_of_the_caller_are_fields_of_the_line() -> None:
    stream = io.StringIO()
    configure(LogFormat.JSON, "info", stream)
    logging.getLogger("modelslo.engine").info("decided %s", "Hold", extra={"model": "shop/fraud", "decision": "d-1"})
    (line,) = lines(stream)
    assert line["message"] == "decided Hold"
    assert (line["model"], line["decision"], line["level"], line["logger"]) == (
        "shop/fraud",
        "d-1",
        "INFO",
        "modelslo.engine",
    )
    assert str(line["time"]).endswith("+00:00")


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    configure(LogFormat.JSON, "info", stream)
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        logging.getLogger("x").exception("failed")
    (line,) = lines(stream)
    assert "RuntimeError: two\nlines" in str(line["exception"])


def test_what_kopf_and_warnings_say_comes_the_same_way() -> None:
    stream = io.StringIO()
    configure(LogFormat.JSON, "info", stream)
    logging.getLogger("kopf._core").info("chatter")
    logging.getLogger("kopf._core").warning("OS signals are ignored: running not in the main thread.")
    logging.getLogger("kopf._core").error("trouble", extra={"settings": object(), "k8s_ref": {}})
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    trouble, warning = lines(stream)
    assert (trouble["message"], set(trouble)) == ("trouble", {"time", "level", "logger", "message"})
    assert "old" in str(warning["message"])


def test_text_for_people() -> None:
    stream = io.StringIO()
    configure(LogFormat.TEXT, "debug", stream)
    logging.getLogger("x").debug("hello", extra={"model": "a/b", "loss": {"stable": 1.5}})
    assert stream.getvalue().endswith('DEBUG   x: hello model=a/b loss={"stable": 1.5}\n')
