"""Gathers what a row leaves behind, with plain clients: topics from Kafka, hashes from Redis."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.oracle.history import Read
from ops.oracle.transaction import Transaction
from tests.chaos.oracle import Evidence, Letter, Told
from tests.chaos.place import PARTITIONS, Place
from tests.chaos.transactions import Outgoing

_PAGE = 500
_LETTER = "__everscore.error."


class LogError(AssertionError):
    """Kafka does not hold what it has acknowledged, or holds what nobody sent."""


async def gather(place: Place, sent: Sequence[Outgoing]) -> Evidence:
    """Everything of a row whose workers have ended.

    Raises
    ------
    LogError
        The log is not what was sent: nothing said of it would mean anything.
    """
    log, poison = read_log(sent, [record async for record in _records(place, place.topic)])
    told = [
        Told(record.key.decode(), headers["ce_id"], headers["ce_type"], record.value)
        async for record in _records(place, place.settings.changes_topic)
        for headers in [_texts(record.headers)]
    ]
    letters = [
        Letter(int(headers[_LETTER + "partition"]), int(headers[_LETTER + "offset"]), record.value)
        async for record in _records(place, place.settings.dead_letter_topic, 1)
        for headers in [_texts(record.headers)]
    ]
    redis, prefix = place.redis.client, place.prefix
    topic = place.settings.scorecards_topic
    published = {record.key: record.value async for record in _records(place, topic, 1)}
    if len(published) != 1:
        raise LogError(f"{len(published)} scorecards: the oracle knows histories of one")
    due: dict[str, float] = {}
    for partition in range(PARTITIONS):
        queue = await redis.zrange(f"{prefix}due:{partition}", 0, -1, withscores=True)
        due |= {customer.decode(): at for customer, at in queue}
    return Evidence(
        card=json.loads(next(iter(published.values()))),
        cards={
            version: json.loads(body)
            for version, body in _decoded(await redis.hgetall(f"{prefix}scorecards")).items()
        },
        log=log,
        topic=place.topic,
        checkpoints={
            p: _decoded(await redis.hgetall(f"{prefix}partition:{p}")) for p in range(PARTITIONS)
        },
        customers=await _customers(place),
        due=due,
        told=told,
        letters=letters,
        poison=poison,
    )


def read_log(
    sent: Sequence[Outgoing], records: Iterable[Any]
) -> tuple[dict[int, list[Read]], dict[tuple[int, int], bytes]]:
    """The log in the oracle's words, and the malformed records by their place.

    Raises
    ------
    LogError
        See `gather`.
    """
    known: dict[bytes, Transaction | None] = {item.value: item.transaction for item in sent}
    missing = set(known)
    log: dict[int, list[Read]] = {partition: [] for partition in range(PARTITIONS)}
    poison: dict[tuple[int, int], bytes] = {}
    for record in records:
        if record.value not in known:
            raise LogError(f"nobody sent {record.value[:200]!r}")
        missing.discard(record.value)
        transaction = known[record.value]
        log[record.partition].append(Read(record.offset, transaction))
        if transaction is None:
            poison[record.partition, record.offset] = record.value
    if missing:
        raise LogError(f"Kafka lost {len(missing)} acknowledged records, such as {missing.pop()!r}")
    return log, poison


async def _records(place: Place, topic: str, count: int = PARTITIONS) -> AsyncIterator[Any]:
    """All records of a topic, each partition in order."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.kafka.address,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        left = {tp for tp in partitions if ends[tp]}
        while left:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    yield record
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()


async def end_of_log(place: Place) -> int:
    """How many records the transactions topic holds, over all partitions."""
    consumer = AIOKafkaConsumer(bootstrap_servers=place.kafka.address)
    await consumer.start()
    try:
        partitions = [TopicPartition(place.topic, number) for number in range(PARTITIONS)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


async def _customers(place: Place) -> dict[str, dict[str, str]]:
    """Every hash `customer:<id>`, but for the packed ledger."""
    head = f"{place.prefix}customer:"
    keys = [key async for key in place.redis.client.scan_iter(f"{head}*", count=_PAGE)]
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(keys), _PAGE):
        page = keys[start : start + _PAGE]
        pipeline = place.redis.client.pipeline(transaction=False)
        for key in page:
            pipeline.hgetall(key)
        for key, fields in zip(page, await pipeline.execute(), strict=True):
            fields.pop(b"ledger", None)
            found[key.decode().removeprefix(head)] = _decoded(fields)
    return found


def _decoded(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


def _texts(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in headers}
