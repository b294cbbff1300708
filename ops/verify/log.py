"""Reading stretches of Kafka's log for a replay: in order, in bounded memory, in no group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

import streams.header_names  # noqa: F401 - consumers read records whatever their header names
from streams.connections import kafka_access
from streams.kafka_check import check_kafka
from streams.kafka_refusals import kafka_error
from streams.settings import Settings
from streams.whole_batches import WholeBatch, whole

_READ_MS = 500
_FETCH_BYTES_MAX = 16 * 1024 * 1024
_RECORDS_MAX = 50_000  # of one batch: a replay has no latency to keep


Span = tuple[int, int]  # first offset, and the offset after the last


class LogReader:
    """Two consumers, used for one stretch after the other.

    Parameters
    ----------
    consumer : a started aiokafka consumer
    whole_batches : another, that reads whole batches
    settings : Settings
    """

    def __init__(self, consumer: Any, whole_batches: Any, settings: Settings) -> None:
        self._consumer = consumer
        self._whole_batches = whole_batches
        self._settings = settings

    async def bounds(self, topic: str, partitions: Iterable[int]) -> dict[int, Span]:
        """First offset that Kafka holds of each partition, and the end of its log."""
        tps = [TopicPartition(topic, partition) for partition in partitions]
        firsts = await self._consumer.beginning_offsets(tps)
        ends = await self._consumer.end_offsets(tps)
        return {tp.partition: (firsts[tp], ends[tp]) for tp in tps}

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return (await check_kafka(self._settings, topics=[topic]))[topic]

    async def read(self, topic: str, spans: Mapping[int, Span]) -> AsyncIterator[list[Any]]:
        """Records of some partitions, from the first offset of each span up to its end; in batches."""
        async for records in self._read(self._consumer, topic, spans):
            yield records

    async def read_whole(self, topic: str, spans: Mapping[int, Span]) -> AsyncIterator[WholeBatch]:
        """The same, as the log keeps it: the first batch may begin before its span."""
        async for batches in self._read(self._whole_batches, topic, spans):
            for batch in batches:
                yield batch

    @staticmethod
    async def _read(
        consumer: Any, topic: str, spans: Mapping[int, Span]
    ) -> AsyncIterator[list[Any]]:
        ends = {
            TopicPartition(topic, partition): end
            for partition, (start, end) in spans.items()
            if start < end
        }
        if not ends:
            return  # a consumer that gives up its partitions and then stops waits for itself for ever
        consumer.assign(list(ends))
        for tp in ends:
            consumer.seek(tp, spans[tp.partition][0])
        left = set(ends)
        while left:
            found = await consumer.getmany(*left, timeout_ms=_READ_MS, max_records=_RECORDS_MAX)
            for tp, records in found.items():
                wanted = [record for record in records if record.offset < ends[tp]]
                if wanted:
                    yield wanted
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[LogReader]:
    """A reader of all topics of an installation.

    Raises
    ------
    BrokerUnavailableError
        No broker answers.
    ConfigurationError
        Kafka refuses us.
    """
    await check_kafka(settings, topics=[settings.transactions_topic])
    records, batches = _consumer(settings), _consumer(settings, value_deserializer=whole)
    try:
        await records.start()
        await batches.start()
        yield LogReader(records, batches, settings)
    except KafkaError as error:
        raise kafka_error(settings, error, "does not let us read its log") from error
    finally:
        await records.stop()
        await batches.stop()


def _consumer(settings: Settings, **more: Any) -> Any:
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        enable_auto_commit=False,
        auto_offset_reset="none",  # "earliest" would hide that records are gone
        isolation_level="read_committed",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        max_partition_fetch_bytes=_FETCH_BYTES_MAX,
        **kafka_access(settings),
        **more,
    )
