"""Writing bytes one after the other; for the compiled modules."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport rint
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport malloc
from libc.string cimport memcpy

cdef extern from *:
    # Cython makes Python's integers of literals that an int has no room for.
    """
    #define EVERSCORE_DAY_US INT64_C(86400000000)
    #define EVERSCORE_LAST_US INT64_C(253402300799999999)
    static const char everscore_pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    """
    const int64_t DAY_US "EVERSCORE_DAY_US"
    const int64_t LAST_US "EVERSCORE_LAST_US"  # of the year 9999
    const char* PAIRS "everscore_pairs"  # 00 to 99

cdef enum:
    MOMENT = 27  # characters of 1970-01-01T00:00:00.000000Z

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


cdef inline char* put_varint(char* at, uint64_t value) noexcept:
    """Base 128, the lowest bits first."""
    while value > 127:
        at[0] = <char> (value & 127 | 128)
        at += 1
        value >>= 7
    at[0] = <char> value
    return at + 1


cdef inline Text* texts_of(list sources) except NULL:
    """Where each of some bytes lies; they must outlive what is returned, which the caller frees."""
    cdef Py_ssize_t i, n = len(sources)
    cdef Text* found = <Text*> malloc((n + 1) * sizeof(Text))
    if found == NULL:
        raise MemoryError()
    for i in range(n):
        found[i] = text_of(<bytes> sources[i])
    return found


@cython.cdivision(True)
cdef inline char* put_int(char* at, int64_t number) noexcept:
    cdef char digits[20]
    cdef int size = 0
    if number < 0:
        at[0] = c"-"
        at += 1
        number = -number
    while True:
        digits[size] = c"0" + <char> (number % 10)
        size += 1
        number //= 10
        if number == 0:
            break
    while size:
        size -= 1
        at[0] = digits[size]
        at += 1
    return at


@cython.cdivision(True)
cdef inline void put_digits(char* at, int64_t number, int size) noexcept:
    while size:
        size -= 1
        at[size] = c"0" + <char> (number % 10)
        number //= 10


cdef inline void put_pair(char* at, int number) noexcept:
    """Two digits."""
    at[0], at[1] = PAIRS[2 * number], PAIRS[2 * number + 1]


cdef inline bint is_moment(int64_t instant_us) noexcept:
    return -LAST_US <= instant_us <= LAST_US


@cython.cdivision(True)
cdef inline char* put_moment(char* at, int64_t instant_us) noexcept:
    """RFC 3339 in UTC with microseconds, of an instant before the year 10000 and after the year 0."""
    cdef int64_t days = instant_us // DAY_US
    cdef int64_t rest = instant_us - days * DAY_US
    if rest < 0:  # C rounds towards zero
        days -= 1
        rest += DAY_US
    # The civil calendar, counted from 1 March of the year 0, so that leap days come last.
    cdef int shifted = <int> days + 719468
    cdef int era = (shifted if shifted >= 0 else shifted - 146096) // 146097
    cdef int of_era = shifted - era * 146097
    cdef int year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    cdef int of_year = of_era - (365 * year + year // 4 - year // 100)
    cdef int month = (5 * of_year + 2) // 153
    cdef int day = of_year - (153 * month + 2) // 5 + 1
    cdef int second = <int> (rest // 1000000)
    cdef int micro = <int> (rest - <int64_t> second * 1000000)
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    put_pair(at, year // 100)
    put_pair(at + 2, year % 100)
    at[4] = at[7] = c"-"
    put_pair(at + 5, month)
    put_pair(at + 8, day)
    at[10] = c"T"
    put_pair(at + 11, second // 3600)
    at[13] = at[16] = c":"
    put_pair(at + 14, second // 60 % 60)
    put_pair(at + 17, second % 60)
    at[19] = c"."
    put_pair(at + 20, micro // 10000)
    put_pair(at + 22, micro // 100 % 100)
    put_pair(at + 24, micro % 100)
    at[26] = c"Z"
    return at + MOMENT


cdef inline char* put_units(char* at, int64_t units) noexcept:
    """Ten-thousandths as a number with four decimals."""
    cdef int64_t rest = units % 10000
    at = put_int(at, units // 10000)
    at[0] = c"."
    put_digits(at + 1, rest, 4)
    return at + 5


cdef inline char* put_rounded(char* at, double number) noexcept:
    """A number with four decimals; none for what is no number."""
    if number - number != 0.0:
        return put_literal(at, b"null", 4)
    return put_units(at, <int64_t> rint((number if number < 4e14 else 4e14) * 1e4))


cdef inline char* put_number(char* at, const char** numbers) noexcept:
    """The next number of a JSON array of numbers, as it stands there."""
    cdef const char* start = numbers[0] + 1  # beyond the bracket or the comma
    cdef const char* end = start
    while end[0] != c"," and end[0] != c"]":
        end += 1
    numbers[0] = end
    memcpy(at, start, end - start)
    return at + (end - start)


cdef inline void* place_of(object array, Py_ssize_t size) except? NULL:
    """Where an array's elements lie, one after the other; it must outlive what is returned.

    A typed memoryview would look at each of the twenty-four names in a customer's row, every time.
    """
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_SIMPLE)
    cdef void* found = buffer.buf
    cdef Py_ssize_t held = buffer.len
    PyBuffer_Release(&buffer)
    if held != size:
        raise ValueError(f"an array of {held} bytes where {size} were to be")
    return found
