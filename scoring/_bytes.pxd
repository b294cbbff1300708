"""Writing bytes one after the other; for the compiled modules."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef struct Text:
    const char* start
    Py_ssize_t size


cdef inline Text text_of(bytes source):
    """Where some bytes lie; they must outlive it."""
    return Text(PyBytes_AS_STRING(source), PyBytes_GET_SIZE(source))


cdef inline char* put(char* at, Text text) noexcept:
    memcpy(at, text.start, text.size)
    return at + text.size


cdef inline char* put_literal(char* at, const char* literal, Py_ssize_t size) noexcept:
    memcpy(at, literal, size)
    return at + size
