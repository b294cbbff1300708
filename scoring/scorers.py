"""The compiled scorer of a scorecard, where there is one.

Owns when there is none: Python then does the same.
"""

from __future__ import annotations

from typing import Any

from schemas.compiled import compiled
from scoring.business_calendar import BusinessCalendar
from scoring.timeline import Card

_scoring = compiled("scoring._scoring")


def scorer_of(card: Card, calendar: BusinessCalendar) -> Any:
    """A `scoring._scoring.Scorer`; None where that was not compiled, or has no room for the segments."""
    if _scoring is None or len(card.scorecard.segments) > _scoring.SEGMENTS_MAX:
        return None
    zone = calendar.timezone_name
    if zone not in card.scorers:
        card.scorers[zone] = _scoring.Scorer(
            card.scorecard, card.segmenter.tables, card.lifecycle_floor, calendar.offsets
        )
    return card.scorers[zone]
