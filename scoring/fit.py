"""Fitting the models to customers: BG/NBD, MBG/NBD and Gamma-Gamma.

Owns de-duplication (equal histories count once, with a weight), warm starts and the refusal of fits
that mean nothing. The likelihoods are those of lifetimes; their maximum is in `scoring.likelihood`, what
the spend model expects of a customer in `scoring.value`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.errors import DegenerateFitError, TimelineError
from schemas.scorecard import AliveParams, Family, SpendParams
from scoring.alive import check_rows
from scoring.likelihood import alive_objective, highest, spend_objective

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REPEAT_CUSTOMERS_MIN = 100
"""Customers who came back. Of 20 subsamples of CDNOW with so many of them, the optimiser failed or
ran away: 20 customers 4 (BG/NBD) and 5 (MBG/NBD), 50: 1 and 2, 100: none. At 100 the standard deviation
of a parameter is still half of it; more would only keep small shops waiting."""

_ALIVE, _SPEND = ("r", "alpha_days", "a", "b"), ("p", "q", "v")
# Where to begin without a warm start: published fits lie within a factor of ten of the first; the
# others are for what the first does not lead to. r, alpha in thirds of the mean age, b (a is half of it).
_STARTS = ((0.5, 1.0, 2.0), (0.1, 0.1, 0.2), (3.0, 3.0, 3.0))
_SPEND_STARTS = ((3.0, 3.0, 1.0), (1.0, 1.5, 0.5), (10.0, 10.0, 1.0))
# Day sums closer than this to one another, as a share of their mean, are one amount.
_SAME_AMOUNT = 1e-6


@dataclass(frozen=True, slots=True)
class AliveFit:
    """Maximum likelihood estimates.

    Attributes
    ----------
    params : AliveParams
    log_likelihood : float
        Per customer.
    errors : tuple of float
        Standard errors of r, alpha_days, a and b, as shares of them.
    """

    params: AliveParams
    log_likelihood: float
    errors: tuple[float, ...] = field(default=(), compare=False)


def fit_alive(
    frequency: IntArray,
    t_x_days: FloatArray,
    age_days: FloatArray,
    family: Family,
    start: AliveParams | None = None,
) -> AliveFit:
    """Fit a dropout model by maximum likelihood.

    Parameters
    ----------
    frequency : int64, shape (n,)
        Repeat purchases.
    t_x_days, age_days : float64, shape (n,)
        First to last purchase, first purchase to now; days. Age is rounded to whole days.
    family : Family
    start : AliveParams, optional
        Warm start; ignored if it is of the other family.

    Raises
    ------
    DegenerateFitError
        Too few repeat customers, all histories alike or impossible, or the data do not determine the
        parameters.

    Examples
    --------
    >>> fit_alive(np.array([0, 1]), np.array([0.0, 3.0]), np.array([9.0, 9.0]), Family.BGNBD)
    Traceback (most recent call last):
    schemas.errors.DegenerateFitError: 1 of 2 customers came back; 100 are needed to fit a model
    """
    repeats = int((frequency > 0).sum())
    if repeats < REPEAT_CUSTOMERS_MIN:
        raise DegenerateFitError(
            f"{repeats} of {len(frequency)} customers came back; "
            f"{REPEAT_CUSTOMERS_MIN} are needed to fit a model"
        )
    age = np.maximum(np.round(age_days), t_x_days)
    try:
        check_rows(frequency, t_x_days, age)
    except TimelineError as error:
        raise DegenerateFitError(str(error)) from None
    frequency, t_x_days, age, weights = distinct_histories(frequency, t_x_days, age)
    if len(weights) == 1:
        raise DegenerateFitError(
            f"all {int(weights[0]):,} customers have one and the same history: the data do not "
            "determine how they differ"
        )
    # Rates are about one over the age; the other two have no unit.
    starts = [np.array([r, alpha * age.mean() / 3, b / 2, b]) for r, alpha, b in _STARTS]
    if start is not None and start.family == family:
        starts.insert(0, np.array([start.r, start.alpha_days, start.a, start.b]))
    objective = alive_objective(frequency, t_x_days, age, weights, family)
    found = highest(objective, _ALIVE, starts, float(weights.sum()))
    params = AliveParams(family=family, **dict(zip(_ALIVE, found.values, strict=True)))
    return AliveFit(params, found.log_likelihood, found.errors)


def likelihood_of(
    frequency: IntArray, t_x_days: FloatArray, age_days: FloatArray, params: AliveParams
) -> float:
    """Log likelihood per customer under parameters that are given; rows as for `fit_alive`.

    Examples
    --------
    >>> bought = np.array([0, 2]), np.array([0.0, 9.0]), np.array([30.0, 30.0])
    >>> round(likelihood_of(*bought, AliveParams(r=0.5, alpha_days=43.0, a=0.9, b=1.6)), 4)
    -4.9006
    """
    age = np.maximum(np.round(age_days), t_x_days)
    rows = distinct_histories(frequency, t_x_days, age)
    logs = np.log([params.r, params.alpha_days, params.a, params.b])
    return alive_objective(*rows, params.family)(logs)[0]


def distinct_histories(
    frequency: IntArray, t_x_days: FloatArray, age_days: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Every history once, and how many customers have it.

    Examples
    --------
    >>> x, t_x, age, weights = distinct_histories(
    ...     np.array([0, 2, 0]), np.array([0.0, 9.0, 0.0]), np.array([30.0, 30.0, 30.0])
    ... )
    >>> x, weights
    (array([0, 2]), array([2., 1.]))
    """
    order = np.lexsort((age_days, t_x_days, frequency))
    x, t_x, age = frequency[order], t_x_days[order], age_days[order]
    differs = (x[1:] != x[:-1]) | (t_x[1:] != t_x[:-1]) | (age[1:] != age[:-1])
    first = np.flatnonzero(np.r_[True, differs])
    weights: FloatArray = np.diff(np.r_[first, len(order)]).astype(np.float64)
    return x[first], t_x[first], age[first], weights


def fit_spend(frequency: IntArray, monetary_value: FloatArray) -> SpendParams:
    """Fit the Gamma-Gamma model to customers who came back and spent something.

    Parameters
    ----------
    frequency : int64, shape (n,)
        Repeat purchases.
    monetary_value : float64, shape (n,)
        Mean of the day sums without the first day, major units.

    Raises
    ------
    DegenerateFitError
        Too few of them, all the same amount, the data do not determine the parameters, or q <= 1:
        the mean over all customers would be infinite.
    """
    usable = (frequency > 0) & (monetary_value > 0)
    customers = int(usable.sum())
    if customers < REPEAT_CUSTOMERS_MIN:
        raise DegenerateFitError(
            f"{customers} of {len(frequency)} customers came back and spent something; "
            f"{REPEAT_CUSTOMERS_MIN} are needed to fit a model"
        )
    # In units of the mean, so that no bound depends on the currency.
    unit = float(monetary_value[usable].mean())
    if float(np.ptp(monetary_value[usable])) <= _SAME_AMOUNT * unit:
        raise DegenerateFitError(
            f"all {customers:,} customers who came back spend the same amount, {unit:,.2f}: there "
            "is nothing to tell them apart by"
        )
    objective = spend_objective(frequency[usable], monetary_value[usable] / unit)
    starts = [np.array(start) for start in _SPEND_STARTS]
    p, q, v = highest(objective, _SPEND, starts, customers).values
    if q <= 1.0:
        raise DegenerateFitError(
            f"q = {q:g} is not above 1: mean spend over all customers would be infinite"
        )
    return SpendParams(p=p, q=q, v=v * unit)
