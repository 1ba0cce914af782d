"""The freeze: begins with a jump of stable's loss, ends with it, and by itself where the jump stays (section 3.8)."""

from __future__ import annotations

import numpy as np
import pytest

from modelslo.judge.incident import Watch, watched
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


def test_without_labels_nothing_changes() -> None:
    frozen = followed(usual(), [3.0] * 40)[-1]
    assert watched(frozen, 0.0, 0.0, DT, 1.0, TEMPO).frozen
    assert not watched(usual(), 0.0, 0.0, DT, 1.0, TEMPO).frozen
    assert not watched(Watch(), 0.0, 0.0, DT, 1.0, TEMPO).frozen


def test_losses_that_were_all_zero_do_not_freeze() -> None:
    assert minutes(followed(Watch(), [0.0] * 100)) == 0
