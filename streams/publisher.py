"""Publishes messages with an idempotent producer and waits until the brokers have them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from scoring.texts import Texts
from state.outbox import Message, Outgoing, count_records
from streams.connections import kafka_access
from streams.homes import partition_of
from streams.kafka_check import check_kafka
from streams.kafka_refusals import kafka_error, message_refusal
from streams.packed_batches import CODECS, packed_batches
from streams.settings import Settings
from streams.tails import spelled_out

# A dead letter carries its record's bytes: what a broker let in must go out again.
_REQUEST_BYTES_MAX = 64 * 1024 * 1024
BATCH_BYTES = 256 * 1024
_CLOSE_SECONDS_MAX = 3.0  # a producer that stops first tries to send what it holds


async def open_producer(
    settings: Settings, *, linger_ms: int, topics: Collection[str] = ()
) -> AIOKafkaProducer:
    """A started idempotent producer that waits for all replicas.

    Parameters
    ----------
    settings : Settings
    linger_ms : int
    topics : collection of str
        Must be there.

    Raises
    ------
    ConfigurationError
        Kafka refuses us, or a topic is missing.
    BrokerUnavailableError
        No broker answers.
    """
    await check_kafka(settings, topics=topics)
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        enable_idempotence=True,
        acks="all",
        linger_ms=linger_ms,
        max_batch_size=BATCH_BYTES,
        max_request_size=_REQUEST_BYTES_MAX,
        compression_type=settings.compression_type,
        **kafka_access(settings),
    )
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        raise kafka_error(settings, error, "does not answer") from error
    return producer


class Publisher:
    """One producer of a worker.

    Parameters
    ----------
    settings : Settings
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: Any = None
        self._counts: dict[str, int] = {}
        self._ends: dict[tuple[str, int], int] = {}

    async def start(self) -> None:
        """Connect.

        Raises
        ------
        ConfigurationError
            Kafka refuses us.
        BrokerUnavailableError
            No broker answers.
        """
        self._producer = await open_producer(self._settings, linger_ms=2)

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Send in order, runs last, and wait for all acknowledgements.

        Whole batches are built here: the producer's own `send` costs ten times as much a message.

        Raises
        ------
        ConfigurationError
            A topic is missing, or we may not write to it.
        BrokerUnavailableError
            Some were not acknowledged; whether they arrived is not known. To publish them again is
            safe: that begins with a new producer, since the old one may still try.
        """
        if self._producer is None:
            await self.start()
        pending: list[tuple[str, asyncio.Future[Any]]] = []
        ends: list[tuple[str, int, int]] = []
        try:
            for topic, partition, batch in await self._batches(outgoing):
                sent = await self._producer.send_batch(batch, topic, partition=partition)
                pending.append((topic, sent))
                ends.append((topic, partition, batch.record_count()))
            told = await asyncio.gather(*(sent for _, sent in pending))
            for (topic, partition, count), metadata in zip(ends, told, strict=True):
                if metadata is not None and metadata.offset >= 0:  # −1: the broker had it before
                    end = metadata.offset + count
                    self._ends[topic, partition] = max(end, self.end(topic, partition))
        except KafkaError as error:
            await self._abandon()
            topics = [topic for topic, sent in pending if _failed_by(sent, error)]
            refusal = message_refusal(self._settings, error, topics)
            failed = f"did not take {count_records(outgoing)} messages"
            raise (refusal or kafka_error(self._settings, error, failed)) from error

    def end(self, topic: str, partition: int) -> int:
        """Offset behind all that was acknowledged here; 0 where nothing was."""
        return self._ends.get((topic, partition), 0)

    async def _abandon(self) -> None:
        """Let go of a producer that failed: what it still holds must not follow what comes next."""
        producer, self._producer = self._producer, None
        self._counts.clear()
        await _close(producer)

    async def _batches(self, outgoing: Sequence[Outgoing]) -> list[tuple[str, int, Any]]:
        """Messages packed by topic and partition, each partition's in order."""
        packed: list[tuple[str, int, Any]] = []
        filling: dict[tuple[str, int], Any] = {}
        messages, runs = await self._sorted(outgoing)
        for message in messages:
            topic = message.topic
            count = self._counts[topic]
            partition = message.partition
            if partition is None:
                partition = partition_of(message.key, count)
            batch = filling.get((topic, partition))
            while batch is None or not self._append(batch, message):
                batch = self._new_batch(message)
                filling[topic, partition] = batch
                packed.append((topic, partition, batch))
        codec = CODECS[self._settings.compression_type]
        for (topic, partition), parts in runs.items():
            batches = packed_batches(Texts.joined(parts), BATCH_BYTES, codec)
            packed += [(topic, partition, batch) for batch in batches]
        return packed

    async def _sorted(
        self, outgoing: Sequence[Outgoing]
    ) -> tuple[list[Message], dict[tuple[str, int], list[Texts]]]:
        """What goes message by message, and what goes in runs to a partition of its own."""
        messages: list[Message] = []
        runs: dict[tuple[str, int], list[Texts]] = {}
        for one in outgoing:
            count = self._counts.get(one.topic) or await self.partitions(one.topic)
            if isinstance(one, Message):
                messages.append(one)
            elif one.partitions == count:
                runs.setdefault((one.topic, one.partition), []).append(one.records)
            else:
                messages += spelled_out([one])
        return messages, runs

    def _new_batch(self, message: Message) -> Any:
        """A batch that begins with a message.

        One that fills it by itself is the dead letter of a large record, or goes home, and grew by
        headers or a key. It may have come compressed: compressed it passes where it passed before.
        """
        if self._settings.compression_type is None and len(message.value or b"") > BATCH_BYTES:
            return BatchBuilder(BATCH_BYTES, CODECS["gzip"])
        return self._producer.create_batch()

    @staticmethod
    def _append(batch: Any, message: Message) -> bool:
        appended = batch.append(
            timestamp=message.timestamp_ms,
            key=message.key,
            value=message.value,
            headers=message.headers,
        )
        return appended is not None

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises
        ------
        ConfigurationError
            It is not there, or not for us; nothing creates it with as many as there happen to be.
        BrokerUnavailableError
            No broker answers.
        """
        self._counts |= await check_kafka(self._settings, topics=[topic])
        return self._counts[topic]

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._abandon()


def _failed_by(sent: asyncio.Future[Any], error: KafkaError) -> bool:
    return sent.done() and not sent.cancelled() and sent.exception() is error


async def _close(producer: AIOKafkaProducer) -> None:
    """Stop a producer; what no broker takes in time it gives up."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS_MAX):
            await producer.stop()
    except TimeoutError:
        await producer._sender.close()
        await producer.client.close()
