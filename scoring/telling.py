"""What is told of customers beside what they are: what to expect, silence, quintiles, the nearest border.

Owns these numbers; how they are written down is `scoring.change_bodies` and `state.codec`. They come from
`scoring._scoring` where that was compiled, to the last bit the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.business_calendar import BusinessCalendar
from scoring.prospects import prospects_of
from scoring.review import age_days, monetary_value, silence_days, t_x_days
from scoring.rfm import rfm_scores
from scoring.scorers import scorer_of
from scoring.segments import FloatArray
from scoring.states import Numbers
from scoring.timeline import Card
from scoring.value import Value, expected_spend, value_of

_RFM_STEPS = np.array([100, 10, 1], dtype=np.int16)
_VALUE = slice(4, 10)  # rows of what a scorer tells: from `prob_purchase` to `clv_365`


@dataclass(frozen=True, slots=True)
class Told:
    """n customers as of `as_of_us`.

    Attributes
    ----------
    prob_alive, silence, monetary, distance : float64, shape (n,)
        0 where nothing is left to score; the last is that to the nearest other segment.
    prob_purchase, expected, expected_90 : float64, shape (n,)
        Of the next 30, 30 and 90 days; 0 where nothing is left to score.
    spend, clv_90, clv_365 : float64, shape (n,)
        Major units: of a purchase day, and discounted of the days to come. NaN where the scorecard has no
        spend model.
    beyond : int16, shape (n,)
        That segment.
    rfm : int16, shape (n,)
        The three quintile scores as one number of three digits.
    """

    prob_alive: FloatArray
    silence: FloatArray
    monetary: FloatArray
    distance: FloatArray
    prob_purchase: FloatArray
    expected: FloatArray
    expected_90: FloatArray
    spend: FloatArray
    clv_90: FloatArray
    clv_365: FloatArray
    beyond: NDArray[np.int16]
    rfm: NDArray[np.int16]

    def value(self) -> Value:
        """What to expect of them, by the names that people know."""
        return Value(
            self.prob_purchase,
            self.expected,
            self.expected_90,
            self.spend,
            self.clv_90,
            self.clv_365,
        )


def tell(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> Told:
    """Tell of customers who stand on a scorecard, by whichever means is at hand."""
    scorer = scorer_of(card, calendar)
    if scorer is None:
        return tell_plainly(numbers, card, calendar)
    prospects = prospects_of(card.alive, card.scorecard.discount_rate)
    floats, wholes, left = scorer.tell(
        np.ascontiguousarray(numbers), prospects.places, prospects.tables
    )
    if left:  # whose table was not there yet, or never will be
        floats[_VALUE, left] = _value(numbers[left], card, calendar)
    return Told(*floats, *wholes)


def tell_plainly(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> Told:
    """The same with numpy."""
    alive, money = np.nan_to_num(numbers["prob_alive"]), monetary_value(numbers)
    z = card.segmenter.features(alive, numbers["frequency"], money)
    distance, beyond = card.segmenter.margin(z, np.maximum(numbers["segment"], 0))
    silence = np.where(numbers["frequency"] >= 0, silence_days(numbers, calendar), 0.0)
    prob, expected, expected_90, spend, clv_90, clv_365 = _value(numbers, card, calendar)
    return Told(
        prob_alive=alive,
        silence=np.maximum(silence, 0.0),
        monetary=money,
        distance=distance,
        prob_purchase=prob,
        expected=expected,
        expected_90=expected_90,
        spend=spend,
        clv_90=clv_90,
        clv_365=clv_365,
        beyond=beyond.astype(np.int16),
        rfm=(rfm_of(numbers, card, calendar) @ _RFM_STEPS).astype(np.int16),
    )


def _value(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> FloatArray:
    """From `prob_purchase` to `clv_365`, shape (6, n)."""
    found = np.zeros((6, len(numbers)))
    found[3] = expected_spend(numbers["frequency"], monetary_value(numbers), card.scorecard.spend)
    found[4:] *= found[3]
    scored = numbers["frequency"] >= 0
    rows = numbers[scored]
    frequency, age = rows["frequency"], age_days(rows, calendar)
    prospects = prospects_of(card.alive, card.scorecard.discount_rate)
    found[:, scored] = value_of(
        frequency,
        t_x_days(rows),
        age,
        monetary_value(rows),
        rows["prob_alive"],
        prospects.sums_if_alive(frequency, age + card.alive.alpha_days),
        card.scorecard,
    )
    return found


def rfm_of(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> np.ndarray:
    """Quintile scores as of `as_of_us`, int8, shape (n, 3)."""
    return rfm_scores(
        silence_days(numbers, calendar),
        numbers["frequency"],
        monetary_value(numbers),
        card.scorecard.rfm,
    )
