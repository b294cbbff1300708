"""Log likelihoods of the models with their gradients, and finding where they are highest.

Owns BG/NBD, MBG/NBD and Gamma-Gamma for weighted rows, the search (L-BFGS-B, then Newton's steps to where
the gradient vanishes) and what the curvature there says of how well each parameter is known. Parameters
are searched for by their logarithms: they are positive, and of no common size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import digamma, expit, gammaln

from schemas.errors import DegenerateFitError
from schemas.scorecard import Family

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Objective = Callable[[FloatArray], tuple[float, FloatArray]]
"""Logarithms of the parameters → log likelihood per customer, and its gradient."""

# Beyond these the likelihood is flat: the search ran away along a ridge. CDNOW lies within 0.2
# to 50; a heterogeneity (r, a, b, p, q) of 1e4 means that all customers are alike.
PARAMETER_MIN, PARAMETER_MAX = 1e-4, 1e4

# Per customer. Rounding leaves 1e-13 to 1e-11; at 1e-9 a parameter of CDNOW is within 1e-6 of its place.
_GRADIENT_MAX = 1e-9
_NEWTON_STEPS_MAX = 50
_SEARCH_STEPS_MAX = 500
_STEP = 1e-4  # of the logarithms: central differences of the exact gradient, right to about 1e-8
_STRIDE_MAX = 1.0  # of a Newton step, in logarithms: farther out the parabola is no guide


@dataclass(frozen=True, slots=True)
class Maximum:
    """Where a likelihood is highest.

    Attributes
    ----------
    values : tuple of float
        Parameters.
    log_likelihood : float
        Per customer.
    errors : tuple of float
        Standard error of each parameter, as a share of it.
    """

    values: tuple[float, ...]
    log_likelihood: float
    errors: tuple[float, ...]


def alive_objective(
    frequency: IntArray,
    t_x_days: FloatArray,
    age_days: FloatArray,
    weights: FloatArray,
    family: Family,
) -> Objective:
    """Of r, alpha_days, a and b.

    Parameters
    ----------
    frequency : int64, shape (n,)
    t_x_days, age_days : float64, shape (n,)
        0 <= t_x_days <= age_days.
    weights : float64, shape (n,)
        Customers with that history.
    family : Family

    Notes
    -----
    Sources: Fader, Hardie and Lee (2005), equation 6; Batislam, Denizel and Filiztekin (2007).
    """
    total = weights.sum()
    share = weights / total
    # What depends on the count alone is computed once for each count that occurs.
    counts, place = np.unique(frequency, return_inverse=True)
    by_count = np.bincount(place, weights=share)
    # Tosses of the coin survived: under MBG/NBD there is one at the first purchase too.
    tosses = counts + (1 if family is Family.MBGNBD else 0)
    may_be_gone = frequency + (1 if family is Family.MBGNBD else 0) > 0

    def value_and_gradient(logs: FloatArray) -> tuple[float, FloatArray]:
        r, alpha, a, b = np.exp(logs)
        until_now, until_last = np.log(alpha + age_days), np.log(alpha + t_x_days)
        silence = until_now - until_last
        last_toss = np.maximum(b + tosses - 1, np.finfo(float).tiny)[place]
        odds = np.where(
            may_be_gone, np.log(a) - np.log(last_toss) + (r + frequency) * silence, -np.inf
        )
        gone = expit(odds)  # given the history: 1 − P(alive)
        of_counts = (
            gammaln(r + counts)
            - gammaln(r)
            + r * np.log(alpha)
            + gammaln(a + b)
            + gammaln(b + tosses)
            - gammaln(b)
            - gammaln(a + b + tosses)
        )
        # Sums rather than products of vectors: BLAS would take threads to them, and wait for those.
        ended, went_on = share * gone, share - share * gone
        value = (by_count * of_counts).sum() + (
            share * (np.logaddexp(odds, 0.0) - (r + frequency) * until_now)
        ).sum()
        by_r = (by_count * (digamma(r + counts) - digamma(r))).sum() + np.log(alpha)
        by_r += (ended * silence - share * until_now).sum()
        by_alpha = (
            r / alpha
            - ((r + frequency) * (went_on / (alpha + age_days) + ended / (alpha + t_x_days))).sum()
        )
        of_both = digamma(a + b) - digamma(a + b + tosses)
        by_a = (by_count * of_both).sum() + ended.sum() / a
        by_b = (by_count * (of_both + digamma(b + tosses) - digamma(b))).sum()
        by_b -= (ended / last_toss).sum()
        return float(value), np.array([by_r * r, by_alpha * alpha, by_a * a, by_b * b])

    return value_and_gradient


def spend_objective(frequency: IntArray, monetary_value: FloatArray) -> Objective:
    """Of p, q and v, for customers who came back and spent something.

    Notes
    -----
    Source: Fader and Hardie (2013), note 025, equation 1a.
    """
    x, mean = frequency.astype(np.float64), monetary_value
    log_mean, log_x = np.log(mean), np.log(x)
    count = len(x)

    def value_and_gradient(logs: FloatArray) -> tuple[float, FloatArray]:
        p, q, v = np.exp(logs)
        spent = np.log(x * mean + v)
        shape = p * x
        value = (
            gammaln(shape + q)
            - gammaln(shape)
            - gammaln(q)
            + q * np.log(v)
            + (shape - 1) * log_mean
            + shape * log_x
            - (shape + q) * spent
        ).sum()
        both = digamma(shape + q)
        by_p = (x * (both - digamma(shape) + log_mean + log_x - spent)).sum()
        by_q = (both - digamma(q) + np.log(v) - spent).sum()
        by_v = (q / v - (shape + q) / (x * mean + v)).sum()
        return float(value / count), np.array([by_p * p, by_q * q, by_v * v]) / count

    return value_and_gradient


def highest(
    objective: Objective, names: tuple[str, ...], starts: list[FloatArray], customers: float
) -> Maximum:
    """Find the maximum of a likelihood.

    Parameters
    ----------
    objective : Objective
    names : tuple of str
        Of the parameters, for those who read the refusal.
    starts : list of float64 arrays
        Parameters to begin from: the first that leads to a maximum decides.
    customers : float
        How many the likelihood is the mean of.

    Raises
    ------
    DegenerateFitError
        From none of them: a parameter runs away, or the likelihood is flat.
    """
    refusal: DegenerateFitError | None = None
    for start in starts:
        try:
            return _from(objective, names, np.log(start), customers)
        except DegenerateFitError as error:
            refusal = refusal or error
    raise refusal or DegenerateFitError("nowhere to begin from")


def _from(
    objective: Objective, names: tuple[str, ...], start: FloatArray, customers: float
) -> Maximum:
    low, high = np.log(PARAMETER_MIN), np.log(PARAMETER_MAX)

    def downhill(logs: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = objective(logs)
        return -value, -gradient

    with np.errstate(all="ignore"):  # far out it overflows; the search steps back from there
        found = minimize(
            downhill,
            np.clip(start, low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=[(low, high)] * len(start),
            options={"maxiter": _SEARCH_STEPS_MAX, "ftol": 1e-14, "gtol": 1e-8},
        )
        logs, curvature = _polished(objective, np.asarray(found.x), low, high)
        value, gradient = objective(logs)
    for name, log in zip(names, logs.tolist(), strict=True):
        if not low < log < high:  # true for NaN
            raise DegenerateFitError(
                f"{name} = {np.exp(log):g} lies at the edge of {PARAMETER_MIN:g} to "
                f"{PARAMETER_MAX:g}: the data do not determine it"
            )
    steepest = float(np.abs(gradient).max())
    if not steepest <= _GRADIENT_MAX:
        raise DegenerateFitError(
            f"the likelihood has no maximum: after {_NEWTON_STEPS_MAX} steps its slope is "
            f"{steepest:.1e}, not below {_GRADIENT_MAX:.0e}"
        )
    spread = np.linalg.eigvalsh(curvature)
    if not spread[-1] < 0:
        raise DegenerateFitError(
            "the likelihood has no maximum: it is flat where its slope vanishes, and the data do "
            f"not determine {', '.join(names)}"
        )
    variances = np.diag(np.linalg.inv(-curvature)) / customers
    return Maximum(
        tuple(np.exp(logs).tolist()), value, tuple(np.sqrt(np.maximum(variances, 0.0)).tolist())
    )


def _polished(
    objective: Objective, logs: FloatArray, low: float, high: float
) -> tuple[FloatArray, FloatArray]:
    """Newton's steps to where the gradient vanishes, and the curvature there."""
    curvature = _curvature(objective, logs)
    value, gradient = objective(logs)
    for _ in range(_NEWTON_STEPS_MAX):
        inside = bool(((logs > low) & (logs < high)).all())
        if np.abs(gradient).max() <= _GRADIENT_MAX / 10 or not inside:
            break
        values, vectors = np.linalg.eigh(curvature)
        # Uphill in every direction, also where the surface is not yet curved like a hill.
        step = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-12))
        step *= min(1.0, _STRIDE_MAX / float(np.abs(step).max()))
        while True:
            there = np.clip(logs + step, low, high)
            value_there, gradient_there = objective(there)
            closer = np.abs(gradient_there).max() < np.abs(gradient).max()
            if value_there > value or closer or np.abs(step).max() < 1e-12:
                break
            step /= 2
        if not (value_there >= value or closer):
            break
        logs, value, gradient = there, value_there, gradient_there
        curvature = _curvature(objective, logs)
    return logs, curvature


def _curvature(objective: Objective, logs: FloatArray) -> FloatArray:
    """Second derivatives, symmetric, by differences of the gradient."""
    rows = []
    for index in range(len(logs)):
        step = np.zeros(len(logs))
        step[index] = _STEP
        rows.append((objective(logs + step)[1] - objective(logs - step)[1]) / (2 * _STEP))
    found = np.array(rows)
    symmetric: FloatArray = (found + found.T) / 2
    return symmetric
