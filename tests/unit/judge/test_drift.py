"""Drift of the stable version: how often it is called falsely, that it takes persistence, and what silence means."""

from __future__ import annotations

from dataclasses import replace
from math import nan, pi, sin

import numpy as np
import pytest

from modelslo.judge.betting import Array
from modelslo.judge.drift import Detector, DriftRules, Health, began, detect, health_of
from modelslo.judge.gate import Gate, advance
from modelslo.judge.history import History
from modelslo.judge.increments import Delta, Step
from modelslo.judge.scale import Rules, scores_of
from tests.unit.judge.laws import LIGHT, WILD, Law
from tests.unit.judge.series import bits, rules_of

BLOCK, DAY, QUIET = 300.0, 86400.0, 3600.0
PER_DAY = 288
BUCKETS, SUMS = rules_of(edges=LIGHT.edges), rules_of(edges=(), has_squares=False)
SQUARES = rules_of(edges=())


def drift_rules(blocks: float = 25_920, persistence: int = 12, level: float = 1.0) -> DriftRules:
    """A false alarm in `blocks` blocks; an alarm needs `persistence` of them."""
    return DriftRules(level, blocks * BLOCK, persistence * BLOCK)


def delta(rules: Rules, counts: Array, unit: float = 1.0) -> Delta:
    """Labels per bucket whose losses are the buckets' scores, so that the mean of both scales is the same."""
    scores = LIGHT.scores * unit
    total = np.array([counts @ scores])
    return Delta(
        count=np.array([counts.sum()]),
        total=total,
        squares=np.array([counts @ scores**2]) if rules.has_squares else None,
        buckets=counts[None, :] if rules.edges else np.zeros((1, 1)),
        predictions=float(counts.sum()),
        lags=None,
    )


class Stable:
    """A stable version with a scrape every five minutes, whose history ends with the rollout."""

    def __init__(
        self, rules: Rules = BUCKETS, drift: DriftRules | None = None, *, law: Law = LIGHT, seed: int = 1
    ) -> None:
        self.rules, self.drift, self.law = rules, drift or drift_rules(), law
        self.chance = np.random.default_rng(seed)
        self.detector, self.gate, self.now = Detector(), Gate(), 0.0

    def counts(self, ratio: float, labels: int) -> Array:
        chances = self.law.chances() if ratio == 1.0 else self.law.worse(ratio)
        return self.chance.multinomial(labels, chances).astype(float)

    def step(self, found: Delta | None) -> Health:
        """One block."""
        self.now += BLOCK
        if self.detector.baseline is None:
            self.gate = advance(self.gate, self.rules, Step(self.now, found, None), False)
        self.detector = detect(self.detector, self.rules, self.drift, found, self.now)
        return health_of(self.detector, self.drift, self.now, QUIET)

    def run(self, blocks: int, ratio: float = 1.0, labels: int = 60) -> list[Health]:
        """`ratio` of the mean loss to that of the law."""
        return [self.step(delta(self.rules, self.counts(ratio, labels))) for _ in range(blocks)]

    def watch(self, history: int = PER_DAY, ratio: float = 1.0) -> Stable:
        """Learns from so many blocks, then watches."""
        self.run(history, ratio)
        self.detector = began(self.detector, self.rules, self.drift, self.gate.history)
        return self


def level(share: float, persistence: int = 12) -> DriftRules:
    """An SLO of `share` times the mean."""
    return drift_rules(level=share * LIGHT.mean(), persistence=persistence)


# Alarms


@pytest.mark.parametrize("rules", [BUCKETS, SQUARES, SUMS], ids=["buckets", "squares", "sums"])
def test_a_drift_is_found_and_health_is_not_called_drift(rules: Rules) -> None:
    # Given a version at 80 % of its SLO for two days
    stable = Stable(rules, level(1 / 0.8)).watch()
    assert set(stable.run(2 * PER_DAY)) <= {Health.HEALTHY, Health.INSUFFICIENT}
    # When its loss rises to 1.6 times the SLO
    found = stable.run(PER_DAY, 2.0)
    assert Health.DRIFT in found
    assert found.index(Health.DRIFT) >= stable.drift.blocks - 2


@pytest.mark.parametrize("rules", [BUCKETS, SQUARES, SUMS], ids=["buckets", "squares", "sums"])
@pytest.mark.parametrize("factor", [10.0, 1000.0])
def test_a_drift_is_found_however_large_it_is(rules: Rules, factor: float) -> None:
    """A joiner that begins to send milliseconds."""
    stable = Stable(rules, level(1 / 0.8)).watch()
    found = [stable.step(delta(rules, stable.counts(1.0, 60), factor)) for _ in range(PER_DAY)]
    if rules is BUCKETS:  # what is in a bucket is scored alike: the last one it is
        worst = np.eye(len(LIGHT.edges) + 1)[-1] * 60
        found = [stable.step(delta(rules, worst)) for _ in range(PER_DAY)]
    assert Health.DRIFT in found


