"""A customer base in figures worth drawing: concentration, grids, retention, migrations, tracking.

Owns the arithmetic behind the report's plots. Pure: customers are columns, periods are numbers of days.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import AliveParams
from scoring.alive import expected_purchases, prob_alive
from scoring.states import NONE

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

RETENTION_DAYS = 28
"""Windows of retention: four weeks hold every weekday as often, months do not."""

MATRIX_FREQUENCY_MAX = 30
MATRIX_STEPS = 60
"""Rows and columns of the frequency–recency matrices; more than the eye tells apart on a telephone."""


@dataclass(frozen=True, slots=True)
class SegmentShare:
    """One segment's share of the customers and of the revenue, 0 to 1 each."""

    name: str
    customers: int
    customer_share: float
    revenue_share: float


def segment_shares(
    segment: IntArray, names: Sequence[str], revenue: FloatArray
) -> list[SegmentShare]:
    """Shares of every segment that has customers, most revenue per customer first.

    >>> segment_shares(np.array([0, 1, 1, 1]), ["best", "rest"], np.array([80.0, 5.0, 5.0, 10.0]))[0]
    SegmentShare(name='best', customers=1, customer_share=0.25, revenue_share=0.8)
    """
    total = float(revenue.sum()) or 1.0
    found = []
    for index, name in enumerate(names):
        here = segment == index
        count = int(here.sum())
        if count:
            share = float(revenue[here].sum()) / total
            found.append(SegmentShare(name, count, count / len(segment), share))
    return sorted(found, key=lambda share: -share.revenue_share / share.customer_share)


