"""One stage for all scenarios, taken down before other tests go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.cluster.access import Cluster
from tests.integration.scenarios.play import Play, playing


@pytest.fixture(scope="package")
def play(
    control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Play]:
    folder = tmp_path_factory.mktemp("scenarios")
    with playing(control_plane, folder, request.session.items) as running:
        yield running
        failed = [name for name, story in running.stories.items() if story.done() and story.exception()]
        errors = [line for line in running.operator.lines() if line.get("level") in ("ERROR", "CRITICAL")]
        spoiled = running.operator.metric('modelslo_evaluations_total{outcome="failed"}')
    if failed:
        sys.stderr.write(f"--- {running.operator.log}, after {', '.join(failed)}\n{running.operator.text()[-8000:]}\n")
    assert errors == []
    assert spoiled == 0
