"""The simulated consumer: what `streams.batch_consumer` promises, over the simulated log.

First in, first out by partition; a seek or a rebalance disowns what was read before it; what is at work
when partitions are given up may finish. Kafka's committed offset is not simulated: it is advice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Set

from faust.types import TP

from schemas.errors import BrokerUnavailableError
from streams.record_batches import Partition, RecordBatch
from tests.simulation.kafka import Brokers
from tests.simulation.loop import Process

_DELAY_SECONDS_MAX = 0.02
_QUEUE_BATCHES = 4
_FINISH_SECONDS_MAX = 2.0  # the transport's `finish_seconds_max`, by the shorter session
_RESUME_SECONDS_MAX = 20.0  # its part of `broker_request_timeout`
_STALE = -1

Positions = Callable[[Set[TP]], Awaitable[Mapping[TP, int]]]


class Delivery:
    """One batch on its way through the agent: message and event in one.

    Attributes
    ----------
    value : RecordBatch
    """

    def __init__(self, consumer: Consumer, tp: TP, batch: RecordBatch) -> None:
        self.value = batch
        self.tp = tp
        self.acked = False
        self.generation_id = 0
        self._consumer = consumer

    def ack(self) -> bool:
        """See `BatchConsumer.ack`."""
        return self._consumer.ack(self)


class Stream:
    """What the agent sees of Faust's stream."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def noack(self) -> Stream:
        """As Faust's."""
        return self

    def events(self) -> Stream:
        """As Faust's."""
        return self

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Delivery:
        consumer = self._consumer
        consumer.at_work = None
        while True:
            delivery = await consumer.queue.get()
            if delivery.generation_id != _STALE:
                consumer.at_work = delivery
                return delivery


class Consumer:
    """What `ScoringWorker`, `Ownership` and the agent use of the app's consumer.

    Parameters
    ----------
    brokers : Brokers
    process : Process
    positions : async callable
        Where the assigned partitions resume.
    batch_records_max : int
    """

    def __init__(
        self, brokers: Brokers, process: Process, positions: Positions, batch_records_max: int
    ) -> None:
        self._brokers = brokers
        self._process = process
        self._positions = positions
        self._batch_max = batch_records_max
        self._partitions: dict[TP, Partition] = {}
        self._assigned: frozenset[TP] = frozenset()
        self._paused: set[TP] = set()
        self._epoch = 0
        self._woken = asyncio.Event()
        self.queue: asyncio.Queue[Delivery] = asyncio.Queue(_QUEUE_BATCHES)
        self.at_work: Delivery | None = None
        brokers.log.on_append(self._hear)

    def _hear(self) -> None:
        if self._process.alive and not self._woken.is_set():
            delay = self._brokers.random.random() * _DELAY_SECONDS_MAX
            self._brokers.loop.outside(delay, self.wake)

    def wake(self) -> None:
        """Look for new records."""
        if self._process.alive:
            self._woken.set()

    # --- what the production code uses -----------------------------------------------------------

    def assignment(self) -> frozenset[TP]:
        """The partitions that are ours as far as we know."""
        return self._assigned

    async def seek_partition(self, tp: TP, offset: int) -> None:
        """See `BatchConsumer.seek_partition`."""
        known = self._partitions.get(tp)
        if known is not None:
            self._seek_many({tp: offset}, {tp: known.end})
            await self._pause()  # the consumer has a thread of its own

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """See Faust's `Consumer.pause_partitions`."""
        self._paused.update(tps)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """See Faust's `Consumer.resume_partitions`."""
        self._paused.difference_update(tps)
        self.wake()

    def lag(self, tp: TP) -> int | None:
        """See `BatchConsumer.lag`."""
        partition = self._partitions.get(tp)
        return None if partition is None else partition.lag()

    def caught_up(self, tp: TP) -> bool:
        """See `BatchConsumer.caught_up`."""
        partition = self._partitions.get(tp)
        return partition is not None and partition.lag() == 0

    def ack(self, delivery: Delivery) -> bool:
        """See `BatchConsumer.ack`."""
        first, delivery.acked = not delivery.acked, True
        partition = self._partitions.get(delivery.tp)
        if not first or partition is None or delivery.generation_id == _STALE:
            return False
        partition.settle()
        return True

    # --- what the group tells us -----------------------------------------------------------------

    async def revoke(self) -> None:
        """Let the batch at work finish, then forget all partitions."""
        deadline = self._brokers.loop.time() + _FINISH_SECONDS_MAX
        while self._brokers.loop.time() < deadline:
            if self.at_work is None or self.at_work.acked:
                break
            await asyncio.sleep(0.05)
        self._epoch += 1
        for tp in list(self._partitions):
            self._forget(tp)

    async def resume(self, assigned: frozenset[TP]) -> None:
        """Read on with these partitions.

        Raises
        ------
        BrokerUnavailableError
            It took too long to take them over; the worker stops.
        """
        self._assigned = assigned
        self._paused &= assigned
        try:
            async with asyncio.timeout(_RESUME_SECONDS_MAX):
                offsets = await self._positions(assigned)
        except TimeoutError:
            raise BrokerUnavailableError("Partitions could not be taken over.") from None
        log = self._brokers.log
        self._seek_many(offsets, {tp: log.end(*tp) for tp in sorted(offsets)})
        await self._pause()

    def lose(self) -> None:
        """The group goes on without us."""
        self._assigned = frozenset()

    def _seek_many(self, offsets: Mapping[TP, int], ends: Mapping[TP, int]) -> None:
        self._epoch += 1
        for tp in sorted(offsets):
            self._forget(tp)
            self._partitions[tp] = Partition(self._epoch, offsets[tp], offsets[tp], ends[tp])
        self.wake()

    def _forget(self, tp: TP) -> None:
        partition = self._partitions.pop(tp, None)
        for delivery in partition.pending if partition else ():
            delivery.generation_id = _STALE

    # --- reading ---------------------------------------------------------------------------------

    async def fetch_forever(self) -> None:
        """Deliver what the log has of our partitions."""
        while True:
            self._woken.clear()
            tps = sorted(self._partitions.keys() - self._paused)
            self._brokers.random.shuffle(tps)
            found = False
            for tp in tps:
                found = await self._fetch(tp) or found
            if not found:
                await self._woken.wait()

    async def _fetch(self, tp: TP) -> bool:
        partition = self._partitions.get(tp)
        if partition is None:
            return False
        await self._pause()
        log = self._brokers.log
        if not self._brokers.reaches(self._process):
            self._brokers.loop.outside(0.2, self.wake)
            return False
        records = log.read(tp.topic, tp.partition, partition.position, self._batch_max)
        end = log.end(tp.topic, tp.partition)
        await self._pause()
        if self._partitions.get(tp) is not partition:
            return True  # a seek or a rebalance has overtaken it
        if records:
            batch = RecordBatch(tp.topic, tp.partition, list(records), partition.expected)
            delivery = Delivery(self, tp, batch)
            partition.expected = batch.next_offset
            partition.pending.append(delivery)  # type: ignore[arg-type]
            self._brokers.trace.add(
                self._process,
                "reads",
                f"{tp.topic}-{tp.partition} {batch.first_offset}–{batch.next_offset - 1}",
            )
            await self.queue.put(delivery)
        if self._partitions.get(tp) is partition:
            # Nothing there but markers: the reader goes past them.
            partition.position = batch.next_offset if records else end
            partition.end = end
        return bool(records)

    async def _pause(self) -> None:
        if self._brokers.random.random() < 0.3:
            await asyncio.sleep(self._brokers.random.random() * _DELAY_SECONDS_MAX)
