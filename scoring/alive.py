"""P(alive) and what follows from it, for a batch of customers under BG/NBD or MBG/NBD.

Owns the closed forms and their edges: no repeat purchase, long silence, huge counts.
Does not fit parameters, read a clock or know customer ids; rows keep their order.

`prob_alive` checks its rows; the other functions check them only when they have to compute
P(alive) themselves, so that a caller who passes `alive` pays for neither twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.special import expit, hyp2f1, logit

from schemas.errors import ShapeError, TimelineError
from schemas.scorecard import AliveParams, Family

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Below this value of z·growth the closed form loses digits (1 − something near 1), and the
# series, whose terms shrink at least by that factor, is complete to 0.05^13 = 1e-17.
_SERIES_BELOW = 0.05
_SERIES_TERMS = 13

# |a − 1| below which (…)/(a − 1) is interpolated over six points. Against 50-digit arithmetic
# (r from 0.001, z to 0.99999) smaller loses digits by cancellation just outside, larger by the
# interpolation itself.
_NEAR_ONE = 2e-3
_SIX_POINT_WEIGHTS = ((1, 150 / 256), (3, -25 / 256), (5, 3 / 256))

# 2F1 beyond this is near overflow and (1−z)^(a−1) near underflow: a or b of some hundreds and
# a horizon of hundreds of alphas. Quadrature takes over at 2 ms a row, right to 1e-8 with 200
# nodes; 64 leave 1e-4.
_HUGE = 1e200
_QUADRATURE_NODES = 200

_SMALLEST_C = 1e-12  # a + b = 1 under BG/NBD is a removable 0·∞; this is far below 1e-9


def prob_alive(
    frequency: IntArray, t_x_days: FloatArray, age_days: FloatArray, params: AliveParams
) -> FloatArray:
    """Probability that each customer has not yet dropped out.

    Parameters
    ----------
    frequency : int64, shape (n,)
        Repeat purchases. Zero gives exactly 1.0 under BG/NBD, as that model defines.
    t_x_days, age_days : float64, shape (n,)
        Days; 0 <= t_x_days <= age_days.
    params : AliveParams
        r, a, b unitless; alpha_days in days.

    Returns
    -------
    float64, shape (n,), each in [0, 1]

    Raises
    ------
    ShapeError
        Arrays differ in length.
    TimelineError
        Some t_x_days lies outside [0, age_days]; `.rows` says which.

    Notes
    -----
    Log space, so large frequencies do not overflow.
    Sources: Fader, Hardie and Lee (2008), note 021; Batislam, Denizel and Filiztekin (2007).

    Examples
    --------
    >>> cdnow = AliveParams(family="bgnbd", r=0.243, alpha_days=30.898, a=0.793, b=2.426)
    >>> x, t_x, age = np.array([0, 2]), np.array([0.0, 213.0]), np.full(2, 272.0)
    >>> prob_alive(x, t_x, age, cdnow).round(4)
    array([1.    , 0.7266])
    >>> prob_alive(x, t_x, age, cdnow.model_copy(update={"family": "mbgnbd"})).round(4)
    array([0.6373, 0.7744])
    """
    check_rows(frequency, t_x_days, age_days)
    return prob_alive_unchecked(frequency, t_x_days, age_days, params)


def check_rows(frequency: IntArray, t_x_days: FloatArray, age_days: FloatArray) -> None:
    """Refuse rows that no history of purchases can have; see `prob_alive` for the errors.

    Examples
    --------
    >>> check_rows(np.array([1, 1]), np.array([3.0, 9.0]), np.array([5.0, 5.0]))
    Traceback (most recent call last):
    schemas.errors.TimelineError: t_x_days outside [0, age_days] in 1 rows, first at row 1: ...
    """
    if not frequency.shape == t_x_days.shape == age_days.shape or frequency.ndim != 1:
        raise ShapeError(
            f"frequency, t_x_days and age_days must be one row per customer, "
            f"not {frequency.shape}, {t_x_days.shape} and {age_days.shape}"
        )
    right = (t_x_days >= 0) & (t_x_days <= age_days)  # false for NaN
    if not right.all():
        rows = np.flatnonzero(~right).tolist()
        raise TimelineError(
            f"t_x_days outside [0, age_days] in {len(rows)} rows, first at row {rows[0]}: "
            f"t_x_days {t_x_days[rows[0]]}, age_days {age_days[rows[0]]}",
            rows=rows,
        )


def prob_alive_unchecked(
    frequency: IntArray, t_x_days: FloatArray, age_days: FloatArray, params: AliveParams
) -> FloatArray:
    """`prob_alive` for rows that are known to be sound; the arrays may broadcast.

    Examples
    --------
    >>> params = AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614)
    >>> silence = np.array([0.0, 30.0, 300.0])
    >>> prob_alive_unchecked(np.array([2]), np.array([50.0]), 50.0 + silence, params).round(4)
    array([0.8022, 0.6673, 0.0968])
    """
    log_odds_dead = np.log1p((age_days - t_x_days) / (t_x_days + params.alpha_days))
    log_odds_dead *= frequency + params.r
    if params.family == Family.MBGNBD:
        log_odds_dead += np.log(params.a / (frequency + params.b))
        return np.asarray(expit(-log_odds_dead))
    log_odds_dead += np.log(params.a / (np.maximum(frequency, 1) + (params.b - 1.0)))
    return np.where(frequency == 0, 1.0, expit(-log_odds_dead))


def age_at_prob_alive(
    p: float | FloatArray, frequency: IntArray, t_x_days: FloatArray, params: AliveParams
) -> FloatArray:
    """Age at which silence brings each customer's P(alive) down to p, if nothing is bought.

    Parameters
    ----------
    p : float or float64, broadcasting against (n,)
        The probability waited for. At or below 0 it is never reached; at or above 1 it was
        passed before any age.
    frequency, t_x_days, params
        As for `prob_alive`.

    Returns
    -------
    float64, days since the first purchase
        inf where never (BG/NBD without a repeat purchase, whatever p). Less than t_x_days,
        even negative, where P(alive) lies below p on the day of the last purchase already:
        such a customer crosses nothing, and the caller decides what that means.

    Examples
    --------
    >>> params = AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614)
    >>> x, t_x = np.array([0, 2]), np.array([0.0, 50.0])
    >>> age = age_at_prob_alive(0.5, x, t_x, params)
    >>> age.round(2)
    array([ 90.92, 119.13])
    >>> prob_alive(x, t_x, age, params)
    array([0.5, 0.5])
    """
    shift = 0.0 if params.family == Family.MBGNBD else 1.0
    odds = np.maximum(frequency, shift) + (params.b - shift)
    odds /= params.a
    # p = 0 gives log odds of −inf, and a tiny r + x an age beyond any float: both mean never.
    with np.errstate(over="ignore"):
        growth = np.expm1((np.log(odds) - logit(np.clip(p, 0.0, 1.0))) / (frequency + params.r))
        age: FloatArray = t_x_days + (t_x_days + params.alpha_days) * growth
    return age if shift == 0.0 else np.where(frequency == 0, np.inf, age)


def prob_purchase(
    horizon_days: float | FloatArray,
    frequency: IntArray,
    t_x_days: FloatArray,
    age_days: FloatArray,
    params: AliveParams,
    alive: FloatArray | None = None,
) -> FloatArray:
    """Probability of at least one purchase within the next `horizon_days`.

    Parameters
    ----------
    horizon_days : float, days, >= 0
        One for all, or one for each.
    frequency, t_x_days, age_days, params
        As for `prob_alive`.
    alive : float64, shape (n,), optional
        P(alive) of these rows if already known; the rows are then not checked again.

    Returns
    -------
    float64, shape (n,), each in [0, P(alive)]

    Examples
    --------
    >>> params = AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614)
    >>> x, t_x, age = np.array([0, 2]), np.array([0.0, 213.0]), np.full(2, 272.0)
    >>> prob_purchase(30.0, x, t_x, age, params).round(4)
    array([0.0182, 0.1448])
    """
    if alive is None:
        alive = prob_alive(frequency, t_x_days, age_days, params)
    log_survival = (frequency + params.r) * np.log1p(horizon_days / (age_days + params.alpha_days))
    return np.asarray(alive * -np.expm1(-log_survival))


def expected_purchases(
    horizon_days: float | FloatArray,
    frequency: IntArray,
    t_x_days: FloatArray,
    age_days: FloatArray,
    params: AliveParams,
    alive: FloatArray | None = None,
) -> FloatArray:
    """Purchase days to expect of each customer within the next `horizon_days`.

    Parameters
    ----------
    horizon_days, frequency, t_x_days, age_days, params, alive
        As for `prob_purchase`; horizon_days finite.

    Returns
    -------
    float64, shape (n,), >= 0

    Notes
    -----
    The published form holds 2F1(r+x, b+x; …; z), which overflows near x = 200. Euler's
    transformation turns it into (1−z)^(a−1) · 2F1(c−r−x, a−1; c; z) with c = a+b+x−1 (BG/NBD)
    or a+b+x (MBG/NBD): neither upper parameter contains x any more. Against 50-digit arithmetic
    the relative error on 6,000 random rows (parameters 0.001 to 300, x to 1e6, horizons to
    1000·(alpha+T)) is 3e-15 at the median, 2e-10 for 99 % and 1e-8 at the worst.
    Sources: Fader, Hardie and Lee (2005), equation 10; Wagner and Hoppe (2008).

    Examples
    --------
    >>> params = AliveParams(r=0.525, alpha_days=43.28, a=0.891, b=1.614)
    >>> x, t_x, age = np.array([0, 2]), np.array([0.0, 213.0]), np.full(2, 272.0)
    >>> expected_purchases(30.0, x, t_x, age, params).round(4)
    array([0.0191, 0.1653])
    """
    if alive is None:
        alive = prob_alive(frequency, t_x_days, age_days, params)
    span_days = age_days + params.alpha_days
    return np.asarray(alive * purchases_if_alive(horizon_days, frequency, span_days, params))


def purchases_if_alive(
    horizon_days: float | FloatArray,
    frequency: IntArray,
    span_days: FloatArray,
    params: AliveParams,
) -> FloatArray:
    """`expected_purchases` of customers who are alive.

    Parameters
    ----------
    horizon_days, frequency, params
        As for `expected_purchases`.
    span_days : float64, shape (n,)
        Days since the first purchase, and alpha.
    """
    z = horizon_days / (span_days + horizon_days)
    if abs(params.a - 1.0) >= _NEAR_ONE:
        return _purchases_if_alive(z, frequency, params, params.a)
    step = 2.0 * _NEAR_ONE  # a = 1 is a removable singularity
    purchases = np.zeros_like(z)
    for offset, weight in _SIX_POINT_WEIGHTS:
        for a in (params.a - offset * step, params.a + offset * step):
            purchases += weight * _purchases_if_alive(z, frequency, params, a)
    return purchases


def _purchases_if_alive(
    z: FloatArray, frequency: IntArray, params: AliveParams, a: float
) -> FloatArray:
    """c/(a−1) · [1 − (1−z)^(a−1) · 2F1(c−r−x, a−1; c; z)], for a away from 1."""
    c_minus_x = a + params.b - (0.0 if params.family == Family.MBGNBD else 1.0)
    if abs(c_minus_x) < _SMALLEST_C:
        c_minus_x = _SMALLEST_C
    upper = c_minus_x - params.r
    c = frequency + np.float64(c_minus_x)
    hyper = hyp2f1(upper, a - 1.0, c, z)
    far = ~(np.abs(hyper) < _HUGE)  # true for NaN
    if far.any():
        hyper[far] = 0.0
    purchases = np.asarray(c / (a - 1.0) * (1.0 - (1.0 - z) ** (a - 1.0) * hyper))
    for row in np.flatnonzero(far):
        purchases[row] = _by_quadrature(z[row], frequency[row] + params.r, a, c[row] + 1.0 - a)
    growth = max(1.0, a) * max(1.0, abs(upper + 1.0) / (c_minus_x + 1.0))
    small = z * growth < _SERIES_BELOW
    if small.any():
        purchases[small] = _purchases_if_alive_series(z[small], c[small], upper, a)
    return purchases


def _purchases_if_alive_series(z: FloatArray, c: FloatArray, upper: float, a: float) -> FloatArray:
    """The same, cancelling nothing: both parts are divided by a−1 before they are subtracted."""
    term = np.ones_like(z)
    series = term
    # Term by term: how numpy sums along an axis, hence the last bit, depends on the number of rows.
    for n in range(1, _SERIES_TERMS):
        term = term * ((upper + n) * (a + n - 1.0) / (n + 1.0) * (z / (c + n)))
        series = series + term
    hyper = upper * z * series
    log_rest = (a - 1.0) * np.log1p(-z)
    return np.asarray(-c * np.expm1(log_rest) / (a - 1.0) - np.exp(log_rest) * hyper)


def _by_quadrature(z: float, shape: float, a: float, b: float) -> float:
    """One row of the same as the mean of (1 − (1 + p·z/(1−z))^−shape)/p over p ~ Beta(a, b).

    Gauss–Jacobi by Golub and Welsch (1969), since scipy's weights overflow from a + b = 1000.
    """
    k = np.arange(1.0, _QUADRATURE_NODES)
    m = 2.0 * k + (a + b - 2.0)
    diagonal = 0.5 + 0.5 * (a - b) * (a + b - 2.0) / (m * (m + 2.0))
    off = k * (k + a - 1.0) * (k + b - 1.0) / (m * m * (m + 1.0))
    off[1:] *= (k[1:] + (a + b - 2.0)) / (m[1:] - 1.0)  # both are a + b − 1 at k = 1
    p, vectors = eigh_tridiagonal(np.concatenate(([a / (a + b)], diagonal)), np.sqrt(off))
    p = np.maximum(p, np.finfo(np.float64).tiny)
    return float(vectors[0] ** 2 @ (-np.expm1(-shape * np.log1p(p * (z / (1.0 - z)))) / p))
