"""A producer that sends what it likes: any key, partition, timestamp and header names, compressed or not.

Payloads are those of `tests.support.malformed`; how each is sent follows from seed and number too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError, KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from streams.connections import kafka_access
from streams.homes import home_partition
from streams.settings import Settings
from tests.support.malformed import NOW_MS, payload
from tests.support.transaction_oracle import Counted, Dead, verdict

_BATCH_BYTES = 512 * 1024
_REQUEST_BYTES_MAX = 64 * 1024 * 1024
_PLAIN, _GZIP = 0, 1
_UNDER_WAY_MAX = 64  # batches sent and not yet acknowledged

Header = tuple[str, bytes | None]


class RawName(str):
    """A header name that is sent as other bytes than it reads once it has arrived."""

    __slots__ = ("raw",)
    raw: bytes

    def __new__(cls, raw: bytes) -> RawName:
        name = super().__new__(cls, raw.decode("utf-8", "replace"))
        name.raw = raw
        return name

    def encode(self, *_: Any) -> bytes:
        return self.raw


@dataclass(frozen=True)
class Sent:
    """One record as it is sent, and, once Kafka has it, where it stands."""

    number: int
    value: bytes | None
    key: bytes | None
    headers: tuple[Header, ...]
    timestamp_ms: int
    partition: int
    said: Counted | Dead
    offset: int = -1

    @property
    def size(self) -> int:
        return len(self.value or b"") + len(self.key or b"") + 100


_HEADERS: tuple[tuple[Header, ...], ...] = (
    (),
    (("trace", b"\x00\xff"),),
    (("twice", b"1"), ("twice", b"2"), ("absent", None), ("empty", b"")),
    (("", b"no name"), ("naïve 名\x00\x1b[31m", b"x")),
    (("__everscore.error.class", b"forged"), ("__everscore.error.offset", None)),
    tuple((f"h{number}", b"x" * number) for number in range(60)),
    ((RawName(b"\xff\xfe name"), b"v"), ("after", b"it")),
)
_WEIGHTS = (200, 10, 10, 10, 10, 1, 2)


def record(seed: int, number: int, partitions: int) -> Sent:
    """The record of a number."""
    made = payload(seed, number)
    random = Random(f"{seed}:{number}:sent")
    said = verdict(made.value, made.timestamp_ms)
    if isinstance(said, Counted):
        # All that share a transaction id must be read in one order: one partition for them all.
        identity = f"{seed}:{said.customer_id}:{said.transaction_id}"
        place = Random(crc32(identity.encode()))
        home = home_partition(said.customer_id, partitions)
        key, partition = place.choice(
            [
                *[(said.customer_id.encode(), home)] * 6,
                (b"somebody else", place.randrange(partitions)),
                (None, place.randrange(partitions)),
            ]
        )
        stamp = NOW_MS
    else:
        key = random.choice([None, b"", b"c1", b"\xff\x00{}*", random.randbytes(8), b"k" * 100_000])
        key = key if key is None or len(key) < 100 or random.random() < 0.01 else b"k"
        partition, stamp = random.randrange(partitions), made.timestamp_ms
    headers = random.choices(_HEADERS, _WEIGHTS)[0]
    return Sent(number, made.value, key, headers, stamp, partition, said)


async def send_all(settings: Settings, seed: int, count: int, partitions: int) -> list[Sent]:
    """Send the records of the first so many numbers, each partition's in order.

    Returns
    -------
    list of Sent
        Those that Kafka took, with their offsets. It may refuse absurd timestamps, nothing else.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        max_batch_size=_BATCH_BYTES,
        max_request_size=_REQUEST_BYTES_MAX,
        **kafka_access(settings),
    )
    await producer.start()
    taken: list[Sent] = []
    try:
        under_way: list[tuple[list[Sent], asyncio.Future[Any]]] = []
        for batch in _batches(record(seed, number, partitions) for number in range(count)):
            sent = await producer.send_batch(
                _packed(batch), settings.transactions_topic, partition=batch[0].partition
            )
            under_way.append((batch, sent))
            if len(under_way) >= _UNDER_WAY_MAX:
                taken += await _acknowledged(under_way)
        taken += await _acknowledged(under_way)
    finally:
        await producer.stop()
    return taken


async def _acknowledged(under_way: list[tuple[list[Sent], asyncio.Future[Any]]]) -> list[Sent]:
    taken: list[Sent] = []
    for batch, sent in under_way:
        try:
            first = (await sent).offset
        except KafkaError as error:
            stamps = {entry.timestamp_ms for entry in batch}
            if not isinstance(error, InvalidTimestampError) or stamps == {NOW_MS}:
                raise
            continue
        taken += [replace(entry, offset=first + row) for row, entry in enumerate(batch)]
    under_way.clear()
    return taken


def _batches(records: Iterator[Sent]) -> Iterator[list[Sent]]:
    """Runs of one partition each, in which nothing is odd but what may be; the odd go alone."""
    waiting: dict[int, list[Sent]] = {}
    for entry in records:
        run = waiting.setdefault(entry.partition, [])
        alone = entry.timestamp_ms != NOW_MS or _raw_names(entry) or entry.size > _BATCH_BYTES // 2
        if run and (alone or sum(other.size for other in run) + entry.size > _BATCH_BYTES // 2):
            yield waiting.pop(entry.partition)
            run = waiting.setdefault(entry.partition, [])
        run.append(entry)
        if alone or len(run) >= 200:
            yield waiting.pop(entry.partition)
    yield from waiting.values()


def _raw_names(entry: Sent) -> bool:
    return any(isinstance(name, RawName) for name, _ in entry.headers)


def _packed(batch: Sequence[Sent]) -> BatchBuilder:
    """A batch as Kafka takes it; each third and every large one compressed."""
    codec = _GZIP if batch[0].number % 3 == 0 or batch[0].size > 2_000_000 else _PLAIN
    builder = BatchBuilder(_BATCH_BYTES, codec)
    if _raw_names(batch[0]):
        builder._builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, 0, _BATCH_BYTES)
    for entry in batch:
        added = builder.append(
            timestamp=entry.timestamp_ms,
            key=entry.key,
            value=entry.value,
            headers=list(entry.headers),
        )
        assert added is not None, "a batch that should have had room"
    return builder
