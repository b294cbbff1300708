"""A customer at the very moment of a crossing."""

from __future__ import annotations

import numpy as np

from scoring.bootstrap import bootstrap_scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.review import cross, score
from scoring.states import NEVER_US, blank_numbers
from scoring.timeline import Card

CUSTOMERS = 5_000
DAY_US = 86_400_000_000


def test_evaluated_anew_at_the_moment_of_a_crossing_nobody_falls_back() -> None:
    random = np.random.default_rng(4)
    numbers = blank_numbers(CUSTOMERS)
    numbers["frequency"] = random.integers(0, 60, CUSTOMERS)
    numbers["first_day"] = random.integers(19_000, 19_500, CUSTOMERS)
    numbers["last_day"] = numbers["first_day"] + numbers["frequency"] * random.integers(
        1, 9, CUSTOMERS
    )
    numbers["repeat_units"] = random.integers(0, 10**7, CUSTOMERS)
    numbers["as_of_us"] = numbers["last_day"] * DAY_US + random.integers(0, DAY_US, CUSTOMERS)
    card, calendar = Card(bootstrap_scorecard()), BusinessCalendar("UTC")
    score(numbers, card, calendar)
    crossed = 0
    while (due := numbers["next_review_us"] != NEVER_US).any():
        numbers = numbers[due]
        cross(numbers, card, calendar)
        late = numbers.copy()
        score(late, card, calendar)  # as an event does that comes from before the crossing
        for column in ("segment", "lifecycle", "next_review_us", "next_segment", "next_lifecycle"):
            assert np.array_equal(late[column], numbers[column]), column
        crossed += len(numbers)
    assert crossed > 2 * CUSTOMERS
