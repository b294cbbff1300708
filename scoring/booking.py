"""Booking events into their customers' ledgers, and what that changes of frequency and money.

Owns which events count: not those whose transaction id is known, nor those that carry a sum too far.
Knows no score and no clock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoring import ledger
from scoring.events import Events
from scoring.ledger import RecentIds
from scoring.states import Numbers, States

REFUSED = -1
"""Outcome of an event that would have carried a sum beyond `scoring.ledger.TOTAL_UNITS_MAX`."""

_DUPLICATE, _NEW_DAY, _SAME_DAY, _ANY_DAY, _FIRST_DAY = 0, 1, 2, 3, 4


def book(
    states: States, events: Events, days: NDArray[np.int64], picked: NDArray[np.intp]
) -> NDArray[np.int8]:
    """Enter some events, of different customers, into their ledgers.

    Returns
    -------
    int8, shape (len(picked),)
        `REFUSED`, 0 where the transaction id had been counted before, or how it was booked.
    """
    rows = events.rows[picked]
    numbers = states.numbers[rows]
    outcome = [_DUPLICATE] * len(picked)
    sums = np.where(events.is_refund[picked], numbers["refund_units"], numbers["purchase_units"])
    too_much = sums > ledger.TOTAL_UNITS_MAX - events.amount_units[picked]
    # As lists: a column's element costs ten times a list's.
    ledgers = states.days[rows].tolist()
    ids_previous, ids_current = (
        states.ids_previous[rows].tolist(),
        states.ids_current[rows].tolist(),
    )
    ids_generation = numbers["ids_generation"].tolist()
    frequency, tail = numbers["frequency"].tolist(), numbers["tail"].tolist()
    columns = zip(
        events.hashes
        if len(picked) == len(events)
        else [events.hashes[e] for e in picked.tolist()],
        events.generations[picked].tolist(),
        numbers["tail_day"].tolist(),
        days[picked].tolist(),
        events.amount_units[picked].tolist(),
        events.is_refund[picked].tolist(),
        too_much.tolist(),
        strict=True,
    )
    for position, (key, arrived, tail_day, day, units, is_refund, full) in enumerate(columns):
        generation, previous, current = RecentIds(
            ids_generation[position], ids_previous[position], ids_current[position]
        ).at(arrived)
        if (current and ledger.contains_hash(current, key)) or (
            previous and ledger.contains_hash(previous, key)
        ):
            continue
        if full:
            outcome[position] = REFUSED
            continue
        ids_generation[position] = generation
        ids_previous[position], ids_current[position] = previous, current + key
        packed: bytes = ledgers[position]
        booked: bytes | None = None
        if not is_refund:
            if not packed:
                booked = ledger.first_purchase(day, units)
                outcome[position] = _FIRST_DAY
            elif day > tail_day and frequency[position] >= 0:
                booked = ledger.append_purchase(packed, tail_day, day, units)
                outcome[position] = _NEW_DAY
                tail[position] = len(packed)
            elif day == tail_day:
                booked = ledger.extend_last_day(packed, tail[position], units)
                outcome[position] = _SAME_DAY
        if booked is None:
            booked = ledger.add(packed, day, units, is_refund=is_refund)
            outcome[position] = _ANY_DAY
        ledgers[position] = booked
    kinds = np.array(outcome, dtype=np.int8)
    numbers["ids_generation"] = ids_generation
    numbers["tail"] = tail
    states.days[rows] = _objects(ledgers)
    states.ids_previous[rows] = _objects(ids_previous)
    states.ids_current[rows] = _objects(ids_current)
    for position in np.flatnonzero(kinds == _ANY_DAY).tolist():
        _summarise_into(numbers[position : position + 1], ledgers[position])
    _count_simple(numbers, kinds, days[picked], events.amount_units[picked])
    bought = (kinds > 0) & ~events.is_refund[picked]
    occurred = events.occurred_at_us[picked]
    numbers["first_at_us"] = np.where(
        bought, np.minimum(numbers["first_at_us"], occurred), numbers["first_at_us"]
    )
    numbers["last_at_us"] = np.where(
        bought, np.maximum(numbers["last_at_us"], occurred), numbers["last_at_us"]
    )
    states.numbers[rows] = numbers
    return kinds


def _objects(values: list[bytes]) -> NDArray[np.object_]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _count_simple(
    numbers: Numbers,
    outcome: NDArray[np.int8],
    days: NDArray[np.int64],
    units: NDArray[np.int64],
) -> None:
    """Purchases on the last day or after it need no second look at the ledger."""
    first_day = outcome == _FIRST_DAY
    new_day, same_day = first_day | (outcome == _NEW_DAY), outcome == _SAME_DAY
    simple = new_day | same_day
    numbers["purchase_units"] += np.where(simple, units, 0)
    numbers["frequency"] += new_day
    # The first day's sum is no repeat: it grows only the total.
    repeats = simple & (numbers["frequency"] > 0)
    numbers["repeat_units"] += np.where(repeats, units, 0)
    numbers["last_day"] = np.where(new_day, days, numbers["last_day"])
    numbers["tail_day"] = np.where(new_day, days, numbers["tail_day"])
    numbers["first_day"] = np.where(first_day, days, numbers["first_day"])


def _summarise_into(row: Numbers, days: bytes) -> None:
    summary = ledger.summarise(days)
    for column in (
        "frequency",
        "first_day",
        "last_day",
        "repeat_units",
        "purchase_units",
        "refund_units",
        "tail",
        "tail_day",
    ):
        row[column] = getattr(summary, column)
