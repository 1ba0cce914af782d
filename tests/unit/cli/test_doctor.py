"""What the doctor finds in what was seen, without a Prometheus."""

from __future__ import annotations

import re
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from modelslo.api.resource import parse_spec
from modelslo.api.spec import ModelSLOSpec, Shadow
from modelslo.cli.doctor import roles_of
from modelslo.cli.doctor_find import findings
from modelslo.cli.doctor_finding import Role, shares
from modelslo.cli.doctor_look import Absence, Found, Look, Matcher, VetoLook, ask_of
from modelslo.cli.doctor_page import page
from modelslo.engine.asks import selector_of
from modelslo.judge.parameters import Parameters, parameters_of
from modelslo.judge.timing import timing_of
from modelslo.observe.ask import Source, Veto
from modelslo.observe.evidence import Evidence, Gap, Increment, Losses, ModelKey, NoEvidence, QueryRecord

NOW = 1_800_000_000.0
EDGES = tuple(0.05 * 1.7**number for number in range(12))


def spec(labels: dict[str, Any] | None = None, objective: dict[str, Any] | None = None) -> ModelSLOSpec:
    return parse_spec(
        {
            "indicator": {
                "loss": {"metric": "loss", "matchLabels": {"model_name": "fraud"}},
                "labels": labels or {},
            },
            "objective": {"target": {"value": 0.4}, "window": "2h", "slice": "5m", "goal": "90%"} | (objective or {}),
            "rollout": {"stable": {"name": "fraud"}, "canary": {"name": "fraud-canary"}},
        }
    )


def parameters(of: ModelSLOSpec) -> Parameters:
    return parameters_of(of, timing_of(of, scale=1, settle=30))


def look(of: ModelSLOSpec, **changes: Any) -> Look:
    """A model in perfect health, but for `changes`; those of the evidence go into `evidence`."""
    ask = ask_of(ModelKey("n", "fraud"), Source("http://p", 5.0), selector_of(of), parameters(of), NOW)
    losses = Losses(100.0, 30.0, (0.0, 0.0, 40.0, 30.0, 30.0, *(0.0,) * 8), 12.0)
    increments = tuple(
        Increment(start, start + 60, version, "", losses, 100.0)
        for start in [ask.since + 60 * number for number in range(20)]
        for version in ("v1", "v2")
    )
    evidence = Evidence(ask.model, ask.since, ask.until, increments, EDGES, {"v1": NOW, "v2": NOW})
    found = tuple(
        Found(name, version, "", 1, NOW, True)
        for name in ("loss_count", "loss_sum", "ml_predictions_total")
        for version in ("v1", "v2")
    )
    evidence = replace(evidence, **changes.pop("evidence", {}))
    return replace(Look(NOW, ask, evidence, found, scrape_interval=15.0), **changes)


ROLES = (Role("stable", "fraud", True, "v1", 3), Role("canary", "fraud-canary", True, "v2", 1))


def said(of: ModelSLOSpec, seen: Look, roles: tuple[Role, ...] = ROLES) -> str:
    return "\n".join(
        f"{'WRONG' if one.wrong else 'note'} {one.what}" for one in findings(seen, of, parameters(of), roles)
    )


def test_perfect_health() -> None:
    assert said(spec(), look(spec())) == ""
    assert page(look(spec()), parameters(spec()), ROLES, [])[-1] == "Nothing is wrong."


@pytest.mark.parametrize(("deviation", "told"), [(0.06, True), (0.2, False)])
def test_losses_that_vary_less_than_their_buckets_are_wide(deviation: float, told: bool) -> None:
    """The judge goes by sums and squares then."""
    losses = Losses(100.0, 30.0, (0.0, 0.0, 0.0, 10.0, 90.0, *(0.0,) * 8), 100 * (0.3**2 + deviation**2))
    seen = look(spec())
    increments = tuple(replace(one, losses=losses) for one in seen.evidence.increments)
    text = said(spec(), look(spec(), evidence={"increments": increments}))
    expected = "note Losses vary by 0.06 around 0.3, and the bucket there, 0.246 to 0.418, is 0.172 wide"
    assert (expected in text) is told
    # Without squares nobody knows
    increments = tuple(replace(one, losses=replace(losses, squares=None)) for one in seen.evidence.increments)
    assert said(spec(), look(spec(), evidence={"increments": increments})) == ""