def concentration(revenue: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Share of revenue held by the best customers, by share of customers.

    Parameters
    ----------
    revenue : float64, shape (n,), n >= 1
        Net; customers with more refunds than purchases count as 0.

    Returns
    -------
    customers, revenue : float64, shape (101,)
        At 0 %, 1 %, … 100 % of the customers; both rise from 0 to 1.

    Examples
    --------
    >>> _, held = concentration(np.array([8.0, 1.0, 0.5, 0.25, 0.25]))
    >>> round(float(held[20]), 3)
    0.8
    """
    spent = np.sort(np.maximum(revenue, 0.0))[::-1]
    held = np.concatenate(([0.0], np.cumsum(spent)))
    at = np.linspace(0.0, 1.0, 101)
    total = held[-1] or 1.0
    return at, np.interp(at * len(spent), np.arange(len(held)), held) / total


@dataclass(frozen=True, slots=True)
class ScoreGrid:
    """Customers by recency score (rows, the best last) and frequency score (columns).

    Attributes
    ----------
    scores : list of int, length k
    customers : int64, shape (k, k)
    monetary : float64, shape (k, k)
        Mean monetary score; NaN where nobody is.
    """

    scores: list[int]
    customers: IntArray
    monetary: FloatArray


def score_grid(scores: FloatArray | NDArray[np.int8], low: int, high: int) -> ScoreGrid:
    """Count customers by their rounded recency and frequency scores."""
    size = high - low + 1
    rounded = np.clip(np.rint(scores).astype(np.int64), low, high) - low
    cell = rounded[:, 0] * size + rounded[:, 1]
    count = np.bincount(cell, minlength=size * size)
    money = np.bincount(cell, weights=scores[:, 2], minlength=size * size)
    mean = np.where(count > 0, money / np.maximum(count, 1), np.nan)
    shape = (size, size)
    return ScoreGrid(list(range(low, high + 1)), count.reshape(shape), mean.reshape(shape))


@dataclass(frozen=True, slots=True)
class HistoryMatrix:
    """What the model says of every history within an age; float64, shape (recency, frequency)."""

    frequency: IntArray
    t_x_days: FloatArray
    age_days: float
    prob_alive: FloatArray
    expected: FloatArray


def history_matrix(params: AliveParams, age_days: float, horizon_days: float) -> HistoryMatrix:
    """P(alive) and purchases to expect by repeat purchases and the day of the last of them.

    Parameters
    ----------
    age_days : float
        First purchase to now, the same for all.
    horizon_days : float
        Of the expectation.
    """
    frequency = np.arange(MATRIX_FREQUENCY_MAX + 1)
    t_x = np.linspace(0.0, age_days, MATRIX_STEPS)
    rows, columns = np.meshgrid(t_x, frequency, indexing="ij")
    ages = np.full(rows.size, age_days)
    history = columns.ravel(), rows.ravel(), ages
    alive = prob_alive(*history, params)
    expected = expected_purchases(horizon_days, *history, params, alive)
    shape = rows.shape
    # Without a repeat purchase first and last are one day.
    alive, expected = alive.reshape(shape).copy(), expected.reshape(shape).copy()
    for matrix in (alive, expected):
        matrix[1:, 0] = np.nan
    return HistoryMatrix(frequency, t_x, age_days, alive, expected)


def retention(
    segment: IntArray,
    segments: int,
    rows: NDArray[np.intp],
    days_after: IntArray,
    windows: int,
) -> FloatArray:
    """Share of each segment's customers who bought within each window of `RETENTION_DAYS`.

    Parameters
    ----------
    segment : int64, shape (customers,)
        At the start; `NONE` for those not counted.
    segments : int
        How many there are.
    rows, days_after : shape (purchases,)
        Who bought, and how many days after the start; the first day is 1.
    windows : int
        Whole ones within the data.

    Returns
    -------
    float64, shape (segments, windows)
        NaN where a segment has nobody.
    """
    window = (days_after - 1) // RETENTION_DAYS
    counted = (window >= 0) & (window < windows) & (segment[rows] != NONE)
    cell = np.unique(rows[counted] * windows + window[counted])
    bought = np.zeros((segments, windows))
    np.add.at(bought, (segment[cell // windows], cell % windows), 1.0)
    sizes = np.bincount(segment[segment != NONE], minlength=segments)
    return np.where(sizes[:, None] > 0, bought / np.maximum(sizes, 1)[:, None], np.nan)


def migrations(before: IntArray, after: IntArray, segments: int) -> IntArray:
    """How many customers went from where to where.

    Returns
    -------
    int64, shape (segments + 1, segments)
        The last row holds those who were in no segment before. Who is in none after is left out.

    Examples
    --------
    >>> migrations(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 1]), 2)
    array([[1, 1],
           [0, 1],
           [0, 1]])
    """
    flows = np.zeros((segments + 1, segments), dtype=np.int64)
    known = after != NONE
    np.add.at(flows, (before[known], after[known]), 1)  # NONE is the last row
    return flows


@dataclass(frozen=True, slots=True)
class Tracking:
    """Repeat purchase days of all customers together, week by week.

    Attributes
    ----------
    weeks : int64, shape (w,)
        Weeks since the first day, from 1.
    actual, expected : float64, shape (w,)
        Cumulative.
    """

    weeks: IntArray
    actual: FloatArray
    expected: FloatArray


def tracking(
    first_day: IntArray, repeat_days: IntArray, start_day: int, weeks: int, params: AliveParams
) -> Tracking:
    """Cumulative repeat purchases beside what the model expects of so many new customers.

    Parameters
    ----------
    first_day : int64, shape (customers,)
        First purchase day of everyone followed.
    repeat_days : int64, shape (repeats,)
        All their later purchase days.
    start_day : int
        Day before which nothing happened.
    weeks : int
    params : AliveParams

    Notes
    -----
    The expectation knows nothing of a customer but the first day: that of a customer without a repeat
    purchase at age 0. Source: Fader, Hardie and Lee (2005), figure 4.
    """
    ends = start_day + 7 * np.arange(1, weeks + 1)
    actual = np.searchsorted(np.sort(repeat_days), ends, side="left").astype(np.float64)
    begun = np.bincount(first_day - start_day, minlength=7 * weeks)[: 7 * weeks]
    new = np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1)
    by_age = np.array(
        [float(expected_purchases(float(age), *new, params)[0]) for age in range(7 * weeks + 1)]
    )
    # Ends are the first days after each week; of a day's purchases the age on the day after is 1.
    cumulative = np.convolve(begun, by_age[1:])[: 7 * weeks]
    return Tracking(np.arange(1, weeks + 1), actual, cumulative[6::7])
