# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Customers' hashes as Redis itself keeps them, so that one RESTORE writes what an HSET of 22 fields would.

Owns the serialised form: type 16 (a listpack of names and values), version 10, as Redis 7.0 and all after
it read it; `rdb.h`, `listpack.c` and `crc64.c` of Redis define it. The values are those of
`state.codec.encode_rows`, which says what they mean.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int16_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from scoring._bytes cimport (
    MOMENT,
    Text,
    is_moment,
    place_of,
    put,
    put_digits,
    put_int,
    put_moment,
    put_number,
    put_rounded,
    put_units,
    put_varint,
    text_of,
    texts_of,
)
from scoring._numbers cimport Row

cdef enum:
    TYPE_HASH_LISTPACK = 16
    VERSION = 10
    LISTPACK_HEAD = 6
    LISTPACK_END = 255
    FRAME_BYTES = 32  # around a listpack, at most
    ENTRY_BYTES = 16  # around a value, at most
    VALUE_CHARS = 64  # of a number or moment, at most
    VARINT_BYTES_MAX = 10

cdef uint64_t[8][256] CRC  # of each byte, with 0 to 7 bytes after it


cdef void fill_crc() noexcept:
    """CRC-64 of Jones, reflected."""
    cdef int i, after
    cdef uint64_t value
    for i in range(256):
        value = i
        for after in range(8):
            value = (value >> 1) ^ (<uint64_t> 0x95AC9329AC4BC9B5 if value & 1 else 0)
        CRC[0][i] = value
    for i in range(256):
        for after in range(1, 8):
            value = CRC[after - 1][i]
            CRC[after][i] = (value >> 8) ^ CRC[0][value & 255]


fill_crc()


cdef uint64_t crc64(const uint8_t* data, Py_ssize_t size) noexcept:
    cdef uint64_t crc = 0, eight
    while size >= 8:
        memcpy(&eight, data, 8)  # little-endian, as the listpack is
        crc ^= eight
        crc = (
            CRC[7][crc & 255]
            ^ CRC[6][crc >> 8 & 255]
            ^ CRC[5][crc >> 16 & 255]
            ^ CRC[4][crc >> 24 & 255]
            ^ CRC[3][crc >> 32 & 255]
            ^ CRC[2][crc >> 40 & 255]
            ^ CRC[1][crc >> 48 & 255]
            ^ CRC[0][crc >> 56]
        )
        data += 8
        size -= 8
    while size:
        crc = CRC[0][(crc ^ data[0]) & 255] ^ crc >> 8
        data += 1
        size -= 1
    return crc


cdef inline char* put_entry_size(char* at, Py_ssize_t size) noexcept:
    """How long the entry before was, to be read backwards."""
    cdef int shift = 28
    cdef bint begun = False
    while shift >= 0:
        if begun or size >> shift or shift == 0:
            at[0] = <char> ((size >> shift & 127) | (128 if begun else 0))
            at += 1
            begun = True
        shift -= 7
    return at


cdef inline char* put_text(char* at, Text text) noexcept:
    """A value as text."""
    cdef char* start = at
    cdef uint32_t size = text.size
    if size < 64:
        at[0] = <char> (0x80 | size)
        at += 1
    elif size < 4096:
        at[0] = <char> (0xE0 | size >> 8)
        at[1] = <char> (size & 255)
        at += 2
    else:
        at[0] = <char> 0xF0
        memcpy(at + 1, &size, 4)
        at += 5
    at = put(at, text)
    return put_entry_size(at, at - start)


cdef inline char* put_whole(char* at, int64_t number) noexcept:
    """A value that is a whole number, not negative."""
    cdef char digits[24]
    if number < 128:
        at[0] = <char> number
        return put_entry_size(at + 1, 1)
    if number < 4096:
        at[0] = <char> (0xC0 | number >> 8)
        at[1] = <char> (number & 255)
        return put_entry_size(at + 2, 2)
    return put_text(at, Text(&digits[0], put_int(digits, number) - digits))


cdef inline char* put_when(char* at, int64_t instant_us) noexcept:
    cdef char moment[MOMENT]
    if not is_moment(instant_us):
        return put_text(at, Text(&moment[0], 0))
    put_moment(moment, instant_us)
    return put_text(at, Text(&moment[0], MOMENT))


cdef inline char* put_money(char* at, int64_t units) noexcept:
    cdef char text[VALUE_CHARS]
    return put_text(at, Text(&text[0], put_units(text, units) - text))


