"""The bench as tests with bounds: `pytest tests/bench/bench_fleet.py` (about 25 minutes). Not part of `make test`."""

from __future__ import annotations

import os

import pytest

from tests.bench import table
from tests.bench.fleet import Kind, Mix
from tests.bench.measure import Result, kinds_of, measured

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
SECONDS = 180


@pytest.fixture(scope="module", autouse=True)
def _no_kubeconfig_of_a_person() -> None:
    os.environ["KUBECONFIG"] = os.devnull


Seen = tuple[Result, dict[Kind, float]]


def _run(models: int, mix: Mix = Mix.MIXED) -> Seen:
    with measured(models, SECONDS, mix=mix) as (result, place):
        seen = result, result.writes_by_kind(kinds_of(place))
    print(table.rendered([seen]), table.requests(result), sep="\n")
    return seen


@pytest.fixture(scope="module")
def large() -> Seen:
    return _run(500)


@pytest.fixture(scope="module")
def small() -> Seen:
    return _run(100)


@pytest.fixture(scope="module")
def canaries() -> Seen:
    return _run(500, Mix.CANARIES)


@pytest.fixture(scope="module")
def quiet() -> Seen:
    return _run(500, Mix.QUIET)


def test_each_status_equals_its_own_known_value(large: Seen) -> None:
    assert not large[0].wrong
    assert large[0].checked == 500


def test_nearly_all_due_evaluations_are_done(large: Seen) -> None:
    assert large[0].share_done >= 0.99


def test_five_hundred_canaries_are_judged_in_time(canaries: Seen) -> None:
    assert not canaries[0].wrong
    assert canaries[0].share_done >= 0.99
    assert canaries[1][Kind.CANARY] <= 1.1


def test_audit_log_and_metrics_of_the_api_server_agree(large: Seen) -> None:
    result = large[0]
    patches = sum(one.what == "patch modelslos/status" for one in result.requests)
    assert patches == pytest.approx(result.apiserver_writes, abs=2)
    assert not [one for one in result.requests if one.code >= 400]


def test_queries_follow_the_indicators_and_not_the_models(large: Seen, small: Seen) -> None:
    """Five times the models need no more than a few queries more: 3 metrics times 2 schemas, samples and slices."""
    assert large[0].queries_per_tick <= small[0].queries_per_tick + 2
    assert large[0].queries_per_tick <= 14


def test_nothing_changes_and_next_to_nothing_is_written(quiet: Seen) -> None:
    result, by_kind = quiet
    assert result.per_model(result.of_models()) <= 0.2
    assert by_kind[Kind.STEADY] <= 0.1


def test_what_changes_is_written_no_more_than_its_turn_allows(large: Seen) -> None:
    """Figures wait for a minute; a wavy model's conditions really change with its slices."""
    for kind in (Kind.STEADY, Kind.BAD, Kind.NOISY, Kind.CANARY):
        assert large[1][kind] <= 1.1, kind
