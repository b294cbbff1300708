"""From features to named centroids: standardising, k-means from several starts, names that survive.

Both the learner and a whole refit go this way. What is random takes a generator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import Origin, Scaler, Scorecard
from scoring.kmeans import (
    default_names,
    hungarian_order,
    inertia,
    lloyd,
    seed_kmeans_plus_plus,
)

FloatArray = NDArray[np.float64]

# Without a warm start: the best of a few seedings, run to convergence.
SEEDINGS, STEPS_MAX = 8, 50


def scaler_of(features: FloatArray) -> Scaler:
    """Mean and standard deviation of each feature; one that does not vary keeps its scale."""
    mean, scale = features.mean(axis=0).tolist(), features.std(axis=0).tolist()
    return Scaler(mean=tuple(mean), scale=tuple(value if value > 1e-9 else 1.0 for value in scale))


def standardise(features: FloatArray, scaler: Scaler) -> FloatArray:
    """(value − mean) / scale of every feature."""
    z: FloatArray = (features - np.array(scaler.mean)) / np.array(scaler.scale)
    return z


def rescale(centroids: FloatArray, old: Scaler, new: Scaler) -> FloatArray:
    """The same places, standardised by another scaler.

    >>> one, two = Scaler(mean=(0, 0, 0), scale=(1, 1, 1)), Scaler(mean=(1, 0, 0), scale=(2, 1, 1))
    >>> rescale(np.array([[3.0, 5.0, 7.0]]), one, two)
    array([[1., 5., 7.]])
    """
    return standardise(centroids * np.array(old.scale) + np.array(old.mean), new)


def best_centroids(
    z: FloatArray, count: int, rng: np.random.Generator, seedings: int = SEEDINGS
) -> FloatArray:
    """k-means from several k-means++ starts: the one of least inertia; float64, shape (count, 3)."""
    tries = [lloyd(z, seed_kmeans_plus_plus(z, count, rng), STEPS_MAX) for _ in range(seedings)]
    return min(tries, key=lambda centroids: inertia(z, centroids))


def named(
    current: Scorecard, before: FloatArray, centroids: FloatArray, scaler: Scaler
) -> tuple[tuple[str, ...], FloatArray]:
    """Names, and the centroids in the order of the names of the scorecard before.

    Names survive a refit by matching centroids; the bootstrap grid is no learnt geometry, so after
    it names come from the centroids' own order.

    Parameters
    ----------
    current : Scorecard
        In use so far.
    before : float64, shape (j, 3)
        Its centroids, by the new scaler.
    centroids : float64, shape (k, 3)
    scaler : Scaler
        The new one.
    """
    if current.origin is Origin.BOOTSTRAP or len(before) != len(centroids):
        raw = centroids * np.array(scaler.scale) + np.array(scaler.mean)
        return default_names(raw), centroids
    return current.identities, centroids[hungarian_order(before, centroids)]
