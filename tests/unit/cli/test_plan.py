"""`modelslo plan`: its table, its errors, and what it takes from evidence; without a server."""

from __future__ import annotations

import json
import random
import sys
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelslo.api.resource import parse_spec
from modelslo.cli.errors import CommandError
from modelslo.cli.main import main
from modelslo.cli.plan import case_of_spec
from modelslo.cli.plan_case import Given
from modelslo.cli.plan_look import measured
from modelslo.cli.plan_page import span
from modelslo.engine.settings import Settings
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.planning import USUAL_TOP
from modelslo.judge.scale import Data
from modelslo.judge.timing import timing_of
from modelslo.observe.evidence import Evidence, Increment, Losses, ModelKey

NUMBERS = ["plan", "--rate=2/s", "--cv=1.0"]
GOLDEN = """\
Plan for a rollout
  margin 10%, falseRollback 5%, falsePromote 5%
  2 labels/s of both arms, CV 1, clustering (phi) 1.5, losses told apart up to 37.5 times the mean
  canary at 10%, warm-up 5m, label delay 10m, at least 10m and 100 labels before a promotion
  Numbers are as given.
  Buckets are taken to reach 30 times the mean loss (--top 37.5).
"""


def run(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main([*NUMBERS, *options]) == 0
    return capsys.readouterr().out


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "--share=10%", "--phi=1.5", "--margin=10%", "--delay=10m", "--within=1h,4h")
    expected = (Path(__file__).parent / "plan.golden.txt").read_text(encoding="utf-8")
    assert text == expected
    assert text.startswith(GOLDEN)


def test_what_the_page_shows_is_true(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[3] / "docs" / "planning.md"
    shown = [line[4:] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("      ")]
    text = run(capsys, "--delay=10m").splitlines()
    assert len(shown) > 10
    assert [line for line in shown if line not in text] == []


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "-o", "json", "--within=2h"))
    assert found["traffic"] == {"labelsPerSecond": 2.0, "cv2": 1.0, "phi": 1.0, "top": USUAL_TOP}
    assert found["rollout"]["shares"] == [0.1, 0.25, 0.5]
    verdicts = {row["ratio"]: row["verdict"] for row in found["effects"]}
    assert (verdicts[1.0], verdicts[1.1], verdicts[1.2]) == ("Promote", "Hold", "Rollback")
    assert [row["within"] for row in found["times"]] == [7200.0]
    assert 0 < found["times"][0]["typical"] < found["times"][0]["nineOfTen"] < 1
    by_share = [row["share"] for row in found["shares"]]
    assert by_share == [0.1, 0.1, 0.25, 0.25, 0.5, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rate=fast"], "--rate: 'fast' is no rate above 0: write labels of both arms per time, such as 2/s"),
        (["--rate=0/s"], "--rate: '0/s' is no rate above 0"),
        (["--rate=2"], "--rate: '2' is no rate above 0"),
        (["--rate", "-2/s"], "--rate: '-2/s' is no rate above 0"),
        (["--rate=1e308/s"], "--rate: '1e308/s' is not at least 1e-06/s and at most 1e+09/s: write labels of both"),
        (["--rate=1e999/s"], "--rate: '1e999/s' is not at least 1e-06/s"),
        (["--rate=1e-305/s", "--cv=1000"], "--rate: '1e-305/s' is not at least 1e-06/s"),
        (["--cv=0"], "--cv: '0' is not at least 0.001 and at most 1000: write such as 1.0"),
        (["--cv=1e-200"], "--cv: '1e-200' is not at least 0.001"),
        (["--cv", "-1"], "--cv: '-1' is not at least 0.001"),
        (["--cv=nan"], "--cv: 'nan' is not at least 0.001"),
        (["--cv=wide"], "--cv: 'wide' is no number: write such as 1.0"),
        (["--phi=0.5"], "--phi: '0.5' is not at least 1 and at most 30"),
        (["--top=1"], "--top: '1' is not above 1"),
        (["--share=100%"], "--share: '100%' has a share of 0% or 100%: write shares in between"),
        (["--share=25%,10%"], "--share: '25%,10%' does not ascend"),
        (["--share=0.1"], "--share: '0.1' is not a percentage: write a number and %"),
        (["--mirror=0%"], "--mirror: '0%' is not above 0% and at most 100%"),
        (["--mirror=50%", "--share=10%"], "--share: '10%' stands beside --mirror: a shadow has no share"),
        (["--margin=0%"], "--margin: '0%' is not at least 0.01% and at most 100%: write such as 10%"),
        (["--margin=120%"], "--margin: '120%' is not at least 0.01% and at most 100%"),
        (["--margin=0.001%"], "--margin: '0.001%' is not at least 0.01% and at most 100%"),
        (["--margin=0.000000000000000001%"], "--margin: '0.000000000000000001%' is not a percentage"),
        (["--margin", "-5%"], "--margin: '-5%' is not a percentage: write a number and %, at most 6 decimals"),
        (["--false-rollback=0%"], "--false-rollback: '0%' is not above 0% and at most 50%"),
        (["--false-rollback=60%"], "--false-rollback: '60%' is not above 0% and at most 50%"),
        (["--false-promote=5"], "--false-promote: '5' is not a percentage"),
        (["--delay=soon"], "--delay: 'soon' is not a duration: write a whole number and one unit"),
        (["--within=1h,later"], "--within: 'later' is not a duration"),
        (["--within="], "--within: '' is not a duration"),
        (["--range=2d"], "--range: '2d' is longer than a day: raw samples are read"),
        (["--picture=plan.pdf"], "--picture: 'plan.pdf' ends in none of .png, .svg: write such as plan.png"),
    ],
)
def test_errors_name_option_value_and_mend(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*NUMBERS, *options]) == 2
    captured = capsys.readouterr()
    assert f"error: {message}" in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("rate", ["0.000001/s", "1000000000/s"])