@pytest.mark.parametrize("persistence", [3, 12])
@pytest.mark.parametrize("labels", [20, 5000])
def test_fewer_bad_blocks_than_the_persistence_never_alarm(persistence: int, labels: int) -> None:
    """A flood of however bad losses, shorter than the persistence."""
    stable = Stable(drift=level(1 / 0.8, persistence)).watch(50)
    worst = np.zeros(len(LIGHT.edges) + 1)
    worst[-1] = labels
    found = [stable.step(delta(BUCKETS, worst)) for _ in range(persistence - 1)]
    found += stable.run(2 * persistence, 0.5)
    assert Health.DRIFT not in found
    # As many as it asks for do
    found = [stable.step(delta(BUCKETS, worst)) for _ in range(persistence + 1)]
    assert Health.DRIFT in found


@pytest.mark.parametrize("law", [LIGHT, WILD], ids=lambda law: law.name)
@pytest.mark.parametrize("persistence", [1, 4])
def test_false_alarms_are_as_far_apart_as_promised(law: Law, persistence: int) -> None:
    """At exactly the level of the SLO, where they are most frequent: A = 25 blocks; cut at 5 A, which shortens it."""
    promised, runs, lengths = 25, 60, []
    drift = replace(drift_rules(promised, persistence), level=law.mean())
    base = Stable(drift=drift, law=law, seed=5)
    base.detector = began(base.detector, BUCKETS, drift, History())
    for seed in range(runs):
        stable = Stable(drift=drift, law=law, seed=100 + seed)
        stable.detector = base.detector
        length = 0
        while stable.detector.alarmed_at is None and length < 5 * promised:
            stable.run(1, labels=30)
            length += 1
        lengths.append(length)
    error = float(np.std(lengths)) / runs**0.5
    assert np.mean(lengths) >= promised - 3 * error


def test_a_longer_promise_takes_longer() -> None:
    """90 days instead of one hour: the alarm comes later, and it comes."""
    times = []
    for blocks in (12, 25_920):
        stable = Stable(drift=drift_rules(blocks, 1, level=LIGHT.mean())).watch(0)
        times.append(stable.run(PER_DAY, 1.4).index(Health.DRIFT))
    assert times[0] < times[1]


def test_the_level_is_on_the_scale_of_the_raw_loss() -> None:
    """What buckets make of the mean (a sixth more, here) is taken from the history (section 6)."""
    stable = Stable(drift=drift_rules(level=6 / 7 * 1.1 * LIGHT.mean()))
    for _ in range(PER_DAY):
        one = delta(BUCKETS, stable.counts(1.0, 200))
        stable.step(replace(one, total=one.total * 6 / 7))
    stable.detector = began(stable.detector, BUCKETS, stable.drift, stable.gate.history)
    assert stable.detector.baseline is not None
    assert stable.detector.baseline.level == pytest.approx(1.1 * LIGHT.mean(), rel=1e-6)
    assert Health.DRIFT not in stable.run(PER_DAY)
    assert Health.DRIFT in stable.run(PER_DAY, 1.6)


