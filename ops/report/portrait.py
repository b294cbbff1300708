"""Gathers what the report draws, from a backtest and the histories behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ops.backtest.history import History
from ops.backtest.run import Backtest
from scoring.ledger import unpack_days
from scoring.portrait import (
    RETENTION_DAYS,
    HistoryMatrix,
    ScoreGrid,
    SegmentShare,
    Tracking,
    concentration,
    history_matrix,
    migrations,
    retention,
    score_grid,
    segment_shares,
    tracking,
)
from scoring.review import UNITS_PER_MAJOR, monetary_value
from scoring.rfm import SCALE_MAX, rfm_cuts, rfm_min_max, rfm_scores
from scoring.states import NONE, Numbers

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EXPECTED_DAYS = 30.0
_WEEK = 7


@dataclass(frozen=True, slots=True)
class Portrait:
    """Everything that is drawn of the customers; what is drawn of the backtest is there.

    Attributes
    ----------
    segments : names in the order of the scorecard
    shares : list of SegmentShare
    concentration : share of customers, share of revenue
    quintiles, min_max : ScoreGrid
    matrix : HistoryMatrix
    tracking : Tracking
    tracked_weeks_learnt : int
        Weeks of the tracking that belong to the calibration.
    retention : float64, shape (segments, windows)
    migrations : int64, shape (segments + 1, segments)
    """

    segments: tuple[str, ...]
    shares: list[SegmentShare]
    concentration: tuple[FloatArray, FloatArray]
    quintiles: ScoreGrid
    min_max: ScoreGrid
    matrix: HistoryMatrix
    tracking: Tracking
    tracked_weeks_learnt: int
    retention: FloatArray
    migrations: IntArray


def draw_portrait(test: Backtest, history: History) -> Portrait:
    """Figures of all customers when the data ends, and of those known at the end of the calibration."""
    walked, periods = test.walked, test.periods
    before, after = walked.at_calibration["segment"], walked.at_end["segment"]
    names = walked.scorecard.segments
    scored: Numbers = walked.at_end[walked.at_end["frequency"] >= 0]
    revenue = (scored["purchase_units"] - scored["refund_units"]) / UNITS_PER_MAJOR
    silence = (periods.data_day - scored["last_day"]).astype(np.float64)
    columns = silence, scored["frequency"], monetary_value(scored)
    purchases = scored["frequency"] + 1
    rows, days = _purchase_days(walked.ledgers)
    followed = before != NONE
    first_day = walked.at_calibration["first_day"]
    repeats = followed[rows] & (days > first_day[rows])
    weeks = (periods.data_day - periods.first_day + 1) // _WEEK
    windows = (periods.data_day - periods.calibration_day) // RETENTION_DAYS
    return Portrait(
        segments=names,
        shares=segment_shares(scored["segment"], names, np.maximum(revenue, 0.0)),
        concentration=concentration(revenue),
        quintiles=score_grid(rfm_scores(*columns, rfm_cuts(*columns)), 1, 5),
        min_max=score_grid(
            rfm_min_max(silence, purchases, np.maximum(revenue, 0.0) / purchases),
            0,
            int(SCALE_MAX),
        ),
        matrix=history_matrix(
            walked.scorecard.alive, float(periods.calibration_days), EXPECTED_DAYS
        ),
        tracking=tracking(
            first_day[followed], days[repeats], periods.first_day, weeks, walked.scorecard.alive
        ),
        tracked_weeks_learnt=periods.calibration_days // _WEEK,
        retention=retention(before, len(names), rows, days - periods.calibration_day, windows),
        migrations=migrations(before, after, len(names)),
    )


def _purchase_days(ledgers: NDArray[np.object_]) -> tuple[NDArray[np.intp], IntArray]:
    """Whose, and which day, of every purchase day."""
    pairs = [
        (row, entry.day)
        for row, packed in enumerate(ledgers.tolist())
        for entry in unpack_days(packed)
        if entry.is_purchase_day
    ]
    rows, days = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return rows.astype(np.intp), days