@pytest.mark.parametrize("cv", ["0.001", "1000"])
@pytest.mark.parametrize("margin", ["0.01%", "100%"])
@pytest.mark.parametrize("top", ["1.0000001", "1e9"])
def test_at_the_bounds_all_numbers_are_finite(
    capsys: pytest.CaptureFixture[str], rate: str, cv: str, margin: str, top: str
) -> None:
    options = [f"--rate={rate}", f"--cv={cv}", f"--margin={margin}", f"--top={top}", "--phi=30"]
    rates = ["--false-rollback=0.000001%", "--false-promote=0.000001%", "--share=0.000001%,99.999999%"]
    assert json.loads(run(capsys, *options, *rates, "-o", "json"))
    assert "Plan for" in run(capsys, *options, *rates)


def test_numbers_that_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan"]) == 2
    assert "--rate and --cv: not given. Give NAME or -f FILE" in capsys.readouterr().err
    assert main(["plan", "--rate=2/s"]) == 2
    assert "error: --cv: not given" in capsys.readouterr().err


def test_the_deadline_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "--rate=0.02/s", "--cv=2")
    assert "*: after spec.rollout.gate.deadline (1d), when onDeadline applies." in text
    assert "*: after" not in run(capsys, "--rate=1000/s", "--margin=20%")


def test_a_time_that_affords_no_margin(capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "--delay=1h", "--within=30m,3h")
    assert "  30m      -         -\n" in text
    assert "  -: the waits alone, or a margin of 100%, take longer." in text


FILE = """
apiVersion: modelslo.dev/v1alpha1
kind: ModelSLO
metadata: {name: fraud, namespace: shop}
spec:
  indicator: {loss: {metric: ml_huber_loss, matchLabels: {model_name: fraud}}, labels: {delay: 1h}}
  objective: {target: {value: 0.35}}
  rollout:
    stable: {name: fraud}
    canary: {name: fraud-canary}
    steps: [5%, 20%]
    gate: {margin: 5%, deadline: 12h}
"""