cdef inline char* put_value(
    char* at, double prob_purchase, double expected_90, double spend, double clv_90, double clv_365
) noexcept:
    """The field `value` of one customer who is scored."""
    cdef char text[3 * VALUE_CHARS]
    cdef char* end = put_rounded(text, prob_purchase)
    end[0] = c" "
    end = put_rounded(end + 1, expected_90)
    if spend == spend:
        end[0] = c" "
        end = put_rounded(end + 1, spend)
        end[0] = c" "
        end = put_rounded(end + 1, clv_90)
        end[0] = c" "
        end = put_rounded(end + 1, clv_365)
    return put_text(at, Text(&text[0], end - text))


def write_hashes(
    numbers,
    list days,
    list ids_previous,
    list ids_current,
    list names,
    list segments,
    list lifecycles,
    list topics,
    bytes version,
    bytes prob_alive,
    bytes expected,
    bytes monetary,
    const double[::1] prob_purchase,
    const double[::1] expected_90,
    const double[::1] spend,
    const double[::1] clv_90,
    const double[::1] clv_365,
    const int16_t[::1] rfm,
    int64_t first_us,
    int64_t unknown_us,
):
    """Serialised hashes of n customers.

    Parameters
    ----------
    numbers : structured array of dtype NUMBERS, shape (n,)
    days, ids_previous, ids_current : n packed ledgers and ids, see `scoring.ledger`
    names : fields, in the order of `state.fields.FIELDS`
    segments, lifecycles, topics : UTF-8; the last segment and lifecycle stand for none
    version : of the scorecard
    prob_alive, expected, monetary : JSON arrays of n numbers
        P(alive) may be null.
    prob_purchase, expected_90, spend, clv_90, clv_365 : float64, shape (n,)
        See `scoring.telling.Told`.
    rfm : int16, shape (n,)
        Three digits.
    first_us, unknown_us : int
        Earliest moment whose year has four digits, and what stands for no moment.

    Returns
    -------
    list of n bytes
        What RESTORE takes. None if there is an earlier moment.
    """
    cdef Py_ssize_t n = len(numbers), i, fixed = FRAME_BYTES, room, longest = 0
    cdef Py_ssize_t none = len(segments) - 1, no_lifecycle = len(lifecycles) - 1
    cdef Text* name = NULL
    cdef Text* segment = NULL
    cdef Text* lifecycle = NULL
    cdef Text* topic = NULL
    cdef Text card = text_of(version), packed, previous, current
    cdef const char* next_prob = PyBytes_AS_STRING(prob_alive)
    cdef const char* next_expected = PyBytes_AS_STRING(expected)
    cdef const char* next_monetary = PyBytes_AS_STRING(monetary)
    cdef char* buffer = NULL
    cdef char* ledger = NULL
    cdef char* entries = NULL  # what stands in every hash, as it stands there
    cdef char* at
    cdef char number[VALUE_CHARS]
    cdef const Row* rows = <const Row*> place_of(numbers, n * sizeof(Row))
    cdef Row row
    cdef bint scored
    for i in range(n):
        if (
            unknown_us < rows[i].first_at_us < first_us
            or unknown_us < rows[i].last_at_us < first_us
            or unknown_us < rows[i].as_of_us < first_us
            or unknown_us < rows[i].segment_since_us < first_us
            or unknown_us < rows[i].next_review_us < first_us
        ):
            return None
    found = []
    for text in (*names, *segments, *lifecycles, *topics, version):
        fixed += len(text) + ENTRY_BYTES
    fixed += (len(names) + 2) * (VALUE_CHARS + ENTRY_BYTES)  # one value has several numbers
    for i in range(n):
        room = len(days[i]) + len(ids_previous[i]) + len(ids_current[i])
        longest = max(longest, room)
    longest += 3 * VARINT_BYTES_MAX
    try:
        name, segment = texts_of(names), texts_of(segments)
        lifecycle, topic = texts_of(lifecycles), texts_of(topics)
        buffer, ledger = <char*> malloc(fixed + longest), <char*> malloc(longest)
        entries = <char*> malloc(fixed)
        if buffer == NULL or ledger == NULL or entries == NULL:
            raise MemoryError()
        at = put_entries(entries, name, len(names))
        at = put_entries(at, segment, len(segments))
        at = put_entries(at, lifecycle, len(lifecycles))
        put_entries(at, &card, 1)
        for i in range(n):
            row = rows[i]
            scored = row.frequency >= 0
            at = buffer + FRAME_BYTES + LISTPACK_HEAD
            at = put_whole(put(at, name[0]), row.frequency if scored else 0)
            at = put_whole(put(at, name[1]), row.last_day - row.first_day if scored else 0)
            at = put_when(put(at, name[2]), row.first_at_us)
            at = put_when(put(at, name[3]), row.last_at_us)
            at = put(at, name[4])
            at = put_text(at, Text(&number[0], put_number(number, &next_monetary) - number))
            at = put_money(put(at, name[5]), row.purchase_units)
            at = put_money(put(at, name[6]), row.refund_units)
            at = put(at, name[7])
            room = put_number(number, &next_prob) - number
            at = put_text(at, Text(&number[0], room if scored and number[0] != c"n" else 0))
            at = put_when(put(at, name[8]), row.as_of_us)
            at = put(at, name[9])
            at = put_text(at, Text(&number[0], put_number(number, &next_expected) - number))
            at = put(at, name[10])
            if scored:
                at = put_value(
                    at, prob_purchase[i], expected_90[i], spend[i], clv_90[i], clv_365[i]
                )
            else:
                at = put_text(at, Text(&number[0], 0))
            at = put(put(at, name[11]), segment[none if row.segment < 0 else row.segment])
            at = put_when(put(at, name[12]), row.segment_since_us)
            at = put(at, name[13])
            at = put(at, lifecycle[no_lifecycle if row.lifecycle < 0 else row.lifecycle])
            put_digits(number, rfm[i], 3)
            at = put_text(put(at, name[14]), Text(&number[0], 3))
            at = put_when(put(at, name[15]), row.next_review_us)
            at = put(at, name[16])
            at = put(at, segment[none if row.next_segment < 0 else row.next_segment])
            at = put(at, name[17])
            at = put(
                at, lifecycle[no_lifecycle if row.next_lifecycle < 0 else row.next_lifecycle]
            )
            at = put_whole(put(at, name[18]), row.sequence)
            at = put(put(at, name[19]), card)
            at = put(at, name[20])
            at = put_source(at, topic[row.source_topic], row.source_offset)
            packed, previous = text_of(days[i]), text_of(ids_previous[i])
            current = text_of(ids_current[i])
            at = put(at, name[21])
            at = put_text(
                at,
                Text(
                    ledger,
                    put_ledger(ledger, packed, row.ids_generation, previous, current) - ledger,
                ),
            )
            at[0] = <char> LISTPACK_END
            found.append(framed(buffer, at + 1, 2 * len(names)))
        return found
    finally:
        free(name)
        free(segment)
        free(lifecycle)
        free(topic)
        free(buffer)
        free(ledger)
        free(entries)


