"""Predictions made at the end of a calibration period, judged by what the holdout brought.

Owns which figures are taken of which prediction. Pure: who is judged and by whom is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import AliveParams
from scoring.alive import expected_purchases, prob_alive, prob_purchase
from scoring.metrics import (
    CalibrationBin,
    auc,
    brier,
    calibration,
    calibration_error,
    mean_absolute_error,
)
from scoring.rfm import rfm_cuts, rfm_scores

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HELD_OUT_MAX = 7
"""From so many calibration repeats on, customers are taken together: groups beyond are small."""


@dataclass(frozen=True, slots=True)
class Judged:
    """n customers at the end of the calibration period, and what they did in the holdout.

    Attributes
    ----------
    frequency : int64, shape (n,)
        Repeat purchases, >= 0.
    t_x_days, age_days : float64, shape (n,)
        Whole days, as of the last day of the calibration period.
    monetary_value : float64, shape (n,)
        Mean of the day sums without the first day, major units.
    bought_days : int64, shape (n,)
        Purchase days in the holdout.
    horizon_days : float
        Days of the holdout.
    """

    frequency: IntArray
    t_x_days: FloatArray
    age_days: FloatArray
    monetary_value: FloatArray
    bought_days: IntArray
    horizon_days: float

    def __len__(self) -> int:
        return len(self.frequency)

    @property
    def bought(self) -> NDArray[np.bool_]:
        """Who bought within the holdout."""
        return np.asarray(self.bought_days > 0)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What somebody said of the customers at the end of the calibration period.

    Attributes
    ----------
    name : str
    order : float64, shape (n,), or None
        A score without a unit; larger means likelier to buy.
    prob_alive, prob_purchase : float64, shape (n,), each in [0, 1], or None
    expected_purchases : float64, shape (n,), or None
    """

    name: str
    order: FloatArray | None = None
    prob_alive: FloatArray | None = None
    prob_purchase: FloatArray | None = None
    expected_purchases: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """How good a prediction was; None where it says nothing of the kind.

    Attributes
    ----------
    order_auc, prob_alive_auc, prob_purchase_auc, expected_auc : float, 0 to 1
        How well each tells who buys within the holdout.
    prob_alive_brier, prob_purchase_brier : float
    calibration_error : float
        Of P(buy), see `scoring.metrics.calibration_error`.
    expected_total : float
        Sum of the expected purchase days.
    expected_error : float
        By which share that misses the actual sum; positive: too many were expected.
    expected_mae : float
        Mean absolute error, purchase days of a customer.
    uncomputable : int
        Customers of whom the expectation is no number; left out of its figures.
    """

    name: str
    order_auc: float | None = None
    prob_alive_auc: float | None = None
    prob_alive_brier: float | None = None
    prob_purchase_auc: float | None = None
    prob_purchase_brier: float | None = None
    calibration_error: float | None = None
    expected_auc: float | None = None
    expected_total: float | None = None
    expected_error: float | None = None
    expected_mae: float | None = None
    uncomputable: int = 0
    calibration: tuple[CalibrationBin, ...] = ()


def predict(name: str, judged: Judged, params: AliveParams) -> Prediction:
    """What our own closed forms say, given parameters."""
    history = judged.frequency, judged.t_x_days, judged.age_days
    alive = prob_alive(*history, params)
    return Prediction(
        name,
        prob_alive=alive,
        prob_purchase=prob_purchase(judged.horizon_days, *history, params, alive),
        expected_purchases=expected_purchases(judged.horizon_days, *history, params, alive),
    )


def recency_only(judged: Judged) -> Prediction:
    """Who bought last buys next."""
    return Prediction("recency only", order=judged.t_x_days - judged.age_days)


def rfm_sum(judged: Judged) -> Prediction:
    """Sum of the three quintile scores, by these customers' own cut points."""
    columns = judged.age_days - judged.t_x_days, judged.frequency, judged.monetary_value
    scores = rfm_scores(*columns, rfm_cuts(*columns))
    return Prediction("RFM sum (quintiles)", order=scores.sum(axis=1).astype(np.float64))


def as_before(judged: Judged) -> Prediction:
    """Everyone goes on at the rate of the calibration period."""
    rate = judged.frequency / np.maximum(judged.age_days, 1.0)
    return Prediction("goes on as before", expected_purchases=rate * judged.horizon_days)


def judge(prediction: Prediction, judged: Judged) -> Figures:
    """Take every figure that the prediction allows."""
    bought = judged.bought
    figures: dict[str, float | None] = {}
    bins: list[CalibrationBin] = []
    uncomputable = 0
    if prediction.order is not None:
        figures["order_auc"] = auc(prediction.order, bought)
    if prediction.prob_alive is not None:
        figures["prob_alive_auc"] = auc(prediction.prob_alive, bought)
        figures["prob_alive_brier"] = brier(prediction.prob_alive, bought)
    if prediction.prob_purchase is not None:
        bins = calibration(prediction.prob_purchase, bought)
        figures["prob_purchase_auc"] = auc(prediction.prob_purchase, bought)
        figures["prob_purchase_brier"] = brier(prediction.prob_purchase, bought)
        figures["calibration_error"] = calibration_error(bins)
    if prediction.expected_purchases is not None:
        known = np.isfinite(prediction.expected_purchases)
        uncomputable = int((~known).sum())
        expected = prediction.expected_purchases[known]
        actual = judged.bought_days[known].astype(np.float64)
        total = float(expected.sum())
        figures["expected_auc"] = auc(expected, actual > 0)
        figures["expected_total"] = total
        figures["expected_error"] = total / float(actual.sum()) - 1.0 if actual.any() else None
        figures["expected_mae"] = mean_absolute_error(expected, actual)
    return Figures(prediction.name, **figures, uncomputable=uncomputable, calibration=tuple(bins))


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Customers with the same number of calibration repeats: purchase days that came, and expected."""

    frequency: int
    customers: int
    actual: float
    expected: float


def by_frequency(judged: Judged, expected: FloatArray) -> list[HeldOut]:
    """Mean purchase days in the holdout by calibration repeats; the last group is open above.

    Notes
    -----
    The conditional expectations plot of Fader, Hardie and Lee (2005), figure 5.
    """
    group = np.minimum(judged.frequency, HELD_OUT_MAX)
    found = []
    for frequency in np.unique(group).tolist():
        here = group == frequency
        found.append(
            HeldOut(
                frequency,
                int(here.sum()),
                float(judged.bought_days[here].mean()),
                float(expected[here].mean()),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class SegmentOutcome:
    """Customers of one segment at the end of the calibration, and what they did next.

    Attributes
    ----------
    customers : int
    bought, expected_to_buy : float
        Share who bought within the holdout, and mean P(buy).
    purchase_days : float
        Mean of the holdout.
    """

    name: str
    customers: int
    bought: float
    expected_to_buy: float
    purchase_days: float


def by_segment(
    segment: IntArray, names: Sequence[str], judged: Judged, prob_purchase: FloatArray
) -> list[SegmentOutcome]:
    """What came of each segment, the one that bought most first; empty ones are left out."""
    found = []
    for index, name in enumerate(names):
        here = segment == index
        if here.any():
            found.append(
                SegmentOutcome(
                    name,
                    int(here.sum()),
                    float(judged.bought[here].mean()),
                    float(prob_purchase[here].mean()),
                    float(judged.bought_days[here].mean()),
                )
            )
    return sorted(found, key=lambda outcome: -outcome.bought)
