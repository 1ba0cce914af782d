"""`modelslo doctor` against a real Prometheus: what is wrong is named, with the mend; what is right is not blamed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from modelslo.api.resource import parse_spec
from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.doctor import examine
from modelslo.cli.doctor_finding import Role
from modelslo.cli.main import main
from modelslo.engine.settings import Settings
from modelslo.observe.evidence import ModelKey
from tests.cluster.access import apply_crds
from tests.cluster.fixtures import Namespace
from tests.cluster.ports import free_port
from tests.cluster.prometheus import Prometheus, start
from tests.integration.exporters import Exporter, steady
from tests.integration.remote_write import CONFIG, FLAG, push

NOW = time.time()
EDGES = tuple(0.03 * 1.7**number for number in range(12))
ROLES = (Role("stable", "fraud", True, "v1", 3), Role("canary", "fraud-canary", True, "v2", 1))


@pytest.fixture(scope="module")
def prometheus() -> Iterator[Prometheus]:
    with start(CONFIG, flags=[FLAG]) as running:
        for version in ("v1", "v2"):
            fill(running.url, {"namespace": "sound", "model_name": "fraud", "model_version": version})
        yield running


def fill(url: str, labels: dict[str, str], minutes: float = 150, end: float = NOW, **exporter: Any) -> None:
    one = Exporter(labels, **{"edges": EDGES, **exporter})
    count = int(minutes * 4)
    push(url, steady(one, [end - (count - number) * 15 for number in range(1, count + 1)], 6, 0.3))


def spec(**changes: Any) -> ModelSLOSpec:
    loss = {"metric": "ml_huber_loss", "matchLabels": {"model_name": "fraud"}} | changes.pop("loss", {})
    return parse_spec(
        {
            "interval": "1m",
            "indicator": {"loss": loss, "labels": changes.pop("labels", {})},
            "objective": {"target": {"value": 0.4}, "window": "2h", "slice": "5m", "goal": "90%"},
            "rollout": {"stable": {"name": "fraud"}, "canary": {"name": "fraud-canary"}},
        }
        | changes
    )


def doctor(
    prometheus: Prometheus | str, namespace: str, wanted: ModelSLOSpec | None = None, roles: tuple[Role, ...] = ROLES
) -> tuple[str, bool]:
    url = prometheus if isinstance(prometheus, str) else prometheus.url
    settings = Settings(prometheus_url=url, settle=30.0)
    return examine(ModelKey(namespace, "fraud"), wanted or spec(), roles, settings, now=NOW)


def test_a_sound_model(prometheus: Prometheus) -> None:
    text, sound = doctor(prometheus, "sound")
    assert sound, text
    assert "Nothing is wrong." in text
    assert 'namespace="sound"' in text
    assert "50%" in text
    assert "ml_huber_loss_bucket" in text
    assert "WRONG" not in text


def test_a_metric_that_is_not_there(prometheus: Prometheus) -> None:
    text, sound = doctor(prometheus, "sound", spec(loss={"metric": "ml_hubber_loss"}))
    assert not sound
    assert "no series ml_hubber_loss_count at all. Names like it: ml_huber_loss." in text


def test_a_label_that_excludes_all(prometheus: Prometheus) -> None:
    text, sound = doctor(prometheus, "sound", spec(loss={"matchLabels": {"model_name": "fraude"}}))
    assert not sound
    assert "model_name='fraude' excludes all series: Prometheus has 'fraud'." in text
    assert "Correct spec.indicator.loss.matchLabels.model_name." in text
    text, _ = doctor(prometheus, "sound", spec(loss={"matchLabels": {"model_name": "fraud", "tier": "gold"}}))
    assert "tier='gold' excludes all series: the label is not there." in text


def test_another_namespace(prometheus: Prometheus) -> None:
    text, sound = doctor(prometheus, "elsewhere")
    assert not sound
    assert "namespace='elsewhere' excludes all series: Prometheus has 'sound'" in text


def test_an_exported_namespace(prometheus: Prometheus) -> None:
    labels = {"namespace": "monitoring", "exported_namespace": "theirs", "model_name": "fraud", "model_version": "v1"}
    fill(prometheus.url, labels, minutes=10)
    text, sound = doctor(prometheus, "theirs")
    assert not sound
    assert "stands in the label exported_namespace" in text
    assert "namespaceLabel: exported_namespace" in text


def test_two_wrong_labels(prometheus: Prometheus) -> None:
    text, sound = doctor(prometheus, "elsewhere", spec(loss={"matchLabels": {"model_name": "nobody"}}))
    assert not sound
    assert "two or more of the matchers exclude them all" in text


def test_series_that_ended(prometheus: Prometheus) -> None:
    labels = {"namespace": "ended", "model_name": "fraud", "model_version": "v1"}
    fill(prometheus.url, labels, minutes=20, end=NOW - 1800)
    text, sound = doctor(prometheus, "ended")
    assert not sound
    assert "The series of this model ended" in text


def test_a_stale_model_and_a_nan_sum(prometheus: Prometheus) -> None:
    labels = {"namespace": "sick", "model_name": "fraud", "model_version": "v1"}
    one = Exporter(labels, edges=EDGES)
    one.poison()
    push(prometheus.url, steady(one, [NOW - 280 - 15 * number for number in range(20, 0, -1)], 6, 0.3))
    text, sound = doctor(prometheus, "sick", spec(interval="15s"))
    assert not sound
    assert "s old; 90 s are allowed" in text
    assert "loss sum of version 'v1' is NaN" in text


def test_a_canary_that_is_not_seen(prometheus: Prometheus) -> None:
    roles = (ROLES[0], Role("canary", "fraud-canary", True, "v3", 1))
    text, sound = doctor(prometheus, "sound", roles=roles)
    assert not sound
    assert "Version 'v3' of canary is not seen in Prometheus; it has 'v1', 'v2'." in text
    idle = (ROLES[0], Role("canary", "fraud-canary", True, "v3", 0))
    assert doctor(prometheus, "sound", roles=idle)[1]


def test_deployments_without_version(prometheus: Prometheus) -> None:
    roles = (Role("stable", "fraud", True, None, 3), Role("canary", "fraud-canary", False, None, 1))
    text, sound = doctor(prometheus, "sound", roles=roles)
    assert not sound
    assert "no plain environment variable MODEL_VERSION" in text
    assert "There is no Deployment 'fraud-canary'" in text


def test_series_without_the_version_label(prometheus: Prometheus) -> None:
    text, sound = doctor(prometheus, "sound", spec(loss={"versionLabel": "release"}))
    assert not sound
    assert "have no label release" in text


def test_coarse_buckets_are_a_remark(prometheus: Prometheus) -> None:
    for version in ("v1", "v2"):
        labels = {"namespace": "coarse", "model_name": "fraud", "model_version": version}
        fill(prometheus.url, labels, edges=(0.1, 0.3))
    text, sound = doctor(prometheus, "coarse")
    assert sound, text
    assert "of the losses lie above the highest bucket edge 0.3" in text
    assert "2 bucket edges from 0.1 to 0.3 are coarse" in text


def test_one_exporter_scraped_twice(prometheus: Prometheus) -> None:
    for job in ("a", "b"):
        fill(prometheus.url, {"namespace": "twice", "model_name": "fraud", "model_version": "v1", "job": job})
    text, _ = doctor(prometheus, "twice")
    assert "scraped twice?" in text


def test_label_delay_is_compared(prometheus: Prometheus) -> None:
    stream = []
    for number in range(240):
        at = round((NOW - (240 - number) * 15) * 1000)
        for le, share in (("10.0", 0.0), ("60.0", 0.5), ("300.0", 1.0), ("+Inf", 1.0)):
            labels = {"__name__": "ml_label_delay_seconds_bucket", "namespace": "sound", "model_name": "fraud"}
            stream.append((labels | {"model_version": "v1", "le": le}, at, number * share))
    push(prometheus.url, stream)
    text, sound = doctor(prometheus, "sound")
    assert sound
    assert "Label delay in the last hour" in text
    assert "spec.indicator.labels.delay is not set" in text
    text, _ = doctor(prometheus, "sound", spec(labels={"delay": "10m"}))
    assert "A tenth of" not in text


def test_the_label_for_the_age_of_labels_is_looked_for(prometheus: Prometheus) -> None:
    asked = spec(labels={"delay": "10m", "ageLabel": "age_bucket"})
    text, sound = doctor(prometheus, "sound", asked)
    assert sound
    assert "No loss carries the label age_bucket (spec.indicator.labels.ageLabel)" in text
    for version in ("v1", "v2"):
        for age in ("60.0", "10m", "+Inf") if version == "v1" else ("60.0", "+Inf"):
            labels = {"namespace": "aged", "model_name": "fraud", "model_version": version, "age_bucket": age}
            fill(prometheus.url, labels)
    text, sound = doctor(prometheus, "aged", asked)
    assert sound, text
    assert "Labels by age" in text
    assert "Of version 'v1', age_bucket has values that are no age: '10m'. They count as +Inf." in text
    assert "of the labels are older than the last edge of age_bucket" in text


def test_a_clock_ahead(prometheus: Prometheus) -> None:
    labels = {"namespace": "ahead", "model_name": "fraud", "model_version": "v1"}
    fill(prometheus.url, labels, minutes=20, end=NOW + 120)
    text, sound = doctor(prometheus, "ahead")
    assert not sound
    assert "in the future" in text


def test_a_prometheus_that_is_not_there() -> None:
    text, sound = doctor(f"http://127.0.0.1:{free_port()}", "sound")
    assert not sound
    assert "refused" in text
    assert "port-forward" in text


@pytest.mark.api
def test_the_command(prometheus: Prometheus, namespace: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    """From the resources of a real API server to the exit code."""
    apply_crds(namespace.cluster)
    for version in ("v1", "v2"):
        labels = {"namespace": namespace.name, "model_name": "fraud", "model_version": version}
        fill(prometheus.url, labels, end=time.time())  # the command looks at the clock; NOW may be long ago
    namespace.kubectl("apply", "-f", "-", input=RESOURCES)
    command = [
        "doctor",
        "fraud",
        f"--namespace={namespace.name}",
        f"--kubeconfig={namespace.cluster.kubeconfig}",
        f"--prometheus-url={prometheus.url}",
    ]
    code = main(command)
    text = capsys.readouterr().out
    assert code == 0, text
    assert "v2        canary   50%" in text
    namespace.kubectl("set", "env", "deployment/fraud-canary", "MODEL_VERSION=v9")
    assert main(command) == 1
    assert "Version 'v9' of canary is not seen" in capsys.readouterr().out
    assert main([*command[:1], "nobody", *command[2:]]) == 1
    assert "there is no ModelSLO 'nobody'" in capsys.readouterr().err


def _deployment(name: str, version: str) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers: [{{name: server, image: localhost/nowhere, env: [{{name: MODEL_VERSION, value: {version}}}]}}]
---"""


