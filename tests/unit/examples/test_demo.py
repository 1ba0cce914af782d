"""`make demo`: when it ends with 0, and how it ends where it cannot begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from examples.flights.demo import __main__ as demo
from examples.flights.demo import stage
from examples.flights.demo.acts import MIN_SAMPLES, Demo
from examples.flights.demo.kube import Kube, KubectlError
from examples.flights.demo.view import ActError, View
from tests.cluster.shell import ClusterError


def came_true(_: Demo) -> None:
    pass


def act_failed(_: Demo) -> None:
    raise ActError("v2-bad is rolled back: not within 240 s")


def cluster_failed(_: Demo) -> None:
    raise KubectlError("kubectl get: the connection was refused")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A stage without a cluster; where the pictures went."""
    pictures: list[Path] = []
    monkeypatch.setattr(demo, "raise_curtain", lambda: View(Kube(Path("kubectl"), Path("kubeconfig"))))
    monkeypatch.setattr(demo, "operator_log", lambda _: "the operator's last words")
    monkeypatch.setattr(demo, "draw", lambda *arguments: pictures.append(arguments[-1]))
    return pictures


@pytest.mark.parametrize(
    ("acts", "code"),
    [
        ((came_true, came_true), 0),
        ((came_true, act_failed), 1),
        ((act_failed, came_true), 1),
        ((came_true, cluster_failed), 1),
    ],
    ids=["all", "the act", "the prologue", "the cluster"],
)
def test_it_ends_with_0_only_when_every_act_came_true(
    acts: tuple[Callable[[Demo], None], ...],
    code: int,
    drawn: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(demo, "ACTS", [(one.__name__, one) for one in acts])
    picture = tmp_path / "demo.png"
    assert demo.main(["--picture", str(picture)]) == code
    said = capsys.readouterr().out
    assert drawn == [picture]
    assert "Where the time went:" in said
    assert ("All acts came true." in said) == (code == 0)
    assert ("the operator's last words" in said) == (code == 1)


def test_a_picture_that_cannot_be_drawn_is_told_and_loses_nothing_else(
    drawn: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_prometheus(*_: object) -> None:
        raise KubectlError("no endpoints for prometheus")

    monkeypatch.setattr(demo, "ACTS", [("Prologue", came_true), ("Act 1", came_true)])
    monkeypatch.setattr(demo, "draw", no_prometheus)
    assert demo.main([]) == 1
    said = capsys.readouterr().out
    assert "no picture: no endpoints for prometheus" in said
    assert "Where the time went:" in said
    assert drawn == []


def test_without_a_cluster_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_docker() -> View:
        raise ClusterError("no Docker daemon answers: please start or install Docker")

    monkeypatch.setattr(demo, "raise_curtain", no_docker)
    assert demo.main([]) == 1
    assert "no stage for the demo: no Docker daemon answers: please start or install Docker" in capsys.readouterr().err


def test_acts_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    for acts in ("5", "0", "1,x", ""):
        with pytest.raises(SystemExit) as ended:
            demo.main(["--acts", acts])
        assert ended.value.code == 2
    assert "name acts of 1,2,3,4, with commas" in capsys.readouterr().err


def test_a_kubectl_that_hangs_is_an_error_of_kubectl(tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    program.chmod(0o755)
    with pytest.raises(KubectlError, match="kubectl get pods: no answer within"):
        Kube(program, tmp_path / "config").run("get", "pods", timeout=0.2)


class Clock:
    """Time that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def view(monkeypatch: pytest.MonkeyPatch) -> View:
    clock = Clock()
    monkeypatch.setattr("examples.flights.demo.view.time", clock)
    monkeypatch.setattr(View, "show", lambda _: None)
    return View(Kube(Path("kubectl"), Path("kubeconfig")), started=0.0)


def looks(*outcomes: bool | KubectlError) -> Callable[[], bool]:
    """What is seen look by look; the last for ever."""
    left = list(outcomes)

    def look() -> bool:
        one = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(one, KubectlError):
            raise one
        return one

    return look


def test_a_thing_holds_though_the_cluster_does_not_answer_once(view: View) -> None:
    view.holds("it stays", looks(True, KubectlError("net"), True), during=45)


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (looks(True, False), "no longer after 1 s"),
        (looks(KubectlError("net"), False), "no longer"),
        (looks(KubectlError("refused")), "not seen for 20 s: refused"),
        (looks(True, True, KubectlError("refused")), "not seen for 20 s: refused"),
    ],
    ids=["it ends", "it ends after an error", "never seen", "not seen any more"],
)
def test_a_thing_does_not_hold_when_it_ends_or_cannot_be_seen(
    view: View, seen: Callable[[], bool], message: str
) -> None:
    with pytest.raises(ActError, match=message):
        view.holds("it stays", seen, during=45)


def test_the_demo_counts_the_labels_that_its_modelslo_asks_for() -> None:
    promise = yaml.safe_load((stage.ROOT / "examples/flights/modelslo.yaml").read_text())
    assert promise["spec"]["rollout"]["gate"]["minSamples"] == MIN_SAMPLES
