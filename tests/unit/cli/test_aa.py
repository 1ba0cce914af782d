"""`modelslo aa`: its page, its JSON and its errors, without a server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelslo.cli import aa
from modelslo.cli.aa_page import Case, as_json, page
from modelslo.cli.errors import CommandError
from modelslo.cli.main import main
from modelslo.engine.settings import Settings
from modelslo.judge.aa import Fitness, compare_replicas
from modelslo.observe.ask import Ask
from modelslo.observe.evidence import Evidence, Increment, Losses, ModelKey
from tests.unit.judge.make import parameters, spec_of
from tests.unit.judge.test_aa import EDGES, HOUR, increments

MODEL = ModelKey("shop", "fraud")


def case(means: dict[str, float], labels: int = 20, times_predictions: dict[str, float] | None = None) -> Case:
    found = increments(means, 240, labels, coverage=0.5)
    lossy = [
        replace(one, predictions=one.predictions * (times_predictions or {}).get(one.version, 1.0)) for one in found
    ]
    report = compare_replicas(parameters(), lossy, EDGES, HOUR)
    return Case(MODEL, "v1", "pod", parameters(), report, 0.0, HOUR, 240 * 60.0)


def test_a_fit_one() -> None:
    text = "\n".join(page(case({"pod-a": 1.0, "pod-b": 1.0, "pod-c": 1.0})))
    assert "a row differs from an e-value of 60 on, earlier where several do" in text
    assert text.startswith("A/A check of ModelSLO shop/fraud: replicas of version 'v1' by 'pod'\n")
    assert "compared for 3h, after 1h of history" in text
    assert "FIT: a canary with stable's own model would have been promoted" in text
    assert "promoted after" in text
    assert not any(line.endswith("differs") for line in text.splitlines())


def test_an_unfit_one_names_the_replica() -> None:
    text = "\n".join(page(case({"pod-a": 1.0, "pod-b": 1.6, "pod-c": 1.0, "pod-d": 1.0})))
    (line,) = (line for line in text.splitlines() if line.endswith("differs"))
    assert line.split()[0] == "pod-b"
    assert "UNFIT: replicas of one version differ by more than the margin" in text
    assert "What differs was taken out" in text


def test_labels_that_get_lost_are_remarked() -> None:
    found = case({"pod-a": 1.0, "pod-b": 1.0, "pod-c": 1.0}, times_predictions={"pod-b": 1.6})
    assert any("of the predictions of pod-b have labels" in line for line in page(found))
    assert found.report.fitness is Fitness.FIT


THREE = {"pod-a": 1.0, "pod-b": 1.0, "pod-c": 1.0}


def of_three(**change: Any) -> Case:
    """Three alike, with such increments of pod-c."""
    found = [replace(one, **change) if one.version == "pod-c" else one for one in increments(THREE, 240, 20)]
    report = compare_replicas(parameters(), found, EDGES, HOUR)
    return Case(MODEL, "v1", "pod", parameters(), report, 0.0, HOUR, 240 * 60.0)


@pytest.mark.parametrize(
    ("change", "row", "remark", "conclusion"),
    [
        (
            {"losses": Losses()},
            "coverage differs",
            "pod-c: the share of predictions with labels is below half",
            "UNFIT: metrics are broken",
        ),
        (
            {"losses": Losses(20, float("nan"), (0.0,) * (len(EDGES) + 1))},
            "NaN",
            "pod-c: the loss sum is not a finite number",
            "UNFIT: metrics are broken",
        ),
        (
            {"invalid": 10.0},
            "invalid losses",
            "Losses that are no numbers: 33.3% of pod-c's.",
            "UNFIT: metrics are broken",
        ),
        (
            {"losses": Losses(), "predictions": 0.0},
            "no traffic",
            "pod-c: it served nothing.",
            "INCONCLUSIVE: nothing is known to be wrong",
        ),
    ],
)
def test_what_stands_against_a_replica_is_in_its_row_and_explained(
    change: dict[str, Any], row: str, remark: str, conclusion: str
) -> None:
    """Each of these was FIT, with exit status 0."""
    found = of_three(**change)
    text = page(found)
    (line,) = (line for line in text if line.split()[:1] == ["pod-c"])
    assert line.endswith(f"   {row}")
    assert any(line.startswith(f"  - {remark}") for line in text)
    assert any(line.startswith(conclusion) for line in text)
    assert json.loads(json.dumps(as_json(found), allow_nan=False)) == as_json(found)


def test_a_replica_that_was_not_there_all_the_time_is_named_and_is_not_fit() -> None:
    found = increments(THREE, 240, 20, late=("pod-c",))
    report = compare_replicas(parameters(), found, EDGES, HOUR)
    text = page(Case(MODEL, "v1", "pod", parameters(), report, 0.0, HOUR, 240 * 60.0))
    assert any(line.startswith("INCONCLUSIVE") for line in text)
    assert (
        "  - Left out, because they were not there all the time: pod-c. Give a --range in which all were there." in text
    )


def test_few_labels_ask_for_a_longer_range() -> None:
    text = "\n".join(page(case({"pod-a": 1.0, "pod-b": 1.0}, labels=1)))
    assert "INCONCLUSIVE" in text
    assert "would not have been promoted in that time. Give a longer --range" in text


def _asked(monkeypatch: pytest.MonkeyPatch, found: list[Increment]) -> list[Ask]:
    asked: list[Ask] = []

    async def observed(ask: Ask) -> Evidence:
        asked.append(ask)
        return Evidence(ask.model, ask.since, ask.until, tuple(found), EDGES)

    monkeypatch.setattr("modelslo.cli.plan_look.observed", observed)
    return asked


def _wanted(version: str | None = "v1", by: str = "pod") -> aa.Wanted:
    return aa.Wanted(MODEL, spec_of(), by, 6 * HOUR, version)


def test_only_the_version_is_asked_for_and_replicas_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _asked(monkeypatch, increments({"pod-a": 1.0, "pod-b": 1.0}, 240, 20))
    found = aa.case_of(_wanted(), Settings(prometheus_url="http://p"), None, now=241 * 60.0)
    (ask,) = asked
    assert ask.selector.version_label == "pod"
    assert ("model_version", "v1") in ask.selector.match
    assert ask.until - ask.since == 6 * HOUR
    assert found.since - found.begins == pytest.approx(80 * 60)  # a third of what there is


def test_without_a_version_it_is_the_one_with_most_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _asked(monkeypatch, increments({"v7": 1.0, "v8": 1.0}, 240, 20))
    found = aa.case_of(_wanted(None), Settings(prometheus_url="http://p"), None, now=240 * 60.0)
    assert found.version == "v7"
    assert [ask.selector.version_label for ask in asked] == ["model_version", "pod"]


def test_losses_without_the_label_are_a_replica_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were dropped without a word."""
    _asked(monkeypatch, increments({"pod-a": 1.0, "pod-b": 1.0, "": 3.0}, 240, 20))
    found = aa.case_of(_wanted(), Settings(prometheus_url="http://p"), None, now=240 * 60.0).report
    assert [one.name for one in found.replicas if one.odd] == ["(no pod)"]
    assert found.fitness is Fitness.UNFIT


