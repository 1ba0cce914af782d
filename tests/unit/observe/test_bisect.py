"""One bad model is singled out; when all are bad nobody is blamed and few queries are spent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.observe.ask import Ask
from modelslo.observe.bisect import MOST_EXTRA, Bisection, Suspects, in_pieces
from modelslo.observe.evidence import ModelKey
from modelslo.observe.failure import QueryError, QueryFailure, QueryTimeout, QueryWarning
from tests.unit.observe.asks import ask

ASKS = [ask(name=f"m{number:03}") for number in range(200)]


class Server:
    """Fails as `failure` when one of `bad` is asked for in a piece from `since` on."""

    def __init__(self, bad: set[str], failure: QueryFailure, since: int = 0) -> None:
        self.bad, self.failure, self.since = bad, failure, since
        self.queries = 0
        self.read: dict[str, list[int]] = {}

    async def __call__(self, asks: Sequence[Ask], piece: int) -> QueryFailure | None:
        self.queries += 1
        if piece >= self.since and self.bad & {one.model.name for one in asks}:
            return self.failure
        for one in asks:
            self.read.setdefault(one.model.name, []).append(piece)
        return None


def failed(server: Server, bisection: Bisection, pieces: Sequence[int] = (0,)) -> set[str]:
    found = asyncio.run(in_pieces(ASKS, pieces, server, bisection))
    return {one.model.name for one, _ in found}


@settings(deadline=None)
@given(st.integers(0, 199), st.integers(0, 2))
def test_the_culprit_alone_fails_and_nobody_reads_a_piece_twice(position: int, since: int) -> None:
    name = ASKS[position].model.name
    server = Server({name}, QueryWarning("odd"), since)
    assert failed(server, Bisection(), (0, 1, 2)) == {name}
    for one in ASKS:
        expected = [0, 1, 2] if one.model.name != name else list(range(since))
        assert server.read.get(one.model.name, []) == expected


@settings(deadline=None)
@given(st.sets(st.sampled_from([one.model.name for one in ASKS]), min_size=1))
def test_halving_is_bounded_and_blames_no_less_than_the_culprits(bad: set[str]) -> None:
    server = Server(bad, QueryError("wrong", culprit=True))
    assert failed(server, Bisection()) >= bad
    assert server.queries <= 1 + MOST_EXTRA


def test_what_no_model_causes_is_not_halved() -> None:
    for failure in (QueryError("refused", unreachable=True), QueryTimeout("late")):
        server = Server({"m007"}, failure)
        assert len(failed(server, Bisection())) == 200
        assert server.queries == 1


def test_halving_in_vain_pauses() -> None:
    suspects, everyone = Suspects(), {one.model.name for one in ASKS}
    bisection = suspects.bisection("http://p")
    server = Server(everyone, QueryWarning("partial"))
    found = asyncio.run(in_pieces(ASKS, (0,), server, bisection))
    suspects.learn(bisection, ASKS, found)
    assert suspects.models == set()
    assert [suspects.bisection("http://p").left for _ in range(11)] == [0] * 10 + [MOST_EXTRA]
    assert suspects.bisection("http://q").left == MOST_EXTRA


def test_a_culprit_is_remembered_until_it_is_well() -> None:
    suspects, bisection = Suspects(), Bisection()
    found = asyncio.run(in_pieces(ASKS, (0,), Server({"m042"}, QueryWarning("odd")), bisection))
    suspects.learn(bisection, ASKS, found)
    assert suspects.models == {ModelKey("n", "m042")}
    suspects.learn(Bisection(), [ASKS[42]], [(ASKS[42], QueryWarning("odd").gap)])
    assert suspects.models == {ModelKey("n", "m042")}
    suspects.learn(Bisection(), [ASKS[42]], [])
    assert suspects.models == set()
