"""Reading change events back from Kafka: all of them as they come, or those of one customer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

import streams.header_names  # noqa: F401 - consumers read records whatever their header names
from streams.connections import kafka_access
from streams.homes import home_partition
from streams.kafka_check import check_kafka
from streams.kafka_refusals import kafka_error
from streams.settings import Settings

_READ_MS = 200
_decode = msgspec.json.Decoder().decode


@asynccontextmanager
async def open_consumer(settings: Settings, topic: str) -> AsyncIterator[tuple[Any, list[Any]]]:
    """A consumer of all partitions of a topic, in no group, and those partitions.

    Raises
    ------
    BrokerUnavailableError
        No broker answers.
    ConfigurationError
        There is no such topic, or Kafka refuses us.
    """
    count = (await check_kafka(settings, topics=[topic]))[topic]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=16 * 1024 * 1024,
        **kafka_access(settings),
    )
    partitions = [TopicPartition(topic, number) for number in range(count)]
    try:
        await consumer.start()
        consumer.assign(partitions)
        yield consumer, partitions
    except KafkaError as error:
        raise kafka_error(settings, error, f"does not let us read {topic!r}") from error
    finally:
        await consumer.stop()


def change_of(record: Any) -> dict[str, Any]:
    """A change event's body with its id, type and kind."""
    headers = dict(record.headers)
    body: dict[str, Any] = _decode(record.value)
    change_type = headers["ce_type"].decode()
    return body | {
        "id": headers["ce_id"].decode(),
        "type": change_type,
        "kind": change_type.split(".")[1],
    }


async def records_to_end(consumer: Any, partitions: list[Any]) -> AsyncIterator[Any]:
    """All records the partitions held when asked, from the first."""
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, begins[partition])
    left = {partition for partition in partitions if begins[partition] < ends[partition]}
    while left:
        batches = await consumer.getmany(timeout_ms=_READ_MS)
        for records in batches.values():
            for record in records:
                yield record
        for partition in list(left):
            if await consumer.position(partition) >= ends[partition]:
                left.discard(partition)


async def history_of(settings: Settings, customer_id: str) -> list[dict[str, Any]]:
    """The changes of one customer that Kafka still holds, in order, each once."""
    async with open_consumer(settings, settings.changes_topic) as (consumer, partitions):
        home = [partitions[home_partition(customer_id, len(partitions))]]
        consumer.assign(home)
        key = customer_id.encode()
        found: dict[str, dict[str, Any]] = {}
        async for record in records_to_end(consumer, home):
            if record.key == key:
                change = change_of(record)
                found[change["id"]] = change
    return sorted(found.values(), key=lambda change: change["sequence"])
