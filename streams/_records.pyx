# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Tails of records, compiled: what `streams.tails` does in Python, and the same bytes.

A tail is what a record says, as it stands in a batch of Kafka's log: key, value and headers.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc

from scoring._bytes cimport Text, put, put_varint, text_of, texts_of

import numpy as np

cdef extern from "Python.h":
    ctypedef struct PyHash_FuncDef:
        Py_hash_t (*hash)(const void*, Py_ssize_t) noexcept
    PyHash_FuncDef* PyHash_GetFuncDef()

cdef enum:
    ID = 36  # characters of a UUID
    SIZE_BYTES = 10  # a varint takes at most

cdef inline char* put_size(char* at, uint64_t size) noexcept:
    return put_varint(at, size << 1)  # zigzag, and never negative


def write_tails(
    list names,
    const int64_t[::1] customers,
    const uint8_t[::1] kinds,
    list between,
    bytes ids,
    bytes times,
    const int64_t[::1] time_ends,
    bytes bodies,
    const int64_t[::1] body_ends,
):
    """Tails of n changes.

    Parameters
    ----------
    names : UTF-8 customer ids
    customers : int64, shape (n,)
        Indices into `names`.
    kinds : uint8, shape (n,)
        Indices into `between`.
    between : list of four bytes for each kind
        What stands before the id, the subject and the time, and at the end.
    ids : 36 characters each
    times, bodies : one after the other

    Returns
    -------
    blob : bytes
    ends : int64, shape (n,)
    """
    cdef Py_ssize_t n = customers.shape[0], i, room = len(times) + len(bodies), fixed = 0
    cdef Py_ssize_t time_start = 0, body_start = 0
    cdef Text* name = texts_of(names)
    cdef Text* parts = <Text*> malloc((4 * len(between) + 1) * sizeof(Text))
    cdef Text* part
    cdef Text key
    cdef const char* id_at = PyBytes_AS_STRING(ids)
    cdef const char* time_at = PyBytes_AS_STRING(times)
    cdef const char* body_at = PyBytes_AS_STRING(bodies)
    cdef char* buffer = NULL
    cdef char* at
    cdef int64_t[::1] ends
    found = np.empty(n, dtype=np.int64)
    ends = found
    try:
        if parts == NULL:
            raise MemoryError()
        for i in range(len(between)):
            part = parts + 4 * i
            part[0], part[1] = text_of(between[i][0]), text_of(between[i][1])
            part[2], part[3] = text_of(between[i][2]), text_of(between[i][3])
            fixed = max(fixed, part[0].size + part[1].size + part[2].size + part[3].size)
        for i in range(n):
            room += 2 * name[customers[i]].size
        buffer = <char*> malloc(room + n * (fixed + ID + 4 * SIZE_BYTES) + 1)
        if buffer == NULL:
            raise MemoryError()
        at = buffer
        for i in range(n):
            key, part = name[customers[i]], parts + 4 * kinds[i]
            at = put(put_size(at, key.size), key)
            at = put_size(at, body_ends[i] - body_start)
            at = put(at, Text(body_at + body_start, body_ends[i] - body_start))
            at = put(at, part[0])
            at = put(at, Text(id_at + i * ID, ID))
            at = put(at, part[1])
            at = put(put_size(at, key.size), key)
            at = put(at, part[2])
            at = put_size(at, time_ends[i] - time_start)
            at = put(at, Text(time_at + time_start, time_ends[i] - time_start))
            at = put(at, part[3])
            ends[i] = at - buffer
            time_start, body_start = time_ends[i], body_ends[i]
        return buffer[:at - buffer], found
    finally:
        free(name)
        free(parts)
        free(buffer)


def find_tails(const uint8_t[::1] batch, Py_ssize_t at, Py_ssize_t count):
    """Where the tails of a batch's records lie.

    Parameters
    ----------
    batch : a record batch of message format 2, not compressed
    at : where its first record begins
    count : of its records

    Returns
    -------
    starts, ends : int64, shape (count,)

    Raises
    ------
    ValueError
        A record reaches beyond the batch.
    """
    cdef Py_ssize_t i, size = batch.shape[0], end
    cdef uint64_t length
    cdef int shift
    cdef int64_t[::1] starts, ends
    first, last = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    starts, ends = first, last
    for i in range(count):
        length = 0
        shift = 0
        while at < size and batch[at] > 127 and shift < 63:
            length |= <uint64_t> (batch[at] & 127) << shift
            shift += 7
            at += 1
        if at >= size:
            raise ValueError(f"record {i} of {count} reaches beyond its batch of {size} bytes")
        length |= <uint64_t> batch[at] << shift
        end = at + 1 + <Py_ssize_t> (length >> 1)
        at += 2  # the length's last byte, and the attributes
        if not at < end <= size:
            raise ValueError(f"record {i} of {count} reaches beyond its batch of {size} bytes")
        while at < end and batch[at] > 127:  # time
            at += 1
        at += 1
        while at < end and batch[at] > 127:  # offset
            at += 1
        if at >= end:
            raise ValueError(f"record {i} of {count} has no key, value and headers")
        starts[i] = at + 1
        ends[i] = end
        at = end
    return first, last


def hashes(const uint8_t[::1] blob, const int64_t[::1] starts, const int64_t[::1] ends):
    """Python's `hash` of some stretches of bytes; int64, shape (n,)."""
    cdef Py_ssize_t n = starts.shape[0], i
    cdef PyHash_FuncDef* python = PyHash_GetFuncDef()
    cdef int64_t[::1] values
    cdef int64_t value
    cdef const uint8_t* start = &blob[0] if blob.shape[0] else NULL
    found = np.zeros(n, dtype=np.int64)
    values = found
    for i in range(n):
        if ends[i] > starts[i]:
            value = python.hash(start + starts[i], ends[i] - starts[i])
            values[i] = -2 if value == -1 else value
    return found


def write_records(bytes blob, const int64_t[::1] ends, Py_ssize_t first, Py_ssize_t last):
    """Records of a batch from the tails `first` to before `last`; all of the batch's own time."""
    cdef Py_ssize_t i, start = ends[first - 1] if first else 0, size
    cdef const char* source = PyBytes_AS_STRING(blob)
    cdef Py_ssize_t room = ends[last - 1] - start + (last - first) * (2 * SIZE_BYTES + 2)
    cdef char* buffer = <char*> malloc(room + 1)
    cdef char* at = buffer
    if buffer == NULL:
        raise MemoryError()
    try:
        for i in range(first, last):
            size = ends[i] - start
            # Attributes, time and offset come before the tail; the first two are none.
            at = put_size(at, size + 2 + size_bytes(i - first))
            at[0] = at[1] = 0
            at = put_size(at + 2, i - first)
            at = put(at, Text(source + start, size))
            start = ends[i]
        return buffer[:at - buffer]
    finally:
        free(buffer)


cdef inline Py_ssize_t size_bytes(uint64_t size) noexcept:
    """How many bytes `put_size` takes."""
    cdef Py_ssize_t count = 1
    size <<= 1
    while size > 127:
        size >>= 7
        count += 1
    return count
