# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Records about which there is no doubt, compiled: what `schemas.decoding` reads, and the same columns.

Owns the shape that nearly every record has: one object of known names, each once, ASCII texts without
escapes, an amount of at most nine digits and four decimals, a moment in UTC. Anything else it leaves.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcmp, memset

from schemas._digests cimport BLOCK_BYTES, blake2b_8

import numpy as np

cdef enum:
    ID_CHARS_MAX = 128
    WHOLE_DIGITS_MAX = 9
    DECIMALS_MAX = 4
    MOMENT_CHARS = 20  # of 1970-01-01T00:00:00Z

    TRANSACTION_ID = 1
    CUSTOMER_ID = 2
    OCCURRED_AT = 4
    AMOUNT = 8
    CURRENCY = 16
    KIND = 32
    CHANNEL = 64
    NEEDED = 15

cdef uint8_t[256] IN_ID  # what no look at the model's rule is needed for
cdef int place
for place in range(256):
    IN_ID[place] = chr(place) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"

cdef struct Span:
    const char* start
    Py_ssize_t size

cdef struct Plain:
    Span transaction_id
    Span customer_id
    int64_t occurred_at_us
    int64_t units
    bint is_refund


cdef inline const char* after_blanks(const char* at) noexcept:
    while at[0] == c" " or at[0] == c"\n" or at[0] == c"\r" or at[0] == c"\t":
        at += 1
    return at


cdef inline const char* read_text(const char* at, Span* found) noexcept:
    """The place after a quoted text of printable ASCII without escapes; NULL if it is none."""
    if at[0] != c'"':
        return NULL
    at += 1
    found.start = at
    while 32 <= at[0] and at[0] != c'"' and at[0] != c"\\" and at[0] != 127:  # char is signed or not
        if <uint8_t> at[0] > 127:
            return NULL
        at += 1
    if at[0] != c'"':
        return NULL
    found.size = at - found.start
    return at + 1


cdef inline bint says(Span text, const char* what, Py_ssize_t size) noexcept:
    return text.size == size and memcmp(text.start, what, size) == 0


cdef inline int name_of(Span text) noexcept:
    if says(text, b"transaction_id", 14):
        return TRANSACTION_ID
    if says(text, b"customer_id", 11):
        return CUSTOMER_ID
    if says(text, b"occurred_at", 11):
        return OCCURRED_AT
    if says(text, b"amount", 6):
        return AMOUNT
    if says(text, b"currency", 8):
        return CURRENCY
    if says(text, b"kind", 4):
        return KIND
    if says(text, b"channel", 7):
        return CHANNEL
    return 0


cdef inline const char* read_units(const char* at, int64_t* units) noexcept:
    """The place after a decimal number; NULL if it is none, or not short."""
    cdef bint negative = at[0] == c"-"
    cdef int digits = 0, decimals = 0
    cdef int64_t value = 0
    at += negative
    if at[0] == c"0" and c"0" <= at[1] <= c"9":
        return NULL
    while c"0" <= at[0] <= c"9":
        value = 10 * value + (at[0] - c"0")
        at += 1
        digits += 1
        if digits > WHOLE_DIGITS_MAX:
            return NULL
    if digits == 0:
        return NULL
    if at[0] == c".":
        at += 1
        while c"0" <= at[0] <= c"9" and decimals <= DECIMALS_MAX:
            value = 10 * value + (at[0] - c"0")
            at += 1
            decimals += 1
        if not 0 < decimals <= DECIMALS_MAX:
            return NULL
    while decimals < DECIMALS_MAX:
        value *= 10
        decimals += 1
    if at[0] == c"e" or at[0] == c"E":
        return NULL
    units[0] = -value if negative else value
    return at


cdef inline int two(const char* at) noexcept:
    """A number of two digits; -1 if it is none."""
    if not (c"0" <= at[0] <= c"9" and c"0" <= at[1] <= c"9"):
        return -1
    return 10 * (at[0] - c"0") + (at[1] - c"0")


cdef inline int days_in(int year, int month) noexcept:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef bint read_moment(Span text, int64_t* instant_us) noexcept:
    """Of RFC 3339 in UTC, to the microsecond."""
    cdef const char* at = text.start
    cdef const char* end
    cdef int century, rest, month, day, hour, minute, second, digits = 0
    cdef int64_t year, era, of_year, micros = 0
    if text.size < MOMENT_CHARS:
        return False
    end = at + text.size - 1
    if end[0] != c"Z":
        end -= 5
        if end - at < MOMENT_CHARS - 1 or memcmp(end, b"+00:00", 6):
            return False
    century, rest, month, day = two(at), two(at + 2), two(at + 5), two(at + 8)
    hour, minute, second = two(at + 11), two(at + 14), two(at + 17)
    if at[4] != c"-" or at[7] != c"-" or at[10] != c"T" or at[13] != c":" or at[16] != c":":
        return False
    if century < 0 or rest < 0 or not 1 <= month <= 12 or hour < 0 or minute < 0 or second < 0:
        return False
    year = 100 * century + rest
    if year < 1 or hour > 23 or minute > 59 or second > 59:
        return False
    if not 1 <= day <= days_in(<int> year, month):
        return False
    at += 19
    if at[0] == c".":
        at += 1
        while at < end and c"0" <= at[0] <= c"9":
            micros = 10 * micros + (at[0] - c"0")
            at += 1
            digits += 1
            if digits > 6:
                return False
        if digits == 0:
            return False
        while digits < 6:
            micros *= 10
            digits += 1
    if at != end:
        return False
    # The civil calendar, counted from 1 March of the year 0, so that leap days come last.
    if month <= 2:
        year -= 1
        month += 12
    era = year // 400
    of_year = (153 * (month - 3) + 2) // 5 + day - 1
    year -= 400 * era
    cdef int64_t days = 146097 * era + 365 * year + year // 4 - year // 100 + of_year - 719468
    instant_us[0] = (days * 86400 + hour * 3600 + minute * 60 + second) * 1000000 + micros
    return True


