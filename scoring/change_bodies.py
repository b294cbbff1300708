"""Change events written down: body, id and time of each, from columns.

Owns the format; the numbers come from `scoring.change_events`, the body's contract is
`schemas.change.ChangeEvent`. This module says it in Python; `scoring._rendering` writes the same bytes,
compiled, at a tenth of the cost, where it was built.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.change import CHANGES_NAMESPACE, change_ids
from schemas.compiled import compiled
from schemas.transaction import FIRST_US, LAST_US
from scoring.decimals import rounded
from scoring.moments import rfc3339
from scoring.states import Numbers
from scoring.telling import Told
from scoring.texts import Texts

_rendering = compiled("scoring._rendering")
_encode = msgspec.json.Encoder().encode
_MOMENT_CHARS = 27
_has_to_be_escaped = re.compile(rb'[\x00-\x1f"\\]').search

_BODY = (
    b'{"customer_id":%b,"sequence":%d,"previous":%b,"current":%b,"cause":"%b","occurred_at":%b,'
    b'"prob_alive":%b,"prob_purchase_30d":%b,"expected_purchases_30d":%b,'
    b'"expected_purchases_90d":%b,"frequency":%d,"silence_days":%b,"monetary_value":%b,'
    b'"expected_spend":%b,"clv_90d":%b,"clv_365d":%b,"rfm":%b,"margin":%b,"next_review":%b,'
    b'"scorecard":%b,'
    b'"source":{"topic":%b,"partition":%d,"offset":%d}}'
)
_EXACT = ("prob_alive", "expected", "silence", "monetary", "distance")
_ROUNDED = ("prob_purchase", "expected_90", "spend", "clv_90", "clv_365")
_RFM = b'{"recency":%d,"frequency":%d,"monetary":%d}'
_MARGIN = b'{"segment":%b,"distance":%b}'
_REVIEW = b'{"at":"%b","segment":%b,"lifecycle":%b}'


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The texts that columns of indices stand for; UTF-8.

    Attributes
    ----------
    labels : list of bytes
        Names of segments and lifecycles; the last stands for none.
    """

    customers: list[bytes]
    kinds: list[bytes]
    causes: list[bytes]
    labels: list[bytes]
    topics: list[bytes]
    version: bytes


@dataclass(frozen=True, slots=True)
class ChangeColumns:
    """n changes that one scorecard led to, a column each.

    Attributes
    ----------
    numbers : structured array of dtype NUMBERS, shape (n,)
        The customers as they stood.
    customers : int64, shape (n,)
        Indices into the vocabulary's; as are the following.
    kinds, causes : uint8, shape (n,)
    previous, current, beyond, next_segments, next_lifecycles : int16, shape (n,)
        Labels; `beyond` is the nearest other segment.
    told : Told
        P(buy), purchases of 90 days and value are written with four decimals, what is no number as null.
    """

    numbers: Numbers
    customers: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    causes: NDArray[np.uint8]
    previous: NDArray[np.int16]
    current: NDArray[np.int16]
    beyond: NDArray[np.int16]
    next_segments: NDArray[np.int16]
    next_lifecycles: NDArray[np.int16]
    told: Told


@dataclass(frozen=True, slots=True)
class Written:
    """n changes as text.

    Attributes
    ----------
    ids : bytes
        36 characters each.
    times : Texts
        As in the body; empty where there is none.
    """

    bodies: Texts
    ids: bytes
    times: Texts


def write(columns: ChangeColumns, words: Vocabulary, partition: int) -> Written:
    """Write changes by whichever means is at hand."""
    written = None if _rendering is None else write_compiled(columns, words, partition)
    return write_plainly(columns, words, partition) if written is None else written


