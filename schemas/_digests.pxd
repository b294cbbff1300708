"""BLAKE2b of short texts, for the compiled modules: hashlib's costs three times as much to call."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    BLOCK_BYTES = 128

cdef inline uint64_t turned(uint64_t word, int bits) noexcept:
    return word >> bits | word << (64 - bits)


cdef inline void mix(
    uint64_t* v, int a, int b, int c, int d, uint64_t x, uint64_t y
) noexcept:
    v[a] += v[b] + x
    v[d] = turned(v[d] ^ v[a], 32)
    v[c] += v[d]
    v[b] = turned(v[b] ^ v[c], 24)
    v[a] += v[b] + y
    v[d] = turned(v[d] ^ v[a], 16)
    v[c] += v[d]
    v[b] = turned(v[b] ^ v[c], 63)


cdef inline void blake2b_8(const char* text, Py_ssize_t size, const uint64_t* iv,
                           const uint8_t* sigma, char* digest) noexcept:
    """The digest of 8 bytes of a text of one block at most (RFC 7693); little-endian machines only."""
    cdef uint64_t[16] m
    cdef uint64_t[16] v
    cdef int i
    cdef const uint8_t* s = sigma
    cdef uint64_t first = iv[0] ^ 0x01010008, found
    memset(m, 0, BLOCK_BYTES)
    memcpy(m, text, size)
    for i in range(8):
        v[i] = v[8 + i] = iv[i]
    v[0] = first
    v[12] ^= <uint64_t> size
    v[14] = ~v[14]
    for i in range(12):
        mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]])
        mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]])
        mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]])
        mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]])
        mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]])
        mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]])
        mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]])
        mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]])
        s += 16
    found = first ^ v[0] ^ v[8]
    memcpy(digest, &found, 8)
