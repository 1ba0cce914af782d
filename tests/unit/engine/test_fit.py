"""Whatever is in a status, what is written stays under 16 KiB, and keeps what safety hangs on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.api.status import HISTORY_LENGTH, MESSAGE_LENGTH, MOST_SHADOWS, ModelSLOStatus
from modelslo.engine.fit import ENTRY_LIMIT, LIMIT, fitted, size
from modelslo.engine.significance import dumped
from tests.unit.api.full_status import FULL_STATUS
from tests.unit.engine.test_status_writer import World

KEPT = ("operation", "rollout", "stable", "canary", "comparison", "lastActions", "vetoed", "observedGeneration")


def crowded(message: str, version: str = "v" * 63, result: int = 4096) -> ModelSLOStatus:
    """Every list full, every message as long as it may be, every version as long as a label's value may be."""
    words = (message * MESSAGE_LENGTH)[:MESSAGE_LENGTH]
    body = dumped(FULL_STATUS)
    long = {"message": words, "version": version}
    body["conditions"] = [one | {"message": words} for one in body["conditions"]]
    body["diagnosis"]["explanations"] = [one | {"evidence": words} for one in body["diagnosis"]["explanations"]]
    for name, most in (
        ("history", HISTORY_LENGTH),
        ("retrains", HISTORY_LENGTH),
        ("rejectedRevisions", HISTORY_LENGTH),
    ):
        body[name] = [body[name][0] | long | {"id": f"{number}", "revision": f"{number}"} for number in range(most)]
    body["shadows"] = [body["shadows"][0] | {"version": f"{version[:-2]}{number}"} for number in range(MOST_SHADOWS)]
    body["operation"] |= {"message": words, "result": {f"k{n}": "x" * 256 for n in range(result // 256)}}
    body["lastDecision"] |= long
    return ModelSLOStatus.model_validate(body)


def ids(body: Mapping[str, Any], name: str, field: str) -> list[str]:
    return [one[field] for one in body[name]]


@pytest.mark.parametrize(
    "message", ["word ", 'say "no"\\ \n', "Grüße ", "漢"], ids=["ascii", "escapes", "two", "three"]
)
def test_a_crowded_status_fits(message: str) -> None:
    # Given a status of which every part is as large as it may be
    body = dumped(crowded(message))
    assert size(body) > 1.5 * LIMIT

    # When it is made to fit
    result = fitted(body)

    # Then it does, and what is left is the newest
    assert size(result) <= LIMIT
    assert all(size(one) <= ENTRY_LIMIT for one in (*result["history"], result["lastDecision"]))
    for name, field in (("history", "id"), ("rejectedRevisions", "revision"), ("shadows", "version")):
        left = ids(result, name, field)
        assert left == ids(body, name, field)[len(body[name]) - len(left) :]
    assert len(result["history"]) >= 3
    assert len(result["rejectedRevisions"]) >= 3
    # And nothing is missing that a decision rests on
    assert {name: result.get(name) for name in KEPT} == {name: body.get(name) for name in KEPT}
    assert [one | {"message": ""} for one in result["retrains"]] == [one | {"message": ""} for one in body["retrains"]]
    # And it is a status
    ModelSLOStatus.model_validate(result)


def test_an_ordinary_status_is_written_as_it_is() -> None:
    body = dumped(FULL_STATUS)
    assert fitted(body) == body


@given(st.text(max_size=MESSAGE_LENGTH), st.text(min_size=1, max_size=64), st.integers(0, 4096))
def test_what_fits_stays_as_it_is(message: str, version: str, result: int) -> None:
    once = fitted(dumped(crowded(message or " ", version, result)))
    assert fitted(once) == once
    assert json.loads(json.dumps(once)) == once


def test_the_writer_writes_what_fits_and_nothing_when_it_is_there_already() -> None:
    async def run() -> None:
        world = World()
        status = crowded("word ")
        await world.writer.record(world.model(), status)
        assert size(world.stored()) <= LIMIT
        written = len(world.kube.calls)
        await world.writer.record(world.model(), status)
        assert len(world.kube.calls) == written

    asyncio.run(run())
