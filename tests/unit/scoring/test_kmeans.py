import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from schemas.errors import ConfigurationError, ShapeError
from scoring.kmeans import (
    default_names,
    hungarian_order,
    inertia,
    learn_online,
    lloyd,
    nearest,
    seed_kmeans_plus_plus,
    squared_distances,
)

coordinates = st.integers(-20, 20).map(float)
clouds = hnp.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(3)), elements=coordinates)


def blobs(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middles = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, 9]])
    return middles, np.concatenate([middle + rng.normal(size=(200, 3)) for middle in middles])


@given(clouds, clouds)
def test_nearest_and_inertia_equal_a_plain_loop(points, centroids):
    total = 0.0
    for point, index in zip(points.tolist(), nearest(points, centroids).tolist(), strict=True):
        distances = [
            sum((p - c) ** 2 for p, c in zip(point, row, strict=True)) for row in centroids
        ]
        assert index == distances.index(min(distances))  # the lowest of those that tie
        total += min(distances)
    assert inertia(points, centroids) == pytest.approx(total)


@given(clouds, st.integers(1, 8), st.integers(0, 2**32))
def test_seeds_are_points_and_distinct_if_there_are_enough(points, k, seed):
    seeds = seed_kmeans_plus_plus(points, k, np.random.default_rng(seed))
    assert seeds.shape == (k, 3)
    assert {tuple(row) for row in seeds} <= {tuple(row) for row in points}
    distinct = len(np.unique(points, axis=0))
    assert len(np.unique(seeds, axis=0)) == min(k, distinct)


def test_seeds_depend_on_the_generator_alone():
    _, points = blobs()
    one, two = (seed_kmeans_plus_plus(points, 4, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@given(clouds, clouds, st.integers(1, 6))
def test_lloyd_leaves_no_centroid_without_points(points, centroids, steps):
    distinct = len(np.unique(points, axis=0))
    centroids = centroids[:distinct]
    moved = lloyd(points, centroids, steps)
    assert moved.shape == centroids.shape
    assert np.isfinite(moved).all()
    assert len(np.unique(nearest(points, moved))) == len(centroids)


@given(clouds, clouds)
def test_lloyd_never_raises_inertia(points, centroids):
    before = inertia(points, centroids)
    for _ in range(4):
        centroids = lloyd(points, centroids, 1)
        after = inertia(points, centroids)
        assert after <= before * (1 + 1e-12) + 1e-9
        before = after


def test_lloyd_with_more_centroids_than_distinct_points_does_not_crash():
    points = np.ones((5, 3))
    moved = lloyd(points, np.array([[0.0, 0, 0], [5.0, 5, 5], [9.0, 9, 9]]), 10)
    assert np.isfinite(moved).all()
    assert inertia(points, moved) == 0.0


def test_lloyd_does_not_change_its_arguments():
    _, points = blobs()
    start, untouched = np.zeros((4, 3)), points.copy()
    lloyd(points, start, 5)
    assert not start.any()
    np.testing.assert_array_equal(points, untouched)


def test_learn_online_moves_centroids_towards_their_clouds_in_order():
    middles, points = blobs()
    start = middles + 2.0
    learnt = learn_online(points, start, seed=1)
    assert (np.sqrt(((learnt - middles) ** 2).sum(axis=1)) < 0.7).all()


def test_learn_online_depends_on_the_seed_alone():
    middles, points = blobs()
    one, two = (learn_online(points, middles, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (learn_online(points, middles, seed=4) != one).any()


def test_learn_online_is_the_step_of_halflife_towards_each_point_seen():
    points = np.array([[4.0, 0.0, 0.0]])
    start = np.array([[0.0, 0.0, 0.0], [90.0, 0.0, 0.0]])
    learnt = learn_online(points, start, seed=1, halflife=0.25)
    assert learnt.tolist() == [[1.0, 0.0, 0.0], [90.0, 0.0, 0.0]]


@given(st.permutations(range(5)), st.integers(0, 2**32))
def test_hungarian_order_finds_a_permutation_again(permutation, seed):
    rng = np.random.default_rng(seed)
    old = rng.permutation(np.arange(5.0))[:, None] * 10 + rng.normal(size=(5, 3)) / 10
    new = (old + rng.normal(size=(5, 3)) / 10)[permutation]
    order = hungarian_order(old, new)
    np.testing.assert_array_equal(order, np.argsort(permutation))
    assert (np.sqrt(np.diag(squared_distances(old, new[order]))) < 1.0).all()


def test_matching_serves_all_pairs_where_the_nearest_would_take_one_twice():
    old, new = np.array([[0.0], [1.0]]), np.array([[1.2], [9.0]])
    assert nearest(old, new).tolist() == [0, 0]
    assert sorted(hungarian_order(old, new).tolist()) == [0, 1]


def test_centroids_of_another_number_are_not_matched():
    with pytest.raises(ShapeError, match=r"\(3, 3\) cannot replace those of \(4, 3\)"):
        hungarian_order(np.zeros((4, 3)), np.zeros((3, 3)))


def test_four_names_follow_prob_alive_then_value():
    centroids = np.array([[0.3, 0.1, 1.0], [0.8, 1.8, 3.6], [0.2, 1.2, 3.4], [0.9, 0.2, 0.1]])
    assert default_names(centroids) == ("Hibernating", "Champions", "At-Risk", "Loyal")


@pytest.mark.parametrize("k", range(2, 9))
def test_names_are_unique_and_the_same_for_raw_and_standardised_centroids(k):
    rng = np.random.default_rng(k)
    raw = rng.uniform(size=(k, 3)) * [1.0, 3.0, 6.0]
    names = default_names(raw)
    assert len(set(names)) == k
    assert default_names((raw - [0.4, 0.8, 2.0]) / [0.25, 0.7, 1.8]) == names
    alive = dict(zip(names, raw[:, 0].tolist(), strict=True))
    assert alive["Loyal"] > alive["Hibernating"]


def test_names_ignore_a_column_in_which_all_agree():
    centroids = np.array([[0.9, 1.0, 0.7], [0.9, 2.0, 0.7], [0.1, 2.0, 0.7], [0.1, 1.0, 0.7]])
    assert default_names(centroids) == ("Loyal", "Champions", "At-Risk", "Hibernating")


@pytest.mark.parametrize("k", [1, 9])
def test_numbers_without_names_are_a_configuration_error(k):
    with pytest.raises(ConfigurationError, match=f"no names for {k} segments. Choose 2 to 8"):
        default_names(np.zeros((k, 3)))
