# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Change events written character by character: what `scoring.change_bodies` does, compiled.

Owns nothing but speed: for every input the bytes are those of the Python next door, which says what
they mean and takes over where this was not built. A test compares the two.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from scoring._bytes cimport Text, put, put_literal, text_of

from hashlib import sha1

import numpy as np

cdef packed struct Row:  # `scoring.states.NUMBERS`
    int64_t frequency
    int64_t first_day
    int64_t last_day
    int64_t repeat_units
    int64_t purchase_units
    int64_t refund_units
    int64_t first_at_us
    int64_t last_at_us
    int64_t tail
    int64_t tail_day
    int64_t ids_generation
    int64_t as_of_us
    double prob_alive
    int64_t card
    int64_t segment
    int64_t segment_since_us
    int64_t lifecycle
    int64_t next_review_us
    int64_t next_segment
    int64_t next_lifecycle
    int64_t sequence
    double sample_rank
    int64_t source_topic
    int64_t source_offset

cdef enum:
    MOMENT = 27  # characters of 1970-01-01T00:00:00.000000Z
    ID = 36  # of a UUID
    FIXED_CHARS = 1024  # a change's names of fields, numbers and moments take fewer

cdef int64_t LAST_US = 253402300799999999  # of the year 9999
cdef int64_t US_PER_DAY = 86400000000

cdef char* DIGITS = b"0123456789abcdef"


cdef Text* texts_of(list sources) except NULL:
    """Where each of some bytes lies; they must outlive what is returned, which the caller frees."""
    cdef Py_ssize_t i, n = len(sources)
    cdef Text* found = <Text*> malloc((n + 1) * sizeof(Text))
    if found == NULL:
        raise MemoryError()
    for i in range(n):
        found[i] = text_of(<bytes> sources[i])
    return found


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


cdef inline void put_digits(char* at, int64_t number, int size) noexcept:
    while size:
        size -= 1
        at[size] = c"0" + <char> (number % 10)
        number //= 10


cdef inline bint is_moment(int64_t instant_us) noexcept:
    return -LAST_US <= instant_us <= LAST_US


