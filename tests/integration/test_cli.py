"""`modelslo get` and `describe` against a real API server."""

from __future__ import annotations

import json

import pytest
import yaml

from modelslo.cli.main import main
from tests.cluster.access import Cluster, apply_crds
from tests.cluster.fixtures import Namespace
from tests.unit.api.bad_resources import GOOD
from tests.unit.api.full_status import full_status_json

pytestmark = pytest.mark.api


@pytest.fixture
def options(cluster: Cluster, namespace: Namespace) -> list[str]:
    """A namespace with one ModelSLO, as options of the program."""
    apply_crds(cluster)
    namespace.kubectl("apply", "-f", "-", input=json.dumps(GOOD | {"metadata": {"name": "fraud"}}))
    status = json.dumps({"status": full_status_json()})
    namespace.kubectl("patch", "mslo", "fraud", "--subresource=status", "--type=merge", "-p", status)
    return ["--kubeconfig", str(cluster.kubeconfig), "-n", namespace.name]


def test_get(options: list[str], namespace: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", *options]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:7] == [
        "fraud",
        "True",
        "False",
        "0.31",
        "0.35",
        "41%",
        "v8",
    ]
    assert main(["get", "-A", *options[:2]]) == 0
    assert any(line.split()[:2] == [namespace.name, "fraud"] for line in capsys.readouterr().out.splitlines())


def test_get_as_data(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "fraud", "-o", "json", *options]) == 0
    one = json.loads(capsys.readouterr().out)
    assert (one["kind"], one["status"]["sli"]["value"]) == ("ModelSLO", 0.31)
    assert "managedFields" not in one["metadata"]
    assert main(["get", "-o", "yaml", *options]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == {"apiVersion": "v1", "kind": "List", "items": [one]}


def test_describe(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "fraud", *options]) == 0
    said = capsys.readouterr().out
    assert "v8 against v7" in said
    assert "at most 0.35 in 90% of the 5m slices of 28d" in said


def test_not_found(options: list[str], namespace: Namespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "nobody", *options]) == 1
    assert capsys.readouterr().err == f"error: there is no ModelSLO 'nobody' in namespace '{namespace.name}'\n"


def test_none_there(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", *options[:2], "-n", "kube-node-lease"]) == 0
    assert capsys.readouterr().out == "There is no ModelSLO in namespace kube-node-lease.\n"


def test_namespace_of_the_context(cluster: Cluster, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    for context in kubeconfig["contexts"]:
        context["context"]["namespace"] = options[-1]
    file = cluster.kubeconfig.with_name("with-namespace.yaml")
    file.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
    assert main(["get", "fraud", "--kubeconfig", str(file)]) == 0
    assert "fraud" in capsys.readouterr().out


def test_without_the_crd(options: list[str], cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    """The same answer that a cluster without the CRD gives: there is no such path."""
    file = cluster.kubeconfig.with_name("elsewhere.yaml")
    kubeconfig = yaml.safe_load(cluster.kubeconfig.read_text(encoding="utf-8"))
    for one in kubeconfig["clusters"]:
        one["cluster"]["server"] += "/openapi"
    file.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
    assert main(["get", "--kubeconfig", str(file)]) == 3
    assert "knows no ModelSLOs: install the CRD" in capsys.readouterr().err
