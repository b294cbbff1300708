"""The simulated Kafka: an append-only log, and producers whose replies can be lost.

A log keeps everything for ever and forgets nothing that it said it has. Offsets have gaps now and
then, as transaction markers leave them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from schemas.errors import BrokerUnavailableError
from state.outbox import Message, Outgoing
from streams.homes import partition_of
from streams.tails import spelled_out
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.trace import Trace

_DELAY_SECONDS_MAX = 0.02
_TIMEOUT_SECONDS = 0.5  # after which a producer gives up
_LATE_SECONDS_MAX = 2.0  # how long after that a request may still arrive
_MARKER_CHANCE = 0.05
_READ_RECORDS_MAX = 3
_MICROSECOND = 1e-6


@dataclass
class Record:
    """One record of the log."""

    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int  # milliseconds since 1970
    headers: list[tuple[str, bytes]] = field(default_factory=list)


class Log:
    """Topics of partitions of records.

    Parameters
    ----------
    partitions : how many each topic has
    random : Random
    """

    def __init__(self, partitions: dict[str, int], random: Random) -> None:
        self.topics = {
            topic: [list[Record]() for _ in range(count)] for topic, count in partitions.items()
        }
        self._ends = {topic: [0] * count for topic, count in partitions.items()}
        self._random = random
        self._readers: list[Callable[[], None]] = []

    def append(self, topic: str, partition: int, message: Message, now_ms: int) -> Record:
        """Write one record."""
        records = self.topics[topic][partition]
        offset = self.end(topic, partition)
        timestamp = now_ms if message.timestamp_ms is None else message.timestamp_ms
        record = Record(offset, message.value, message.key, timestamp, list(message.headers))
        records.append(record)
        marker = self._random.random() < _MARKER_CHANCE
        self._ends[topic][partition] = offset + 1 + marker
        for woken in self._readers:
            woken()
        return record

    def end(self, topic: str, partition: int) -> int:
        """Offset after all that was written, markers included."""
        return self._ends[topic][partition]

    def records_end(self, topic: str, partition: int) -> int:
        """Offset after the last record."""
        records = self.topics[topic][partition]
        return records[-1].offset + 1 if records else 0

    def read(self, topic: str, partition: int, offset: int, count: int) -> list[Record]:
        """Records from an offset on."""
        records = self.topics[topic][partition]
        low, high = 0, len(records)
        while low < high:
            middle = (low + high) // 2
            if records[middle].offset < offset:
                low = middle + 1
            else:
                high = middle
        return records[low : low + count]

    def all(self, topic: str) -> list[Record]:
        """Every record of a topic, partition by partition."""
        return [record for records in self.topics[topic] for record in records]

    def on_append(self, woken: Callable[[], None]) -> None:
        """Tell a reader of new records."""
        self._readers.append(woken)


class Brokers:
    """The way to the log, and what can be wrong with it.

    Attributes
    ----------
    away : bool
        Nobody gets an answer.
    fault_chance : float
        Of a request that fails in one of the ways requests fail.
    refusal_chance : float
        Of messages that are not taken, while records can be read.
    """

    def __init__(self, loop: SimulatedLoop, log: Log, random: Random, trace: Trace) -> None:
        self.loop = loop
        self.log = log
        self.random = random
        self.trace = trace
        self.away = False
        self.fault_chance = 0.0
        self.refusal_chance = 0.0
        self.cut_off: set[Process] = set()

    def reaches(self, process: Process) -> bool:
        """Whether a process and the brokers hear each other."""
        return process.alive and not self.away and process not in self.cut_off


class Producer:
    """What a worker uses of `streams.publisher.Publisher`."""

    def __init__(self, brokers: Brokers, process: Process, now_ms: Callable[[], int]) -> None:
        self._brokers = brokers
        self._process = process
        self._now_ms = now_ms
        self._ends: dict[tuple[str, int], int] = {}
        self._last: dict[
            tuple[str, int], float
        ] = {}  # arrival: an idempotent producer keeps the order

    async def start(self) -> None:
        """See `Publisher.start`."""

    async def stop(self) -> None:
        """See `Publisher.stop`."""

    async def partitions(self, topic: str) -> int:
        """See `Publisher.partitions`."""
        return len(self._brokers.log.topics[topic])

    def end(self, topic: str, partition: int) -> int:
        """See `Publisher.end`."""
        return self._ends.get((topic, partition), 0)

    async def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """See `Publisher.publish`: in order by partition; what failed may have arrived, or yet arrive."""
        messages = spelled_out(outgoing)
        if not messages:
            return
        brokers, random = self._brokers, self._brokers.random
        batches: dict[tuple[str, int], list[Message]] = {}
        for message in messages:
            count = len(brokers.log.topics[message.topic])
            partition = message.partition
            if partition is None:
                partition = partition_of(message.key, count)
            batches.setdefault((message.topic, partition), []).append(message)
        if not brokers.reaches(self._process):
            await asyncio.sleep(random.random() * _TIMEOUT_SECONDS)
            raise BrokerUnavailableError("Kafka is away.")
        fails = random.random() < max(brokers.fault_chance, brokers.refusal_chance)
        arrivals = []
        for (topic, partition), batch in batches.items():
            fate = random.choice(("never", "arrives", "late")) if fails else "arrives"
            delay = random.random() * _DELAY_SECONDS_MAX
            if fate == "late":
                delay += _TIMEOUT_SECONDS + random.random() * _LATE_SECONDS_MAX
            else:
                now = brokers.loop.time()
                at = max(now + delay, self._last.get((topic, partition), now) + _MICROSECOND)
                self._last[topic, partition] = at
                delay = at - now
            if fate != "never":
                arrived = brokers.loop.create_future()
                brokers.loop.outside(delay, self._arrive, topic, partition, batch, arrived)
                arrivals.append(arrived)
        if fails:
            await asyncio.sleep(_TIMEOUT_SECONDS)
            brokers.trace.add(self._process, "is told nothing of", f"{len(messages)} messages")
            raise BrokerUnavailableError(f"Kafka did not take {len(messages)} messages.")
        for arrived in arrivals:
            await arrived
        for (topic, partition), end in zip(
            batches, [one.result() for one in arrivals], strict=True
        ):
            self._ends[topic, partition] = max(end, self.end(topic, partition))
        if random.random() < 0.5:  # the reply takes its time
            await asyncio.sleep(random.random() * _DELAY_SECONDS_MAX)

    def _arrive(
        self, topic: str, partition: int, batch: list[Message], arrived: asyncio.Future[int]
    ) -> None:
        brokers = self._brokers
        if not self._process.alive and brokers.random.random() < 0.5:
            return  # it was still in the sender's buffers
        for message in batch:
            record = brokers.log.append(topic, partition, message, self._now_ms())
            end = record.offset + 1
            brokers.trace.add(self._process, "published", f"{topic}-{partition} {record.offset}")
        if not arrived.done():
            arrived.set_result(end)


class Reader:
    """What `streams.journal` uses of `AIOKafkaConsumer`, over the simulated log."""

    def __init__(self, brokers: Brokers, process: Process) -> None:
        self._brokers = brokers
        self._process = process
        self._positions: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """See `AIOKafkaConsumer.start`."""
        await self._ask()

    async def stop(self) -> None:
        """See `AIOKafkaConsumer.stop`."""

    def assign(self, tps: Sequence[TopicPartition]) -> None:
        """See `AIOKafkaConsumer.assign`."""
        self._positions = dict.fromkeys(tps, 0)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """See `AIOKafkaConsumer.seek`."""
        self._positions[tp] = offset

    async def position(self, tp: TopicPartition) -> int:
        """See `AIOKafkaConsumer.position`."""
        return self._positions[tp]

    async def beginning_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `AIOKafkaConsumer.beginning_offsets`."""
        return dict.fromkeys(tps, 0)

    async def end_offsets(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """See `AIOKafkaConsumer.end_offsets`."""
        await self._ask()
        return {tp: self._brokers.log.end(tp.topic, tp.partition) for tp in tps}

    async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        """See `AIOKafkaConsumer.getmany`."""
        await self._ask()
        found: dict[TopicPartition, list[Record]] = {}
        log = self._brokers.log
        for tp, position in self._positions.items():
            records = log.read(tp.topic, tp.partition, position, _READ_RECORDS_MAX)
            if records:
                found[tp] = records
                self._positions[tp] = records[-1].offset + 1
            else:
                self._positions[tp] = log.end(tp.topic, tp.partition)
        return found

    async def _ask(self) -> None:
        brokers = self._brokers
        await asyncio.sleep(brokers.random.random() * _DELAY_SECONDS_MAX)
        fails = brokers.random.random() < brokers.fault_chance
        if fails or not brokers.reaches(self._process):
            await asyncio.sleep(brokers.random.random() * _TIMEOUT_SECONDS)
            raise KafkaConnectionError("Kafka is away.")
