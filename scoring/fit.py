"""Fitting the models to customers with lifetimes: BG/NBD, MBG/NBD and Gamma-Gamma.

Owns de-duplication (equal histories count once, with a weight), warm starts and the refusal of fits that
mean nothing.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from lifetimes import BetaGeoFitter, GammaGammaFitter, ModifiedBetaGeoFitter
from numpy.typing import NDArray

from schemas.errors import DegenerateFitError
from schemas.scorecard import AliveParams, Family, SpendParams

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

REPEAT_CUSTOMERS_MIN = 100
"""Fewer customers who came back say too little of how often and how long customers come back."""

# Beyond these the likelihood is flat: the optimiser ran away along a ridge.
_PARAMETER_MIN, _PARAMETER_MAX = 1e-4, 1e5


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
    fitter = (ModifiedBetaGeoFitter if family is Family.MBGNBD else BetaGeoFitter)(0.0)
    initial = None
    if start is not None and start.family is family:
        # lifetimes scales time by its maximum before it optimises log parameters.
        scale = 1.0 / age.max() if age.max() > 0 else 1.0
        initial = np.log([start.r, start.alpha_days * scale, start.a, start.b])
    with warnings.catch_warnings():
        # The optimiser probes points where the likelihood overflows; it recovers by itself.
        warnings.simplefilter("ignore")
        try:
            fitter.fit(
                rows[:, 0], rows[:, 1], rows[:, 2], weights=weights, initial_params=initial
            )
        except (ValueError, ArithmeticError) as error:  # ConvergenceError is a ValueError
            raise DegenerateFitError(f"the likelihood has no maximum: {error}") from error
    r, alpha, a, b = (float(fitter.params_[name]) for name in ("r", "alpha", "a", "b"))
    for name, value in (("r", r), ("alpha", alpha), ("a", a), ("b", b)):
        _refuse_runaway(name, value)
    return AliveFit(
        AliveParams(family=family, r=r, alpha_days=alpha, a=a, b=b),
        -float(fitter._negative_log_likelihood_),
    )


def fit_spend(frequency: IntArray, monetary_value: FloatArray) -> SpendParams:
    """Fit the Gamma-Gamma model to customers who came back and spent something.

    Raises
    ------
    DegenerateFitError
        Too few of them, or the optimiser did not converge or ran away.
    """
    usable = (frequency > 0) & (monetary_value > 0)
    if int(usable.sum()) < REPEAT_CUSTOMERS_MIN:
        raise DegenerateFitError(
            f"{int(usable.sum())} customers came back and spent something; "
            f"{REPEAT_CUSTOMERS_MIN} are needed"
        )
    fitter = GammaGammaFitter(penalizer_coef=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        try:
            fitter.fit(frequency[usable], monetary_value[usable])
        except (ValueError, ArithmeticError) as error:
            raise DegenerateFitError(f"the spend model does not fit: {error}") from error
    p, q, v = (float(fitter.params_[name]) for name in ("p", "q", "v"))
    for name, value in (("p", p), ("q", q), ("v", v)):
        _refuse_runaway(name, value)
    return SpendParams(p=p, q=q, v=v)


def _refuse_runaway(name: str, value: float) -> None:
    if not _PARAMETER_MIN <= value <= _PARAMETER_MAX:
        raise DegenerateFitError(
            f"{name} = {value:g} lies outside {_PARAMETER_MIN:g} to {_PARAMETER_MAX:g}: "
            "the data do not determine it"
        )