cdef inline char* put_moment(char* at, int64_t instant_us) noexcept:
    """RFC 3339 in UTC with microseconds, of an instant before the year 10000 and after the year 0."""
    cdef int64_t days = instant_us // US_PER_DAY
    cdef int64_t rest = instant_us - days * US_PER_DAY
    if rest < 0:  # C rounds towards zero
        days -= 1
        rest += US_PER_DAY
    # The civil calendar, counted from 1 March of the year 0, so that leap days come last.
    cdef int64_t shifted = days + 719468
    cdef int64_t era = (shifted if shifted >= 0 else shifted - 146096) // 146097
    cdef int64_t of_era = shifted - era * 146097
    cdef int64_t year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    cdef int64_t of_year = of_era - (365 * year + year // 4 - year // 100)
    cdef int64_t month = (5 * of_year + 2) // 153
    cdef int64_t day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    put_digits(at, year, 4)
    at[4] = at[7] = c"-"
    put_digits(at + 5, month, 2)
    put_digits(at + 8, day, 2)
    at[10] = c"T"
    put_digits(at + 11, rest // 3600000000, 2)
    at[13] = at[16] = c":"
    put_digits(at + 14, rest // 60000000 % 60, 2)
    put_digits(at + 17, rest // 1000000 % 60, 2)
    at[19] = c"."
    put_digits(at + 20, rest % 1000000, 6)
    at[26] = c"Z"
    return at + MOMENT


cdef inline char* put_number(char* at, const char** numbers) noexcept:
    """The next number of a JSON array of numbers, as it stands there."""
    cdef const char* start = numbers[0] + 1  # beyond the bracket or the comma
    cdef const char* end = start
    while end[0] != c"," and end[0] != c"]":
        end += 1
    numbers[0] = end
    memcpy(at, start, end - start)
    return at + (end - start)


cdef inline void put_id(char* at, const unsigned char* digest) noexcept:
    """UUIDv5 of a SHA-1 digest, as text."""
    cdef int i
    cdef unsigned char byte
    for i in range(16):
        byte = digest[i]
        if i == 6:
            byte = byte & 0x0F | 0x50
        elif i == 8:
            byte = byte & 0x3F | 0x80
        if i == 4 or i == 6 or i == 8 or i == 10:
            at[0] = c"-"
            at += 1
        at[0] = DIGITS[byte >> 4]
        at[1] = DIGITS[byte & 15]
        at += 2


def write_changes(
    const Row[::1] numbers,
    const int64_t[::1] customers,
    list names,
    list names_json,
    const uint8_t[::1] kinds,
    list kind_texts,
    const int16_t[::1] previous,
    const int16_t[::1] current,
    const uint8_t[::1] causes,
    list cause_texts,
    list labels,
    list labels_json,
    bytes prob_alive,
    bytes expected,
    bytes silence,
    bytes monetary,
    bytes distance,
    const int16_t[::1] rfm,
    list rfm_json,
    const int16_t[::1] beyond,
    const int16_t[::1] next_segments,
    const int16_t[::1] next_lifecycles,
    list topics_json,
    int64_t partition,
    bytes version,
    bytes version_json,
    bytes namespace,
):
    """Bodies, ids and times of n changes that one scorecard led to.

    Parameters
    ----------
    numbers : shape (n,)
        The customers as they stood.
    customers : int64, shape (n,)
        Index of each into `names` (UTF-8) and `names_json` (quoted).
    kinds, previous, current, causes : uint8, shape (n,)
        Indices into `kind_texts`, `labels`, `labels`, `cause_texts`; the last label stands for none.
    prob_alive, expected, silence, monetary, distance : JSON arrays of n numbers
    rfm : uint8, shape (n,)
        Indices into `rfm_json`.
    beyond : uint8, shape (n,)
        Label of the nearest other segment.
    next_segments, next_lifecycles : uint8, shape (n,)
        Labels.
    partition : of the input topics
    version, version_json : of the scorecard
    namespace : 16 bytes of the ids' UUID namespace

    Returns
    -------
    bodies : bytes, one after the other
    ends : int64, shape (n,)
        Where each body ends.
    ids : bytes, 36 characters each
    times : bytes, 27 characters each; undefined where there is no such moment
    """
    cdef Py_ssize_t n = numbers.shape[0], i, longest = 0, room
    cdef Text* name = NULL
    cdef Text* name_json = NULL
    cdef Text* label = NULL
    cdef Text* label_json = NULL
    cdef Text* kind = NULL
    cdef Text* cause = NULL
    cdef Text* scores = NULL
    cdef Text* topic = NULL
    cdef Text card = text_of(version), card_json = text_of(version_json)
    cdef Text prefix = text_of(namespace), none
    cdef const char* next_prob = PyBytes_AS_STRING(prob_alive)
    cdef const char* next_expected = PyBytes_AS_STRING(expected)
    cdef const char* next_silence = PyBytes_AS_STRING(silence)
    cdef const char* next_monetary = PyBytes_AS_STRING(monetary)
    cdef const char* next_distance = PyBytes_AS_STRING(distance)
    cdef char* buffer = NULL
    cdef char* at
    cdef char* identity = NULL
    cdef char* moment
    cdef bytes ids = PyBytes_FromStringAndSize(NULL, n * ID)
    cdef bytes times = PyBytes_FromStringAndSize(NULL, n * MOMENT)
    cdef bytes digest
    cdef char* id_at = PyBytes_AS_STRING(ids)
    cdef char* time_at = PyBytes_AS_STRING(times)
    cdef int64_t[::1] ends
    cdef int64_t number
    cdef int16_t nothing = len(labels) - 1
    cdef Row row
    found = np.empty(n, dtype=np.int64)
    ends = found
    room = FIXED_CHARS + max(map(len, topics_json)) + 2 * len(version_json)
    room += 5 * max(map(len, labels_json)) + max(map(len, cause_texts)) + max(map(len, rfm_json))
    try:
        name, name_json = texts_of(names), texts_of(names_json)
        label, label_json = texts_of(labels), texts_of(labels_json)
        kind, cause = texts_of(kind_texts), texts_of(cause_texts)
        scores, topic = texts_of(rfm_json), texts_of(topics_json)
        none = label_json[nothing]
        for i in range(n):
            longest += name_json[customers[i]].size
        buffer = <char*> malloc(n * room + longest + 1)
        longest = max(map(len, names)) if names else 0
        identity = <char*> malloc(room + longest + 2 * max(map(len, labels)))
        if buffer == NULL or identity == NULL:
            raise MemoryError()
        at = buffer
        for i in range(n):
            row = numbers[i]
            moment = time_at
            if is_moment(row.as_of_us):
                put_moment(moment, row.as_of_us)
            time_at += MOMENT
            at = put_literal(at, b'{"customer_id":', 15)
            at = put(at, name_json[customers[i]])
            at = put_literal(at, b',"sequence":', 12)
            at = put_int(at, row.sequence)
            at = put_literal(at, b',"previous":', 12)
            at = put(at, label_json[previous[i]])
            at = put_literal(at, b',"current":', 11)
            at = put(at, label_json[current[i]])
            at = put_literal(at, b',"cause":"', 10)
            at = put(at, cause[causes[i]])
            at = put_literal(at, b'","occurred_at":', 16)
            if is_moment(row.as_of_us):
                at[0] = c'"'
                memcpy(at + 1, moment, MOMENT)
                at[MOMENT + 1] = c'"'
                at += MOMENT + 2
            else:
                at = put(at, none)
            at = put_literal(at, b',"prob_alive":', 14)
            at = put_number(at, &next_prob)
            at = put_literal(at, b',"expected_purchases_30d":', 26)
            at = put_number(at, &next_expected)
            at = put_literal(at, b',"frequency":', 13)
            at = put_int(at, row.frequency if row.frequency > 0 else 0)
            at = put_literal(at, b',"silence_days":', 16)
            at = put_number(at, &next_silence)
            at = put_literal(at, b',"monetary_value":', 18)
            at = put_number(at, &next_monetary)
            at = put_literal(at, b',"rfm":', 7)
            at = put(at, scores[rfm[i]])
            at = put_literal(at, b',"margin":', 10)
            if row.frequency >= 0:
                at = put_literal(at, b'{"segment":', 11)
                at = put(at, label_json[beyond[i]])
                at = put_literal(at, b',"distance":', 12)
                at = put_number(at, &next_distance)
                at[0] = c"}"
                at += 1
            else:
                put_number(at, &next_distance)
                at = put(at, none)
            at = put_literal(at, b',"next_review":', 15)
            if is_moment(row.next_review_us):
                at = put_literal(at, b'{"at":"', 7)
                at = put_moment(at, row.next_review_us)
                at = put_literal(at, b'","segment":', 12)
                at = put(at, label_json[next_segments[i]])
                at = put_literal(at, b',"lifecycle":', 13)
                at = put(at, label_json[next_lifecycles[i]])
                at[0] = c"}"
                at += 1
            else:
                at = put(at, none)
            at = put_literal(at, b',"scorecard":', 13)
            at = put(at, card_json)
            at = put_literal(at, b',"source":{"topic":', 19)
            at = put(at, topic[row.source_topic])
            at = put_literal(at, b',"partition":', 13)
            at = put_int(at, partition)
            at = put_literal(at, b',"offset":', 10)
            at = put_int(at, row.source_offset)
            at = put_literal(at, b"}}", 2)
            ends[i] = at - buffer
            number = write_identity(
                identity, prefix, kind[kinds[i]], name[customers[i]], row.sequence,
                label[previous[i]], label[current[i]], cause[causes[i]],
                moment if is_moment(row.as_of_us) else NULL, card,
            )
            digest = sha1(identity[:number]).digest()
            put_id(id_at, <const unsigned char*> PyBytes_AS_STRING(digest))
            id_at += ID
        return buffer[:at - buffer], found, ids, times
    finally:
        free(name)
        free(name_json)
        free(label)
        free(label_json)
        free(kind)
        free(cause)
        free(scores)
        free(topic)
        free(buffer)
        free(identity)


cdef int64_t write_identity(
    char* start, Text prefix, Text kind, Text customer, int64_t sequence, Text previous,
    Text current, Text cause, const char* moment, Text card,
) noexcept:
    """What an id is the hash of; returns how many characters that are."""
    cdef char* at = put(start, prefix)
    at = put(at, kind)
    at[0] = c"\n"
    at = put(at + 1, customer)
    at[0] = c"\n"
    at = put_int(at + 1, sequence)
    at[0] = c"\n"
    at = put(at + 1, previous)
    at[0] = c"\n"
    at = put(at + 1, current)
    at[0] = c"\n"
    at = put(at + 1, cause)
    at[0] = c"\n"
    if moment == NULL:
        at = put_literal(at + 1, b"None", 4)
    else:
        at = put_literal(at + 1, moment, MOMENT)
    at[0] = c"\n"
    at = put(at + 1, card)
    return at - start
