"""A customer erased: the last changes that are ever told of them."""

from __future__ import annotations

import numpy as np

from schemas.change import Cause
from scoring.advance import Advanced
from scoring.changes import same_cause
from scoring.states import blank_numbers
from scoring.timeline import Card


def erase(advanced: Advanced, until_us: int, source: tuple[int, int], card: Card) -> int:
    """Leave every segment and lifecycle, and tell nothing else of the customer.

    Parameters
    ----------
    advanced : of one customer, brought up to the clock
    until_us : int
        When it happened, microseconds since 1970 UTC.
    source : (index of the input topic, offset)
        Of the record that asked for it.
    card : Card
        In use.

    Returns
    -------
    int
        Sequence of the last change. Those of the erasure, to no segment and to no lifecycle, follow the
        others in `advanced.changes`.
    """
    before = advanced.states.numbers
    numbers = blank_numbers(1)
    for column in ("card", "sequence"):
        numbers[column] = before[column]
    numbers["as_of_us"] = until_us
    numbers["source_topic"], numbers["source_offset"] = source
    advanced.changes.record(
        np.zeros(1, dtype=np.intp), numbers, before, same_cause(Cause.ERASURE, 1), card, card
    )
    return int(numbers["sequence"][0])
