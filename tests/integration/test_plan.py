"""`modelslo plan` against a real Prometheus: rate and variance are those of what was pushed."""

from __future__ import annotations

import json
import re
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

EDGES = tuple(0.01 * 1.6**number for number in range(16))
FILE = """
apiVersion: modelslo.dev/v1alpha1
kind: ModelSLO
metadata: {name: fraud, namespace: shop}
spec:
  indicator: {loss: {metric: ml_huber_loss, matchLabels: {model_name: fraud}}}
  objective: {target: {value: 0.35}}
  rollout: {stable: {name: fraud}, canary: {name: fraud-canary}}
"""


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with start(CONFIG, flags=[FLAG]) as running:
        now = time.time()
        one = Exporter({"namespace": "shop", "model_name": "fraud", "model_version": "v1"}, edges=EDGES)
        push(running.url, steady(one, [now - 15 * number for number in range(600, 0, -1)], 30, 0.3))
        yield running


def test_the_command(prometheus: Prometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """30 losses in 15 s, even in (0, 0.6): CV^2 is 1/3."""
    file = tmp_path / "fraud.yaml"
    file.write_text(FILE)
    command = ["plan", "-f", str(file), f"--prometheus-url={prometheus.url}", "--range=2h"]
    assert main([*command, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["traffic"]["labelsPerSecond"] == pytest.approx(2, rel=0.02)
    assert found["traffic"]["cv2"] == pytest.approx(1 / 3, rel=0.1)
    assert 1 <= found["traffic"]["phi"] < 1.5
    assert found["traffic"]["top"] == pytest.approx(1.25 * EDGES[-1] / 0.3, rel=0.05)
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "labels of 2h in Prometheus; variance of version 'v1' from buckets." in text
    assert main([*command, "-n", "elsewhere"]) == 1
    assert "modelslo doctor fraud -n elsewhere" in capsys.readouterr().err


@pytest.mark.api
def test_of_a_cluster(prometheus: Prometheus, namespace: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    """The steps are those that whole pods make: 10 % beside three pods of stable is one pod, 25 %."""
    apply_crds(namespace.cluster)
    now = time.time()
    for version, mean in (("v1", 0.3), ("v2", 0.6)):
        labels = {"namespace": namespace.name, "model_name": "fraud", "model_version": version}
        one = Exporter(labels, edges=EDGES)
        push(prometheus.url, steady(one, [now - 15 * number for number in range(240, 0, -1)], 30, mean))
    namespace.kubectl("apply", "-f", "-", input=RESOURCES)
    namespace.kubectl("scale", "deployment/fraud", "--replicas=3")
    command = ["plan", "fraud", f"--namespace={namespace.name}", f"--kubeconfig={namespace.cluster.kubeconfig}"]
    assert main([*command, f"--prometheus-url={prometheus.url}"]) == 0
    text = capsys.readouterr().out
    assert f"Plan for ModelSLO {namespace.name}/fraud" in text
    assert "canary at 25%, 50% (10m each)" in text
    assert "The shares are those of whole pods beside 3 of stable." in text
    assert "variance of version 'v1' from buckets" in text
    assert re.search(r"^  (3\.9\d*|4) labels/s of both arms", text, re.MULTILINE)
