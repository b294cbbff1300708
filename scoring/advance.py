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
from schemas.compiled import compiled
from schemas.errors import InvariantError
from scoring.booking import REFUSED, book
from scoring.business_calendar import BusinessCalendar
from scoring.changes import CAUSES, ChangeBlock, ChangeLog, labels_of, same_cause
from scoring.events import Events
from scoring.restoring import former_segments
from scoring.review import cross, score
from scoring.scorers import scorer_of
from scoring.states import UNKNOWN_US, States
from scoring.timeline import Timeline

_advancing = compiled("scoring._advancing")

# Two lifecycle steps and at most a few for each segment: more means that someone goes in circles.
_SILENT_STEPS_MAX = 1_000


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
    scorer = None if _advancing is None else scorer_of(timeline.card, calendar)
    # Who stands on an older scorecard is brought up by Python, as is everybody with them.
    if scorer is None or (states.numbers["card"] < timeline.current).any():
        return advance_plainly(states, events, now_us, timeline, calendar, lateness_us)
    after = states.copy()
    card, labels = timeline.card, labels_of(timeline.card, timeline.card)
    moments = events.occurred_at_us
    if events.not_before_us is not None:
        moments = np.maximum(moments, events.not_before_us)
    try:
        clock_us, applied, refused, rows, numbers, *moves = _advancing.advance_rows(
            scorer,
            after.numbers,
            after.days,
            after.ids_previous,
            after.ids_current,
            np.array(
                (
                    events.rows,
                    events.occurred_at_us,
                    moments,
                    events.amount_units,
                    events.is_refund,
                    events.generations,
                    events.topics,
                    events.offsets,
                ),
                dtype=np.int64,
            ),
            events.hashes,
            now_us,
            lateness_us,
            max(now_us - lateness_us, UNKNOWN_US),
            _SILENT_STEPS_MAX,
            labels.segments,
            labels.lifecycles,
        )
    except OverflowError as error:
        raise _restless(after, error.args[0], card.version) from None
    changes = ChangeLog()
    if len(rows):
        previous, current, kinds, causes = moves
        changes.blocks.append(
            ChangeBlock(rows, kinds, previous, current, labels, causes, numbers, card)
        )
    duplicates = len(events) - applied - len(refused)
    return Advanced(after, changes, duplicates, clock_us, np.array(refused, dtype=np.intp))


def advance_plainly(
    states: States,
    events: Events,
    now_us: int,
    timeline: Timeline,
    calendar: BusinessCalendar,
    lateness_us: int = 0,
) -> Advanced:
    """The same with numpy, for any scorecards: everyone's first event, then everyone's second, and so on."""
    after = states.copy()
    changes = ChangeLog()
    moments = events.occurred_at_us
    if events.not_before_us is not None:
        moments = np.maximum(moments, events.not_before_us)
    clocks = np.maximum(np.maximum.accumulate(moments), now_us)
    days = np.floor(calendar.days_at(events.occurred_at_us)).astype(np.int64)
    applied, refused = 0, np.zeros(len(events), dtype=np.bool_)
    for picked in _rounds(events.rows):
        until = np.maximum(clocks[picked] - lateness_us, events.occurred_at_us[picked])
        _settle(after, events.rows[picked], until, timeline, calendar, changes)
        outcome = book(after, events, days, picked)
        refused[picked] = outcome == REFUSED
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
    if np.bincount(rows).max() == 1:
        return [np.arange(len(rows))]
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
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
    raise _restless(states, int(rows[0]), card.version)


def _restless(states: States, row: int, version: str) -> InvariantError:
    return InvariantError(
        f"customer {states.customer_ids[row]!r} does not come to rest at "
        f"{int(states.numbers['as_of_us'][row])} µs under scorecard {version}"
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
    former = timeline.restored(index + 1)
    if former is not None:
        numbers["segment"] = former_segments(numbers, index + 1, former, timeline, calendar)
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
    causes[events.is_refund[picked]] = CAUSES.index(Cause.REFUND)
    causes[late] = CAUSES.index(Cause.LATE_EVENT)
    changes.record(rows, numbers, before, causes, card, card)
    states.numbers[rows] = numbers
