"""What the agents and timers of one worker do: count, sweep, re-score, learn, and recover.

Owns the worker's partitions between assignments, and what to do when Redis refuses a commit or does
not answer. Knows Kafka only as batches handed in and positions handed out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Set
from contextlib import suppress
from functools import partial
from typing import Any

from faust.types import TP, AppT

from schemas.errors import (
    ConfigurationError,
    FencedError,
    StoreUnavailableError,
)
from schemas.scorecard import Scorecard
from state.codec import Message
from state.store import Checkpoint, Store
from streams.engine import Committed, SliceEngine
from streams.learner import Learner
from streams.patience import outlast
from streams.publisher import Publisher
from streams.record_batches import RecordBatch
from streams.relay import OutboxRelay
from streams.samples import SAMPLES_PARTITION
from streams.settings import Settings

log = logging.getLogger("everscore")

_DRAIN_SECONDS_MAX = 3.0  # what is not published at the end the next owner finds in the outbox
_SCORECARD_POLL_SECONDS = 0.5
_LESSON_POLL_SECONDS = 1.0


class ScoringWorker:
    """What the agents and timers of one worker share.

    Parameters
    ----------
    store : Store
    settings : Settings
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.settings = settings
        self.store = store
        self.publisher = Publisher(settings)
        self.relay = OutboxRelay(store, self.publisher, settings.relay_entries_max)
        self.learner = Learner(settings)
        self.learns = False
        self.ready = asyncio.Event()
        self._engine: SliceEngine | None = None
        self._consumer: Any = None

    @property
    def engine(self) -> SliceEngine:
        """The engine; there is one from the first assignment on."""
        if self._engine is None:
            raise ConfigurationError("the worker has not started")
        return self._engine

    async def start(self, app: AppT) -> None:
        """Check the servers and the installation; called before the first partition is read.

        Raises
        ------
        ConfigurationError
            Redis may evict, or the installation was founded with other facts.
        """
        if self._engine is not None:
            return
        await self.store.check()
        await self.publisher.start()
        settings = self.settings
        counts = {topic: await self.publisher.partitions(topic) for topic in settings.input_topics}
        partitions = counts[settings.transactions_topic]
        if counts[settings.rekeyed_topic] != partitions:
            raise ConfigurationError(
                f"topics {counts} must have the same number of partitions.",
                hint=f"Recreate {settings.rekeyed_topic} with {partitions}.",
            )
        facts = {
            "partitions": str(partitions),
            "timezone": settings.timezone,
            "currency": settings.currency,
        }
        held = await self.store.found(facts)
        for name, value in facts.items():
            if held[name] != value:
                raise ConfigurationError(
                    f"this installation was founded with {name} {held[name]!r}, not {value!r}.",
                    hint="Its states cannot be read otherwise: set it back, or rebuild elsewhere.",
                )
        self._consumer = app.consumer
        self._engine = SliceEngine(self.store, settings, partitions)

    async def positions(self, assigned: Set[TP]) -> Mapping[TP, int]:
        """Become the owner of the assigned partitions; where each is to be read from."""
        inputs = self.settings.input_topics
        ours = {tp.partition for tp in assigned if tp.topic in inputs}
        self.learns = TP(self.settings.samples_topic, SAMPLES_PARTITION) in assigned
        if not self.learns:
            self.learner.keeper.clear()
        for partition in set(self.engine.owned) - ours:
            self.engine.release(partition)
        offsets: dict[TP, int] = {}
        for partition in sorted(ours):
            checkpoint = await outlast(
                f"partition {partition}", partial(self._take_over, partition, self.engine.acquire)
            )
            assert checkpoint is not None  # noqa: S101 - `acquire` always gives one
            for topic in inputs:
                offsets[TP(topic, partition)] = checkpoint.next_offsets[topic]
        log.info("owns partitions %s", sorted(ours))
        self.ready.set()
        return {tp: offset for tp, offset in offsets.items() if tp in assigned and offset > 0}

    async def _take_over(
        self, partition: int, step: Callable[[int], Awaitable[Checkpoint | None]]
    ) -> Checkpoint | None:
        """Find out where a partition stands, and publish what was committed there before."""
        checkpoint = await step(partition)
        if checkpoint is not None:
            await self.relay.recover(partition)
        return checkpoint

    async def count(self, batch: RecordBatch) -> bool:
        """Process a batch in slices; False if it must not be acknowledged."""
        size = self.settings.slice_records_max
        for start in range(0, len(batch.records), size):
            done = await self._try(
                batch.partition,
                self.engine.process,
                batch.topic,
                batch.partition,
                batch.records[start : start + size],
            )
            if not done:
                return False
        return True

    async def _try(
        self, partition: int, step: Callable[..., Awaitable[Committed | None]], *args: Any
    ) -> bool:
        """Take a step and relay what it committed; False if memory had to be dropped instead."""
        try:
            committed = await step(*args)
        except FencedError as error:
            log.warning("partition %d: %s", partition, error)
            await self._resync(partition)
            return False
        except StoreUnavailableError as error:
            log.warning("partition %d: %s", partition, error)
            await self._resync(partition)
            return False
        if committed is not None:
            await self.relay.submit(committed)
        return True

    async def _resync(self, partition: int) -> None:
        """Drop what memory holds of a partition and read on from where Redis stands."""
        checkpoint = await outlast(
            f"partition {partition}", partial(self._take_over, partition, self.engine.resync)
        )
        if checkpoint is None:
            log.warning("partition %d has another owner; waiting for an assignment", partition)
            return
        for topic in self.settings.input_topics:
            await self._consumer.seek_partition(
                TP(topic, partition), checkpoint.next_offsets[topic]
            )

    async def sweep_forever(self) -> None:
        """Let silence do what it has to do, partition by partition."""
        await self.ready.wait()
        while True:
            for partition in list(self.engine.owned):
                await self._sweep(partition)
            await asyncio.sleep(self.settings.sweep_interval_seconds)

    async def _sweep(self, partition: int) -> None:
        while (owned := self.engine.owned.get(partition)) is not None:
            clock_us = owned.checkpoint.clock_us
            if all(
                self._consumer.caught_up(TP(topic, partition))
                for topic in self.settings.input_topics
            ):
                clock_us = self.engine.caught_up_clock(partition, time.time_ns() // 1000)
            if not self.engine.is_due(partition, clock_us):
                return
            if not await self._try(partition, self.engine.sweep, partition, clock_us):
                return

    async def follow_scorecards_forever(self) -> None:
        """Take a new scorecard into use, then re-score everyone in the background."""
        await self.ready.wait()
        while True:
            version = await outlast("following scorecards", self.store.current_scorecard)
            for partition in list(self.engine.owned):
                if version is not None and partition in self.engine.owned:
                    await self._adopt(partition, version)
                while self._must_rescore(partition):
                    if not await self._try(partition, self.engine.rescore, partition):
                        break
            await asyncio.sleep(_SCORECARD_POLL_SECONDS)

    async def _adopt(self, partition: int, version: str) -> None:
        async def step() -> None:
            if await self.engine.adopt(partition, version):
                log.info("partition %d is scored by %s", partition, version)

        await self._try(partition, step)

    def _must_rescore(self, partition: int) -> bool:
        owned = self.engine.owned.get(partition)
        return owned is not None and owned.rescore_cursor is not None

    async def learn_forever(self) -> None:
        """Try to learn a better scorecard, if this worker is the one that learns."""
        await self.ready.wait()
        said = ""
        while True:
            await asyncio.sleep(_LESSON_POLL_SECONDS)
            if not self.learns or not self.engine.owned:
                continue
            card = await outlast("learning", self._scorecard_in_use)
            lesson = await self.learner.attempt(card)
            if lesson is None:
                continue
            if lesson.reason != said:
                log.info("learner: %s", lesson.reason)
                said = lesson.reason
            if lesson.scorecard is not None:
                await outlast("learning", partial(self._publish_scorecard, lesson.scorecard))

    async def _scorecard_in_use(self) -> Scorecard:
        await self.engine.load_scorecards()
        version = await self.store.current_scorecard()
        if version is not None:
            return self.engine.scorecards[version]
        return next(iter(self.engine.owned.values())).timeline[0].scorecard  # the bootstrap one

    async def _publish_scorecard(self, card: Scorecard) -> None:
        body = card.model_dump_json().encode()
        await self.store.save_scorecard(card.version, body, current=True)
        await self.publisher.publish(
            [Message(self.settings.scorecards_topic, card.version.encode(), body, [])]
        )

    async def close(self) -> None:
        """Publish what was committed, if Kafka takes it at once, and let go of all connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS_MAX):
                await self.relay.drain()
        await self.publisher.stop()
        self.learner.stop()
        await self.store.close()
