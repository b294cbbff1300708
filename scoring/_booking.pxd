"""Entering one event into one ledger, for the compiled modules."""

from libc.stdint cimport int8_t, int64_t

cdef enum:  # as `scoring.booking` has them
    REFUSED = -1
    DUPLICATE = 0
    NEW_DAY = 1
    SAME_DAY = 2
    ANY_DAY = 3
    FIRST_DAY = 4


cdef class Entry:
    cdef bytes ledger, ids_previous, ids_current
    cdef int64_t generation, tail

    cdef int8_t enter(
        self, bytes key, int64_t arrived, int64_t tail_day, int64_t day, int64_t units,
        bint is_refund, bint too_much, int64_t frequency,
    ) except? REFUSED
