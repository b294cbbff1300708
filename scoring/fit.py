"""Fitting the models to customers with lifetimes: BG/NBD, MBG/NBD and Gamma-Gamma.

Owns de-duplication (equal histories count once, with a weight), warm starts, the refusal of fits that
mean nothing, and what the spend model expects of a customer.

While a fit runs, warnings and standard output of the whole process are its own: fit in a process of
its own, or where nothing else prints.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.errors import DegenerateFitError
from schemas.scorecard import AliveParams, Family, SpendParams

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REPEAT_CUSTOMERS_MIN = 100
"""Customers who came back. Of 20 subsamples of CDNOW with so many of them, the optimiser failed or
ran away: 20 customers 4 (BG/NBD) and 5 (MBG/NBD), 50: 1 and 2, 100: none. At 100 the standard deviation
of a parameter is still half of it; more would only keep small shops waiting."""

# Beyond these the likelihood is flat: the optimiser ran away along a ridge. CDNOW lies within 0.2
# to 50; a heterogeneity (r, a, b, p, q) of 1e4 means that all customers are alike.
_PARAMETER_MIN, _PARAMETER_MAX = 1e-4, 1e4


@dataclass(frozen=True, slots=True)
class AliveFit:
    """Maximum likelihood estimates.

    Attributes
    ----------
    params : AliveParams
    log_likelihood : float
        Per customer.
    """

    params: AliveParams
    log_likelihood: float


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
        Too few repeat customers, or the optimiser did not converge or ran away.

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
    rows, weights = np.unique(
        np.column_stack((frequency, t_x_days, age)), axis=0, return_counts=True
    )
    lifetimes = _lifetimes()
    model = lifetimes.ModifiedBetaGeoFitter if family == Family.MBGNBD else lifetimes.BetaGeoFitter
    fitter = model(0.0)
    initial = None
    if start is not None and start.family == family:
        # lifetimes scales time by its maximum before it optimises log parameters.
        initial = np.log([start.r, start.alpha_days / age.max(), start.a, start.b])
    found, log_likelihood = _fitted(fitter, *rows.T, weights=weights, initial_params=initial)
    params = AliveParams(
        family=family, r=found["r"], alpha_days=found["alpha"], a=found["a"], b=found["b"]
    )
    return AliveFit(params, log_likelihood)


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
        Too few of them, or the optimiser did not converge or ran away, or q <= 1: the mean over
        all customers would be infinite.
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
    fitter = _lifetimes().GammaGammaFitter(0.0)
    found, _ = _fitted(fitter, frequency[usable], monetary_value[usable] / unit)
    if found["q"] <= 1.0:
        raise DegenerateFitError(
            f"q = {found['q']:g} is not above 1: mean spend over all customers would be infinite"
        )
    return SpendParams(p=found["p"], q=found["q"], v=found["v"] * unit)


def expected_spend(
    frequency: IntArray, monetary_value: FloatArray, params: SpendParams
) -> FloatArray:
    """Mean spend of a purchase day to expect of each customer, major units.

    Between the customer's own mean and that of all customers, nearer to their own the more
    purchases it rests on.

    Parameters
    ----------
    frequency, monetary_value
        As for `fit_spend`; a negative mean (refunds above purchases) counts as none.

    Returns
    -------
    float64, shape (n,), >= 0
        Where the model has no mean (p·x + q <= 1, which `fit_spend` refuses) the customer's own.

    Notes
    -----
    Source: Fader and Hardie (2013), note 025, equation 5.

    Examples
    --------
    >>> cdnow = SpendParams(p=6.25, q=3.74, v=15.44)
    >>> expected_spend(np.array([0, 2, 50]), np.array([0.0, 22.35, 22.35]), cdnow).round(2)
    array([35.22, 24.66, 22.46])
    """
    own = np.maximum(monetary_value, 0.0)
    purchases = np.maximum(frequency, 0)
    excess = params.p * purchases + (params.q - 1.0)
    exists = excess > 0
    shrunk = params.p * (params.v + purchases * own) / np.where(exists, excess, 1.0)
    return np.where(exists, shrunk, own)


def _lifetimes() -> Any:
    """The package, on first use: it takes a second to import, and most processes never fit."""
    with warnings.catch_warnings():
        # lifetimes 0.11.3 sets an option that pandas 3 has retired. Goes when lifetimes no longer does.
        warnings.simplefilter("ignore")
        return import_module("lifetimes")


def _fitted(fitter: Any, *columns: Any, **options: Any) -> tuple[Mapping[str, float], float]:
    """Parameters by name and log likelihood per customer, or a `DegenerateFitError`."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        # The optimiser probes points where the likelihood overflows; it recovers by itself. What it
        # prints when it does not is in the error as well.
        warnings.simplefilter("ignore")
        try:
            fitter.fit(*columns, **options)
        except (ValueError, ArithmeticError) as error:  # ConvergenceError is a ValueError
            reason = " ".join(str(error).split())
            raise DegenerateFitError(f"the likelihood has no maximum: {reason}") from error
    found = {str(name): float(value) for name, value in fitter.params_.items()}
    for name, value in found.items():
        if not _PARAMETER_MIN <= value <= _PARAMETER_MAX:  # true for NaN
            raise DegenerateFitError(
                f"{name} = {value:g} lies outside {_PARAMETER_MIN:g} to {_PARAMETER_MAX:g}: "
                "the data do not determine it"
            )
    return found, -float(fitter._negative_log_likelihood_)
