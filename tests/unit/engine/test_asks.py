from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.api.status import ModelSLOStatus, RolloutStatus, Transition
from modelslo.engine.asks import ask_for, slices_of, tick_of
from modelslo.engine.plan import Plan, Unfit, plan_of
from modelslo.engine.settings import Settings
from modelslo.engine.views import model_of
from modelslo.observe.ask import Ask
from tests.unit.engine.bodies import model

SETTINGS = Settings(settle=7.0)


def plan(**spec: Any) -> Plan:
    made = plan_of(model_of(model(spec=spec)), SETTINGS)
    assert isinstance(made, Plan)
    return made


def rollout_since(at: float) -> ModelSLOStatus:
    when = datetime.fromtimestamp(at, UTC)
    rollout = RolloutStatus(
        revision="r",
        version="v2",
        stable_version="v1",
        started_at=when,
        transitions=[Transition(started_at=when)],
        judged_since=when,
        parameters="p",
    )
    return ModelSLOStatus(rollout=rollout)


def ask(status: ModelSLOStatus, judged_at: float | None, tick: float, **spec: Any) -> Ask:
    made, key = plan(**spec), model_of(model()).key
    return ask_for(key, made.source, made.selector, made.parameters, status, judged_at, tick)


@given(st.floats(1e9, 2e9), st.sampled_from([1.0, 10.0, 60.0, 300.0]))
def test_a_tick_is_on_the_grid_and_not_in_the_future(now: float, interval: float) -> None:
    tick = tick_of(now, interval)
    assert tick <= now < tick + interval
    assert tick % interval == 0


def test_every_ask_ends_settle_before_its_tick_and_begins_where_the_last_one_ended() -> None:
    first = ask(ModelSLOStatus(), None, 1000.0)
    second = ask(ModelSLOStatus(), first.until, 1010.0)
    assert first.until == 993.0
    assert (second.since, second.until, second.grid) == (993.0, 1003.0, 10.0)


def test_missed_ticks_are_read_with_the_next_one() -> None:
    late = ask(ModelSLOStatus(), 993.0, 1050.0)
    assert (late.since, late.until) == (993.0, 1043.0)


def test_a_long_outage_is_not_read_when_no_canary_is_judged() -> None:
    late = ask(ModelSLOStatus(), 993.0, 101_000.0)
    assert late.until - late.since <= 120 * 10.0


def test_after_a_start_a_canary_is_read_with_stables_history_before_it() -> None:
    started = 1000.0  # the tick of the decision
    live = ask(rollout_since(started), 993.0, 1010.0)
    replayed = ask(rollout_since(started), None, 5000.0)
    assert live.since == 993.0
    assert replayed.since == 993.0 - 240 * 10  # as much as ever, however short the interval


def test_what_was_judged_already_is_not_read_again_when_a_canary_starts() -> None:
    assert ask(rollout_since(2000.0), 1993.0, 2010.0).since == 1993.0


@pytest.mark.parametrize(("delay", "last"), [(None, 98), ("30s", 95)])
def test_the_newest_slice_is_the_one_whose_labels_have_arrived(delay: str | None, last: int) -> None:
    spec = model()["spec"]["indicator"] | ({"labels": {"delay": delay}} if delay else {})
    parameters = plan(indicator=spec).parameters
    first, newest = slices_of(parameters, 993.0)
    assert newest == last
    assert newest - first + 1 == 360


def test_a_password_in_an_address_that_is_not_allowed_is_not_written_into_the_status() -> None:
    indicator = {**model()["spec"]["indicator"], "prometheus": {"url": "http://me:secret@elsewhere:9090"}}
    spec = {**model()["spec"], "indicator": indicator}
    found = plan_of(model_of(model(spec=spec)), SETTINGS)
    assert isinstance(found, Unfit)
    assert "secret" not in found.message
    assert "http://***@elsewhere:9090" in found.message