def test_vetoes_are_shown_with_what_they_say_now() -> None:
    silent, stands, nought, broken = (
        VetoLook(Veto("labels-late", "lag > 900")),
        VetoLook(Veto("features-stale", "age > 900"), 2, 1200.0),
        VetoLook(Veto("compared", "age > bool 900"), 1, 0.0),
        VetoLook(Veto("broken", "sum("), failure="spec.guardrails.vetoes[3].query (broken): 'sum(' cannot be read"),
    )
    seen = look(spec(), vetoes=(silent, stands, nought, broken))
    text = "\n".join(page(seen, parameters(spec()), ROLES, findings(seen, spec(), parameters(spec()), ROLES)))
    assert "labels-late: lag > 900\n    does not stand" in text
    assert "features-stale: age > 900\n    stands: 2 series, the first is 1200" in text
    assert "note   The veto 'features-stale' stands: nothing is decided" in text
    assert "compare without bool" in text
    assert "broken: sum(\n    not known" in text
    assert "WRONG  spec.guardrails.vetoes[3].query (broken)" in text


def test_shares_are_those_of_the_judge() -> None:
    first, second = shares(look(spec()), parameters(spec()))
    assert (first.version, first.share, first.coverage) == ("v1", 0.5, 1.0)
    assert second.loss == pytest.approx(0.3)


def test_nothing_else_is_said_when_prometheus_does_not_answer() -> None:
    record = QueryRecord("q", 0, 1, 0, 0, 1.0, "no answer")
    seen = look(spec(), evidence={"gap": Gap(NoEvidence.QUERY_TIMEOUT, "no answer"), "queries": (record,)}, found=())
    assert said(spec(), seen) == "WRONG no answer"
    assert "failed: no answer" in "\n".join(page(seen, parameters(spec()), ROLES, []))


@pytest.mark.parametrize(
    ("absence", "words"),
    [
        (Absence(0, similar=("ml_huber_loss",)), "no series loss_count at all. Names like it: ml_huber_loss."),
        (
            Absence(5, matchers=(Matcher("model_name", "fraud", ("churn",)),)),
            "excludes all series: Prometheus has 'churn'",
        ),
        (Absence(5, matchers=(Matcher("namespace", "n", ("monitoring",)),), exported=True), "label exported_namespace"),
        (Absence(5, matchers=(Matcher("namespace", "n", ()), Matcher("model_name", "fraud", ()))), "two or more"),
        (Absence(5, last_seen=NOW - 900), "ended 900 s ago"),
    ],
)
def test_absent_series(absence: Absence, words: str) -> None:
    assert words in said(spec(), look(spec(), absence=absence, found=()))


def test_low_coverage_is_wrong_when_it_is_asked_for() -> None:
    wanted = spec(labels={"minCoverage": "90%"})
    seen = look(wanted)
    half = tuple(replace(one, predictions=200.0) for one in seen.evidence.increments)
    assert "WRONG 50% of what 'v1' predicted has labels" in said(wanted, look(wanted, evidence={"increments": half}))
    assert said(spec(), look(spec(), evidence={"increments": half})) == ""


def test_a_shadow_is_named_with_what_the_mirror_copies_to_it() -> None:
    plain = spec()
    assert plain.rollout is not None
    shadow = plain.model_copy(update={"rollout": plain.rollout.model_copy(update={"shadow": Shadow()})})
    copied = look(shadow)
    assert "note The canary is a shadow: it answered copies of 100% of stable's requests" in said(shadow, copied)
    # Given a mirror that copies nothing
    silent = tuple(one for one in copied.evidence.increments if one.version == "v1")
    assert "WRONG The shadow 'v2' has pods and predicted nothing, while stable did." in said(
        shadow, look(shadow, evidence={"increments": silent})
    )
    # Then nothing is said of one that has no pods, or where stable predicts nothing either
    idle = (ROLES[0], replace(ROLES[1], replicas=0))
    assert "shadow" not in said(shadow, look(shadow, evidence={"increments": silent}), idle)
    assert "shadow" not in said(shadow, look(shadow, evidence={"increments": ()}))


def test_no_predictions_counter() -> None:
    found = tuple(one for one in look(spec()).found if one.metric != "ml_predictions_total")
    assert "note There is no counter ml_predictions_total" in said(spec(), look(spec(), found=found))
    asked = spec(labels={"minCoverage": "90%"})
    assert "WRONG There is no counter ml_predictions_total" in said(asked, look(asked, found=found))


