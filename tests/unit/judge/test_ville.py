"""Looking as often as one likes: the errors stay under alpha and beta at every look together (section 11.2).

A thousand rollouts run side by side as strata of one: each is a segment with a process of its own, in the project's
own wealth with its bet grid, cap, prior masses and restarts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from modelslo.judge.betting import Array, Block, log_e
from modelslo.judge.evalues import start, values, with_block, with_copy
from modelslo.judge.history import Forecast, History
from modelslo.judge.scale import Rules, scale_of
from modelslo.judge.wagers import Wagers
from tests.unit.judge import laws

STREAMS, LOOKS = 1000, 2000
RATE = 0.05
EDGES = tuple(2.0**k for k in range(-2, 4))
LAWS = tuple(replace(law, edges=EDGES) for law in (laws.LIGHT, laws.NARROW, laws.HEAVY, laws.WILD, laws.COIN))


def decided(
    chances: Sequence[tuple[Array, Array]], streams: int, looks: int = LOOKS
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether the evidence for a rollback, and for a promotion, was ever enough: per pair of laws (of canary and
    stable, bucket probabilities) and rollout, shapes (laws, streams)."""
    chance = np.random.default_rng(7)
    names = tuple(str(number) for number in range(len(chances) * streams))
    rules = Rules(EDGES, (), 0.1, 0.1, RATE, RATE, 0.0, segments=names, tail=False)
    scale = scale_of(rules, History())
    wealth = start(scale, rules)
    means = np.repeat([stable @ scale.scores for _, stable in chances], streams)
    forecast = Forecast(np.full(len(names), 50.0), 50.0 * means)
    back, forth = np.full(len(names), -np.inf), np.full(len(names), -np.inf)
    nothing = np.zeros(len(scale.signed))
    for look in range(looks):
        n_c, n_s = (5, 20) if look % 3 else (30, 15)
        # When a block comes, and a copy of the process is opened now and then
        canary, stable = (
            np.concatenate([chance.multinomial(n, pair[arm], streams) for pair in chances]).astype(float)
            for arm, n in enumerate((n_c, n_s))
        )
        expected = forecast.mean
        found = log_e(
            scale.segment_signed,
            scale.segment_r,
            scale.scores,
            expected,
            expected,
            Block.of(canary, stable),
        )
        if look % 25 == 24 and wealth.copies < 40:
            wealth = with_copy(wealth)
        wealth = with_block(wealth, scale, Wagers(nothing, np.zeros((0, 0)), found), 1.0)
        forecast = forecast.add(stable.sum(axis=1), stable @ scale.scores, 30.0, 3600.0)
        e = values(wealth, ())
        back, forth = np.maximum(back, e.segments_rollback), np.maximum(forth, e.segments_promote)
    enough = log(1 / RATE)
    return (back >= enough).reshape(-1, streams), (forth >= enough).reshape(-1, streams)


def pairs(ratio: float) -> list[tuple[Array, Array]]:
    """Canary and stable, of every law."""
    return [(law.worse(ratio), law.chances()) for law in LAWS]


def most(streams: int) -> float:
    """What chance may make of the promised rate: three standard deviations more."""
    return RATE + 3 * sqrt(RATE * (1 - RATE) / streams)


def test_two_thousand_looks_at_the_boundary_err_no_more_often_than_promised() -> None:
    # Given a thousand rollouts, of losses of five laws, exactly at the margin, that go on after a verdict
    streams = STREAMS // len(LAWS)
    rolled_back, promoted = decided(pairs(1.1), streams)
    # Then the errors over all looks are as rare as one look would be allowed, for all together and for each law
    for errors in (rolled_back, promoted):
        assert errors.mean() <= most(errors.size)
        assert errors.mean(axis=1).max() <= most(streams)
    # And that is not because nothing is ever decided
    assert promoted.any()


def test_away_from_the_boundary_all_are_decided_rightly() -> None:
    (back, forth), streams = decided(pairs(1.6), 20, 400), 20
    assert back.all()
    assert forth.mean() <= most(streams)
    back, forth = decided(pairs(0.8), 20, 400)
    assert back.mean() <= most(streams)
    assert forth.all()