RESOURCES = f"""{_deployment("fraud", "v1")}{_deployment("fraud-canary", "v2")}
apiVersion: modelslo.dev/v1alpha1
kind: ModelSLO
metadata: {{name: fraud}}
spec:
  indicator:
    loss: {{metric: ml_huber_loss, matchLabels: {{model_name: fraud}}}}
  objective:
    target: {{value: 0.4}}
    goal: 90%
    window: 2h
  rollout:
    stable: {{name: fraud}}
    canary: {{name: fraud-canary}}
"""


def test_vetoes_are_asked_and_a_bad_one_hides_nothing(prometheus: Prometheus) -> None:
    vetoes = [
        {"name": "silent", "query": "absent(ml_huber_loss_count)"},
        {"name": "stands", "query": "vector(7)"},
        {"name": "broken", "query": "sum("},
    ]
    text, sound = doctor(prometheus, "sound", spec(guardrails={"vetoes": vetoes}))
    assert not sound
    assert "silent: absent(ml_huber_loss_count)\n    does not stand" in text
    assert "stands: vector(7)\n    stands: 1 series, the first is 7" in text
    assert "note   The veto 'stands' stands" in text
    assert "broken: sum(\n    not known" in text
    assert "WRONG  spec.guardrails.vetoes[2].query (broken): 'sum(' cannot be read" in text
    assert "1 wrong." in text
