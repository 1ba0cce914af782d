"""The freeze: begins with a jump of stable's loss, ends with it, and by itself where the jump stays (section 3.8)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.judge.incident import Variation, Watch, watched
from modelslo.judge.timing import Tempo

DT, TEMPO = 30.0, Tempo()


def followed(
    watch: Watch, means: list[float], *, labels: int = 40, cv2: float = 1.0, seed: int | None = None
) -> list[Watch]:
    """One scrape per mean; with a seed losses are drawn (exponential)."""
    chance = np.random.default_rng(seed)
    found = []
    for mean in means:
        total = labels * mean if seed is None else mean * float(chance.exponential(size=labels).sum())
        watch = watched(watch, labels, total, DT, cv2, TEMPO)
        found.append(watch)
    return found


def usual() -> Watch:
    return followed(Watch(), [1.0] * 240)[-1]


def minutes(found: list[Watch]) -> float:
    """How long it was frozen."""
    return sum(one.frozen for one in found) * DT / 60


def test_a_jump_freezes_and_its_end_releases() -> None:
    hit = followed(usual(), [3.0] * 40)
    assert all(one.frozen for one in hit[1:])  # one scrape may be noise
    after = followed(hit[-1], [1.0] * 60)
    assert after[0].frozen
    assert 1 < minutes(after) < 20
    assert not after[-1].frozen


@pytest.mark.parametrize("level", [1.3, 0.3])
def test_a_small_rise_and_a_fall_do_not_freeze(level: float) -> None:
    assert minutes(followed(usual(), [level] * 200)) == 0


@pytest.mark.parametrize("level", [1.8, 3.0, 20.0])
def test_a_shift_that_stays_ends_the_freeze_by_itself(level: float) -> None:
    found = followed(usual(), [level] * 600)
    assert 0 < minutes(found) < 4.5 * 60
    assert not found[-1].frozen


def test_noise_of_few_labels_does_not_freeze() -> None:
    """z > 4: a handful of exponential losses is often half as large again."""
    found = followed(Watch(), [1.0] * 2000, labels=1, seed=3)
    assert minutes(found) < 0.03 * 2000 * DT / 60


def test_it_needs_more_to_freeze_where_labels_are_clustered() -> None:
    independent, clustered = (followed(usual(), [2.0] * 12, cv2=cv2)[-1].frozen for cv2 in (1.0, 400.0))
    assert independent
    assert not clustered


@pytest.mark.parametrize("labels", [5, 40, 400])
@pytest.mark.parametrize("share", [0.002, 0.01, 0.05])
def test_rare_errors_are_no_incident_where_no_history_tells_how_much_they_vary(labels: int, share: float) -> None:
    """What freezes is not compared: by chance that would be stable's errors, and the canary would look worse."""
    chance = np.random.default_rng(7)
    watch, compared, everything = Watch(), [0.0, 0.0], [0.0, 0.0]
    # Given errors that are as rare as ever, and a guess of their variance that is far too low
    for _ in range(3000):
        errors = float(chance.binomial(labels, share))
        watch = watched(watch, labels, errors, DT, 2.0, TEMPO)
        for sums, counted in ((everything, True), (compared, not watch.frozen)):
            sums[0] += counted * errors
            sums[1] += counted * labels
    # Then few are left out, and they do not move the mean
    assert compared[1] > 0.98 * everything[1]
    assert compared[0] / compared[1] > 0.95 * everything[0] / everything[1]


def test_a_jump_of_rare_errors_is_an_incident_all_the_same() -> None:
    chance = np.random.default_rng(8)
    watch = Watch()
    for _ in range(240):
        watch = watched(watch, 200, float(chance.binomial(200, 0.01)), DT, 2.0, TEMPO)
    found = []
    for _ in range(20):
        watch = watched(watch, 200, float(chance.binomial(200, 0.05)), DT, 2.0, TEMPO)
        found.append(watch.frozen)
    assert all(found[6:])


@pytest.mark.parametrize("before", [12, 120])
@pytest.mark.parametrize(("usual", "hit"), [(0.01, 0.1), (0.01, 0.3), (0.01, 0.9), (0.002, 0.3), (0.05, 0.5)])
def test_the_larger_a_jump_is_the_sooner_it_freezes(before: int, usual: float, hit: float) -> None:
    """It must not pass for how much the loss varies."""
    chance = np.random.default_rng(12)
    watch = Watch()
    for _ in range(before):
        watch = watched(watch, 1000, float(chance.binomial(1000, usual)), DT, 2.0, TEMPO)
    found = []
    for _ in range(20):
        watch = watched(watch, 1000, float(chance.binomial(1000, hit)), DT, 2.0, TEMPO)
        found.append(watch.frozen)
    assert all(found[1:])
    assert found[0] or before < 100


@given(st.integers(0, 2**32), st.integers(1, 300), st.sampled_from([0.5, 1.0, 3.0]))
@settings(max_examples=40)
def test_how_much_a_loss_varies_is_seen_from_scrape_to_scrape(seed: int, labels: int, shape: float) -> None:
    chance = np.random.default_rng(seed)
    seen = Variation()
    for number in range(400):
        # A slow season is in no difference to speak of
        level = 1 + 0.2 * np.sin(number / 60)
        seen = seen.add(labels, level * float(chance.gamma(shape, 1 / shape, labels).sum()), DT, 1e9)
    assert 0.6 < seen.variance * shape / 1.02 < 1.6


@pytest.mark.parametrize("labels", [40, 1000])
def test_one_incident_does_not_hide_the_next(labels: int) -> None:
    watch = followed(Watch(), [1.0] * 60, labels=labels, cv2=2.0, seed=9)[-1]
    for _ in range(4):
        hit = followed(watch, [3.0] * 40, labels=labels, cv2=2.0, seed=10)
        assert sum(one.frozen for one in hit) > 30
        watch = followed(hit[-1], [1.0] * 60, labels=labels, cv2=2.0, seed=11)[-1]
        assert not watch.frozen


def test_without_labels_nothing_changes() -> None:
    frozen = followed(usual(), [3.0] * 40)[-1]
    assert watched(frozen, 0.0, 0.0, DT, 1.0, TEMPO).frozen
    assert not watched(usual(), 0.0, 0.0, DT, 1.0, TEMPO).frozen
    assert not watched(Watch(), 0.0, 0.0, DT, 1.0, TEMPO).frozen


def test_losses_that_were_all_zero_do_not_freeze() -> None:
    assert minutes(followed(Watch(), [0.0] * 100)) == 0
