"""The aiokafka consumer behind the batch transport, in the thread that Faust gives it.

Owns how the consumer is configured and the epoch each read belongs to: reads and seeks happen in
this one thread, so records are never mistaken for records of a later position. Keeps no account
of what was delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Set
from time import monotonic
from typing import Any, NamedTuple, cast

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

import streams.header_names  # noqa: F401 - consumers read records whatever their header names

_COMMIT_SECONDS_MAX = 5.0  # progress is kept elsewhere: a broker in trouble must not hold us up
_STOP_SECONDS_MAX = 5.0  # afterwards the group waits for our session to end, no worse


class Read(NamedTuple):
    """What one read found of a partition."""

    epoch: int
    records: list[Any]
    position: int
    end: int


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The aiokafka consumer in its own thread: reads and seeks there exclude each other."""

    transport: Any  # streams.transport.Transport, from which one comes here

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epochs: dict[TP, int] = {}

    async def on_start(self) -> None:
        """Connect; if Kafka went away since the worker looked for it, that is told as it is later."""
        try:
            await super().on_start()
        except KafkaError as error:
            if self.transport.fail is not None:
                self.transport.fail(error)
            raise

    async def on_thread_stop(self) -> None:
        """Leave the group, or give up: aiokafka looks for a lost coordinator for ever."""
        # A task of its own, since aiokafka lets the cancellation of its fetches escape from stop().
        leaving = asyncio.ensure_future(super().on_thread_stop())
        await asyncio.wait([leaving], timeout=_STOP_SECONDS_MAX)
        if not leaving.done() or leaving.cancelled() or leaving.exception() is not None:
            self.log.warning("The group may not know that we left; it waits for our session to end")

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            # Topics of equal partition count land on the same worker, partition by partition.
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",  # "earliest" would hide that records are gone
            isolation_level="read_committed",  # a purchase rolled back is no purchase
            max_poll_records=transport.read_records_max,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=transport.fetch_wait_ms_max,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **transport.access,
        )

    async def read(self, tps: Set[TP], seconds: float) -> dict[TP, Read]:
        """Records of the partitions that have any, each with the epoch it was read under."""
        # Not by Faust's queue of calls, whose waiting costs several tasks a call: this one is made for
        # every few records.
        reading = asyncio.run_coroutine_threadsafe(self._read(set(tps), seconds), self.thread_loop)
        return await asyncio.wrap_future(reading)

    async def _read(self, tps: set[TP], seconds: float) -> dict[TP, Read]:
        consumer = self._ensure_consumer()
        full = consumer._max_poll_records
        consumer.resume(*consumer.paused())
        records = await self._fetch_records(consumer, tps, timeout=seconds, max_records=full)
        # No await below: records, epoch and position belong to one moment.
        if 0 < sum(map(len, records.values())) < full:
            # What comes while these are counted is better fetched together afterwards: aiokafka would ask
            # for it at once, and have the first record alone.
            consumer.pause(*consumer.assignment())
        reads: dict[TP, Read] = {}
        for tp in self._assigned(tps):
            state = consumer._subscription.subscription.assignment.state_value(tp)
            if state.has_valid_position and state.highwater is not None:
                stable = state.highwater if state.lso is None or state.lso < 0 else state.lso
                reads[tp] = Read(self._epochs[tp], records.get(tp, []), state.position, stable)
        return reads

    def _assigned(self, tps: Set[TP]) -> Iterator[TP]:
        assigned = self._ensure_consumer().assignment()
        return (tp for tp in tps if tp in assigned and tp in self._epochs)

    async def committed(self, tps: Set[TP]) -> dict[TP, int | None]:
        """The group's committed offsets; None where it never committed any."""
        return cast(dict[TP, int | None], await self.call_thread(self._committed, tps))

    async def _committed(self, tps: Set[TP]) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        return {tp: await consumer.committed(driver.ensure_aiokafka_TP(tp)) for tp in tps}

    @property
    def servers(self) -> str:
        """Addresses of the brokers as configured."""
        return ",".join(driver.server_list(self.transport.url, self.transport.default_port))

    async def connected(self) -> bool:
        """Whether any broker is connected."""
        return cast(bool, await self.call_thread(self._connected))

    async def _connected(self) -> bool:
        connections = self._ensure_consumer()._client._conns.values()
        return any(connection.connected() for connection in connections)

    async def check_group(self) -> None:
        """Raise, and so lift, an error that keeps the consumer from taking part in its group.

        Raises
        ------
        KafkaError
        Exception
            Of a task that aiokafka cannot do without, and does not miss when it has ended.
        """
        await self.call_thread(self._check_group)

    async def _check_group(self) -> None:
        consumer = self._ensure_consumer()
        consumer._coordinator.check_errors()
        for task in consumer._client._sync_task, consumer._fetcher._fetch_task:
            if task is not None and task.done() and not task.cancelled():
                task.result()

    async def seek_epoch(self, offsets: Mapping[TP, int], epoch: int) -> None:
        """Read on from `offsets`, under a new epoch; what was fetched before is thrown away."""
        await self.call_thread(self._seek_epoch, offsets, epoch)

    async def _seek_epoch(self, offsets: Mapping[TP, int], epoch: int) -> None:
        self._epochs.update(dict.fromkeys(offsets, epoch))
        for tp in self._assigned(offsets.keys()):  # others: a rebalance has overtaken us
            self._ensure_consumer().seek(tp, offsets[tp])

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        known = list(self._assigned(offsets.keys()))
        self.tp_last_committed_at.update(dict.fromkeys(known, monotonic()))
        wanted = {driver.ensure_aiokafka_TP(tp): OffsetAndMetadata(offsets[tp], "") for tp in known}
        try:
            async with asyncio.timeout(_COMMIT_SECONDS_MAX):
                await self._ensure_consumer().commit(wanted)
        except (KafkaError, TimeoutError) as error:
            self.log.warning("Kafka did not take the offsets, which are only advice: %r", error)
            return False
        return True
