"""How good a prediction was, once it is known what happened.

Owns the arithmetic of rank and probability scores. Knows no model, no customer and no period.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ShapeError

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CALIBRATION_BINS = 10
"""Bins of equal width between 0 and 1: tenths are what a person reads off a plot. More would leave
hundreds of customers a bin too few to tell error from chance."""


def auc(score: FloatArray, happened: BoolArray) -> float | None:
    """Probability that whom it happened to scored higher than whom it did not; ties count half.

    Parameters
    ----------
    score : float64, shape (n,)
        Any number; larger means likelier. Only the order matters.
    happened : bool, shape (n,)

    Returns
    -------
    float in [0, 1], or None
        0.5 is a coin. None where it happened to all or to none: there is nothing to tell apart.

    Notes
    -----
    Source: Mann and Whitney (1947), by mid-ranks.

    Examples
    --------
    >>> auc(np.array([0.9, 0.8, 0.4, 0.4]), np.array([True, False, True, False]))
    0.625
    """
    _check(score, happened)
    hits = int(happened.sum())
    misses = len(happened) - hits
    if not hits or not misses:
        return None
    # As scipy.stats.rankdata, which is 24 MB for each worker that the command line starts.
    _, place, tied = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(tied) - (tied - 1) / 2)[place]
    return float((ranks[happened].sum() - hits * (hits + 1) / 2) / (hits * misses))


def brier(probability: FloatArray, happened: BoolArray) -> float:
    """Mean squared distance between probability and outcome; 0 is best.

    >>> brier(np.array([1.0, 0.5]), np.array([True, False]))
    0.125
    """
    _check(probability, happened)
    return float(np.mean((probability - happened) ** 2))


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Those whom about the same was predicted for.

    Attributes
    ----------
    low, high : float
        The bin: low <= probability < high; the last one includes 1.
    count : int
    predicted : float
        Mean probability.
    happened : float
        Share it happened to.
    """

    low: float
    high: float
    count: int
    predicted: float
    happened: float


def calibration(
    probability: FloatArray, happened: BoolArray, bins: int = CALIBRATION_BINS
) -> list[CalibrationBin]:
    """What was predicted beside what happened, by bins of equal width; empty ones are left out.

    Parameters
    ----------
    probability : float64, shape (n,), each in [0, 1]
    happened : bool, shape (n,)

    Examples
    --------
    >>> two = calibration(np.array([0.1, 0.3, 1.0]), np.array([False, True, True]), bins=2)
    >>> [(part.count, round(part.predicted, 3), part.happened) for part in two]
    [(2, 0.2, 0.5), (1, 1.0, 1.0)]
    """
    _check(probability, happened)
    edges = np.arange(bins + 1) / bins  # the floats that people write: 0.3, not 0.1 + 0.1 + 0.1
    index = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    predicted = np.bincount(index, weights=probability, minlength=bins)
    hits = np.bincount(index, weights=happened, minlength=bins)
    return [
        CalibrationBin(
            low=float(edges[at]),
            high=float(edges[at + 1]),
            count=int(counts[at]),
            predicted=float(predicted[at] / counts[at]),
            happened=float(hits[at] / counts[at]),
        )
        for at in np.flatnonzero(counts).tolist()
    ]


def calibration_error(bins: list[CalibrationBin]) -> float:
    """Mean distance between what was predicted and what happened, each customer counting once.

    Notes
    -----
    The expected calibration error of Naeini, Cooper and Hauskrecht (2015).

    Examples
    --------
    >>> calibration_error(calibration(np.array([0.2, 0.2]), np.array([True, False])))
    0.3
    """
    total = sum(part.count for part in bins)
    apart = sum(part.count * abs(part.predicted - part.happened) for part in bins)
    return apart / total if total else 0.0


def mean_absolute_error(predicted: FloatArray, actual: FloatArray) -> float:
    """Mean distance between a prediction and what came.

    >>> mean_absolute_error(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    1.5
    """
    _check(predicted, actual)
    return float(np.mean(np.abs(predicted - actual)))


def _check(left: NDArray[np.generic], right: NDArray[np.generic]) -> None:
    if left.shape != right.shape or left.ndim != 1 or not len(left):
        raise ShapeError(
            f"a prediction and its outcome need one row per customer, at least one: "
            f"not {left.shape} and {right.shape}"
        )