def write_compiled(columns: ChangeColumns, words: Vocabulary, partition: int) -> Written | None:
    """Write changes by `scoring._rendering`; None if a moment lies before the year 1.

    Such a year has another number of digits.
    """
    written = _rendering.write_changes(
        columns.numbers,
        columns.customers,
        words.customers,
        _quoted(words.customers) if _has_to_be_escaped(b"".join(words.customers)) else None,
        columns.kinds,
        words.kinds,
        columns.previous,
        columns.current,
        columns.causes,
        words.causes,
        [*words.labels, b"None"],
        [*_quoted_once(tuple(words.labels)), b"null"],
        *(_json(getattr(columns.told, name)) for name in _EXACT),
        *(np.ascontiguousarray(getattr(columns.told, name)) for name in _ROUNDED),
        columns.told.rfm,
        columns.beyond,
        columns.next_segments,
        columns.next_lifecycles,
        _quoted_once(tuple(words.topics)),
        partition,
        words.version,
        *_quoted_once((words.version,)),
        CHANGES_NAMESPACE.bytes,
        FIRST_US,
    )
    if written is None:
        return None
    blob, ends, ids, times, all_known = written
    moments = Texts.same_size(times, _MOMENT_CHARS)
    if not all_known:
        known = (columns.numbers["as_of_us"] <= LAST_US).tolist()
        moments = Texts.of(
            [moment if ok else b"" for moment, ok in zip(moments, known, strict=True)]
        )
    return Written(Texts(blob, ends), ids, moments)


def write_plainly(columns: ChangeColumns, words: Vocabulary, partition: int) -> Written:
    """Write changes in Python."""
    numbers = columns.numbers
    names, names_json = words.customers, _quoted(words.customers)
    labels, labels_json = [*words.labels, b"None"], [*_quoted(words.labels), b"null"]
    topics = _quoted(words.topics)
    (version_json,) = _quoted([words.version])
    times = [None if at is None else at.encode() for at in rfc3339(numbers["as_of_us"])]
    reviews = [None if at is None else at.encode() for at in rfc3339(numbers["next_review_us"])]
    exact = [map(_encode, getattr(columns.told, name).tolist()) for name in _EXACT]
    value = [map(str.encode, rounded(getattr(columns.told, name))) for name in _ROUNDED]
    bodies, identities = [], []
    for (
        row, at, customer, kind, cause, previous, current, beyond, segment, lifecycle, rfm,
        alive, expected, silence, monetary, distance,
        purchase, expected_90, spend, clv_90, clv_365, review,
    ) in zip(
        numbers[["sequence", "frequency", "source_topic", "source_offset"]].tolist(),
        times,
        *(column.tolist() for column in _indices(columns)),
        *exact,
        *value,
        reviews,
        strict=True,
    ):  # fmt: skip
        sequence, frequency, topic, offset = row
        margin = _MARGIN % (labels_json[beyond], distance) if frequency >= 0 else b"null"
        bodies.append(
            _BODY
            % (
                names_json[customer],
                sequence,
                labels_json[previous],
                labels_json[current],
                words.causes[cause],
                b"null" if at is None else b'"%b"' % at,
                alive,
                purchase,
                expected,
                expected_90,
                max(frequency, 0),
                silence,
                monetary,
                spend,
                clv_90,
                clv_365,
                _RFM % (rfm // 100, rfm // 10 % 10, rfm % 10),
                margin,
                b"null"
                if review is None
                else _REVIEW % (review, labels_json[segment], labels_json[lifecycle]),
                version_json,
                topics[topic],
                partition,
                offset,
            )
        )
        identities.append(
            b"%b\n%b\n%d\n%b\n%b\n%b\n%b\n%b"
            % (
                words.kinds[kind],
                names[customer],
                sequence,
                labels[previous],
                labels[current],
                words.causes[cause],
                at or b"None",
                words.version,
            )
        )
    moments = Texts.of([at or b"" for at in times])
    return Written(Texts.of(bodies), b"".join(change_ids(identities)), moments)


def _indices(columns: ChangeColumns) -> list[NDArray[np.integer]]:
    return [
        columns.customers,
        columns.kinds,
        columns.causes,
        columns.previous,
        columns.current,
        columns.beyond,
        columns.next_segments,
        columns.next_lifecycles,
        columns.told.rfm,
    ]


def _json(column: NDArray[np.float64]) -> bytes:
    return _encode(column.tolist())


def _quoted(texts: list[bytes]) -> list[bytes]:
    return [_encode(text.decode()) for text in texts]


@lru_cache(maxsize=64)  # segments, topics and scorecards: those of a worker do not change every day
def _quoted_once(texts: tuple[bytes, ...]) -> list[bytes]:
    return _quoted(list(texts))
