"""`modelslo aa` against a real Prometheus: replicas that do the same are fit, one that does not is named."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelslo.cli.main import main
from tests.cluster.access import apply_crds
from tests.cluster.fixtures import Namespace
from tests.cluster.prometheus import Prometheus, start
from tests.integration.exporters import Exporter, steady
from tests.integration.remote_write import CONFIG, FLAG, push
from tests.integration.test_doctor import RESOURCES
from tests.integration.test_plan import EDGES, FILE

SCRAPES = 480
"""Two hours, one every 15 s."""


def serve(url: str, namespace: str, means: dict[str, float], version: str = "v1") -> None:
    """The pods of one version, two hours of them, 40 losses in 15 s each."""
    now = time.time()
    for seed, (pod, mean) in enumerate(means.items()):
        labels = {"namespace": namespace, "model_name": "fraud", "model_version": version, "pod": pod}
        one = Exporter(labels, edges=EDGES)
        push(url, steady(one, [now - 15 * number for number in range(SCRAPES, 0, -1)], 40, mean, seed))


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with start(CONFIG, flags=[FLAG]) as running:
        serve(running.url, "shop", {"a": 0.3, "b": 0.3, "c": 0.3})
        serve(running.url, "shop", {"d": 0.9}, "v2")
        serve(running.url, "mall", {"a": 0.3, "b": 0.45, "c": 0.3, "d": 0.3})
        yield running


def test_fit_and_unfit(prometheus: Prometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fraud.yaml"
    file.write_text(FILE)
    command = ["aa", "-f", str(file), f"--prometheus-url={prometheus.url}", "--range=2h"]
    # Given a namespace whose three replicas of v1 do the same, and a canary of one pod
    assert main([*command, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["version"], found["fitness"]) == ("v1", "Fit")
    assert [one["name"] for one in found["replicas"]] == ["a", "b", "c"]
    assert [one["coverage"] for one in found["replicas"]] == [1.0] * 3
    assert 0 < found["promotedAfterSeconds"] < 7200  # when exactly, depends on the clock: slices begin on its grid
    # And one where the losses of one replica are half as large again
    assert main([*command, "-n", "mall"]) == 1
    text = capsys.readouterr().out
    assert "UNFIT" in text
    assert [line.split()[0] for line in text.splitlines() if line.endswith("differs")] == ["b"]
    # And a version with one pod alone
    assert main([*command, "--version=v2"]) == 1
    assert "have only one value, 'd' for 'pod'" in capsys.readouterr().err


@pytest.mark.api
def test_of_a_cluster(prometheus: Prometheus, namespace: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    apply_crds(namespace.cluster)
    serve(prometheus.url, namespace.name, {"a": 0.3, "b": 0.3})
    namespace.kubectl("apply", "-f", "-", input=RESOURCES)
    command = ["aa", "fraud", f"--namespace={namespace.name}", f"--kubeconfig={namespace.cluster.kubeconfig}"]
    assert main([*command, f"--prometheus-url={prometheus.url}", "--range=2h"]) == 0
    text = capsys.readouterr().out
    assert f"A/A check of ModelSLO {namespace.name}/fraud: replicas of version 'v1' by 'pod'" in text
    assert "\nFIT: " in text
