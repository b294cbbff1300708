"""The heart: states and events in, states and changes out. Pure; the clock is an argument.

Time
    A partition's clock only rises: the largest event time seen, or later if the caller says so.
    What silence did to a customer up to the clock always comes before what the next event does,
    and bears the time of its crossing. So neither batch size nor the timing of sweeps shows in the
    history. A customer is evaluated as of their own latest moment (`as_of_us`): an event from before
    it changes the ledger, not the moment.
Order
    The ledger makes every permutation of the same events give the same recency, frequency and
    monetary state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.change import Cause
from schemas.errors import InvariantError
from scoring import ledger
from scoring.business_calendar import BusinessCalendar
from scoring.changes import ChangeLog, same_cause
from scoring.ledger import RecentIds
from scoring.review import cross, score
from scoring.states import UNKNOWN_US, Numbers, States
from scoring.timeline import Timeline

# Two lifecycle steps and at most a few for each segment: more means that someone goes in circles.
_SILENT_STEPS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Events:
    """n events in log order.

    Attributes
    ----------
    rows : intp, shape (n,)
        Whose event, as row of the states.
    occurred_at_us : int64, shape (n,)
        Event time, microseconds since 1970 UTC.
    amount_units : int64, shape (n,)
        1/10,000 major units, not negative.
    is_refund : bool, shape (n,)
    hashes : list of n 8-byte hashes of the transaction ids
    generations : int64, shape (n,)
        Arrival time divided by the dedup horizon.
    topics, offsets : int64, shape (n,)
        Where in the log; topics are indices into the input topics.
    """

    rows: NDArray[np.intp]
    occurred_at_us: NDArray[np.int64]
    amount_units: NDArray[np.int64]
    is_refund: NDArray[np.bool_]
    hashes: list[bytes]
    generations: NDArray[np.int64]
    topics: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls) -> Events:
        """No events: `advance` then only lets time pass."""
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, empty.astype(np.bool_), [], empty, empty, empty)


@dataclass(frozen=True, slots=True)
class Advanced:
    """What `advance` gives back.

    Attributes
    ----------
    states : States
        New ones; those handed in are untouched.
    changes : ChangeLog
    duplicates : int
        Events whose transaction id had been counted before.
    clock_us : int
        The partition's clock afterwards.
    refused : intp, shape (n,)
        Events, ascending, that would have carried a sum of their customer beyond
        `scoring.ledger.TOTAL_UNITS_MAX`: not counted, their ids not remembered.
    """

    states: States
    changes: ChangeLog
    duplicates: int
    clock_us: int
    refused: NDArray[np.intp]


def advance(
    states: States,
    events: Events,
    now_us: int,
    timeline: Timeline,
    calendar: BusinessCalendar,
    lateness_us: int = 0,
) -> Advanced:
    """Let events happen to customers, and time pass for them.

    Parameters
    ----------
    states : n customers, each once
    events : in log order
    now_us : int
        The partition's clock before the first event, microseconds since 1970 UTC.
    timeline : the partition's scorecards
    calendar : the business time zone
    lateness_us : int
        How far silence stays behind the clock: customers whose events come in their own order, and
        no further apart in the log than this, have the same history whoever shares their partition.

    Returns
    -------
    Advanced
        All customers brought up to max(now, latest event) less the lateness.
    """
    after = states.take(np.arange(len(states)))
    changes = ChangeLog()
    clocks = np.maximum(np.maximum.accumulate(events.occurred_at_us), now_us)
    days = np.floor(calendar.days_at(events.occurred_at_us)).astype(np.int64)
    applied, refused = 0, np.zeros(len(events), dtype=np.bool_)
    for picked in _rounds(events.rows):
        until = np.maximum(clocks[picked] - lateness_us, events.occurred_at_us[picked])
        _settle(after, events.rows[picked], until, timeline, calendar, changes)
        outcome = _book(after, events, days, picked)
        refused[picked] = outcome == _REFUSED
        fresh = picked[outcome > 0]
        applied += len(fresh)
        if len(fresh):
            _evaluate(after, events, fresh, timeline, calendar, changes)
    clock_us = int(clocks[-1]) if len(events) else now_us
    everyone = np.arange(len(after))
    until = np.full(len(after), max(clock_us - lateness_us, UNKNOWN_US))
    _settle(after, everyone, until, timeline, calendar, changes)
    duplicates = len(events) - applied - int(refused.sum())
    return Advanced(after, changes, duplicates, clock_us, np.flatnonzero(refused))


def _rounds(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Indices of everyone's first event, then of everyone's second, and so on."""
    if len(rows) == 0:
        return []
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    if rank.max() == 0:
        return [np.arange(len(rows))]
    by_rank = np.argsort(rank, kind="stable")
    cuts = np.cumsum(np.bincount(rank))[:-1]
    return [np.sort(part) for part in np.split(order[by_rank], cuts)]


