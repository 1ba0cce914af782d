"""Traces of the simulator, judged once whoever asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import cast

import pytest

from modelslo.backtest.replay import Replay
from tests.simulate.deciders import Judge
from tests.simulate.drive import Row, drive
from tests.simulate.kinds import KINDS
from tests.simulate.results import Results
from tests.simulate.words import Mode
from tests.simulation.promise import TRACES, Judged


def _replay(meta: Mapping[str, object]) -> Judge:
    return cast(Judge, Replay(meta))


def _row(kind: str, mode: Mode, number: int) -> Row:
    return drive(KINDS[kind], number, _replay, mode=mode)


@pytest.fixture(scope="session")
def judged() -> Iterator[Judged]:
    """Judges in two processes, and every trace once."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:

        @lru_cache(maxsize=512)
        def results(kind: str, traces: int = TRACES, mode: Mode = "histogram") -> Results:
            return Results(tuple(pool.map(partial(_row, kind, mode), range(traces))))

        yield results
