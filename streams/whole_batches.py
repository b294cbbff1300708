"""Batches of records handed out whole: for readers who only want to know whether they have seen a record.

Owns the walk over a batch's bytes (message format 2, which all brokers since 0.11 keep). A record's
tail is what it says, and nothing of when or where it was said: key, value and headers as they stand in
the log. Two records with the same tail say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from aiokafka.record.default_records import _DefaultRecordBatchPy


class WholeBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch that, to aiokafka's consumer, looks like its own only record."""

    @property
    def offset(self) -> int:
        """Of its last record."""
        return int(self.next_offset) - 1

    def __iter__(self) -> Any:
        self._maybe_uncompress()
        return iter((self,))

    def tails(self) -> list[bytes]:
        """Key, value and headers of each record."""
        data, at = bytes(self._buffer), self._pos
        found = []
        for _ in range(self._num_records):
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
            found.append(data[at + 1 : end])
            at = end
        return found


def whole(_: Any) -> Any:
    """Given to a consumer as its value deserializer: whole batches instead of records, please."""
    raise NotImplementedError("there is no record to deserialize")


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
