"""`modelslo backtest` over the history of a real Prometheus: what would have been decided, and what if."""

from __future__ import annotations

import json
import subprocess
import sys
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
from tests.integration.test_plan import EDGES

STEP = 15
HOUR = 3600 // STEP
FILE = """
apiVersion: modelslo.dev/v1alpha1
kind: ModelSLO
metadata: {name: fraud, namespace: shop}
spec:
  indicator: {loss: {metric: ml_huber_loss, matchLabels: {model_name: fraud}}, labels: {delay: 5m}}
  objective: {target: {value: 0.5}, window: 4h}
  rollout: {stable: {name: fraud}, canary: {name: fraud-canary}, warmup: 5m, gate: {minSamples: 100}}
"""


def serve(url: str, namespace: str, version: str, mean: float, ago: tuple[int, int], labels: int) -> None:
    """A version from so many to so many scrapes ago, with so many labels a scrape."""
    now = time.time()
    one = Exporter({"namespace": namespace, "model_name": "fraud", "model_version": version}, edges=EDGES)
    push(url, steady(one, [now - STEP * number for number in range(*ago, -1)], labels, mean, len(version)))


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    """Eight hours of v1. Six hours ago v2 was a bad canary for two hours; since three hours v3 is a good one."""
    with start(CONFIG, flags=[FLAG]) as running:
        serve(running.url, "shop", "v1", 0.3, (8 * HOUR, 0), 20)
        serve(running.url, "shop", "v2", 0.42, (6 * HOUR, 4 * HOUR), 6)
        serve(running.url, "shop", "v3", 0.24, (3 * HOUR, 0), 6)
        yield running


@pytest.fixture
def command(prometheus: Prometheus, tmp_path: Path) -> list[str]:
    file = tmp_path / "fraud.yaml"
    file.write_text(FILE)
    return ["backtest", "-f", str(file), f"--prometheus-url={prometheus.url}"]


def test_what_would_have_been_decided_and_what_if(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    options = ["--from=7h", "--what-if=spec.rollout.gate.margin=3%", f"--html={report}", "-o", "json"]
    assert main([*command, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    as_it_is, strict = found["variants"]
    assert [(one["decision"], one["version"]) for one in as_it_is["verdicts"]] == [
        ("Rollback", "v2"),
        ("Promote", "v3"),
    ]
    # A claim within 3 % takes longer than one within 10 %
    later = [one["seconds"] for one in strict["verdicts"] if one["decision"] == "Promote"]
    assert not later or later > [one["seconds"] for one in as_it_is["verdicts"] if one["decision"] == "Promote"]
    assert found["labels"] == pytest.approx(8 * HOUR * 20 + 5 * HOUR * 6, rel=0.25)
    assert as_it_is["withoutSoundData"] <= 10
    assert report.read_text().count("<svg") == 8


def test_killed_while_reading_it_goes_on(
    command: list[str], prometheus: Prometheus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """kill -9 after the first chunk is on the disk; what follows reads the rest, and decides the same."""
    tape = tmp_path / "tape.jsonl"
    assert main([*command, "--from=7h", "-o", "json"]) == 0
    expected = json.loads(capsys.readouterr().out)["variants"][0]["verdicts"]
    process = subprocess.Popen(
        [sys.executable, "-m", "modelslo.cli.main", *command, "--from=7h", f"--record={tape}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and (not tape.exists() or tape.read_bytes().count(b"\n") < 2):
        pass
    process.kill()
    process.wait()
    kept = tape.read_bytes()
    assert kept.count(b"\n") >= 2
    assert main([*command, f"--record={tape}", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["variants"][0]["verdicts"] == expected
    whole = kept[: kept.rfind(b"\n") + 1]
    assert tape.read_bytes().startswith(whole)
    # And then it is a recording that needs no Prometheus
    offline = [one for one in command if not one.startswith("--prometheus")]
    assert main([*offline, f"--record={tape}", "--prometheus-url=http://127.0.0.1:1", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["variants"][0]["verdicts"] == expected


@pytest.mark.api
def test_of_a_cluster(prometheus: Prometheus, namespace: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    apply_crds(namespace.cluster)
    serve(prometheus.url, namespace.name, "v1", 0.3, (6 * HOUR, 0), 20)
    serve(prometheus.url, namespace.name, "v2", 0.6, (3 * HOUR, 0), 6)
    namespace.kubectl("apply", "-f", "-", input=RESOURCES)
    command = ["backtest", "fraud", f"--namespace={namespace.name}", f"--kubeconfig={namespace.cluster.kubeconfig}"]
    assert main([*command, f"--prometheus-url={prometheus.url}", "--from=4h"]) == 0
    text = capsys.readouterr().out
    assert f"Backtest of ModelSLO {namespace.name}/fraud" in text
    assert "Found as stable: v1; as canary: v2." in text
    assert "CanaryWorse" in text


def test_a_prometheus_that_is_not_there_ends_it(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command[:-1], "--prometheus-url=http://127.0.0.1:1"]) == 3
    assert "--prometheus-url may name a port-forward" in capsys.readouterr().err
