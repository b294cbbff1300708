"""A record's tail: what it says, and nothing of when or where it was said.

Owns its bytes: key, value and headers as they stand in a batch of Kafka's log (message format 2). Two
records with the same tail say the same. A fingerprint is 64 bits that stand for a tail, within one
process. `streams._records` does the same at a tenth of the cost, where it was built.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.change import ChangeType, cloud_event_headers
from schemas.compiled import compiled
from scoring.change_events import ID_CHARS, RenderedChanges
from scoring.changes import KINDS
from scoring.texts import Texts
from state.outbox import Message, Outgoing

_records = compiled("streams._records")

PrintArray = NDArray[np.int64]

Between = tuple[bytes, bytes, bytes, bytes]


def varint(number: int) -> bytes:
    """A number as batches have it: zigzag, base 128.

    >>> varint(1).hex(), varint(-1).hex(), varint(300).hex()
    ('02', '01', 'd804')
    """
    number = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def sized(text: bytes | None) -> bytes:
    """A text with its length before it."""
    return varint(-1) if text is None else varint(len(text)) + text


def tail_of(
    key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> bytes:
    """The tail that a record has, once it is published."""
    return b"".join([sized(key), sized(value), varint(len(headers)), *_header_parts(headers)])


def _header_parts(headers: Sequence[tuple[str, bytes | None]]) -> Iterator[bytes]:
    for name, value in headers:
        yield sized(name.encode())
        yield sized(value)


def read_tail(tail: bytes) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
    """Key, value and headers.

    >>> read_tail(tail_of(b"k", None, [("h", b"v"), ("n", None)]))
    (b'k', None, [('h', b'v'), ('n', None)])
    """
    key, at = _read_sized(tail, 0)
    value, at = _read_sized(tail, at)
    count, at = _read_varint(tail, at)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, at = _read_sized(tail, at)
        content, at = _read_sized(tail, at)
        headers.append(((name or b"").decode(), content))
    return key, value, headers


def _read_sized(tail: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = _read_varint(tail, at)
    return (None, at) if size < 0 else (tail[at : at + size], at + size)


def _read_varint(tail: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while (byte := tail[at]) > 127:
        number |= (byte & 127) << shift
        shift += 7
        at += 1
    number |= byte << shift
    return number >> 1 ^ -(number & 1), at + 1


def spelled_out(outgoing: Iterable[Outgoing]) -> list[Message]:
    """Runs as the messages that they stand for, the rest as it is."""
    messages: list[Message] = []
    for one in outgoing:
        if isinstance(one, Message):
            messages.append(one)
        else:
            messages += [Message(one.topic, *read_tail(tail)) for tail in one.records]
    return messages


def batch_records(tails: Texts, first: int, last: int) -> bytes:
    """Records of a batch, from the tails `first` to before `last`: all have the batch's own time."""
    if _records is not None:
        records: bytes = _records.write_records(tails.blob, tails.ends, first, last)
        return records
    parts = []
    for offset, row in enumerate(range(first, last)):
        parts.append(sized(b"\x00\x00" + varint(offset) + tails[row]))
    return b"".join(parts)


def fingerprint(tail: bytes) -> int:
    """Of one tail."""
    return hash(tail)


class ChangeTails:
    """Writes changes as the tails that their records have.

    Parameters
    ----------
    source : str
        CloudEvents source of this installation.
    """

    def __init__(self, source: str) -> None:
        self._between = [_between(kind, source) for kind in KINDS]

    def of(self, told: RenderedChanges) -> Texts:
        """Tails of n changes, in their order."""
        if _records is None:
            return self.written_plainly(told)
        return Texts(
            *_records.write_tails(
                told.names,
                told.customers,
                told.kinds,
                self._between,
                told.ids,
                told.times.blob,
                told.times.ends,
                told.bodies.blob,
                told.bodies.ends,
            )
        )

    def written_plainly(self, told: RenderedChanges) -> Texts:
        """The same in Python."""
        names = [sized(name) for name in told.names]
        tails = []
        columns = zip(
            told.customers.tolist(), told.kinds.tolist(), told.times, told.bodies, strict=True
        )
        for row, (customer, kind, at, body) in enumerate(columns):
            before_id, before_subject, before_time, end = self._between[kind]
            change_id = told.ids[row * ID_CHARS : (row + 1) * ID_CHARS]
            name = names[customer]
            parts = (name, sized(body), before_id, change_id, before_subject, name, before_time)
            tails.append(b"".join((*parts, sized(at), end)))
        return Texts.of(tails)


def _between(kind: ChangeType, source: str) -> Between:
    """What stands before a change's id, its subject and its time, and what comes after."""
    headers = cloud_event_headers(
        kind, change_id=bytes(ID_CHARS), source=source, subject=b"", time=b""
    )
    parts = [sized(name.encode()) + sized(value) for name, value in headers]
    before_id = varint(len(headers)) + b"".join(parts[:2])[:-ID_CHARS]
    # A subject or time of its own length takes the place of the empty one.
    return before_id, b"".join(parts[2:5])[:-1], parts[5][:-1], parts[6]


def fingerprints_of(tails: Texts) -> PrintArray:
    """Of many tails."""
    starts = np.concatenate([np.zeros(1, dtype=np.int64), tails.ends[:-1]])[: len(tails)]
    return fingerprints_at(tails.blob, starts, tails.ends)


def fingerprints_at(
    buffer: bytes | bytearray, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> PrintArray:
    """Of the tails that lie between some places of a buffer."""
    if _records is not None:
        found: PrintArray = _records.hashes(buffer, starts, ends)
        return found
    whole = bytes(buffer)
    places = zip(starts.tolist(), ends.tolist(), strict=True)
    return np.array([hash(whole[start:end]) for start, end in places], dtype=np.int64)


def find_tails(
    buffer: bytes | bytearray, at: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the tails of a batch's records lie: from where to where.

    Parameters
    ----------
    buffer : a record batch, not compressed
    at : where its first record begins
    count : how many it has
    """
    if _records is not None:
        places: tuple[NDArray[np.int64], NDArray[np.int64]] = _records.find_tails(buffer, at, count)
        return places
    data = bytes(buffer)
    starts, ends = [], []
    for _ in range(count):
        length = shift = 0
        while (byte := data[at]) > 127:
            length |= (byte & 127) << shift
            shift += 7
            at += 1
        length |= byte << shift
        end = at + 1 + (length >> 1)  # zigzag, and never negative
        at += 2  # the length's last byte, and the attributes
        while data[at] > 127:  # time
            at += 1
        at += 1
        while data[at] > 127:  # offset
            at += 1
        starts.append(at + 1)
        ends.append(end)
        at = end
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)
