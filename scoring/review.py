"""Scores one set of customers as of one moment each, and says when silence will move them next.

Works in place on rows of `NUMBERS`; `as_of_us` is set by the caller.
"""

from __future__ import annotations

import numpy as np

from schemas.change import Lifecycle
from scoring.alive import age_at_prob_alive, prob_alive_unchecked
from scoring.business_calendar import BusinessCalendar
from scoring.segments import FloatArray
from scoring.states import NEVER_US, NONE, Numbers
from scoring.timeline import Card

LIFECYCLES = (Lifecycle.ACTIVE, Lifecycle.FADING, Lifecycle.LOST)
UNITS_PER_MAJOR = 10_000.0
# P(alive) at the microsecond of a crossing misses its threshold by less than 1e-12.
_ROUNDING = 1e-9


def monetary_value(numbers: Numbers) -> FloatArray:
    """Mean of the day sums without the first day, major units; 0 without repeats."""
    frequency = numbers["frequency"]
    mean = numbers["repeat_units"] / (np.maximum(frequency, 1) * UNITS_PER_MAJOR)
    return np.asarray(np.where(frequency > 0, mean, 0.0))


def t_x_days(numbers: Numbers) -> FloatArray:
    """First to last purchase day, days; 0 where nothing is left to score."""
    t_x: FloatArray = (numbers["last_day"] - numbers["first_day"]).astype(np.float64)
    return t_x


def age_days(numbers: Numbers, calendar: BusinessCalendar) -> FloatArray:
    """First purchase day to `as_of_us`, days."""
    age: FloatArray = calendar.days_at(numbers["as_of_us"]) - numbers["first_day"]
    return age


def silence_days(numbers: Numbers, calendar: BusinessCalendar) -> FloatArray:
    """Last purchase day to `as_of_us`, days."""
    silence: FloatArray = calendar.days_at(numbers["as_of_us"]) - numbers["last_day"]
    return silence


def score(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> None:
    """P(alive), segment, lifecycle and next review as of `as_of_us`, after an event."""
    scored = numbers["frequency"] >= 0
    if not scored.all():
        unscored = numbers[~scored]
        unscored["prob_alive"] = np.nan
        for column in ("segment", "lifecycle", "next_segment", "next_lifecycle"):
            unscored[column] = NONE
        unscored["next_review_us"] = NEVER_US
        numbers[~scored] = unscored
        rest = numbers[scored]
        if len(rest):
            score(rest, card, calendar)
            numbers[scored] = rest
        return
    z = standard_features(numbers, card, calendar)
    numbers["segment"] = card.segmenter.assign(z, numbers["segment"])
    # Two floors, hence 0, 1 or 2 of them passed. Who has fallen below one stays there at the very
    # moment of the crossing, where a late event evaluates them anew and the last bit would decide.
    fallen = np.arange(2) < numbers["lifecycle"][:, None]
    floors = card.lifecycle_floor[:2] + np.where(fallen, _ROUNDING, 0.0)
    numbers["lifecycle"] = (numbers["prob_alive"][:, None] < floors).sum(axis=1)
    _arm(numbers, z, card, calendar)


def cross(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> None:
    """Take the step that was foreseen for `next_review_us`, at that moment.

    The foreseen step is taken rather than computed afresh: at a border the last bit of a float
    would decide, and differently on the next machine.
    """
    numbers["as_of_us"] = numbers["next_review_us"]
    z = standard_features(numbers, card, calendar)
    foreseen = numbers["next_segment"]
    moved = np.where(foreseen == NONE, numbers["segment"], foreseen)
    numbers["segment"] = np.where(foreseen == NONE, moved, card.segmenter.assign(z, moved))
    foreseen = numbers["next_lifecycle"]
    numbers["lifecycle"] = np.where(foreseen == NONE, numbers["lifecycle"], foreseen)
    _arm(numbers, z, card, calendar)


def standard_features(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> FloatArray:
    """Standardised features as of `as_of_us`; sets `prob_alive`."""
    numbers["prob_alive"] = prob_alive_unchecked(
        numbers["frequency"], t_x_days(numbers), age_days(numbers, calendar), card.alive
    )
    return card.segmenter.features(
        numbers["prob_alive"], numbers["frequency"], monetary_value(numbers)
    )


def _arm(numbers: Numbers, z: FloatArray, card: Card, calendar: BusinessCalendar) -> None:
    segment_p, next_segment = card.segmenter.next_by_silence(z, numbers["segment"])
    lifecycle_p = card.lifecycle_floor[numbers["lifecycle"]]
    at = np.stack([_instant_at(p, numbers, card, calendar) for p in (segment_p, lifecycle_p)])
    soonest = at.min(axis=0)
    never = soonest == NEVER_US
    numbers["next_review_us"] = soonest
    numbers["next_segment"] = np.where(never | (at[0] > soonest), NONE, next_segment)
    numbers["next_lifecycle"] = np.where(never | (at[1] > soonest), NONE, numbers["lifecycle"] + 1)


def _instant_at(
    p: FloatArray, numbers: Numbers, card: Card, calendar: BusinessCalendar
) -> np.ndarray:
    """When P(alive) will have fallen to p by silence alone; `NEVER_US` where it will not."""
    reachable = p > 0
    age = age_at_prob_alive(
        np.where(reachable, p, 0.5), numbers["frequency"], t_x_days(numbers), card.alive
    )
    at = calendar.instant_of(np.where(reachable, numbers["first_day"] + age, np.inf))
    return np.asarray(np.maximum(at, numbers["as_of_us"]))