def test_invalid_losses_and_no_labels() -> None:
    bad = tuple(replace(one, invalid=5.0) for one in look(spec()).evidence.increments)
    assert "note 100 losses of version 'v1' were no valid numbers." in said(
        spec(), look(spec(), evidence={"increments": bad})
    )
    idle = tuple(replace(one, losses=Losses()) for one in bad)
    assert "WRONG No labelled prediction" in said(spec(), look(spec(), evidence={"increments": idle}))


def test_a_histogram_of_label_delays_that_is_not_there() -> None:
    asked = spec(labels={"delay": "10m", "delayMetric": "lag"})
    assert "note There is no histogram lag (spec.indicator.labels.delayMetric)" in said(asked, look(asked))
    assert "no histogram" not in said(asked, look(asked, evidence={"delay_edges": (60.0, 600.0)}))


def aged(counts: dict[float, float], seen: Look) -> tuple[Increment, ...]:
    """The increments with so many labels of each age."""
    return tuple(
        replace(one, age=age, losses=Losses(count, 0.3 * count, one.losses.buckets, 0.12 * count))
        for one in seen.evidence.increments
        for age, count in counts.items()
    )


def test_the_label_for_the_age_of_labels() -> None:
    asked = spec(labels={"delay": "10m", "ageLabel": "age_bucket"})
    sound = ("+Inf", "60", "600.0")
    good = {"ages": {"v1": sound, "v2": ("+Inf", "60.0", "600")}}
    # Given both versions with the same edges, however they are written
    young = aged({60.0: 60.0, 600.0: 38.0, inf: 2.0}, look(asked))
    seen = look(asked, **good, evidence={"increments": young})
    assert said(asked, seen) == ""
    text = "\n".join(page(seen, parameters(asked), ROLES, []))
    assert "Labels by age" in text
    assert re.search(r"<= 600s +38%", text)
    # Then nothing is said but of what is amiss
    absent = look(asked, ages={"v1": ("",), "v2": ("",)})
    assert "note No loss carries the label age_bucket (spec.indicator.labels.ageLabel)" in said(asked, absent)
    odd = look(asked, ages={"v1": (*sound, "1h"), "v2": (*sound, "")})
    assert "Of version 'v1', age_bucket has values that are no age: '1h'. They count as +Inf." in said(asked, odd)
    assert "Of version 'v2', age_bucket has values that are no age: ''" in said(asked, odd)
    endless = look(asked, ages={"v1": ("60",), "v2": ("60",)})
    assert "age_bucket has no value +Inf: are labels above 60 s lost?" in said(asked, endless)
    other = look(asked, ages={"v1": sound, "v2": ("+Inf", "300")})
    assert "Versions tell the age of labels by other edges (age_bucket): 'v1': '+Inf', '60', '600.0'" in said(
        asked, other
    )
    late = aged({60.0: 60.0, inf: 40.0}, look(asked))
    assert "40% of the labels are older than the last edge of age_bucket" in said(
        asked, look(asked, **good, evidence={"increments": late})
    )


def test_scrapes_too_far_apart() -> None:
    short = spec(objective={"slice": "5m"})
    assert "Scraped every 90 s but judged every 60 s." in said(short, look(short, scrape_interval=90.0))
    assert "WRONG A slice of 300 s holds fewer than two scrapes" in said(short, look(short, scrape_interval=200.0))


def test_extra_queries_that_fail_are_told() -> None:
    assert "WRONG An extra query failed: odd" in said(spec(), look(spec(), failures=("odd",)))


def deployment(version: str | None, replicas: int | None = None) -> dict[str, Any]:
    env = [{"name": "MODEL_VERSION", "value": version}] if version else []
    content: dict[str, Any] = {"template": {"spec": {"containers": [{"name": "server", "env": env}]}}}
    return {"spec": content if replicas is None else content | {"replicas": replicas}}


def test_roles() -> None:
    there = {"fraud": deployment("v1", 3), "fraud-canary": deployment(None)}
    assert roles_of(spec(), there.get) == (
        Role("stable", "fraud", True, "v1", 3),
        Role("canary", "fraud-canary", True, None, 1),
    )
    assert [role.there for role in roles_of(spec(), lambda _: None)] == [False, False]


def test_stable_and_canary_alike() -> None:
    same = (ROLES[0], replace(ROLES[1], version="v1"))
    text = said(spec(), look(spec()), same)
    assert "there is no canary to judge" in text
    assert "also has version 'v2', which no Deployment serves now" in text
    assert "WRONG" not in text
