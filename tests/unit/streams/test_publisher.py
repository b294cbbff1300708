"""What the publisher packs, and what it says of messages that Kafka will never take."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace

import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from schemas.errors import BrokerUnavailableError, ConfigurationError
from scoring.texts import Texts
from state.outbox import Message, Run
from streams.homes import partition_of
from streams.packed_batches import PackedBatch
from streams.publisher import Publisher
from streams.settings import Settings
from streams.tails import batch_records, tail_of

DEAD, CHANGES = "transactions.dead-letter", "segment-changes"


class Producer:
    """Takes batches, or refuses those of a topic."""

    def __init__(self, refused: str = "", error: Exception | None = None) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.places: list[tuple[str, int]] = []
        self.offset = 40
        self._refused, self._error = refused, error

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(256 * 1024, 0)

    async def send_batch(self, batch, topic, *, partition):
        self.sent.append((topic, bytes(batch._build())))
        self.places.append((topic, partition))
        offset = self.offset
        self.offset += batch.record_count()
        sent = asyncio.get_running_loop().create_future()
        if topic == self._refused:
            sent.set_exception(self._error)
        else:
            sent.set_result(SimpleNamespace(offset=offset))
        return sent

    async def stop(self) -> None: ...


def publisher_with(producer: Producer, **settings) -> Publisher:
    publisher = Publisher(Settings(_env_file=None, kafka="k:9092", **settings))
    publisher._producer = producer
    publisher._counts = {DEAD: 1, CHANGES: 4}
    return publisher


def dead(value: bytes | None) -> Message:
    return Message(DEAD, b"k", value, [("a", None), ("b", b"\xff")])


def values_in(packed: bytes) -> list[bytes | None]:
    records = MemoryRecords(packed)
    found = []
    while records.has_next():
        found += [record.value for record in records.next_batch()]
    return found


async def test_large_message_goes_compressed_and_comes_out_as_it_was():
    producer = Producer()
    large = [b"x" * 8_000_000, os.urandom(300_000), b"y" * 300_000]
    values = [b"small", large[0], b"small too", large[1], large[2], None]
    await publisher_with(producer).publish([dead(value) for value in values])
    assert [value for _, packed in producer.sent for value in values_in(packed)] == values
    sizes = [len(packed) for _, packed in producer.sent]
    assert sizes[1] < 10_000
    assert sum(sizes) < 320_000


async def test_small_messages_go_as_they_are():
    producer = Producer()
    await publisher_with(producer).publish([dead(b"x" * 1_000) for _ in range(100)])
    ((_, packed),) = producer.sent
    assert len(packed) > 100_000


RUN = [(b"%d" % n, b"x" * 1_000, [("n", b"%d" % n), ("none", None)]) for n in range(700)]


def run_of(records, partitions: int) -> Run:
    return Run.of(CHANGES, 2, partitions, Texts.of([tail_of(*record) for record in records]))


def records_in(packed: bytes):
    records = MemoryRecords(packed)
    while records.has_next():
        for record in records.next_batch():
            yield record.key, record.value, list(record.headers)


@pytest.mark.parametrize("compression", ["none", "gzip"])
async def test_run_goes_to_its_partition_in_full_batches_and_comes_out_as_it_was(compression):
    producer = Producer()
    runs = [run_of(RUN[:300], 4), run_of(RUN[300:], 4)]
    await publisher_with(producer, compression=compression).publish(runs)
    assert set(producer.places) == {(CHANGES, 2)}
    assert len(producer.sent) == 3  # of 256 kB before compression
    assert [found for _, packed in producer.sent for found in records_in(packed)] == RUN
    assert (max(len(packed) for _, packed in producer.sent) < 100_000) == (compression == "gzip")


async def test_run_of_larger_records_than_a_batch_takes_goes_one_by_one():
    producer = Producer()
    large = [(b"k", bytes([n]) * 300_000, []) for n in range(3)]
    await publisher_with(producer).publish([run_of(large, 4)])
    assert [list(records_in(packed)) for _, packed in producer.sent] == [[one] for one in large]


async def test_run_goes_by_key_where_its_topic_has_other_partitions():
    producer = Producer()
    await publisher_with(producer).publish([run_of(RUN, 8)])
    found = dict.fromkeys(range(4), 0)
    for (_, partition), (_, packed) in zip(producer.places, producer.sent, strict=True):
        for key, _, _ in records_in(packed):
            assert partition_of(key, 4) == partition
            found[partition] += 1
    assert sum(found.values()) == len(RUN)
    assert all(found.values())


async def test_messages_go_before_runs():
    producer = Producer()
    first = Message(CHANGES, b"k", b"first", [], partition=2)
    await publisher_with(producer).publish([run_of(RUN[:1], 4), first])
    values = [value for _, packed in producer.sent for _, value, _ in records_in(packed)]
    assert values == [b"first", RUN[0][1]]


async def test_end_is_behind_all_that_was_acknowledged():
    producer = Producer()
    publisher = publisher_with(producer)
    assert publisher.end(CHANGES, 2) == 0
    await publisher.publish([run_of(RUN[:3], 4)])
    assert publisher.end(CHANGES, 2) == 43
    producer.offset = -1  # the broker had it before, and does not say where
    await publisher.publish([run_of(RUN[:1], 4)])
    assert publisher.end(CHANGES, 2) == 43
    assert publisher.end(CHANGES, 1) == 0


async def test_batch_of_a_run_takes_the_producers_number():
    batch = PackedBatch(batch_records(run_of(RUN[:3], 4).records, 0, 3), 3, 0)
    assert (batch.record_count(), batch.closed()) == (3, True)
    batch._set_producer_state(7, 1, 40)
    found = MemoryRecords(bytes(batch._build())).next_batch()
    assert (found.producer_id, found.producer_epoch, found.base_sequence) == (7, 1, 40)
    assert found.validate_crc()


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (MessageSizeTooLargeError(), "too large. It is kept. Raise max.message.bytes"),
        (RecordListTooLargeError(), "Raise segment.bytes"),
        (InvalidTimestampError(), "message.timestamp.after.max.ms"),
        (PolicyViolationError(), "policy"),
    ],
)
async def test_message_that_kafka_will_never_take_names_topic_and_setting(error, named):
    publisher = publisher_with(Producer(DEAD, error))
    changes = [Message(CHANGES, b"%d" % n, b"{}", []) for n in range(9)]
    with pytest.raises(ConfigurationError) as refused:
        await publisher.publish([*changes, dead(b"?")])
    assert f"Kafka at k:9092 refuses a message for '{DEAD}': " in str(refused.value)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_message_that_kafka_may_take_later_is_worth_another_try():
    publisher = publisher_with(Producer(DEAD, KafkaConnectionError("away")))
    with pytest.raises(BrokerUnavailableError, match="did not take 1 messages"):
        await publisher.publish([dead(b"?")])
