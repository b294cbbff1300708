"""Booking events into their customers' ledgers, and what that changes of frequency and money.

Owns which events count: not those whose transaction id is known, nor those that carry a sum too far.
Knows no score and no clock. Events are entered by `scoring._booking` where that was compiled, in Python
otherwise, to the same bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.compiled import compiled
from scoring import ledger
from scoring.events import Events
from scoring.ledger import RecentIds
from scoring.states import Numbers, States

REFUSED = -1
"""Outcome of an event that would have carried a sum beyond `scoring.ledger.TOTAL_UNITS_MAX`."""

_booking = compiled("scoring._booking")

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
    units, is_refund = events.amount_units[picked], events.is_refund[picked]
    sums = np.where(is_refund, numbers["refund_units"], numbers["purchase_units"])
    entries = Entries(
        ledgers=states.days[rows].tolist(),
        ids_previous=states.ids_previous[rows].tolist(),
        ids_current=states.ids_current[rows].tolist(),
        generations=numbers["ids_generation"].copy(),
        tails=numbers["tail"].copy(),
        hashes=events.hashes
        if len(picked) == len(events)
        else [events.hashes[event] for event in picked.tolist()],
        arrived=events.generations[picked],
        tail_days=numbers["tail_day"].copy(),
        days=days[picked],
        units=units,
        is_refund=is_refund.view(np.uint8),
        too_much=(sums > ledger.TOTAL_UNITS_MAX - units).view(np.uint8),
        frequency=numbers["frequency"].copy(),
    )
    kinds = enter(entries)
    numbers["ids_generation"] = entries.generations
    numbers["tail"] = entries.tails
    states.days[rows] = _objects(entries.ledgers)
    states.ids_previous[rows] = _objects(entries.ids_previous)
    states.ids_current[rows] = _objects(entries.ids_current)
    for position in np.flatnonzero(kinds == _ANY_DAY).tolist():
        _summarise_into(numbers[position : position + 1], entries.ledgers[position])
    _count_simple(numbers, kinds, entries.days, units)
    bought = (kinds > 0) & ~is_refund
    occurred = events.occurred_at_us[picked]
    numbers["first_at_us"] = np.where(
        bought, np.minimum(numbers["first_at_us"], occurred), numbers["first_at_us"]
    )
    numbers["last_at_us"] = np.where(
        bought, np.maximum(numbers["last_at_us"], occurred), numbers["last_at_us"]
    )
    states.numbers[rows] = numbers
    return kinds


class Entries(NamedTuple):
    """n events of n customers, and what they are entered into; int64, shape (n,), if nothing else is said.

    Attributes
    ----------
    ledgers, ids_previous, ids_current : list of bytes, length n
        Packed, see `scoring.ledger`; written in place, as are `generations` and `tails`.
    hashes : list of bytes, length n
    arrived : generation of each event's arrival
    is_refund, too_much : uint8, shape (n,)
        0 or 1.
    """

    ledgers: list[bytes]
    ids_previous: list[bytes]
    ids_current: list[bytes]
    generations: NDArray[np.int64]
    tails: NDArray[np.int64]
    hashes: list[bytes]
    arrived: NDArray[np.int64]
    tail_days: NDArray[np.int64]
    days: NDArray[np.int64]
    units: NDArray[np.int64]
    is_refund: NDArray[np.uint8]
    too_much: NDArray[np.uint8]
    frequency: NDArray[np.int64]


def enter(entries: Entries) -> NDArray[np.int8]:
    """Enter events by whichever means is at hand; how each was booked, as `book` says it."""
    if _booking is None:
        return enter_plainly(entries)
    outcome: NDArray[np.int8] = _booking.book_each(*entries)
    return outcome


def enter_plainly(entries: Entries) -> NDArray[np.int8]:
    """Enter events in Python."""
    ledgers, ids_previous, ids_current = entries[:3]
    outcome = [_DUPLICATE] * len(ledgers)
    # As lists: a column's element costs ten times a list's.
    generations, tails = entries.generations.tolist(), entries.tails.tolist()
    columns = zip(entries.hashes, *(column.tolist() for column in entries[6:]), strict=True)
    for position, (
        key, arrived, tail_day, day, units, is_refund, too_much, frequency,
    ) in enumerate(columns):  # fmt: skip
        generation, previous, current = RecentIds(
            generations[position], ids_previous[position], ids_current[position]
        ).at(arrived)
        if ledger.contains_hash(current, key) or ledger.contains_hash(previous, key):
            continue
        if too_much:
            outcome[position] = REFUSED
            continue
        generations[position] = generation
        ids_previous[position], ids_current[position] = previous, current + key
        packed: bytes = ledgers[position]
        booked: bytes | None = None
        if not is_refund:
            if not packed:
                booked = ledger.first_purchase(day, units)
                outcome[position] = _FIRST_DAY
            elif day > tail_day and frequency >= 0:
                booked = ledger.append_purchase(packed, tail_day, day, units)
                outcome[position] = _NEW_DAY
                tails[position] = len(packed)
            elif day == tail_day:
                booked = ledger.extend_last_day(packed, tails[position], units)
                outcome[position] = _SAME_DAY
        if booked is None:
            booked = ledger.add(packed, day, units, is_refund=bool(is_refund))
            outcome[position] = _ANY_DAY
        ledgers[position] = booked
    entries.generations[:], entries.tails[:] = generations, tails
    return np.array(outcome, dtype=np.int8)


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
