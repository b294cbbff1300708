"""What is told of customers beside what they are: expectation, silence, quintiles, the nearest border.

Owns these numbers; how they are written down is `scoring.change_bodies` and `state.codec`. They come from
`scoring._scoring` where that was compiled, to the last bit the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.alive import expected_purchases
from scoring.business_calendar import BusinessCalendar
from scoring.review import age_days, monetary_value, silence_days, t_x_days
from scoring.rfm import rfm_scores
from scoring.scorers import scorer_of
from scoring.segments import FloatArray
from scoring.states import Numbers
from scoring.timeline import Card

EXPECTED_PURCHASES_DAYS = 30.0
_RFM_STEPS = np.array([100, 10, 1], dtype=np.int16)


@dataclass(frozen=True, slots=True)
class Told:
    """n customers as of `as_of_us`; finite.

    Attributes
    ----------
    prob_alive, expected, silence, monetary, distance : float64, shape (n,)
        0 where nothing is left to score; the last is that to the nearest other segment.
    beyond : int16, shape (n,)
        That segment.
    rfm : int16, shape (n,)
        The three quintile scores as one number of three digits.
    """

    prob_alive: FloatArray
    expected: FloatArray
    silence: FloatArray
    monetary: FloatArray
    distance: FloatArray
    beyond: NDArray[np.int16]
    rfm: NDArray[np.int16]


def tell(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> Told:
    """Tell of customers who stand on a scorecard, by whichever means is at hand."""
    scorer = scorer_of(card, calendar)
    if scorer is None:
        return tell_plainly(numbers, card, calendar)
    floats, wholes, left = scorer.tell(np.ascontiguousarray(numbers), EXPECTED_PURCHASES_DAYS)
    if left:
        floats[1, left] = expected_purchases_30d(numbers[left], card, calendar)
    return Told(*floats, *wholes)


def tell_plainly(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> Told:
    """The same with numpy."""
    alive, money = np.nan_to_num(numbers["prob_alive"]), monetary_value(numbers)
    z = card.segmenter.features(alive, numbers["frequency"], money)
    distance, beyond = card.segmenter.margin(z, np.maximum(numbers["segment"], 0))
    silence = np.where(numbers["frequency"] >= 0, silence_days(numbers, calendar), 0.0)
    return Told(
        prob_alive=alive,
        expected=expected_purchases_30d(numbers, card, calendar),
        silence=np.maximum(silence, 0.0),
        monetary=money,
        distance=distance,
        beyond=beyond.astype(np.int16),
        rfm=(rfm_of(numbers, card, calendar) @ _RFM_STEPS).astype(np.int16),
    )


def expected_purchases_30d(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> FloatArray:
    """Purchases expected in the 30 days after `as_of_us`; 0 where nothing is left to score."""
    scored = numbers["frequency"] >= 0
    expected = np.zeros(len(numbers))
    rows = numbers[scored]
    expected[scored] = expected_purchases(
        EXPECTED_PURCHASES_DAYS,
        rows["frequency"],
        t_x_days(rows),
        age_days(rows, calendar),
        card.alive,
        alive=rows["prob_alive"],
    )
    return expected


def rfm_of(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> np.ndarray:
    """Quintile scores as of `as_of_us`, int8, shape (n, 3)."""
    return rfm_scores(
        silence_days(numbers, calendar),
        numbers["frequency"],
        monetary_value(numbers),
        card.scorecard.rfm,
    )
