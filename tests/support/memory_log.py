"""A log in memory that a replay reads, and everything that workers would have published in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import numpy as np

from state.outbox import Message
from streams.homes import partition_of
from streams.settings import Settings
from streams.tails import PrintArray, fingerprint, tail_of
from tests.support.purchases import ARRIVED_MS, LogRecord

_BATCH = 7  # records; small, so that many ends meet


class MemoryBatch:
    """See `streams.whole_batches.WholeBatch`."""

    def __init__(self, records: Sequence[LogRecord]) -> None:
        self._records = records
        self.offset = records[-1].offset

    def fingerprints(self) -> PrintArray:
        tails = (tail_of(record.key, record.value, record.headers) for record in self._records)
        return np.array(list(map(fingerprint, tails)), dtype=np.int64)


class MemoryLog:
    """See `ops.verify.log.LogReader`."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._settings = settings
        self._partitions = partitions
        self.first: dict[str, int] = {}  # offset from which on a topic still has its records
        self.topics: dict[str, dict[int, list[LogRecord]]] = defaultdict(lambda: defaultdict(list))

    def append(self, topic: str, partition: int, value: bytes | None, **more: object) -> None:
        records = self.topics[topic][partition]
        records.append(LogRecord(self._end(topic, partition), value, **more))  # type: ignore[arg-type]

    def publish(self, messages: Iterable[Message]) -> None:
        for message in messages:
            partition = message.partition
            if partition is None:
                partition = partition_of(message.key, self._partitions)
            self.append(
                message.topic,
                partition,
                message.value,
                key=message.key,
                headers=message.headers,
                timestamp=message.timestamp_ms or ARRIVED_MS,
            )

    def _end(self, topic: str, partition: int) -> int:
        records = self.topics[topic][partition]
        return records[-1].offset + 1 if records else 0

    async def partitions(self, topic: str) -> int:
        return self._partitions

    async def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        return {
            number: (self.first.get(topic, 0), self._end(topic, number)) for number in partitions
        }

    async def read(
        self, topic: str, spans: Mapping[int, tuple[int, int]]
    ) -> AsyncIterator[list[LogRecord]]:
        for partition, (start, end) in spans.items():
            records = [
                record for record in self.topics[topic][partition] if start <= record.offset < end
            ]
            for at in range(0, len(records), _BATCH):
                yield records[at : at + _BATCH]

    async def read_whole(
        self, topic: str, spans: Mapping[int, tuple[int, int]]
    ) -> AsyncIterator[MemoryBatch]:
        async for records in self.read(topic, spans):
            yield MemoryBatch(records)
