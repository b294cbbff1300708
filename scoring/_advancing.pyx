# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""`scoring.advance` for customers who all stand on the scorecard in use, compiled: the same history.

Owns nothing but speed: one event after the other in log order, where Python lets everyone's first event
happen at once, then everyone's second. Each customer's changes are the same and in the same order; those
of different customers stand in that of the log.
"""

from libc.stdint cimport int8_t, int16_t, int64_t, uint8_t
from libc.stdlib cimport free, realloc
from libc.math cimport floor

from scoring._booking cimport ANY_DAY, DUPLICATE, FIRST_DAY, NEW_DAY, REFUSED, SAME_DAY, Entry
from scoring._bytes cimport place_of
from scoring._numbers cimport Row
from scoring._scoring cimport Scorer

import numpy as np

from schemas.change import Cause
from scoring import ledger as python
from scoring.changes import CAUSES
from scoring.states import NUMBERS

cdef enum:
    SEGMENT = 0  # indices into `scoring.changes.KINDS`
    LIFECYCLE = 1

cdef uint8_t TRANSACTION = CAUSES.index(Cause.TRANSACTION), SILENCE = CAUSES.index(Cause.SILENCE)
cdef uint8_t REFUND = CAUSES.index(Cause.REFUND), LATE_EVENT = CAUSES.index(Cause.LATE_EVENT)
cdef int64_t TOTAL_UNITS_MAX = python.TOTAL_UNITS_MAX

cdef struct Move:
    Row then
    int64_t whose
    int16_t previous, current
    uint8_t kind, cause


cdef class Moves:
    """The changes found so far."""

    cdef Move* found
    cdef Py_ssize_t count, room
    cdef const int16_t* segments
    cdef const int16_t* lifecycles
    cdef Py_ssize_t none

    def __cinit__(self):
        self.found = NULL
        self.count = self.room = 0

    def __dealloc__(self):
        free(self.found)

    cdef int record(
        self, Row* row, int64_t whose, int64_t segment, int64_t lifecycle, uint8_t cause
    ) except -1:
        """Number what is no longer as it was."""
        if row.segment != segment:
            row.sequence += 1
            row.segment_since_us = row.as_of_us
            self.add(
                row, whose, SEGMENT, cause, self.segments[segment if segment >= 0 else self.none],
                self.segments[row.segment if row.segment >= 0 else self.none],
            )
        if row.lifecycle != lifecycle:
            row.sequence += 1
            self.add(
                row, whose, LIFECYCLE, cause, self.lifecycles[lifecycle if lifecycle >= 0 else 3],
                self.lifecycles[row.lifecycle if row.lifecycle >= 0 else 3],
            )
        return 0

    cdef int add(
        self, Row* row, int64_t whose, uint8_t kind, uint8_t cause, int16_t previous, int16_t current
    ) except -1:
        cdef Move* larger
        if self.count == self.room:
            larger = <Move*> realloc(self.found, (2 * self.room + 16) * sizeof(Move))
            if larger == NULL:
                raise MemoryError()
            self.found, self.room = larger, 2 * self.room + 16
        self.found[self.count] = Move(row[0], whose, previous, current, kind, cause)
        self.count += 1
        return 0

    cdef tuple columns(self):
        cdef Py_ssize_t i, n = self.count
        numbers, rows = np.empty(n, dtype=NUMBERS), np.empty(n, dtype=np.int64)
        labels, kinds = np.empty((2, n), dtype=np.int16), np.empty((2, n), dtype=np.uint8)
        cdef Row* then = <Row*> place_of(numbers, n * sizeof(Row))
        cdef int64_t* whose = <int64_t*> place_of(rows, n * sizeof(int64_t))
        cdef int16_t* label = <int16_t*> place_of(labels, 2 * n * sizeof(int16_t))
        cdef uint8_t* kind = <uint8_t*> place_of(kinds, 2 * n)
        for i in range(n):
            then[i], whose[i] = self.found[i].then, self.found[i].whose
            label[i], label[n + i] = self.found[i].previous, self.found[i].current
            kind[i], kind[n + i] = self.found[i].kind, self.found[i].cause
        return rows, numbers, labels[0], labels[1], kinds[0], kinds[1]


cdef inline int settle(
    Row* row, int64_t whose, int64_t until_us, int steps_max, Scorer scorer, Moves moves
) except -1:
    """Let silence do what it had to do by a moment."""
    cdef int64_t segment, lifecycle
    cdef int step
    for step in range(steps_max):
        if row.next_review_us > until_us:
            return 0
        segment, lifecycle = row.segment, row.lifecycle
        scorer.cross(row)
        moves.record(row, whose, segment, lifecycle, SILENCE)
    raise OverflowError(whose)


cdef int summarise(Row* row, bytes days) except -1:
    told = python.summarise(days)
    row.frequency, row.first_day, row.last_day = told.frequency, told.first_day, told.last_day
    row.repeat_units, row.purchase_units = told.repeat_units, told.purchase_units
    row.refund_units, row.tail, row.tail_day = told.refund_units, told.tail, told.tail_day
    return 0


cdef inline int count(
    Row* row, Entry entry, int8_t how, int64_t day, int64_t units, int64_t occurred_us,
    bint is_refund,
) except -1:
    """What an event that was booked changes of frequency and money."""
    row.ids_generation, row.tail = entry.generation, entry.tail
    if how == ANY_DAY:
        summarise(row, entry.ledger)
    else:
        row.purchase_units += units
        if how != SAME_DAY:
            row.frequency += 1
            row.last_day = row.tail_day = day
        if how == FIRST_DAY:
            row.first_day = day
        if row.frequency > 0:  # the first day's sum is no repeat
            row.repeat_units += units
    if not is_refund:
        row.first_at_us = min(row.first_at_us, occurred_us)
        row.last_at_us = max(row.last_at_us, occurred_us)
    return 0


def advance_rows(
    Scorer scorer,
    numbers,
    days,
    ids_previous,
    ids_current,
    events,
    list hashes,
    int64_t now_us,
    int64_t lateness_us,
    int64_t settled_us_min,
    int steps_max,
    segment_labels,
    lifecycle_labels,
):
    """Let events happen to customers, and time pass for them.

    Parameters
    ----------
    scorer : of the scorecard on which all of them stand
    numbers : structured array of dtype NUMBERS, shape (n,)
    days, ids_previous, ids_current : object arrays of bytes, shape (n,)
        Written in place, as are the numbers.
    events : int64, shape (8, m)
        Row, occurred at, moment on the clock, units, whether a refund, generation, topic, offset;
        see `scoring.events`.
    hashes : list of m bytes
    now_us, lateness_us : int
        See `scoring.advance.advance`.
    settled_us_min : int
        Moment up to which time passes at least.
    steps_max : int
        Crossings of one customer on end.
    segment_labels, lifecycle_labels : int16, shape (segments + 1,) and (4,)
        Labels of each; the last is that of none.

    Returns
    -------
    clock_us : int
    applied : int
    refused : list of int
    rows, numbers, previous, current, kinds, causes
        Of the changes, see `scoring.changes.ChangeBlock`.

    Raises
    ------
    OverflowError
        Of the row of a customer who does not come to rest.
    """
    cdef Py_ssize_t n = len(numbers), m = len(hashes), i
    cdef Row* rows = <Row*> place_of(numbers, n * sizeof(Row))
    cdef const int64_t* whose = <const int64_t*> place_of(events, 8 * m * sizeof(int64_t))
    cdef const int64_t* occurred = whose + m
    cdef const int64_t* moments = whose + 2 * m
    cdef const int64_t* units = whose + 3 * m
    cdef const int64_t* is_refund = whose + 4 * m
    cdef const int64_t* arrived = whose + 5 * m
    cdef const int64_t* topics = whose + 6 * m
    cdef const int64_t* offsets = whose + 7 * m
    cdef object[::1] ledgers = days, previous = ids_previous, current = ids_current
    cdef Moves moves = Moves()
    cdef Entry entry = Entry()
    cdef Row* row
    cdef int64_t clock_us = now_us, until_us, day, segment, lifecycle, applied = 0, total
    cdef uint8_t cause
    cdef int8_t how
    cdef bint late
    moves.none = scorer.segments
    moves.segments = <const int16_t*> place_of(
        segment_labels, (moves.none + 1) * sizeof(int16_t)
    )
    moves.lifecycles = <const int16_t*> place_of(lifecycle_labels, 4 * sizeof(int16_t))
    refused = []
    for i in range(m):
        row = rows + whose[i]
        clock_us = max(clock_us, moments[i])
        until_us = max(clock_us - lateness_us, occurred[i])
        settle(row, whose[i], until_us, steps_max, scorer, moves)
        day = <int64_t> floor(scorer.days_at(occurred[i]))
        entry.ledger, entry.ids_previous = ledgers[whose[i]], previous[whose[i]]
        entry.ids_current = current[whose[i]]
        entry.generation, entry.tail = row.ids_generation, row.tail
        total = row.refund_units if is_refund[i] else row.purchase_units
        how = entry.enter(
            hashes[i], arrived[i], row.tail_day, day, units[i], is_refund[i],
            total > TOTAL_UNITS_MAX - units[i], row.frequency,
        )
        if how == DUPLICATE:
            continue
        if how == REFUSED:
            refused.append(i)
            continue
        ledgers[whose[i]], previous[whose[i]] = entry.ledger, entry.ids_previous
        current[whose[i]] = entry.ids_current
        count(row, entry, how, day, units[i], occurred[i], is_refund[i])
        applied += 1
        late = occurred[i] < row.as_of_us
        cause = LATE_EVENT if late else REFUND if is_refund[i] else TRANSACTION
        if not late:
            row.as_of_us = occurred[i]
        row.source_topic, row.source_offset = topics[i], offsets[i]
        segment, lifecycle = row.segment, row.lifecycle
        scorer.score(row)
        moves.record(row, whose[i], segment, lifecycle, cause)
    until_us = settled_us_min
    if m and clock_us - lateness_us > until_us:
        until_us = clock_us - lateness_us
    for i in range(n):
        settle(rows + i, i, until_us, steps_max, scorer, moves)
    return (clock_us, applied, refused) + moves.columns()
