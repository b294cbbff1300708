"""What the living will still buy: purchases to expect of the days to come, and what they are worth today.

Owns the horizons, the discounting, and tables that give all of it for a few additions: of customers with
the same frequency, who is alive differs only in how long ago they began, so each of the sums is a function of
one variable, which is smooth. P(alive) and money are the caller's to multiply with.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import AliveParams
from scoring.alive import purchases_if_alive

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SUMS = 4
"""Purchases within 30 and 90 days; the same discounted, within 90 and 365 days."""

SHORT_DAYS = 30.0
# Purchases are discounted at the end of the 30 days they fall into, as lifetimes has it; the year
# ends with a short step.
_YEAR_DAYS = 365.0
_HORIZONS = np.append(np.arange(SHORT_DAYS, _YEAR_DAYS, SHORT_DAYS), _YEAR_DAYS)
_AT_30, _AT_90, _AT_365 = np.searchsorted(_HORIZONS, (30.0, 90.0, 365.0))

TERMS = 20
"""Of a polynomial over one octave of the span. What it interpolates has no pole nearer than the octave's own
width below it, so that each term is a fifth of the one before or less: 5^−20 is 1e-14."""

FREQUENCIES, OCTAVES, FIRST_OCTAVE = 256, 48, -15
"""What is tabled: up to 255 repeat purchases, spans from 15 µdays to 12 million years. The rest is
computed each time."""

_U = np.cos(np.pi * (np.arange(TERMS) + 0.5) / TERMS)
_COSINES = np.cos(np.pi * np.outer(np.arange(TERMS) + 0.5, np.arange(TERMS)) / TERMS) * 2.0 / TERMS
_COSINES[:, 0] /= 2.0


def sums_if_alive(
    frequency: IntArray, span_days: FloatArray, params: AliveParams, discount_rate: float
) -> FloatArray:
    """What to expect of each customer, given that they are alive; exact.

    Parameters
    ----------
    frequency : int64, shape (n,)
        Repeat purchases, >= 0.
    span_days : float64, shape (n,)
        Days since the first purchase, and alpha.
    params : AliveParams
    discount_rate : float
        A year.

    Returns
    -------
    float64, shape (SUMS, n), >= 0

    Notes
    -----
    Source: Fader, Hardie and Lee (2005), "RFM and CLV"; the sum over steps is lifetimes'
    `customer_lifetime_value`, whose monthly rate is (1 + yearly)^(30/365) − 1.
    """
    n, steps = len(frequency), len(_HORIZONS)
    expected = purchases_if_alive(
        np.repeat(_HORIZONS, n), np.tile(frequency, steps), np.tile(span_days, steps), params
    ).reshape(steps, n)
    gained = np.diff(expected, axis=0, prepend=np.zeros((1, n)))
    worth_now = (1.0 + discount_rate) ** (-_HORIZONS / _YEAR_DAYS)
    discounted = np.cumsum(gained * worth_now[:, None], axis=0)
    return np.stack((expected[_AT_30], expected[_AT_90], discounted[_AT_90], discounted[_AT_365]))


class Prospects:
    """`sums_if_alive` of one model by interpolation, to 1e-11; tables are made as they are needed.

    A table depends on its frequency and octave alone, so whoever asks is told the same to the last bit.

    Parameters
    ----------
    params : AliveParams
    discount_rate : float
        A year.

    Attributes
    ----------
    places : int32, shape (FREQUENCIES, OCTAVES)
        Where a table stands; -1: nowhere yet.
    tables : float64, shape (at least as many, SUMS, TERMS)
        Coefficients of Chebyshev polynomials.
    """

    def __init__(self, params: AliveParams, discount_rate: float) -> None:
        self._params = params
        self._rate = discount_rate
        self._held = 0
        self.places = np.full((FREQUENCIES, OCTAVES), -1, dtype=np.int32)
        self.tables = np.zeros((64, SUMS, TERMS))

    def sums_if_alive(self, frequency: IntArray, span_days: FloatArray) -> FloatArray:
        """See the function of that name."""
        found = np.empty((SUMS, len(frequency)))
        mantissa, octave = np.frexp(span_days)
        column = octave - FIRST_OCTAVE
        tabled = (frequency < FREQUENCIES) & (column >= 0) & (column < OCTAVES)
        rest = np.flatnonzero(~tabled)
        found[:, rest] = sums_if_alive(frequency[rest], span_days[rest], self._params, self._rate)
        inside = np.flatnonzero(tabled)
        cells = frequency[inside], column[inside]
        for cell in set(zip(*(cell.tolist() for cell in cells), strict=True)):
            if self.places[cell] < 0:
                self._fill(*cell)
        coefficients = self.tables[self.places[cells]]
        u = (4.0 * mantissa[inside] - 3.0)[:, None]  # an octave, from -1 to 1
        twice = u + u
        # Clenshaw's recurrence; `scoring._scoring` has the same, in the same order.
        later = last = np.zeros(coefficients.shape[:2])
        for term in range(TERMS - 1, 0, -1):
            later, last = (twice * later - last) + coefficients[:, :, term], later
        found[:, inside] = ((u * later - last) + coefficients[:, :, 0]).T
        return found

    def _fill(self, frequency: int, column: int) -> None:
        span_days = np.ldexp((_U + 3.0) / 4.0, column + FIRST_OCTAVE)
        values = sums_if_alive(np.full(TERMS, frequency), span_days, self._params, self._rate)
        if self._held == len(self.tables):
            self.tables = np.concatenate([self.tables, np.zeros_like(self.tables)])
        table = self.tables[self._held]
        # One by one: in which order numpy adds up, hence the last bit, depends on the shape.
        for value, cosines in zip(values.T, _COSINES, strict=True):
            table += value[:, None] * cosines
        self.places[frequency, column] = self._held
        self._held += 1


@lru_cache(maxsize=8)  # of the scorecards of a worker's partitions, which have them in common
def prospects_of(params: AliveParams, discount_rate: float) -> Prospects:
    """The tables of a model."""
    return Prospects(params, discount_rate)
