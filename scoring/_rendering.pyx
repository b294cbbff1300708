# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Change events written character by character: what `scoring.change_bodies` does, compiled.

Owns nothing but speed: for every input the bytes are those of the Python next door, which says what
they mean and takes over where this was not built. A test compares the two.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from scoring._bytes cimport (
    MOMENT,
    Text,
    is_moment,
    place_of,
    put,
    put_int,
    put_literal,
    put_moment,
    put_number,
    put_rounded,
    text_of,
    texts_of,
)
from scoring._numbers cimport Row

from hashlib import sha1

import numpy as np

cdef enum:
    ID = 36  # of a UUID
    FIXED_CHARS = 1280  # a change's names of fields, numbers and moments take fewer


cdef char* DIGITS = b"0123456789abcdef"


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
    numbers,
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
    const double[::1] prob_purchase,
    const double[::1] expected_90,
    const double[::1] spend,
    const double[::1] clv_90,
    const double[::1] clv_365,
    const int16_t[::1] rfm,
    const int16_t[::1] beyond,
    const int16_t[::1] next_segments,
    const int16_t[::1] next_lifecycles,
    list topics_json,
    int64_t partition,
    bytes version,
    bytes version_json,
    bytes namespace,
    int64_t first_us,
):
    """Bodies, ids and times of n changes that one scorecard led to.

    Parameters
    ----------
    numbers : structured array of dtype NUMBERS, shape (n,)
        The customers as they stood.
    customers : int64, shape (n,)
        Index of each into `names` (UTF-8) and `names_json` (quoted), which is None if quotes around
        the names are enough.
    kinds, previous, current, causes : uint8, shape (n,)
        Indices into `kind_texts`, `labels`, `labels`, `cause_texts`; the last label stands for none.
    prob_alive, expected, silence, monetary, distance : JSON arrays of n numbers
    prob_purchase, expected_90, spend, clv_90, clv_365 : float64, shape (n,)
    rfm : int16, shape (n,)
        Three digits.
    beyond : uint8, shape (n,)
        Label of the nearest other segment.
    next_segments, next_lifecycles : uint8, shape (n,)
        Labels.
    partition : of the input topics
    version, version_json : of the scorecard
    namespace : 16 bytes of the ids' UUID namespace
    first_us : int
        Earliest moment whose year has four digits.

    Returns
    -------
    None if there is an earlier one, or
    bodies : bytes, one after the other
    ends : int64, shape (n,)
        Where each body ends.
    ids : bytes, 36 characters each
    times : bytes, 27 characters each; undefined where there is no such moment
    all_known : bool
        Whether there is none.
    """
    cdef Py_ssize_t n = len(numbers), i, longest = 0, room
    cdef Text* name = NULL
    cdef Text* name_json = NULL
    cdef Text* label = NULL
    cdef Text* label_json = NULL
    cdef Text* kind = NULL
    cdef Text* cause = NULL
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
    cdef const Row* rows = <const Row*> place_of(numbers, n * sizeof(Row))
    cdef bint all_known = True
    for i in range(n):
        if rows[i].as_of_us < first_us or rows[i].next_review_us < first_us:
            return None
        all_known &= is_moment(rows[i].as_of_us)
    found = np.empty(n, dtype=np.int64)
    ends = found
    room = FIXED_CHARS + max(map(len, topics_json)) + 2 * len(version_json)
    room += 5 * max(map(len, labels_json)) + max(map(len, cause_texts))
    try:
        name = texts_of(names)
        if names_json is not None:
            name_json = texts_of(names_json)
        label, label_json = texts_of(labels), texts_of(labels_json)
        kind, cause = texts_of(kind_texts), texts_of(cause_texts)
        topic = texts_of(topics_json)
        none = label_json[nothing]
        for i in range(n):
            longest += name[customers[i]].size + 2 if name_json == NULL else name_json[customers[i]].size
        buffer = <char*> malloc(n * room + longest + 1)
        longest = max(map(len, names)) if names else 0
        identity = <char*> malloc(room + longest + 2 * max(map(len, labels)))
        if buffer == NULL or identity == NULL:
            raise MemoryError()
        at = buffer
        for i in range(n):
            row = rows[i]
            moment = time_at
            if is_moment(row.as_of_us):
                put_moment(moment, row.as_of_us)
            time_at += MOMENT
            at = put_literal(at, b'{"customer_id":', 15)
            if name_json == NULL:
                at[0] = c'"'
                at = put(at + 1, name[customers[i]])
                at[0] = c'"'
                at += 1
            else:
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
            at = put_literal(at, b',"prob_purchase_30d":', 21)
            at = put_rounded(at, prob_purchase[i])
            at = put_literal(at, b',"expected_purchases_30d":', 26)
            at = put_number(at, &next_expected)
            at = put_literal(at, b',"expected_purchases_90d":', 26)
            at = put_rounded(at, expected_90[i])
            at = put_literal(at, b',"frequency":', 13)
            at = put_int(at, row.frequency if row.frequency > 0 else 0)
            at = put_literal(at, b',"silence_days":', 16)
            at = put_number(at, &next_silence)
            at = put_literal(at, b',"monetary_value":', 18)
            at = put_number(at, &next_monetary)
            at = put_literal(at, b',"expected_spend":', 18)
            at = put_rounded(at, spend[i])
            at = put_literal(at, b',"clv_90d":', 11)
            at = put_rounded(at, clv_90[i])
            at = put_literal(at, b',"clv_365d":', 12)
            at = put_rounded(at, clv_365[i])
            at = put_literal(at, b',"rfm":', 7)
            at = put_literal(at, b'{"recency":', 11)
            at = put_int(at, rfm[i] // 100)
            at = put_literal(at, b',"frequency":', 13)
            at = put_int(at, rfm[i] // 10 % 10)
            at = put_literal(at, b',"monetary":', 12)
            at = put_int(at, rfm[i] % 10)
            at[0] = c"}"
            at += 1
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
        return buffer[:at - buffer], found, ids, times, all_known
    finally:
        free(name)
        free(name_json)
        free(label)
        free(label_json)
        free(kind)
        free(cause)
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
