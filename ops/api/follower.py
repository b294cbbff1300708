"""Reads the topic of changes into the API's memory, and asks how long the input topics are."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from ops.api.changes_memory import ChangesMemory, Told
from ops.api.metrics import Metrics
from ops.api.watch import Ends
from ops.change_feed import open_consumer
from schemas.errors import PipelineError
from streams.settings import Settings

_READ_MS = 200
_AT_ONCE = 200
_IN_ONE_GO = 25  # half a millisecond of work, then whoever asks comes first
# Changes of so long are fetched together; without it there is a fetch for every few of them.
_TOGETHER_SECONDS = 0.02
_RETRY_SECONDS = 2.0
_ENDS_SECONDS_MAX = 5.0

_log = logging.getLogger("everscore.api")


class Follower:
    """One consumer of all partitions, in no group.

    Parameters
    ----------
    settings : Settings
    memory : ChangesMemory
    metrics : Metrics
    """

    def __init__(self, settings: Settings, memory: ChangesMemory, metrics: Metrics) -> None:
        self._settings = settings
        self._memory = memory
        self._metrics = metrics
        self._consumer: Any = None

    async def run(self) -> None:
        """Read until cancelled; a broker that is away is waited for, and named once."""
        said = ""
        while True:
            try:
                async with open_consumer(self._settings, self._settings.changes_topic) as opened:
                    said = ""
                    await self._follow(*opened)
            except (PipelineError, KafkaError) as error:
                if str(error) != said:
                    said = str(error)
                    _log.warning("changes cannot be read: %s", said)
            finally:
                self._consumer = None
                self._memory.following = False
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow(self, consumer: Any, partitions: list[Any]) -> None:
        memory = self._memory
        ends = await consumer.end_offsets(partitions)
        begins = await consumer.beginning_offsets(partitions)
        position = memory.position
        reached = {p: position.get(p.partition, -1) for p in partitions}
        # After a broker that was away reading goes on, unless the log has changed under it.
        if all(begins[p] <= reached[p] <= ends[p] for p in partitions):
            starts = reached
        else:
            # No more than can be remembered: what fits, if changes are spread evenly.
            share = max(memory.changes_max // len(partitions), 1)
            starts = {p: max(begins[p], ends[p] - share) for p in partitions}
            memory.begin({p.partition: offset for p, offset in starts.items()})
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
        self._consumer, memory.following = consumer, True
        while True:
            read = await consumer.getmany(timeout_ms=_READ_MS, max_records=_AT_ONCE)
            few = 0 < sum(map(len, read.values())) < _AT_ONCE
            if few:
                consumer.pause(*partitions)
            for records in read.values():
                for number, record in enumerate(records, start=1):
                    headers = dict(record.headers)
                    memory.add(
                        Told(
                            record.partition,
                            record.offset,
                            headers["ce_type"].decode(),
                            headers["ce_id"].decode(),
                            record.value,
                        )
                    )
                    if number % _IN_ONE_GO == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(0)
            if not memory.caught_up:
                at = [await consumer.position(partition) for partition in partitions]
                memory.caught_up = all(
                    offset >= ends[partition]
                    for offset, partition in zip(at, partitions, strict=True)
                )
            self._metrics.changes.set(len(memory))
            self._metrics.following.set(memory.caught_up)
            if few:
                await asyncio.sleep(_TOGETHER_SECONDS)
                consumer.resume(*partitions)

    async def ends(self, partitions: int) -> Ends | None:
        """Ends of the input topics; None while Kafka does not answer."""
        if self._consumer is None:
            return None
        wanted = [
            TopicPartition(topic, partition)
            for topic in self._settings.input_topics
            for partition in range(partitions)
        ]
        try:
            async with asyncio.timeout(_ENDS_SECONDS_MAX):
                found = await self._consumer.end_offsets(wanted)
        except (KafkaError, TimeoutError):
            return None
        return {(end.topic, end.partition): offset for end, offset in found.items()}
