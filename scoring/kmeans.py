"""k-means: seeding, online learning with river, polishing, matching and naming of centroids.

Points are standardised features, shape (n, 3). Knows no customers, no scorecards and no clock; what is
random takes a seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from river.cluster import KMeans
from scipy.optimize import linear_sum_assignment

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
    return squared_distances(points, centroids).argmin(axis=1)


def inertia(points: FloatArray, centroids: FloatArray) -> float:
    """Sum of squared distances to the nearest centroid.

    >>> inertia(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0]]))
    25.0
    """
    return float(squared_distances(points, centroids).min(axis=1).sum())


def seed_kmeans_plus_plus(points: FloatArray, k: int, rng: np.random.Generator) -> FloatArray:
    """k of the points, far from one another; shape (k, d).

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
    """At most so many steps of Lloyd's algorithm; a centroid without points moves to the farthest one.

    Source: Lloyd (1982).
    """
    k = len(centroids)
    for _ in range(steps):
        distances = squared_distances(points, centroids)
        owner = distances.argmin(axis=1)
        sizes = np.bincount(owner, minlength=k)
        sums = np.column_stack(
            [np.bincount(owner, weights=column, minlength=k) for column in points.T]
        )
        moved = sums / np.maximum(sizes, 1)[:, None]
        gap = distances.min(axis=1)
        for dead in np.flatnonzero(sizes == 0):
            farthest = gap.argmax()
            moved[dead] = points[farthest]
            gap[farthest] = 0.0
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


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

    Returns
    -------
    float64, shape (k, d)
        In the order of those given.
    """
    k, width = centroids.shape
    model = KMeans(n_clusters=k, halflife=halflife, seed=seed)
    model.centers = {
        index: dict(enumerate(row)) for index, row in enumerate(centroids.tolist())
    }
    order = np.random.default_rng(seed).permutation(len(points))
    for row in points[order].tolist():
        model.learn_one(dict(enumerate(row)))
    return np.array([[model.centers[i][j] for j in range(width)] for i in range(k)])


def hungarian_order(old: FloatArray, new: FloatArray) -> NDArray[np.intp]:
    """For each old centroid the index of the new one that takes its place.

    Both in the same feature space; the sum of squared distances between the pairs is least.

    >>> hungarian_order(np.array([[0.0], [5.0]]), np.array([[5.1], [0.2]]))
    array([1, 0])
    """
    return np.asarray(linear_sum_assignment(squared_distances(old, new))[1])


_NAMES: dict[int, tuple[Sequence[str], Sequence[str]]] = {
    # k: names of the likelier alive half, of the other half; each from the highest value down
    2: (("Loyal",), ("Hibernating",)),
    3: (("Champions", "Loyal"), ("Hibernating",)),
    4: (("Champions", "Loyal"), ("At-Risk", "Hibernating")),
    5: (("Champions", "Loyal", "Promising"), ("At-Risk", "Hibernating")),
    6: (("Champions", "Loyal", "Promising"), ("Can't-Lose", "At-Risk", "Hibernating")),
    7: (("Champions", "Loyal", "Potential", "Promising"), ("Can't-Lose", "At-Risk", "Hibernating")),
    8: (
        ("Champions", "Loyal", "Potential", "Promising"),
        ("Can't-Lose", "At-Risk", "Slipping", "Hibernating"),
    ),
}


def default_names(centroids: FloatArray) -> tuple[str, ...]:
    """Names of centroids by their order.

    The half with the higher P(alive) is Champions, Loyal, … from the highest value down, the other
    At-Risk, …, Hibernating; value is the sum of log frequency and log monetary value, each relative
    to its spread over the centroids.

    Parameters
    ----------
    centroids : float64, shape (k, 3), 2 <= k <= 8
        Raw features: P(alive), log frequency, log monetary value.

    Examples
    --------
    >>> default_names(np.array([[0.2, 1, 3.3], [0.8, 1.9, 3.5], [0.4, 0, 0], [0.6, 0.9, 3.3]]))
    ('At-Risk', 'Champions', 'Hibernating', 'Loyal')
    """
    alive_names, other_names = _NAMES[len(centroids)]
    spread = np.maximum(centroids[:, 1:].std(axis=0), 1e-9)
    value = (centroids[:, 1:] / spread).sum(axis=1)
    by_alive = np.argsort(-centroids[:, 0], kind="stable")
    names = [""] * len(centroids)
    for part, labels in (
        (by_alive[: len(alive_names)], alive_names),
        (by_alive[len(alive_names) :], other_names),
    ):
        for index, name in zip(part[np.argsort(-value[part], kind="stable")], labels, strict=True):
            names[index] = name
    return tuple(names)
