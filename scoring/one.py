"""One customer at a time: what silence does, and what is told of them, without arrays.

The same rules as `advance` without events, `review` and `telling`, on plain numbers: numpy's price is
by the call, and for one row it is nearly all of it. Each value is computed by the same operations in the
same order, so whoever asks for one customer reads what the worker writes; tests hold both against each
other. New scorecards and events are `advance`'s alone.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from schemas.errors import InvariantError
from scoring.business_calendar import BusinessCalendar
from scoring.review import LIFECYCLES, UNITS_PER_MAJOR
from scoring.states import NEVER_US, NONE, NUMBERS, Numbers
from scoring.timeline import Card

_LIFECYCLE_NAMES = (*(str(name) for name in LIFECYCLES), None)
_STEPS_MAX = 1_000  # as in `scoring.advance`: more means that someone goes in circles


@dataclass(slots=True)
class One:
    """A row of `NUMBERS`: the same names in the same order."""

    frequency: int
    first_day: int
    last_day: int
    repeat_units: int
    purchase_units: int
    refund_units: int
    first_at_us: int
    last_at_us: int
    tail: int
    tail_day: int
    ids_generation: int
    as_of_us: int
    prob_alive: float
    card: int
    segment: int
    segment_since_us: int
    lifecycle: int
    next_review_us: int
    next_segment: int
    next_lifecycle: int
    sequence: int
    sample_rank: float
    source_topic: int
    source_offset: int

    @classmethod
    def of(cls, numbers: Numbers, row: int = 0) -> One:
        """A row as plain numbers."""
        return cls(*numbers[row].item())

    def copy(self) -> One:
        """Another one with the same values."""
        return One(*_values(self))

    def numbers(self) -> Numbers:
        """The same as an array of one row."""
        return np.array([_values(self)], dtype=NUMBERS)

    @property
    def t_x_days(self) -> float:
        """First to last purchase day."""
        return float(self.last_day - self.first_day)

    @property
    def monetary_value(self) -> float:
        """Mean of the day sums without the first day, major units; 0 without repeats."""
        if self.frequency <= 0:
            return 0.0
        return self.repeat_units / (self.frequency * UNITS_PER_MAJOR)


_values = attrgetter(*(field.name for field in fields(One)))


class Step(NamedTuple):
    """A change that silence brings."""

    at_us: int
    of_segment: bool
    previous: str | None
    current: str | None


def settle(one: One, until_us: int, card: Card, calendar: BusinessCalendar) -> Iterator[Step]:
    """Let silence do, in place, what it does by a moment; tells each change when it has happened.

    Parameters
    ----------
    one : One
        On `card` already.
    until_us : int
        Microseconds since 1970 UTC.

    Raises
    ------
    InvariantError
        They do not come to rest.
    """
    if one.next_review_us > until_us:
        return
    habits = card.one_segmenter.habits(one.frequency, one.monetary_value)
    for _ in range(_STEPS_MAX):
        segment, lifecycle = card.names[one.segment], _LIFECYCLE_NAMES[one.lifecycle]
        _cross(one, habits, card, calendar)
        if card.names[one.segment] != segment:
            one.sequence += 1
            one.segment_since_us = one.as_of_us
            yield Step(one.as_of_us, True, segment, card.names[one.segment])
        if _LIFECYCLE_NAMES[one.lifecycle] != lifecycle:
            one.sequence += 1
            yield Step(one.as_of_us, False, lifecycle, _LIFECYCLE_NAMES[one.lifecycle])
        if one.next_review_us > until_us:
            return
    raise InvariantError(
        f"a customer does not come to rest at {one.as_of_us} µs under scorecard {card.version}"
    )


def _cross(one: One, habits: tuple[float, float], card: Card, calendar: BusinessCalendar) -> None:
    """See `scoring.review.cross`."""
    one.as_of_us = one.next_review_us
    age = calendar.days_at_one(one.as_of_us) - one.first_day
    one.prob_alive = card.one_alive.prob_alive_unchecked(one.frequency, one.t_x_days, age)
    segmenter = card.one_segmenter
    alive = segmenter.standard_alive(one.prob_alive)
    closeness = segmenter.closeness(alive, *habits)
    if one.next_segment != NONE:
        one.segment = segmenter.settle(closeness, one.next_segment)
    if one.next_lifecycle != NONE:
        one.lifecycle = one.next_lifecycle
    p, target = segmenter.next_by_silence(closeness, alive, one.segment)
    segment_at = _instant_at(p, one, card, calendar)
    lifecycle_at = _instant_at(card.floors[one.lifecycle], one, card, calendar)
    soonest = min(segment_at, lifecycle_at)
    never = soonest == NEVER_US
    one.next_review_us = soonest
    one.next_segment = NONE if never or segment_at > soonest else target
    one.next_lifecycle = NONE if never or lifecycle_at > soonest else one.lifecycle + 1


def _instant_at(p: float, one: One, card: Card, calendar: BusinessCalendar) -> int:
    if not p > 0.0:
        return NEVER_US
    age = card.one_alive.age_at(p, one.frequency, one.t_x_days)
    return max(calendar.instant_of_one(one.first_day + age), one.as_of_us)


def lifecycle_name(one: One) -> str | None:
    """active, fading or lost."""
    return _LIFECYCLE_NAMES[one.lifecycle]


def rfm_of_one(
    one: One, silence_days: float, monetary_value: float, card: Card
) -> tuple[int, int, int]:
    """See `scoring.rfm.rfm_scores`."""
    cuts = card.scorecard.rfm
    return (
        5 - bisect_right(cuts.silence_days, silence_days),
        1 + bisect_left(cuts.frequency, max(one.frequency, 0)),
        1 + bisect_left(cuts.monetary_value, monetary_value),
    )


def margin_of_one(one: One, monetary_value: float, card: Card) -> tuple[float, str | None]:
    """Distance to the nearest border in standardised feature space, and the segment beyond."""
    segmenter = card.one_segmenter
    alive = segmenter.standard_alive(one.prob_alive)
    habits = segmenter.habits(one.frequency, monetary_value)
    distance, nearest = segmenter.nearest_border(segmenter.closeness(alive, *habits), one.segment)
    return distance, card.names[nearest]
