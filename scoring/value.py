"""What a customer is worth: the spend to expect of a purchase day, and of the days to come.

Owns Gamma-Gamma's expectation and its edges: no repeat, nothing spent, no spend model yet. How many
purchases to expect, and when, is `scoring.prospects`; fitting is `scoring.fit`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import Scorecard, SpendParams
from scoring.alive import prob_purchase
from scoring.prospects import SHORT_DAYS

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Value(NamedTuple):
    """What to expect of customers, float64, shape (n,) each.

    Attributes
    ----------
    prob_purchase_30d : each in [0, 1]
    expected_purchases_30d, expected_purchases_90d : purchase days, >= 0
    expected_spend : major units a purchase day, >= 0
    clv_90d, clv_365d : major units, >= 0
        Discounted spend of the next 90 and 365 days. NaN, as `expected_spend`, where the scorecard has
        no spend model.
    """

    prob_purchase_30d: FloatArray
    expected_purchases_30d: FloatArray
    expected_purchases_90d: FloatArray
    expected_spend: FloatArray
    clv_90d: FloatArray
    clv_365d: FloatArray


def value_of(
    frequency: IntArray,
    t_x_days: FloatArray,
    age_days: FloatArray,
    monetary_value: FloatArray,
    alive: FloatArray,
    sums: FloatArray,
    scorecard: Scorecard,
) -> Value:
    """What to expect of each customer from now on.

    Parameters
    ----------
    frequency : int64, shape (n,)
        Repeat purchases.
    t_x_days, age_days, alive : float64, shape (n,)
        Days and P(alive) now; as for `scoring.alive.expected_purchases`.
    monetary_value : float64, shape (n,)
        Mean of the day sums without the first day, major units.
    sums : float64, shape (scoring.prospects.SUMS, n)
        What they will still buy if alive.
    scorecard : Scorecard

    Examples
    --------
    >>> from scoring.bootstrap import bootstrap_scorecard
    >>> from scoring.prospects import sums_if_alive
    >>> card = bootstrap_scorecard().model_copy(
    ...     update={"spend": SpendParams(p=6.25, q=3.74, v=15.44), "discount_rate": 0.1}
    ... )
    >>> x, t_x, age = np.array([0, 2]), np.array([0.0, 213.0]), np.full(2, 272.0)
    >>> sums = sums_if_alive(x, age + card.alive.alpha_days, card.alive, card.discount_rate)
    >>> value = value_of(x, t_x, age, np.array([0.0, 22.35]), np.array([0.55, 0.80]), sums, card)
    >>> value.expected_spend.round(2)
    array([35.22, 24.66])
    """
    short, middle, clv_90, clv_365 = alive * sums
    spend = expected_spend(frequency, monetary_value, scorecard.spend)
    return Value(
        prob_purchase(SHORT_DAYS, frequency, t_x_days, age_days, scorecard.alive, alive),
        short,
        middle,
        spend,
        clv_90 * spend,
        clv_365 * spend,
    )


def expected_spend(
    frequency: IntArray, monetary_value: FloatArray, params: SpendParams | None
) -> FloatArray:
    """Mean spend of a purchase day to expect of each customer, major units.

    Between the customer's own mean and that of all customers, nearer to their own the more
    purchases it rests on.

    Parameters
    ----------
    frequency, monetary_value
        As for `scoring.fit.fit_spend`; a negative mean (refunds above purchases) counts as none.
    params : SpendParams or None
        None: NaN for everybody.

    Returns
    -------
    float64, shape (n,), >= 0
        Where the model has no mean (p·x + q <= 1, which `scoring.fit.fit_spend` refuses) the customer's own.

    Notes
    -----
    Source: Fader and Hardie (2013), note 025, equation 5.

    Examples
    --------
    >>> cdnow = SpendParams(p=6.25, q=3.74, v=15.44)
    >>> expected_spend(np.array([0, 2, 50]), np.array([0.0, 22.35, 22.35]), cdnow).round(2)
    array([35.22, 24.66, 22.46])
    """
    if params is None:
        return np.full(len(frequency), np.nan)
    own = np.maximum(monetary_value, 0.0)
    purchases = np.maximum(frequency, 0)
    excess = params.p * purchases + (params.q - 1.0)
    exists = excess > 0
    shrunk = params.p * (params.v + purchases * own) / np.where(exists, excess, 1.0)
    return np.where(exists, shrunk, own)