cdef bint read_record(bytes value, Span currency, Plain* found) noexcept:
    """Whether a record is plain, and what it says."""
    cdef const char* at = PyBytes_AS_STRING(value)  # a NUL ends it: no text goes beyond
    cdef const char* end = at + PyBytes_GET_SIZE(value)
    cdef int name, seen = 0
    cdef Span text
    cdef Py_ssize_t i
    memset(found, 0, sizeof(Plain))
    at = after_blanks(at)
    if at[0] != c"{":
        return False
    at += 1
    while True:
        at = read_text(after_blanks(at), &text)
        if at == NULL:
            return False
        name = name_of(text)
        if name == 0 or seen & name:
            return False
        seen |= name
        at = after_blanks(at)
        if at[0] != c":":
            return False
        at = after_blanks(at + 1)
        if name == AMOUNT and at[0] != c'"':
            at = read_units(at, &found.units)
        else:
            at = read_text(at, &text)
        if at == NULL:
            return False
        if name == TRANSACTION_ID:
            found.transaction_id = text
            if not 1 <= text.size <= ID_CHARS_MAX:
                return False
        elif name == CUSTOMER_ID:
            found.customer_id = text
            if not 1 <= text.size <= ID_CHARS_MAX:
                return False
            for i in range(text.size):
                if not IN_ID[<uint8_t> text.start[i]]:
                    return False
        elif name == OCCURRED_AT:
            if not read_moment(text, &found.occurred_at_us):
                return False
        elif name == AMOUNT:
            if (at - 1)[0] == c'"' and read_units(text.start, &found.units) != text.start + text.size:
                return False
        elif name == CURRENCY:
            if not says(text, currency.start, currency.size):
                return False
        elif name == KIND:
            if says(text, b"refund", 6):
                found.is_refund = True
            elif not says(text, b"purchase", 8):
                return False
        at = after_blanks(at)
        if at[0] == c",":
            at += 1
            continue
        if at[0] != c"}":
            return False
        break
    return after_blanks(at + 1) == end and seen & NEEDED == NEEDED


def hash_of(bytes text):
    """8 bytes that stand for a text; of BLOCK_BYTES at most."""
    if PyBytes_GET_SIZE(text) > BLOCK_BYTES:
        raise ValueError(f"{len(text)} bytes are more than {BLOCK_BYTES}")
    cdef uint64_t digest = blake2b_8(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), 0)
    return (<const char*> &digest)[:8]


def read_plain(
    list values, list timestamps_ms, bytes currency, int64_t future_us_max, Py_ssize_t size_max,
    int64_t timestamp_ms_max,
):
    """Read those records of a batch about which there is no doubt.

    Parameters
    ----------
    values : list of bytes or None
    timestamps_ms : list of int
        Within int64.
    currency : the only one that is plain
    future_us_max, timestamp_ms_max : int
        A record that is stamped later, or speaks of a time so far after its stamp, is not plain.
    size_max : int
        Nor is a longer one.

    Returns
    -------
    customer_ids : list of k str
    hashes : list of k bytes
    columns : int64, shape (4, n)
        Of the first k: position, occurred_at_us, amount_units, is_refund.
    left : list of n − k int
        Positions of the others.
    """
    cdef Py_ssize_t n = len(values), i, k = 0
    cdef Plain plain
    cdef Span money = Span(PyBytes_AS_STRING(currency), PyBytes_GET_SIZE(currency))
    cdef uint64_t digest
    cdef int64_t stamp_ms
    columns = np.empty((4, n), dtype=np.int64)
    cdef int64_t[:, ::1] cells = columns
    ids, hashes, left = [], [], []
    for i in range(n):
        value = values[i]
        stamp_ms = timestamps_ms[i]
        if (
            type(value) is not bytes
            or PyBytes_GET_SIZE(value) > size_max
            or not 0 <= stamp_ms <= timestamp_ms_max
            or not read_record(<bytes> value, money, &plain)
            or plain.occurred_at_us > stamp_ms * 1000 + future_us_max
        ):
            left.append(i)
            continue
        ids.append(
            PyUnicode_DecodeASCII(plain.customer_id.start, plain.customer_id.size, NULL)
        )
        digest = blake2b_8(plain.transaction_id.start, plain.transaction_id.size, 0)
        hashes.append(PyBytes_FromStringAndSize(<const char*> &digest, 8))
        cells[0, k], cells[1, k] = i, plain.occurred_at_us
        cells[2, k] = plain.units if plain.units >= 0 else -plain.units
        cells[3, k] = plain.is_refund or plain.units < 0
        k += 1
    return ids, hashes, columns, left
