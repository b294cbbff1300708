"""k-means: seeding, online learning with river, polishing, matching and naming of centroids.

Points are standardised features, shape (n, 3), at least one. Knows no customers, no scorecards and no
clock; what is random takes a seed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from schemas.errors import ConfigurationError, ShapeError
from schemas.segment_names import DEFAULT_NAMES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HALFLIFE = 0.02
"""Share of the way to a point that its centroid moves. Larger: inertia 1.37 × batch at river's default
of 0.5, since the last points outweigh all others; smaller: a drift takes more than one sample to follow."""


def squared_distances(points: FloatArray, centroids: FloatArray) -> FloatArray:
    """Squared Euclidean distance of every point to every centroid, shape (n, k)."""
    differences = points[:, None, :] - centroids[None, :, :]
    distances: FloatArray = np.einsum("nkd,nkd->nk", differences, differences)
    return distances


def nearest(points: FloatArray, centroids: FloatArray) -> IntArray:
    """Index of the nearest centroid of each point; ties to the lowest."""
    return np.asarray(squared_distances(points, centroids).argmin(axis=1))


def inertia(points: FloatArray, centroids: FloatArray) -> float:
    """Sum of squared distances to the nearest centroid.

    >>> inertia(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0]]))
    25.0
    """
    return float(squared_distances(points, centroids).min(axis=1).sum())


def seed_kmeans_plus_plus(points: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """Centroids to start from: k of the points, far from one another; float64, shape (k, d).

    Points repeat only if fewer than k are distinct.
    Source: Arthur and Vassilvitskii (2007), k-means++.
    """
    chosen = [points[rng.integers(len(points))]]
    for _ in range(k - 1):
        gap = squared_distances(points, np.array(chosen)).min(axis=1)
        total = gap.sum()
        if total <= 0:  # fewer distinct points than centroids
            chosen.append(points[rng.integers(len(points))])
            continue
        chosen.append(points[rng.choice(len(points), p=gap / total)])
    return np.array(chosen)


def lloyd(points: FloatArray, centroids: FloatArray, steps: int) -> FloatArray:
    """At most so many steps of Lloyd's algorithm, in the order of the centroids given.

    A centroid that owns no point moves to the point farthest from all others: every centroid
    returned owns one, unless fewer points are distinct than there are centroids.
    Source: Lloyd (1982).

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [8.0], [9.0]])
    >>> lloyd(points, np.array([[0.0], [-99.0]]), steps=10)
    array([[0.5],
           [8.5]])
    """
    k = len(centroids)
    for _ in range(steps):
        centroids, owner = _revived(points, centroids)
        sizes = np.bincount(owner, minlength=k)
        sums = [np.bincount(owner, weights=column, minlength=k) for column in points.T]
        moved = np.where(
            sizes[:, None] > 0, np.column_stack(sums) / np.maximum(sizes, 1)[:, None], centroids
        )
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return _revived(points, centroids)[0]


def _revived(points: FloatArray, centroids: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    """Centroids that each own a point if there are enough points, and the owner of each point."""
    for _ in centroids:  # reviving one may rob another of its only point
        distances = squared_distances(points, centroids)
        owner = distances.argmin(axis=1)
        gap = distances.min(axis=1)
        dead = np.flatnonzero(np.bincount(owner, minlength=len(centroids)) == 0)
        if not len(dead) or gap.max() <= 0:
            return centroids, owner
        centroids = centroids.copy()
        centroids[dead[0]] = points[gap.argmax()]
    return centroids, squared_distances(points, centroids).argmin(axis=1)


def learn_online(
    points: FloatArray, centroids: FloatArray, *, seed: int, halflife: float = HALFLIFE
) -> FloatArray:
    """Let river's KMeans see every point once, starting from given centroids.

    Parameters
    ----------
    points : float64, shape (n, d)
        Seen in a random order given by the seed: their own order means nothing.
    centroids : float64, shape (k, d)
        Warm start.
    seed : int
        Of the order.
    halflife : float, in (0, 1)
        River's name for the share of the way to a point that its centroid moves.

    Returns
    -------
    float64, shape (k, d)
        In the order of those given.

    Examples
    --------
    >>> learn_online(np.array([[1.0], [9.0]]), np.array([[0.0], [10.0]]), seed=1, halflife=0.5)
    array([[0.5],
           [9.5]])
    """
    k, width = centroids.shape
    # River draws random centroids only for features it has not met, hence none.
    from river.cluster import KMeans  # noqa: PLC0415 - slow to import, and only the learner needs it

    model = KMeans(n_clusters=k, halflife=halflife, seed=seed)
    for center, row in zip(model.centers.values(), centroids.tolist(), strict=True):
        center.update(enumerate(row))
    order = np.random.default_rng(seed).permutation(len(points))
    for row in points[order].tolist():
        model.learn_one(dict(enumerate(row)))  # type: ignore[no-untyped-call]
    return np.array([[model.centers[i][j] for j in range(width)] for i in range(k)])


def hungarian_order(old: FloatArray, new: FloatArray) -> NDArray[np.intp]:
    """For each old centroid the index of the new one that takes its place.

    `new[hungarian_order(old, new)]` stands in the order of `old`; the sum of squared distances
    between the pairs is least. Both must be expressed in one feature space: undo each scorecard's
    own standardisation first, or express the old ones in the new one's.
    Source: Kuhn (1955), by `scipy.optimize.linear_sum_assignment`.

    Raises
    ------
    ShapeError
        The two differ in shape.

    Examples
    --------
    >>> hungarian_order(np.array([[0.0], [5.0]]), np.array([[5.1], [0.2]]))
    array([1, 0])
    """
    if old.shape != new.shape:
        raise ShapeError(f"centroids of shape {new.shape} cannot replace those of {old.shape}")
    return np.asarray(linear_sum_assignment(squared_distances(old, new))[1])


def default_names(centroids: FloatArray) -> tuple[str, ...]:
    """Names of centroids by their order, each used once.

    The half with the higher P(alive) (the larger half, if k is odd) is Champions, Loyal, … from
    the highest value down, the other At-Risk, …, Hibernating. Value is the sum of log frequency and
    log monetary value, each relative to its mean and spread over the centroids.

    Parameters
    ----------
    centroids : float64, shape (k, 3), 2 <= k <= 8
        P(alive), log frequency, log monetary value; raw or standardised gives the same names.

    Raises
    ------
    ConfigurationError
        There are no names for so many.

    Examples
    --------
    >>> default_names(np.array([[0.2, 1, 3.3], [0.8, 1.9, 3.5], [0.4, 0, 0], [0.6, 0.9, 3.3]]))
    ('At-Risk', 'Champions', 'Hibernating', 'Loyal')
    """
    if len(centroids) not in DEFAULT_NAMES:
        raise ConfigurationError(
            f"there are no names for {len(centroids)} segments.",
            hint=f"Choose {min(DEFAULT_NAMES)} to {max(DEFAULT_NAMES)}, or name them in the scorecard.",
        )
    alive_names, other_names = DEFAULT_NAMES[len(centroids)]
    offset = centroids[:, 1:] - centroids[:, 1:].mean(axis=0)
    # A column in which all agree, but for rounding, says nothing about their order.
    spread = np.maximum(offset.std(axis=0), 1e-9)
    value = (offset / spread).sum(axis=1)
    by_alive = np.argsort(-centroids[:, 0], kind="stable")
    halves = by_alive[: len(alive_names)], by_alive[len(alive_names) :]
    names = [""] * len(centroids)
    for half, labels in zip(halves, (alive_names, other_names), strict=True):
        ordered = half[np.argsort(-value[half], kind="stable")]
        for index, name in zip(ordered.tolist(), labels, strict=True):
            names[index] = name
    return tuple(names)
