"""Forty ModelSLOs on a real API server and a real Prometheus: each one's status equals its own known value.

A small version of `tests/bench`: three metrics, two schemas of labels, three windows, the same names in two namespaces.
"""

from __future__ import annotations

import time

import pytest

from tests.bench import checks, site
from tests.bench.fleet import NAMESPACES, Kind, Shape
from tests.bench.measure import until_judged
from tests.bench.meters import queries

MODELS = 40
SHAPE = Shape(interval=5, slice=5, scrape=1, settle=2, windows=(10, 15, 20))
_SEEN = 15.0
_QUERIES = 14
# Figures are written at every evaluation here, and not once a minute.
_TURN = 30.0


@pytest.mark.api
def test_each_status_equals_its_own_known_value() -> None:
    with site.site(MODELS, SHAPE) as place, place.operator(STATUS_INTERVAL="0") as operator:
        until_judged(operator, MODELS)
        time.sleep(max(0.0, place.full_at() - time.time()))
        asked, began = queries(place.prometheus.url), time.monotonic()
        deadline = began + _TURN
        while (wrong := _wrong(place)) and time.monotonic() < deadline:
            time.sleep(1)
        assert not wrong

        statuses = place.statuses()
        for here, there in zip(place.models[::2], place.models[1::2], strict=True):
            assert here.name == there.name
            assert (here.namespace, there.namespace) == NAMESPACES
            values = [statuses[one.namespace, one.name]["sli"]["value"] for one in (here, there)]
            assert here.kind in (Kind.NOISY, Kind.WAVY) or values[0] != values[1]

        time.sleep(max(0.0, began + _SEEN - time.monotonic()))
        ticks = (time.monotonic() - began) / SHAPE.interval
        # Three metrics times two schemas, samples and slices: the number of models is not in it.
        assert (queries(place.prometheus.url) - asked).total() / ticks <= _QUERIES


def _wrong(place: site.Site) -> dict[str, list[str]]:
    statuses = place.statuses()
    found = {
        f"{one.namespace}/{one.name} ({one.kind})": list(checks.wrong(one, statuses[one.namespace, one.name]))
        for one in place.models
    }
    return {name: words for name, words in found.items() if words}