def test_clustered_labels_are_bet_on_less() -> None:
    """phi_s: labels that come eight at a time of one value."""

    def watching(size: int) -> Stable:
        stable = Stable(drift=level(1 / 0.8), seed=8)
        for _ in range(PER_DAY):
            stable.step(delta(BUCKETS, size * stable.counts(1.0, 240 // size)))
        stable.detector = began(stable.detector, BUCKETS, stable.drift, stable.gate.history)
        return stable

    alone, clustered = watching(1).detector.baseline, watching(8).detector.baseline
    assert alone is not None
    assert clustered is not None
    assert 1.0 <= alone.phi < 1.5
    assert 5.0 < clustered.phi < 12.0


def test_a_sum_that_is_no_number_is_left_out() -> None:
    stable = Stable(SUMS, level(1 / 0.8)).watch(50)
    states = []
    for _ in range(30):
        one = delta(SUMS, stable.counts(5.0, 60))
        assert stable.step(replace(one, total=np.array([nan]))) is not Health.DRIFT
        states.append(bits(stable.detector.wealth))
    # The first one closes the block before it
    assert set(states) == {states[0]}


def test_after_a_retrain_the_wealth_begins_anew() -> None:
    stable = Stable(drift=level(1 / 0.8)).watch(50)
    assert Health.DRIFT in stable.run(PER_DAY, 2.0)
    stable.detector = began(replace(Detector(), past=()), BUCKETS, stable.drift, stable.gate.history)
    assert stable.detector.wealth is not None
    assert not stable.detector.wealth.any()
    assert Health.DRIFT not in stable.run(PER_DAY)


# Silence


def test_silence_is_reported_and_never_an_alarm() -> None:
    stable = Stable(drift=level(1 / 0.8)).watch()
    stable.run(24)
    found = [stable.step(None) for _ in range(PER_DAY)]
    assert found[10] is Health.HEALTHY
    assert set(found[13:]) == {Health.INSUFFICIENT}
    # Nor does an alarm outlive it
    stable.run(PER_DAY, 2.0)
    assert health_of(stable.detector, stable.drift, stable.now, QUIET) is Health.DRIFT
    assert [stable.step(None) for _ in range(20)][-1] is Health.INSUFFICIENT


def test_before_the_first_label_there_is_too_little() -> None:
    assert health_of(Detector(), drift_rules(), 0.0, QUIET) is Health.INSUFFICIENT
    assert Stable().run(3, labels=0) == [Health.INSUFFICIENT] * 3


def test_fewer_than_thirty_labels_within_the_persistence_are_too_little() -> None:
    stable = Stable(drift=level(1 / 0.8)).watch()
    assert stable.run(40, labels=2)[-1] is Health.INSUFFICIENT
    assert stable.run(40, labels=4)[-1] is Health.HEALTHY


def test_labels_that_usually_come_every_two_hours_may_be_silent_for_longer() -> None:
    """Four times the usual gap."""
    stable = Stable(drift=level(1 / 0.8)).watch()
    for _ in range(60):
        stable.run(1, labels=200)
        for _ in range(23):
            stable.step(None)
    stable.run(1, labels=200)
    found = [stable.step(None) for _ in range(12 * 12)]
    assert found[6 * 12] is not Health.INSUFFICIENT
    assert found[-1] is Health.INSUFFICIENT


def test_few_labels_of_a_drift_are_found_too() -> None:
    stable = Stable(drift=level(1 / 0.8)).watch()
    assert Health.DRIFT in stable.run(2 * PER_DAY, 2.2, labels=4)


# The daily wave


def wave(block: int, height: float) -> float:
    """Of one step an hour."""
    return 1 + height * sin(2 * pi * (block // 12) / 24)


def waving(days: float, height: float = 0.5) -> Stable:
    """At 80 % of the SLO on average; the peaks pass it."""
    stable = Stable(drift=level(1 / 0.8), seed=9)
    for block in range(round(days * PER_DAY)):
        stable.run(1, wave(block, height))
    stable.detector = began(stable.detector, BUCKETS, stable.drift, stable.gate.history)
    return stable


def test_the_peaks_of_a_daily_wave_are_no_drift_where_it_was_learned() -> None:
    learned, unknown = waving(2), waving(0.5)
    found = {"learned": learned, "unknown": unknown}
    alarms = {}
    for name, stable in found.items():
        first = round(stable.now / BLOCK)
        alarms[name] = [stable.run(1, wave(block, 0.5))[0] for block in range(first, first + 2 * PER_DAY)]
    assert Health.DRIFT not in alarms["learned"]
    assert Health.DRIFT in alarms["unknown"]


def test_a_drift_under_a_daily_wave_is_found() -> None:
    stable = waving(2)
    first = round(stable.now / BLOCK)
    assert Health.DRIFT in [stable.run(1, 1.6 * wave(block, 0.5))[0] for block in range(first, first + PER_DAY)]


@pytest.mark.parametrize("days", [0.5, 3])
def test_noise_is_no_wave(days: float) -> None:
    baseline = waving(days, 0.0).detector.baseline
    assert baseline is not None
    assert [baseline.season.at(hour * 3600.0) for hour in range(24)] == [1.0] * 24


# Purity


def test_the_same_blocks_give_the_same_bits_and_leave_the_past_alone() -> None:
    one, two = (Stable(drift=level(1 / 0.8)).watch() for _ in range(2))
    before = one.detector
    kept = bits(before)
    one.run(50, 1.5)
    two.run(50, 1.5)
    assert bits(one.detector) == bits(two.detector)
    assert bits(before) == kept


def test_scores_of_the_law_are_the_scores_of_the_rules() -> None:
    assert scores_of(BUCKETS.edges).tolist() == LIGHT.scores.tolist()
