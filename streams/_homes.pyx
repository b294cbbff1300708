# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Where customers live, compiled: what `streams.homes` does with numpy."""

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from schemas._digests cimport BLOCK_BYTES, blake2b_8

import numpy as np

cdef enum:
    MULTIPLIER = 0x5BD1E995


cdef inline uint32_t murmur2(const uint8_t* key, Py_ssize_t size) noexcept:
    """MurmurHash2 with Kafka's seed."""
    cdef uint32_t found = (<uint32_t> 0x9747 << 16 | 0xB28C) ^ <uint32_t> size, word
    while size >= 4:
        word = key[0] | key[1] << 8 | key[2] << 16 | <uint32_t> key[3] << 24
        word *= <uint32_t> MULTIPLIER
        word ^= word >> 24
        word *= <uint32_t> MULTIPLIER
        found = found * <uint32_t> MULTIPLIER ^ word
        key += 4
        size -= 4
    if size:
        if size == 3:
            found ^= key[2] << 16
        if size >= 2:
            found ^= key[1] << 8
        found = (found ^ key[0]) * <uint32_t> MULTIPLIER
    found ^= found >> 13
    found *= <uint32_t> MULTIPLIER
    return found ^ found >> 15


def positive_murmur2(bytes key):
    """A key's hash without its sign, as Kafka's producers take it modulo the partitions."""
    return murmur2(<const uint8_t*> <const char*> key, len(key)) & 0x7FFFFFFF


def home_partitions(list customer_ids, uint32_t partitions, Py_ssize_t key_bytes_max):
    """Partition of each customer; −1 where the key is longer than any customer's.

    Returns
    -------
    int64, shape (n,)
    """
    cdef Py_ssize_t n = len(customer_ids), i, size = 0
    cdef const char* key
    found = np.empty(n, dtype=np.int64)
    cdef int64_t[::1] homes = found
    for i in range(n):
        key = PyUnicode_AsUTF8AndSize(customer_ids[i], &size)
        if size > key_bytes_max:
            homes[i] = -1
        else:
            homes[i] = (murmur2(<const uint8_t*> key, size) & 0x7FFFFFFF) % partitions
    return found


def sample_ranks(list customer_ids, bytes person):
    """Rank of each customer; −1 where the id is too long for one block.

    Parameters
    ----------
    person : 8 bytes of the hash's personalisation

    Returns
    -------
    float64, shape (n,)
    """
    cdef Py_ssize_t n = len(customer_ids), i, size = 0
    cdef const char* key
    cdef uint64_t kind, digest, rank
    cdef int place
    if len(person) != 8:
        raise ValueError(f"{len(person)} bytes instead of 8")
    memcpy(&kind, <const char*> person, 8)
    found = np.empty(n, dtype=np.float64)
    cdef double[::1] ranks = found
    for i in range(n):
        key = PyUnicode_AsUTF8AndSize(customer_ids[i], &size)
        if size > BLOCK_BYTES:
            ranks[i] = -1.0
            continue
        digest = blake2b_8(key, size, kind)
        rank = 0
        for place in range(8):  # the first byte is the highest
            rank = rank << 8 | (digest >> 8 * place & 255)
        ranks[i] = <double> rank / 18446744073709551616.0
    return found