def test_a_file_with_numbers_asks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fraud.yaml"
    file.write_text(FILE)
    text = run(capsys, "-f", str(file))
    assert text.startswith("Plan for ModelSLO shop/fraud\n  margin 5%,")
    assert "canary at 5%, 20% (10m each), warm-up 5m, label delay 1h" in text
    assert "(12h)" in text
    text = run(capsys, "-f", str(file), "--margin=20%", "--delay=0", "--share=50%")
    assert "  margin 20%," in text
    assert "canary at 50%, warm-up 5m, label delay 0s" in text


def test_a_shadow_has_a_mirror_and_no_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fraud.yaml"
    file.write_text(FILE.replace("steps: [5%, 20%]", "shadow: {replicas: 2}"))
    text = run(capsys, "-f", str(file))
    assert "shadow with copies of 100% of the requests (50% of the predictions), warm-up 5m" in text
    assert "share" not in text
    assert "as the steps go" not in text
    text = run(capsys, "-f", str(file), "--mirror=25%")
    assert "copies of 25% of the requests (20% of the predictions)" in text
    # What if users saw it, and the other way round
    assert "canary at 10%, warm-up" in run(capsys, "-f", str(file), "--share=10%")
    file.write_text(FILE)
    assert "shadow with copies of 50% of" in run(capsys, "-f", str(file), "--mirror=50%")
    assert json.loads(run(capsys, "--mirror=100%", "-o", "json"))["rollout"]["shares"] == [0.5]
    assert json.loads(run(capsys, "--mirror=100%", "-o", "json"))["rollout"]["mirror"] == 1.0


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("kind: Deployment", None, "holds no ModelSLO"),
        (FILE, "churn", "holds no ModelSLO 'churn'; it has fraud"),
        (FILE + "---" + FILE.replace("name: fraud,", "name: churn,"), None, "name one of fraud, churn"),
        ("{", None, "is no YAML"),
        (FILE.replace("5%, 20%", "20%, 5%"), None, "spec.rollout.steps"),
        (FILE[: FILE.index("  rollout")], None, "spec.rollout: is not there, so there is no canary to judge: add it"),
    ],
)
def test_files_that_cannot_be_planned(
    content: str, name: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(content)
    assert main([*NUMBERS, *([name] if name else []), "-f", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NUMBERS, "-f", "/nowhere/fraud.yaml"]) == 2
    assert "error: /nowhere/fraud.yaml: No such file or directory: give a file" in capsys.readouterr().err


def test_a_prometheus_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fraud.yaml"
    file.write_text(FILE)
    assert main(["plan", "-f", str(file), "--prometheus-url=http://127.0.0.1:1"]) == 3
    assert "--prometheus-url may name a port-forward" in capsys.readouterr().err


# What is read from Prometheus

EDGES = tuple(0.01 * 1.6**number for number in range(16))
UNTIL = 1_800_000_000.0


def parameters() -> Parameters:
    spec = parse_spec(
        {
            "indicator": {"loss": {"metric": "loss", "matchLabels": {"model_name": "fraud"}}},
            "objective": {"target": {"value": 0.4}},
            "rollout": {"stable": {"name": "a"}, "canary": {"name": "b"}},
        }
    )
    return parameters_of(spec, timing_of(spec, scale=1, settle=Settings().settle))


def increment(start: float, version: str, losses: list[float], segment: str = "", **changes: Any) -> Increment:
    buckets = [0.0] * (len(EDGES) + 1)
    for loss in losses:
        buckets[next((at for at, edge in enumerate(EDGES) if loss <= edge), len(EDGES))] += 1
    found: dict[str, Any] = {
        "count": float(len(losses)),
        "total": sum(losses),
        "buckets": tuple(buckets),
        "squares": sum(loss * loss for loss in losses),
    }
    return Increment(start, start + 60, version, segment, Losses(**(found | changes)))


def evidence(per_minute: int = 60, cluster: int = 1, edges: tuple[float, ...] = EDGES, **changes: Any) -> Evidence:
    """An hour: version v1 with losses of CV 1, v2 with a tenth of its labels and losses that hardly vary."""
    rng = random.Random(7)
    found = []
    for number in range(60):
        start = UNTIL - 3600 + 60 * number
        losses = [rng.expovariate(4) for _ in range(per_minute // cluster) for _ in range(1)]
        found.append(increment(start, "v1", [one for one in losses for _ in range(cluster)], **changes))
        found.append(increment(start, "v2", [0.25] * (per_minute // 10), **changes))
    return Evidence(ModelKey("n", "fraud"), UNTIL - 3600, UNTIL, tuple(found), edges)


def test_rate_variance_and_reach_of_the_buckets() -> None:
    found = measured(evidence(), parameters())
    assert (found.version, found.data) == ("v1", Data.HISTOGRAM)
    assert found.traffic.rate == pytest.approx(66 / 60)  # both arms
    assert found.traffic.cv2 == pytest.approx(1, rel=0.1)
    assert 1 <= found.traffic.phi < 1.3
    assert found.traffic.top == pytest.approx(1.25 * EDGES[-1] / 0.25, rel=0.05)
    # Losses that hardly vary are judged by squares
    other = measured(evidence(), parameters(), "v2")
    assert other.data is Data.SQUARES
    assert other.traffic.cv2 < 1e-4


def test_what_the_labels_take_is_waited_for_where_a_histogram_tells() -> None:
    whole = evidence()
    told = tuple(replace(one, delays=(90.0, 10.0, 0.0)) for one in whole.increments)
    whole = replace(whole, increments=told, delay_edges=(60.0, 600.0))
    assert measured(whole, parameters()).delay == pytest.approx(492)
    endless = tuple(replace(one, delays=(0.0, 0.0, 9.0)) for one in whole.increments)
    assert measured(replace(whole, increments=endless), parameters()).delay == inf
    assert measured(evidence(), parameters()).delay == inf


def test_a_label_for_the_age_of_labels_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evidence()
    aged = replace(whole, increments=tuple(replace(one, age=600.0) for one in whole.increments))
    assert (measured(whole, parameters()).aged, measured(aged, parameters()).aged) == (False, True)
    assert measured(aged, parameters()).traffic == measured(whole, parameters()).traffic

    async def seen(*_: object) -> Evidence:
        return aged

    monkeypatch.setattr("modelslo.cli.plan.look", seen)
    case = case_of_spec(ModelKey("n", "m"), parse_spec(yaml.safe_load(FILE)["spec"]), Given(), Settings())
    assert any("quick ones can roll a canary back sooner" in one for one in case.remarks)


def test_copies_for_a_shadow_come_on_top_of_what_stable_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour of 60 labels a minute of stable, and some of another version, which the plan for a shadow leaves out."""

    async def seen(*_: object) -> Evidence:
        return evidence()

    monkeypatch.setattr("modelslo.cli.plan.look", seen)

    def rate(file: str, mirror: float | None = None) -> float:
        spec, given = parse_spec(yaml.safe_load(file)["spec"]), Given(mirror=mirror)
        return case_of_spec(ModelKey("n", "m"), spec, given, Settings(), stable_version="v1").traffic.rate

    shadow = FILE.replace("steps: [5%, 20%]", "shadow: {}")
    assert rate(FILE) == pytest.approx(1.1)
    assert rate(shadow) == pytest.approx(2.0)
    assert rate(shadow, mirror=0.5) == pytest.approx(1.5)


def test_clustered_labels_are_seen() -> None:
    assert 4 < measured(evidence(cluster=6), parameters()).traffic.phi < 10  # longer windows are expected worse


def test_segments_are_added_up() -> None:
    whole = evidence()
    halves = [
        Increment(
            one.start,
            one.end,
            one.version,
            segment,
            Losses(
                one.losses.count / 2,
                one.losses.total / 2,
                tuple(count / 2 for count in one.losses.buckets),
                (one.losses.squares or 0.0) / 2,
            ),
        )
        for one in whole.increments
        for segment in ("north", "south")
    ]
    ordered = tuple(sorted(halves, key=lambda one: (one.end, one.version, one.segment)))
    split = Evidence(whole.model, whole.since, whole.at, ordered, EDGES)
    one, two = (measured(found, parameters()).traffic for found in (whole, split))
    assert two.rate == pytest.approx(one.rate)
    assert two.cv2 == pytest.approx(one.cv2)


def test_without_buckets_squares_serve_and_without_squares_sums() -> None:
    squares = measured(evidence(edges=(), buckets=()), parameters())
    assert squares.data is Data.SQUARES
    assert squares.traffic.cv2 == pytest.approx(1, rel=0.1)
    assert "for want of fitting buckets" in squares.words
    sums = measured(evidence(edges=(), buckets=(), squares=None), parameters())
    assert sums.data is Data.SUMS
    assert sums.traffic.cv2 == pytest.approx(1, rel=0.5)


def test_a_young_model_has_the_rate_of_its_own_age() -> None:
    whole = evidence()
    young = tuple(one for one in whole.increments if one.start >= UNTIL - 600)
    found = measured(Evidence(whole.model, whole.since, whole.at, young, EDGES), parameters())
    assert found.seconds == 600
    assert found.traffic.rate == pytest.approx(1.1)


@pytest.mark.parametrize(("total", "said"), [(nan, "NaNLoss"), (0.0, "all losses of version 'v1' are 0")])
def test_losses_by_which_nothing_would_be_decided_have_no_plan(total: float, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        measured(evidence(total=total), parameters())


def test_without_any_label_no_version_is_named() -> None:
    with pytest.raises(CommandError, match=r"^there were no labels in 3600 s, 50 are needed"):
        measured(replace(evidence(), increments=()), parameters())


def test_too_few_labels() -> None:
    with pytest.raises(
        CommandError, match=r"version 'v9' got 0 labels in 3600 s, 50 are needed: give a longer --range"
    ):
        measured(evidence(), parameters(), "v9")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (45, "45s"),
        (60, "1m"),
        (90, "90s"),
        (150, "3m"),
        (600, "10m"),
        (3600, "1h"),
        (5400, "90m"),
        (7201, "2h1m"),
        (86_400, "1d"),
        (200_000, "2d8h"),
        (1e9, "over a year"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


# The picture


@pytest.mark.parametrize(("name", "begins"), [("plan.png", b"\x89PNG"), ("plan.svg", b"<?xml")])
def test_the_picture(name: str, begins: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    first, second = tmp_path / name, tmp_path / f"again-{name}"
    run(capsys, f"--picture={first}", "--rate=3/s")
    run(capsys, f"--picture={second}", "--rate=3/s")
    assert first.read_bytes().startswith(begins)
    assert first.read_bytes() == second.read_bytes()


def test_a_picture_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert main([*NUMBERS, f"--picture={tmp_path}/nowhere/plan.png"]) == 2
    assert f"{tmp_path}/nowhere/plan.png: No such file or directory: make the folder" in capsys.readouterr().err


def test_a_picture_is_not_drawn_over_the_file_that_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "fraud.svg"
    file.write_text(FILE)
    assert main([*NUMBERS, f"--file={file}", f"--picture={tmp_path}/x/../fraud.svg"]) == 2
    assert "--picture: " in (said := capsys.readouterr().err)
    assert "is the file of -f, too" in said
    assert file.read_text() == FILE


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main([*NUMBERS, "--picture=plan.png"]) == 2
    assert "error: --picture: needs matplotlib: pip install 'modelslo[report]'" in capsys.readouterr().err
    assert main(NUMBERS) == 0
