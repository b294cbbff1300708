"""Which partitions are ours, and whether Redis still has them where we left them.

Owns taking over and giving up, and what to do when Redis was flushed, rolled back, replaced or is away:
drop what memory holds, find out where the partition stands, publish what was committed, read on from
there. Counts nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Set
from functools import partial
from time import monotonic
from typing import Any

from faust.types import TP

from schemas.errors import RebuildingError
from state.store import REBUILDER, Checkpoint
from streams.engine import SliceEngine
from streams.patience import outlast
from streams.relay import OutboxRelay
from streams.settings import Settings

log = logging.getLogger("everscore")

_CHECK_SECONDS = 1.0
_FORSAKEN_SESSIONS = (
    2  # session timeouts: a worker that Kafka gave the partition to would have acted
)

Step = Callable[[int], Awaitable[Checkpoint | None]]


class Ownership:
    """The partitions of one worker.

    Parameters
    ----------
    settings : Settings
    engine : SliceEngine
    relay : OutboxRelay
    consumer : the app's consumer
        `assignment()`, `seek_partition(tp, offset)`, `pause_partitions(tps)` and
        `resume_partitions(tps)` are used of it.
    check : async callable
        Is the server fit, and this installation's? Asked whenever a partition is settled anew: one
        that took over from another may be allowed to evict, one that was flushed has no facts.
    """

    def __init__(
        self,
        settings: Settings,
        engine: SliceEngine,
        relay: OutboxRelay,
        consumer: Any,
        check: Callable[[], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._relay = relay
        self._consumer = consumer
        self._check = check
        self._forsaken_since: dict[int, float] = {}
        self._aside: set[int] = set()

    async def take_over(self, assigned: Set[TP]) -> Mapping[TP, int]:
        """Become the owner of the partitions assigned, and of no others.

        Returns
        -------
        mapping of TP to int
            Where to read the input topics on; 0 where nothing was ever counted.
        """
        inputs = self._settings.input_topics
        ours = {tp.partition for tp in assigned if tp.topic in inputs}
        for partition in set(self._engine.owned) - ours:
            self._engine.release(partition)
        self._aside &= ours
        offsets: dict[TP, int] = {}
        for partition in sorted(ours):
            checkpoint = await self._settle(partition, self._engine.acquire)
            if checkpoint is None:
                self.stand_aside(partition)
            else:
                self._let_read(partition)
                for topic in inputs:
                    offsets[TP(topic, partition)] = checkpoint.next_offsets[topic]
        log.info("owns partitions %s", sorted(self._engine.owned))
        return offsets

    async def resync(self, partition: int) -> None:
        """Drop what memory holds of a partition and read on from where Redis stands."""
        await self._resume(partition, self._engine.resync)

    async def _resume(self, partition: int, step: Step) -> None:
        checkpoint = await self._settle(partition, step)
        if checkpoint is None:
            log.warning("partition %d has another owner; waiting for it", partition)
            self.stand_aside(partition)
            return
        self._let_read(partition)
        for topic in self._settings.input_topics:
            await self._consumer.seek_partition(
                TP(topic, partition), checkpoint.next_offsets[topic]
            )

    def stand_aside(self, partition: int) -> None:
        """Read nothing of a partition that is Kafka's gift to us, and somebody else's by Redis."""
        self._consumer.pause_partitions(self._inputs(partition))
        self._aside.add(partition)

    def _let_read(self, partition: int) -> None:
        if partition in self._aside:
            self._aside.discard(partition)
            self._consumer.resume_partitions(self._inputs(partition))

    def _inputs(self, partition: int) -> set[TP]:
        return {TP(topic, partition) for topic in self._settings.input_topics}

    async def _settle(self, partition: int, step: Step) -> Checkpoint | None:
        """Take a step, publish what was committed before it; as often as it takes."""
        what = f"partition {partition}"

        async def attempt() -> Checkpoint | None:
            await self._check()
            await (
                self._relay.drain()
            )  # Kafka shall have all our marks before we look for them there
            checkpoint = await step(partition)
            if checkpoint is not None:
                # Whoever publishes trims all that came before: nothing may be committed until then.
                async with self._engine.owned[partition].lock:
                    await outlast(what, partial(self._relay.recover, partition))
            return checkpoint

        try:
            return await outlast(what, attempt)
        except RebuildingError as error:
            log.warning("waiting: %s", error)
            return None

    async def watch_forever(self) -> None:
        """Notice a Redis that is not where we left it though there is nothing to commit."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            for partition in list(self._engine.owned):
                if not await outlast("watching", partial(self._is_where_left, partition)):
                    log.warning("partition %d is not where we left it", partition)
                    await self.resync(partition)
            await self._take_back()

    async def _is_where_left(self, partition: int) -> bool:
        return partition not in self._engine.owned or await self._engine.is_where_left(partition)

    async def _take_back(self) -> None:
        """Take over a partition that is ours by Kafka, and that nobody seems to work on.

        Its owner by Redis was gone before Redis was rolled back to name it: no rebalance will come.
        """
        inputs = self._settings.input_topics
        assigned = {tp.partition for tp in self._consumer.assignment() if tp.topic in inputs}
        forsaken = assigned - set(self._engine.owned)
        since = {
            partition: self._forsaken_since.get(partition, monotonic()) for partition in forsaken
        }
        self._forsaken_since = since
        patience = _FORSAKEN_SESSIONS * self._settings.session_timeout_seconds
        for partition in sorted(forsaken):
            if await self._was_rebuilt(partition):
                await self._resume(partition, self._engine.acquire)
            elif monotonic() - since[partition] > patience:
                log.warning("partition %d is ours by Kafka, and nobody works on it", partition)
                await self._resume(partition, self._engine.acquire)

    async def _was_rebuilt(self, partition: int) -> bool:
        """Whether its last owner is a rebuild: the next is whom Kafka gave it to, once that lets go."""
        store = self._engine.store
        held = await outlast("watching", partial(store.checkpoint, partition))
        return held.owner.startswith(REBUILDER)
