import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from scoring.segment_count import (
    CountQuality,
    judge_counts,
    label_agreement,
    silhouette,
    stable_count,
)


def blobs(centres: int, each: int = 150, seed: int = 1):
    """Groups equally far apart."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(size=(each, 3)) + 9 * np.eye(3)[i] for i in range(centres)])


def quality(count: int, worst: float) -> CountQuality:
    return CountQuality(count, 1.0, 0.5, 1.0, worst)


@pytest.mark.parametrize("seed", range(3))
def test_as_many_segments_as_there_are_groups_are_found_again_and_one_more_is_not(seed):
    points = blobs(3, seed=seed)
    found = judge_counts(points, seed, (2, 3, 4))
    assert [one.count for one in found] == [2, 3, 4]
    assert found[1].worst_agreement == 1.0
    assert found[1].silhouette == max(one.silhouette for one in found)
    assert not found[2].stable
    assert found[0].inertia_per_customer > found[1].inertia_per_customer
    assert stable_count(found, otherwise=8) == 3


def test_same_seed_gives_the_same_answer():
    points = blobs(3, each=60)
    assert judge_counts(points, 5, (3,)) == judge_counts(points, 5, (3,))


def test_more_segments_than_different_customers_are_not_looked_at():
    points = np.repeat(np.eye(3), 50, axis=0)
    assert [one.count for one in judge_counts(points, 1)] == [2, 3]


@pytest.mark.parametrize(
    ("worst", "chosen"),
    [
        ({2: 0.99, 3: 0.99, 4: 0.97, 5: 0.8, 6: 0.99}, 4),
        ({2: 0.80, 3: 0.99, 4: 0.97, 5: 0.8, 6: 0.99}, 4),
        ({2: 0.99, 3: 0.94, 4: 0.97}, 2),
        ({2: 0.5, 3: 0.6}, 7),
        ({}, 7),
    ],
)
def test_count_is_the_last_stable_one_before_the_first_that_is_not(worst, chosen):
    qualities = [quality(count, agreement) for count, agreement in worst.items()]
    assert stable_count(qualities, otherwise=7) == chosen


def test_labels_agree_whatever_they_are_called():
    labels = np.random.default_rng(1).integers(0, 4, 300)
    renamed = np.array([2, 0, 3, 1])[labels]
    assert label_agreement(labels, renamed, 4) == 1.0
    renamed[:30] = (renamed[:30] + 1) % 4
    assert label_agreement(labels, renamed, 4) == pytest.approx(0.9)


def test_silhouette_equals_scikit_learns():
    rng = np.random.default_rng(2)
    points, labels = rng.normal(size=(80, 3)), rng.integers(0, 4, 80)
    labels[0] = 9  # alone
    assert silhouette(points, labels) == pytest.approx(silhouette_score(points, labels), abs=1e-12)
    assert silhouette(points, np.zeros(80, dtype=np.int64)) == 0.0
