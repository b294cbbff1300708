"""The way back to a former scorecard: everyone to the segment they were in.

Numbers alone do not lead back. Near a border it depends on where a customer came from on which side they
are (hysteresis), and they come from where the other scorecard has led them. What tells: since when they
have been in their segment, and what silence would have made of them since their last purchase, had the
former scorecard never been replaced.
"""

from __future__ import annotations

import numpy as np

from schemas.errors import InvariantError
from scoring.business_calendar import BusinessCalendar
from scoring.review import cross, score, standard_features
from scoring.segments import IntArray
from scoring.states import NONE, Numbers
from scoring.timeline import Timeline

_SILENT_STEPS_MAX = 100  # far more than there are segments and lifecycles to pass


def former_segments(
    numbers: Numbers, index: int, former: int, timeline: Timeline, calendar: BusinessCalendar
) -> IntArray:
    """Segments from which customers go on under a scorecard that restores another.

    Parameters
    ----------
    numbers : shape (n,)
        On scorecard `index − 1`, their `segment` already one of scorecard `index`; `as_of_us` is the
        moment of its adoption.
    index, former : int
        In the timeline: the scorecard that restores, and the one that it restores.

    Returns
    -------
    int64, shape (n,)
    """
    replaced_at = timeline.adopted_at(former + 1)
    since = numbers["segment_since_us"]
    segment: IntArray = numbers["segment"].copy()
    # Who has been in it for longer was never led away.
    left = np.flatnonzero((since >= replaced_at) & (numbers["frequency"] >= 0))
    if not len(left):
        return segment
    moved, present = numbers[left], segment[left]
    guess = _as_if_never_replaced(moved, former, timeline, calendar)
    card = timeline[index]
    z = standard_features(moved, card, calendar)
    # Moved at the replacement itself, and not by a purchase of that very moment: they were elsewhere.
    # Unless another replacement came at the same moment, and may have led them back.
    only_one = index == former + 2 or timeline.adopted_at(former + 2) > replaced_at
    at_once = (moved["segment_since_us"] == replaced_at) & only_one
    by_purchase = moved["last_at_us"] == replaced_at
    elsewhere = np.where(at_once & ~by_purchase, present, NONE)
    preferred = np.where(at_once & by_purchase & (present != NONE), present, guess)
    segment[left] = card.segmenter.at_rest(z, preferred, elsewhere)
    return segment


def _as_if_never_replaced(
    numbers: Numbers, former: int, timeline: Timeline, calendar: BusinessCalendar
) -> IntArray:
    """Segments to which silence and the scorecards up to the former would have led by `as_of_us`.

    From the last purchase on; what hysteresis held before it is not known any more.
    """
    until_us = numbers["as_of_us"].copy()
    adopted = np.array([timeline.adopted_at(index) for index in range(1, former + 1)], np.int64)
    began_on = np.searchsorted(adopted, numbers["last_at_us"], side="left")
    rows = numbers.copy()
    rows["segment"], rows["lifecycle"] = NONE, NONE
    rows["as_of_us"] = np.minimum(numbers["last_at_us"], until_us)
    for index in range(int(began_on.min()), former + 1):
        card = timeline[index]
        here = np.flatnonzero(began_on <= index)
        some = rows[here]
        went_on = began_on[here] < index
        if index:
            some["segment"] = np.where(
                went_on, timeline.translate(index - 1)[some["segment"]], some["segment"]
            )
            some["as_of_us"] = np.where(
                went_on,
                np.maximum(some["as_of_us"], timeline.adopted_at(index)),
                some["as_of_us"],
            )
        score(some, card, calendar)
        end_us = until_us[here] if index == former else np.full(len(here), adopted[index])
        for _ in range(_SILENT_STEPS_MAX):
            due = np.flatnonzero(some["next_review_us"] <= end_us)
            if not len(due):
                break
            crossing = some[due]
            cross(crossing, card, calendar)
            some[due] = crossing
        else:
            raise InvariantError(f"silence does not come to rest under scorecard {card.version}")
        rows[here] = some
    segment: IntArray = rows["segment"]
    return segment