def test_predictions_that_a_gateway_counts_are_no_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = increments({"pod-a": 1.0, "pod-b": 1.0, "": 1.0}, 240, 20)
    _asked(
        monkeypatch,
        [replace(one, predictions=0.0) if one.version else replace(one, losses=Losses()) for one in counted],
    )
    found = aa.case_of(_wanted(), Settings(prometheus_url="http://p"), None, now=240 * 60.0).report
    assert [one.name for one in found.replicas] == ["pod-a", "pod-b"]


def test_the_exit_status_is_that_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Given three replicas of which one gets no labels, when it is asked, then the status is not zero."""
    now = 1_700_000_040.0
    file = tmp_path / "fraud.yaml"
    spec = spec_of().model_dump(mode="json", by_alias=True, exclude_none=True)
    body = {"apiVersion": "modelslo.dev/v1alpha1", "kind": "ModelSLO", "metadata": {"name": "fraud"}, "spec": spec}
    file.write_text(json.dumps(body))
    monkeypatch.setattr("modelslo.cli.aa.time.time", lambda: now)
    begin = now // 60 * 60 - 240 * 60
    for losses, status, fitness in ((None, 0, "Fit"), (Losses(), 1, "Unfit")):
        found = [
            replace(
                one,
                start=begin + one.start,
                end=begin + one.end,
                losses=losses if losses is not None and one.version == "pod-c" else one.losses,
            )
            for one in increments(THREE, 240, 20)
        ]
        _asked(monkeypatch, found)
        options = ["aa", "-f", str(file), "--version=v1", "--prometheus-url=http://p", "-o", "json"]
        assert main(options) == status
        assert json.loads(capsys.readouterr().out)["fitness"] == fitness


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"pod-a": 1.0}, "have only one value, 'pod-a' for 'pod': name the label that tells replicas apart"),
        ({"": 1.0}, "have no such label for 'pod'"),
    ],
)
def test_what_cannot_be_told_apart(monkeypatch: pytest.MonkeyPatch, found: dict[str, float], message: str) -> None:
    _asked(monkeypatch, increments(found, 60, 5))
    with pytest.raises(CommandError, match=message):
        aa.case_of(_wanted(), Settings(prometheus_url="http://p"), None, now=3600.0)


def test_a_label_that_is_the_same_on_all() -> None:
    with pytest.raises(CommandError, match="'model_version' is the same on all replicas"):
        aa.case_of(_wanted(by="model_version"), Settings(prometheus_url="http://p"), None, now=3600.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by=a-b"], "--by: 'a-b' is no label name"),
        (["--range=2d"], "--range: '2d' is longer than a day"),
        ([], "name a ModelSLO of the cluster, or give a file"),
        (["-f", "nowhere.yaml"], "nowhere.yaml: No such file or directory"),
    ],
)
def test_wrong_usage(options: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["aa", *options]) == 2
    assert message in capsys.readouterr().err
