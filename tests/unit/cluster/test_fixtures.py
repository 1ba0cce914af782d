"""Tests that need a cluster where none can be had."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import cast

import pytest

from tests.cluster import fixtures, kind
from tests.cluster.shell import ClusterError


def test_the_run_ends_with_the_one_message_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_docker() -> None:
        raise ClusterError("no Docker daemon answers: please start or install Docker")

    monkeypatch.setattr(kind, "up", no_docker)
    item = SimpleNamespace(fixturenames=["kind_cluster"], get_closest_marker=lambda _: None)
    capture = SimpleNamespace(global_and_fixture_disabled=nullcontext)
    config = SimpleNamespace(getoption=lambda _: None, pluginmanager=SimpleNamespace(getplugin=lambda _: capture))
    session = cast(pytest.Session, SimpleNamespace(items=[item], config=config))
    with pytest.raises(
        pytest.exit.Exception, match="no Docker daemon answers: please start or install Docker"
    ) as ended:
        fixtures.pytest_collection_finish(session)
    assert ended.value.returncode == pytest.ExitCode.USAGE_ERROR
