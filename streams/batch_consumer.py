"""The consumer behind the batch transport: one event per fetched batch of a partition.

Owns where reading starts (the transport's `positions` hook, never Kafka's committed offset), what
has been delivered but not acknowledged, and the offsets that may be committed: the end of the
acknowledged prefix. Does not decode records, know Redis or decide what a failure means.

Every seek gives its partition a new epoch; records read under an older one are dropped, so no
batch from before a seek or a rebalance reaches an agent. Reasons and figures: design, 5 and 6.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Set
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, cast

from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.transports import TPorTopicSet
from faust.types.tuples import ack_lock
from mode import Service, ServiceT

from schemas.errors import BrokerUnavailableError, ConfigurationError
from streams.broker_watch import BrokerWatch
from streams.consumer_thread import BatchConsumerThread, Read
from streams.patience import outlast
from streams.record_batches import OffsetsLostError, Partition, RecordBatch, message_of

log = logging.getLogger("everscore")

_READ_SECONDS = 0.25  # how long a read waits for records; also how old `lag` may be when idle
_RESUME_SHARE = 0.8  # of broker_request_timeout, after which Faust resumes without a word
# Records, in reads of as many as a slice takes, that wait for the agent before more are read: enough to
# keep it busy. Sixteen full batches were part of what a worker kept of a backlog; see `streams.relay`.
_READS_WAITING_MAX = 4
_STALE = -1  # no generation has this id, so Faust's streams skip the message

PositionsHook = Callable[[Set[TP]], Awaitable[Mapping[TP, int]]]


class BatchConsumer(driver.Consumer):
    """Faust consumer of record batches; `app.consumer` of an app with a `batch://` broker."""

    _thread: BatchConsumerThread
    transport: Any  # streams.transport.Transport, which names this class

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._partitions: dict[TP, Partition] = {}
        self._epoch = 0
        self._room = asyncio.Event()
        self._watch = BrokerWatch(self._thread, self.crash, beacon=self.beacon)
        self.add_dependency(self._watch)

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def crash(self, reason: BaseException) -> None:
        """End as the app wants it, or as Faust does."""
        self._say(reason)
        await super().crash(reason)

    def _say(self, reason: BaseException) -> None:
        """Tell the app what we cannot go on after; it need not let us return."""
        if self.transport.fail is not None:
            self.transport.fail(reason)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Ask the hook where each partition resumes and go there; Faust calls it once assigned.

        Raises
        ------
        ConfigurationError
            No hook was set.
        OffsetsLostError
            The log does not hold a position the hook named.
        BrokerUnavailableError
            It took too long; whoever gets the partitions next will find out for themselves.
        Exception
            Whatever the hook raises. All of them stop the worker.
        """
        self._watch.group_errors = 0
        hook = self.transport.positions
        if hook is None:
            raise ConfigurationError("batch_transport(app).positions is not set.")
        assigned = frozenset(self.assignment())
        seconds = self.app.conf.broker_request_timeout * _RESUME_SHARE
        try:
            async with asyncio.timeout(seconds):
                return await self._resume(assigned, hook)
        except TimeoutError:
            late = BrokerUnavailableError(f"Partitions could not be taken over in {seconds:.0f} s.")
            self._say(late)
            raise late from None
        except Exception as error:
            self._say(error)
            raise

    async def _resume(self, assigned: Set[TP], hook: PositionsHook) -> Mapping[TP, int]:
        wanted = await hook(assigned)
        starts, ends = await outlast("reading", partial(self._bounds, assigned))
        offsets = {tp: wanted.get(tp, starts[tp]) for tp in assigned}
        new = {tp for tp in assigned if offsets[tp] == 0 < starts[tp]}
        for tp, committed in (await self._thread.committed(new) if new else {}).items():
            if committed is not None:
                raise OffsetsLostError(
                    f"{tp.topic}-{tp.partition} was counted to offset {committed} before; the store "
                    f"knows nothing of that, and the log begins at {starts[tp]}.",
                    hint="Restore the store or the topic: the purchases in between are in neither.",
                )
            offsets[tp] = starts[tp]  # a new installation on an old topic
        for tp, offset in offsets.items():
            if not starts[tp] <= offset <= ends[tp]:
                raise OffsetsLostError(
                    f"{tp.topic}-{tp.partition} must resume at offset {offset}, but the log "
                    f"holds {starts[tp]} to {ends[tp]}.",
                    hint="Restore the topic, or rebuild the state from what is left.",
                )
        await self._seek_many(offsets, ends)
        for tp in new:
            self._partitions[tp].expected = 0  # what the log held before was never to be counted
        return offsets

    async def _bounds(self, tps: Set[TP]) -> tuple[Mapping[TP, int], Mapping[TP, int]]:
        """First offsets the log holds, and its ends."""
        try:
            return await self.earliest_offsets(*tps), await self.highwaters(*tps)
        except KafkaError as error:
            if not error.retriable:
                raise
            raise BrokerUnavailableError(f"Kafka does not answer: {error!r}") from error

    async def seek_partition(self, tp: TP, offset: int) -> None:
        """Forget all that was read of a partition and read it again from an offset.

        Parameters
        ----------
        tp : TP
            If it is no longer ours, nothing happens: the next assignment decides.
        offset : int
            The next record delivered has this offset, or is the first existing one after it.
        """
        known = self._partitions.get(tp)
        if known is not None:
            await self._seek_many({tp: offset}, {tp: known.end})

    async def seek(self, partition: TP, offset: int) -> None:
        """Faust's name for `seek_partition`."""
        await self.seek_partition(partition, offset)

    async def _seek_many(self, offsets: Mapping[TP, int], ends: Mapping[TP, int]) -> None:
        self._epoch += 1
        for tp, offset in offsets.items():
            self._forget(tp)
            self._partitions[tp] = Partition(self._epoch, offset, offset, ends[tp])
            self._committed_offset[tp] = offset or None
        await self._thread.seek_epoch(offsets, self._epoch)

    def _forget(self, tp: TP) -> None:
        """Disown a partition's batches: streams skip those queued, `ack` ignores those at work."""
        partition = self._partitions.pop(tp, None)
        for message in partition.pending if partition else ():
            message.generation_id = _STALE
            self._unacked_messages.discard(message)
        self._room.set()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the batch at work finish and commit it, then forget the partitions."""
        await super().on_partitions_revoked(revoked)
        self._epoch += 1
        for tp in revoked:
            self._forget(tp)
        self._buffered_partitions.difference_update(revoked)

    async def _drain_messages(self, fetcher: ServiceT) -> None:
        try:
            while not (self.should_stop or cast(Service, fetcher).should_stop):
                await self._read_and_deliver()
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise
        except Exception as error:
            self._say(error)
            raise

    async def _read_and_deliver(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]  # any event will do
            return
        tps = self._get_active_partitions() & self._partitions.keys()
        if not tps:  # every partition waits for room in its agent's queue
            await self._wait_for_room(lambda: bool(self._get_active_partitions()))
            return
        await self._wait_for_room(lambda: self._has_room(tps))
        epoch = self._epoch
        try:
            reads = await self._thread.read(tps, _READ_SECONDS)
        except KafkaError as error:
            if epoch != self._epoch or not self.flow_active:
                return  # a rebalance or a seek has overtaken it
            if isinstance(error, OffsetOutOfRangeError):
                raise OffsetsLostError(f"Kafka no longer holds an offset: {error}.") from error
            if isinstance(error, UnsupportedCodecError):
                raise ConfigurationError(
                    f"Some records of {', '.join(sorted({tp.topic for tp in tps}))} are compressed by a "
                    f"codec that is not installed: {error}.",
                    hint="Install it: pip install 'aiokafka[all]'.",
                ) from error
            if not error.retriable:
                raise
            log.warning("could not read, trying again: %r", error)
            await self.sleep(_READ_SECONDS)
            return
        for tp, read in reads.items():
            if read.records:
                await self._deliver(tp, read)
        for tp, read in reads.items():  # only now: `lag` may not see records before we hold them
            partition = self._partitions.get(tp)
            if partition is not None and partition.epoch == read.epoch:
                partition.position, partition.end = read.position, read.end
                self.app.monitor.track_tp_end_offset(tp, read.end)
        await asyncio.sleep(0)

    async def _wait_for_room(self, has_room: Callable[[], bool]) -> None:
        """Wait until the agent has room, but not for long: some batches wait to be read again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_READ_SECONDS):
                while not has_room():
                    self._room.clear()
                    await self._room.wait()

    def _has_room(self, tps: Set[TP]) -> bool:
        """Whether to read on: nothing waits, or a backlog does, of which some is read ahead.

        What comes while small batches wait is better read with what comes next: each batch is a slice,
        and a slice costs as much as twenty of its records (`make instructions`).
        """
        full = self.transport.read_records_max
        known = [self._partitions[tp] for tp in tps & self._partitions.keys()]
        waiting = [size for partition in known for size in partition.waiting()]
        return all(size >= full for size in waiting) and sum(waiting) < _READS_WAITING_MAX * full

    async def _deliver(self, tp: TP, read: Read) -> None:
        partition = self._partitions.get(tp)
        if partition is None or partition.epoch != read.epoch:
            return
        batch = RecordBatch(tp.topic, tp.partition, read.records, partition.expected)
        if batch.first_offset < partition.expected:
            raise OffsetsLostError(
                f"{tp.topic}-{tp.partition} went back from {partition.expected} to "
                f"{batch.first_offset}: the topic was created anew."
            )
        message = message_of(batch, self.app.consumer_generation_id)
        partition.expected = batch.next_offset
        partition.pending.append(message)
        await self.callback(message)  # waits while the agent's queue is full

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch from a partition again once its agent's queue has room."""
        super().on_buffer_drop(tp)
        self._room.set()

    async def connected(self) -> bool:
        """Whether any broker is connected; the consumer answers in its own thread."""
        return await self._thread.connected()

    def lag(self, tp: TP) -> int | None:
        """Offsets between what is acknowledged and the end of the log as last seen.

        Returns
        -------
        int >= 0, or None if the partition is not ours
        """
        partition = self._partitions.get(tp)
        return None if partition is None else partition.lag()

    def caught_up(self, tp: TP) -> bool:
        """Whether the partition is ours and all its records are acknowledged."""
        return self.lag(tp) == 0

    def ack(self, message: Message) -> bool:
        """Note that a batch is done with: `event.ack()` ends here.

        Returns
        -------
        bool
            False for a second time, and for a batch disowned by a seek or a rebalance.
        """
        with ack_lock:
            first, message.acked = not message.acked, True
            self._unacked_messages.discard(message)
            partition = self._partitions.get(message.tp)
            if not first or partition is None or message.generation_id == _STALE:
                return False
            partition.settle()
            self._room.set()
            return True

    def _filter_tps_with_pending_acks(self, topics: TPorTopicSet | None = None) -> Iterator[TP]:
        self._acked.clear()  # streams that acknowledge by themselves also write here
        self._acked_index.clear()
        return (tp for tp in self._partitions if topics is None or tp in topics or tp[0] in topics)

    def _new_offset(self, tp: TP) -> int | None:
        partition = self._partitions.get(tp)
        return None if partition is None else partition.settle()

    async def wait_empty(self) -> None:
        """Give the batches at work a few seconds to finish, then commit what is acknowledged."""
        deadline = monotonic() + self.transport.finish_seconds_max
        while not self.should_stop and monotonic() < deadline:
            if all(message.acked for message in self._unacked_messages):
                break
            await asyncio.sleep(0.01)
        await self.commit_and_end_transactions()
