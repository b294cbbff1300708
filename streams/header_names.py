"""Records whose header names are not UTF-8 are read like all others, what is wrong as U+FFFD.

Kafka takes any bytes for a name, and so do producers in C; Java's consumer replaces what it cannot
read. aiokafka (0.14) raises UnicodeDecodeError out of the fetch, at the same record for ever. Importing
this module makes its consumers read such a batch anew, by its slower decoder; it may go once aiokafka
decodes names with replacement.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from streams.whole_batches import WholeBatch, whole

_LENGTH_AT, _AFTER_LENGTH = 8, 12  # of a batch, in all of Kafka's record formats


class ReadRecord(NamedTuple):
    """aiokafka's ConsumerRecord, whose making costs as much as all the rest of reading a record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class _Buffer(bytearray):
    """Bytes whose parts decode with replacement."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Buffer(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self).decode(encoding, "replace")


class _AnyNamesBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    """A batch read in Python, whatever its header names."""

    _buffer: bytearray

    def __iter__(self) -> Any:
        batch = super().__iter__()
        self._buffer = _Buffer(self._buffer)
        return batch


class _Batches:
    """What a fetch holds of a partition, batch by batch; the last one also once more."""

    def __init__(self, data: Any) -> None:
        self._data = memoryview(data)
        self._batches = MemoryRecords(data)
        self._begin = self._end = 0
        self._again = False
        self.whole = False

    def size_in_bytes(self) -> int:
        return len(self._data)

    def has_next(self) -> bool:
        return self._again or bool(self._batches.has_next())

    def next_batch(self) -> Any:
        if self._again:
            self._again = False
            return _AnyNamesBatch(self._data[self._begin : self._end])
        length_at = self._end + _LENGTH_AT
        length = int.from_bytes(self._data[length_at : length_at + 4], "big")
        self._begin, self._end = self._end, self._end + _AFTER_LENGTH + length
        batch = self._batches.next_batch()
        return WholeBatch(self._data[self._begin : self._end]) if self.whole else batch

    def once_more(self) -> None:
        """Hand out the last batch again, readable whatever its names."""
        self._again = True


class _AnyNamesRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of a fetch, or its batches; knows by offset which of them were handed out."""

    def __init__(self, tp: Any, records: Any, *rest: Any) -> None:
        super().__init__(tp, records, *rest)
        records.whole = self._whole = self._value_deserializer is whole

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        if self._whole:
            return record
        return ReadRecord(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp,
            record.timestamp_type,
            record.key,
            record.value,
            record.headers,
        )

    def _unpack_records(self) -> Iterator[Any]:
        while True:
            try:
                yield from super()._unpack_records()
            except UnicodeDecodeError:
                self._records.once_more()
            else:
                return


fetcher.MemoryRecords = _Batches
fetcher.PartitionRecords = _AnyNamesRecords