cdef char* put_entries(char* at, Text* texts, Py_ssize_t count) noexcept:
    """Values as text; each of the texts is afterwards its entry."""
    cdef Py_ssize_t i
    cdef char* start
    for i in range(count):
        start = at
        at = put_text(at, texts[i])
        texts[i] = Text(start, at - start)
    return at


cdef inline char* put_source(char* at, Text topic, int64_t offset) noexcept:
    """A value that is topic:offset, without a buffer of its own."""
    cdef char number[VALUE_CHARS]
    cdef Py_ssize_t digits = put_int(number, offset) - number
    cdef char* start = at
    cdef uint32_t size = topic.size + 1 + digits
    if size < 64:
        at[0] = <char> (0x80 | size)
        at += 1
    else:
        at[0] = <char> (0xE0 | size >> 8)
        at[1] = <char> (size & 255)
        at += 2
    at = put(at, topic)
    at[0] = c":"
    at = put(at + 1, Text(&number[0], digits))
    return put_entry_size(at, at - start)


cdef inline char* put_ledger(
    char* at, Text days, uint64_t generation, Text previous, Text current
) noexcept:
    at = put(put_varint(at, days.size), days)
    at = put_varint(at, generation)
    at = put(put_varint(at, previous.size), previous)
    return put(at, current)


cdef bytes framed(char* buffer, char* end, int entries):
    """A listpack with its head, as RESTORE takes it: type, length, bytes, version, checksum."""
    cdef char* start = buffer + FRAME_BYTES
    cdef uint32_t size = end - start
    cdef uint64_t crc
    memcpy(start, &size, 4)
    start[4] = <char> (entries & 255)
    start[5] = <char> (entries >> 8)
    if size < 64:
        start -= 1
        start[0] = <char> size
    elif size < 16384:
        start -= 2
        start[0] = <char> (0x40 | size >> 8)
        start[1] = <char> (size & 255)
    else:
        start -= 5
        start[0] = <char> 0x80
        start[1] = <char> (size >> 24)
        start[2] = <char> (size >> 16 & 255)
        start[3] = <char> (size >> 8 & 255)
        start[4] = <char> (size & 255)
    start -= 1
    start[0] = TYPE_HASH_LISTPACK
    cdef Py_ssize_t before = end - start
    cdef bytes payload = PyBytes_FromStringAndSize(NULL, before + 10)
    cdef char* at = PyBytes_AS_STRING(payload)
    memcpy(at, start, before)
    at[before] = VERSION
    at[before + 1] = 0
    crc = crc64(<const uint8_t*> at, before + 2)
    memcpy(at + before + 2, &crc, 8)
    return payload
