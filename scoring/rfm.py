"""RFM quintiles: cut points from a population, scores of customers by those cut points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import Cuts, RfmCuts

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_QUINTILES = (0.2, 0.4, 0.6, 0.8)


def rfm_cuts(silence_days: FloatArray, frequency: IntArray, monetary_value: FloatArray) -> RfmCuts:
    """Quintile cut points of a population.

    Parameters
    ----------
    silence_days : float64, shape (n,), n >= 1
        Days since the last purchase day.
    frequency : int64, shape (n,)
        Repeat purchases.
    monetary_value : float64, shape (n,)
        Mean of the day sums without the first day, major units.

    Notes
    -----
    Where many customers share a value several cut points coincide, and no customer gets the scores
    between them: half of all customers have bought once, and none of those deserves a 3.
    """

    def cuts(values: FloatArray | IntArray) -> Cuts:
        low, second, third, high = np.quantile(values, _QUINTILES).tolist()
        return low, second, third, high

    return RfmCuts(
        silence_days=cuts(silence_days),
        frequency=cuts(frequency),
        monetary_value=cuts(monetary_value),
    )


def rfm_scores(
    silence_days: FloatArray,
    frequency: IntArray,
    monetary_value: FloatArray,
    cuts: RfmCuts,
) -> NDArray[np.int8]:
    """Scores of recency, frequency and monetary value; 1 (worst) to 5 (best).

    Returns
    -------
    int8, shape (n, 3)
        A value on a cut point has the worse of the two scores.

    Examples
    --------
    >>> cuts = RfmCuts(
    ...     silence_days=(10, 20, 40, 80), frequency=(0, 1, 3, 6), monetary_value=(5, 10, 20, 40)
    ... )
    >>> rfm_scores(np.array([3.0, 90.0]), np.array([7, 0]), np.array([0.0, 15.0]), cuts)
    array([[5, 5, 1],
           [1, 1, 3]], dtype=int8)
    """
    recency = 5 - np.searchsorted(cuts.silence_days, silence_days, side="right")
    often = 1 + np.searchsorted(cuts.frequency, np.maximum(frequency, 0), side="left")
    money = 1 + np.searchsorted(cuts.monetary_value, monetary_value, side="left")
    return np.column_stack((recency, often, money)).astype(np.int8)


SCALE_MAX = 5.0
"""Best score of the min–max scale; 0 is the worst."""

_DAYS_PER_WEEK = 7.0


def rfm_min_max(
    silence_days: FloatArray, purchases: IntArray, average_value: FloatArray
) -> FloatArray:
    """Scores on the 0–5 min–max scale: where each value lies between the least and the largest.

    Parameters
    ----------
    silence_days : float64, shape (n,), n >= 1
        Days since the last purchase day; counted in whole weeks.
    purchases : int64, shape (n,)
        All purchase days, the first included.
    average_value : float64, shape (n,)
        Spend of a purchase day, the first included, major units.

    Returns
    -------
    float64, shape (n, 3), each in [0, 5]
        Recency, frequency, monetary value; 5 where all customers share one value.

    Notes
    -----
    One customer with 500 purchases presses all others towards 0: this scale shows who stands out,
    quintiles show who is better than how many.

    Examples
    --------
    >>> rfm_min_max(np.array([0.0, 13.9, 28.0]), np.array([9, 5, 1]), np.array([10.0, 10.0, 10.0]))
    array([[5.  , 5.  , 5.  ],
           [3.75, 2.5 , 5.  ],
           [0.  , 0.  , 5.  ]])
    """
    weeks = np.floor(silence_days / _DAYS_PER_WEEK)
    columns = (-weeks, purchases.astype(np.float64), average_value)
    return np.column_stack([_scaled(column) for column in columns])


def _scaled(column: FloatArray) -> FloatArray:
    low, high = column.min(), column.max()
    if high <= low:
        return np.full_like(column, SCALE_MAX)
    return np.asarray(SCALE_MAX * (column - low) / (high - low))
