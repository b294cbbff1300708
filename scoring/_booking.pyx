# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Booking events into packed ledgers, compiled: what `scoring.booking` does in Python, to the same bytes.

Owns nothing but speed. What is not a purchase on a customer's last day or after it goes to
`scoring.ledger.add`, which knows every case.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memcpy

import numpy as np

from scoring import ledger as python

cdef enum:
    HASH_BYTES = 8
    VARINT_BYTES_MAX = 10


cdef inline bint contains(bytes hashes, const char* wanted) noexcept:
    cdef const char* at = PyBytes_AS_STRING(hashes)
    cdef const char* end = at + PyBytes_GET_SIZE(hashes)
    while at + HASH_BYTES <= end:
        if memcmp(at, wanted, HASH_BYTES) == 0:
            return True
        at += HASH_BYTES
    return False


cdef inline int put_varint(uint8_t* at, uint64_t value) noexcept:
    cdef int size = 0
    while value > 127:
        at[size] = <uint8_t> (value & 127 | 128)
        value >>= 7
        size += 1
    at[size] = <uint8_t> value
    return size + 1


cdef bytes with_day(bytes days, uint64_t step, uint64_t units):
    """A ledger with one more day, of one purchase."""
    cdef uint8_t entry[2 * VARINT_BYTES_MAX + 1]
    cdef Py_ssize_t before = PyBytes_GET_SIZE(days)
    cdef int size = put_varint(entry, step)
    entry[size] = 2
    size += 1
    size += put_varint(entry + size, units)
    cdef bytes booked = PyBytes_FromStringAndSize(NULL, before + size)
    memcpy(PyBytes_AS_STRING(booked), PyBytes_AS_STRING(days), before)
    memcpy(PyBytes_AS_STRING(booked) + before, entry, size)
    return booked


cdef inline Py_ssize_t read_varint(
    const uint8_t* data, Py_ssize_t at, Py_ssize_t size, uint64_t* value
) noexcept:
    """Position after a number; -1 where the bytes end inside it or it is none of ours."""
    cdef int shift = 0
    value[0] = 0
    while at < size and shift < 63:
        value[0] |= <uint64_t> (data[at] & 127) << shift
        if data[at] < 128:
            return at + 1
        at += 1
        shift += 7
    return -1


cdef bytes with_purchase(bytes days, Py_ssize_t tail, uint64_t units):
    """A ledger whose last day has one purchase more; None where `scoring.ledger` has to look."""
    cdef const uint8_t* data = <const uint8_t*> PyBytes_AS_STRING(days)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(days), step_end, at
    cdef uint64_t step, flags, sum_units
    cdef uint8_t entry[2 * VARINT_BYTES_MAX]
    cdef int added
    step_end = read_varint(data, tail, size, &step) if 0 <= tail else -1
    if step_end < 0:
        return None
    at = read_varint(data, step_end, size, &flags)
    if at < 0 or flags & 1 or flags < 2:
        return None
    at = read_varint(data, at, size, &sum_units)
    if at != size:
        return None
    added = put_varint(entry, flags + 2)
    added += put_varint(entry + added, sum_units + units)
    cdef bytes booked = PyBytes_FromStringAndSize(NULL, step_end + added)
    memcpy(PyBytes_AS_STRING(booked), data, step_end)
    memcpy(PyBytes_AS_STRING(booked) + step_end, entry, added)
    return booked


cdef inline uint64_t zigzag(int64_t value) noexcept:
    return (<uint64_t> value << 1) if value >= 0 else (<uint64_t> (-value) << 1) - 1


cdef class Entry:
    """A customer's ledger, to enter one event."""

    cdef int8_t enter(
        self, bytes key, int64_t arrived, int64_t tail_day, int64_t day, int64_t units,
        bint is_refund, bint too_much, int64_t frequency,
    ) except? REFUSED:
        """See `scoring.booking.book`."""
        cdef bytes previous = self.ids_previous, current = self.ids_current
        cdef bytes packed = self.ledger, booked = None
        cdef int64_t generation = self.generation
        cdef int8_t how = ANY_DAY
        if arrived > generation:
            previous = current if arrived == generation + 1 else b""
            current = b""
            generation = arrived
        if contains(current, PyBytes_AS_STRING(key)) or contains(previous, PyBytes_AS_STRING(key)):
            return DUPLICATE
        if too_much:
            return REFUSED
        if not is_refund:
            if PyBytes_GET_SIZE(packed) == 0:
                booked, how = with_day(packed, zigzag(day), units), FIRST_DAY
            elif day > tail_day and frequency >= 0:
                booked, how = with_day(packed, day - tail_day, units), NEW_DAY
                self.tail = PyBytes_GET_SIZE(packed)
            elif day == tail_day:
                booked, how = with_purchase(packed, self.tail, units), SAME_DAY
        if booked is None:
            how = ANY_DAY
            booked = python.add(packed, day, units, is_refund=bool(is_refund))
        self.generation = generation
        self.ids_previous, self.ids_current = previous, current + key
        self.ledger = booked
        return how


def book_each(
    list ledgers,
    list ids_previous,
    list ids_current,
    int64_t[::1] generations,
    int64_t[::1] tails,
    list hashes,
    const int64_t[::1] arrived,
    const int64_t[::1] tail_days,
    const int64_t[::1] days,
    const int64_t[::1] units,
    const uint8_t[::1] is_refund,
    const uint8_t[::1] too_much,
    const int64_t[::1] frequency,
):
    """Enter n events, of n customers; ledgers, ids, generations and tails are written in place.

    Returns
    -------
    int8, shape (n,)
        See `scoring.booking.book`.
    """
    cdef Py_ssize_t i, n = len(ledgers)
    cdef Entry entry = Entry()
    cdef int8_t[::1] outcome
    found = np.zeros(n, dtype=np.int8)
    outcome = found
    for i in range(n):
        entry.ledger, entry.ids_previous, entry.ids_current = (
            ledgers[i], ids_previous[i], ids_current[i]
        )
        entry.generation, entry.tail = generations[i], tails[i]
        outcome[i] = entry.enter(
            hashes[i], arrived[i], tail_days[i], days[i], units[i], is_refund[i], too_much[i],
            frequency[i],
        )
        ledgers[i], ids_previous[i], ids_current[i] = (
            entry.ledger, entry.ids_previous, entry.ids_current
        )
        generations[i], tails[i] = entry.generation, entry.tail
    return found