def _settle(
    states: States,
    rows: NDArray[np.intp],
    until_us: NDArray[np.int64],
    timeline: Timeline,
    calendar: BusinessCalendar,
    changes: ChangeLog,
) -> None:
    """Let silence and new scorecards do to each customer what they had to do by a moment."""
    cards = states.numbers["card"][rows]
    stale = cards < timeline.current
    while stale.any():
        # All customers move up one scorecard at a time: what happened under each is history.
        index = int(cards[stale].min())
        here = stale & (cards == index)
        adopted_at = timeline.adopted_at(index + 1)
        moment = np.full(int(here.sum()), adopted_at)
        _cross_until(states, rows[here], moment, index, timeline, calendar, changes)
        _change_card(states, rows[here], index, timeline, calendar, changes)
        cards = states.numbers["card"][rows]
        stale = cards < timeline.current
    _cross_until(states, rows, until_us, timeline.current, timeline, calendar, changes)


def _cross_until(
    states: States,
    rows: NDArray[np.intp],
    until_us: NDArray[np.int64],
    index: int,
    timeline: Timeline,
    calendar: BusinessCalendar,
    changes: ChangeLog,
) -> None:
    card = timeline[index]
    for _ in range(_SILENT_STEPS_MAX):
        due = states.numbers["next_review_us"][rows] <= until_us
        if not due.any():
            return
        rows, until_us = rows[due], until_us[due]
        before = states.numbers[rows]
        numbers = before.copy()
        cross(numbers, card, calendar)
        causes = same_cause(Cause.SILENCE, len(rows))
        changes.record(rows, numbers, before, causes, card, card)
        states.numbers[rows] = numbers
    raise InvariantError(
        f"customer {states.customer_ids[rows[0]]!r} does not come to rest at "
        f"{int(states.numbers['as_of_us'][rows[0]])} µs under scorecard {card.version}"
    )


def _change_card(
    states: States,
    rows: NDArray[np.intp],
    index: int,
    timeline: Timeline,
    calendar: BusinessCalendar,
    changes: ChangeLog,
) -> None:
    old, new = timeline[index], timeline[index + 1]
    before = states.numbers[rows]
    numbers = before.copy()
    numbers["card"] = index + 1
    numbers["segment"] = timeline.translate(index)[before["segment"]]
    numbers["as_of_us"] = np.maximum(before["as_of_us"], timeline.adopted_at(index + 1))
    score(numbers, new, calendar)
    causes = same_cause(Cause.SCORECARD, len(rows))
    changes.record(rows, numbers, before, causes, new, old)
    states.numbers[rows] = numbers


def _evaluate(
    states: States,
    events: Events,
    picked: NDArray[np.intp],
    timeline: Timeline,
    calendar: BusinessCalendar,
    changes: ChangeLog,
) -> None:
    """Score the customers of some events, all different, after those events were booked."""
    rows = events.rows[picked]
    card = timeline.card
    before = states.numbers[rows]
    numbers = before.copy()
    occurred = events.occurred_at_us[picked]
    late = occurred < before["as_of_us"]
    numbers["as_of_us"] = np.where(late, before["as_of_us"], occurred)
    numbers["source_topic"] = events.topics[picked]
    numbers["source_offset"] = events.offsets[picked]
    score(numbers, card, calendar)
    causes = same_cause(Cause.TRANSACTION, len(rows))
    causes[events.is_refund[picked]] = Cause.REFUND
    causes[late] = Cause.LATE_EVENT
    changes.record(rows, numbers, before, causes, card, card)
    states.numbers[rows] = numbers


def _book(
    states: States, events: Events, days: NDArray[np.int64], picked: NDArray[np.intp]
) -> NDArray[np.int8]:
    """Enter some events, of different customers, into their ledgers.

    Returns
    -------
    int8, shape (len(picked),)
        `_REFUSED`, `_DUPLICATE` where the transaction id had been counted before, or how it was booked.
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
            outcome[position] = _REFUSED
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


_REFUSED, _DUPLICATE, _NEW_DAY, _SAME_DAY, _ANY_DAY, _FIRST_DAY = -1, 0, 1, 2, 3, 4


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
