"""What the agents and timers of one worker do: count, sweep, re-score, learn.

Knows Kafka only as batches handed in and positions handed out; what becomes of a partition whose commit
Redis refused or did not answer is up to `streams.ownership`.
"""

from __future__ import annotations

import asyncio
import logging
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
from scoring.bootstrap import BOOTSTRAP_VERSION
from state.store import Store
from streams.engine import SliceEngine
from streams.heartbeat import BEAT_SECONDS, Heartbeat
from streams.journal import KafkaJournal
from streams.learner import Learner
from streams.ownership import Ownership
from streams.patience import outlast
from streams.publisher import Publisher
from streams.record_batches import RecordBatch
from streams.relay import OutboxRelay
from streams.rescoring import Rescoring
from streams.samples import SAMPLES_PARTITION
from streams.scorecards import publish_scorecard
from streams.settings import Settings
from streams.slices import Committed
from streams.sweeps import Sweeps

log = logging.getLogger("everscore")

_DRAIN_SECONDS_MAX = 3.0  # what is not published at the end the next owner finds in the outbox
# Dead letters go through Redis and back to Kafka whole: a slice of 2,000 records of 8 MB, which come in
# a few kilobytes if they compress well, would be more than Redis takes in one value.
_SLICE_BYTES_MAX = 8 * 1024 * 1024
_SCORECARD_POLL_SECONDS = 0.5
_LESSON_POLL_SECONDS = 1.0
_HELD_BACK_SECONDS = 0.05  # only after a rollback, and only where records come by two topics


async def check_installation(store: Store, settings: Settings, partitions: int) -> None:
    """Check that Redis is fit to hold states, and holds those of this installation or none.

    Raises
    ------
    ConfigurationError
        It is too old or may evict, or the installation was founded with other facts.
    """
    await store.check()
    facts = {
        "partitions": str(partitions),
        "timezone": settings.timezone,
        "currency": settings.currency,
    }
    held = await store.found(facts)
    for name, value in facts.items():
        if held[name] != value:
            raise ConfigurationError(
                f"this installation was founded with {name} {held[name]!r}, not {value!r}.",
                hint="Its states cannot be read otherwise: set it back, or rebuild elsewhere.",
            )


class ScoringWorker:
    """What the agents and timers of one worker share.

    Parameters
    ----------
    store : Store
    settings : Settings
    """

    engine: SliceEngine  # all from `start` on
    ownership: Ownership
    sweeps: Sweeps
    rescoring: Rescoring

    def __init__(self, store: Store, settings: Settings) -> None:
        self.settings = settings
        self.store = store
        self.publisher = Publisher(settings)
        self.relay = OutboxRelay(
            store, self.publisher, settings.relay_entries_max, settings.journal_topic
        )
        self.journal = KafkaJournal(settings)
        self.learner = Learner(settings)
        self.learns = False
        self.ready = asyncio.Event()
        self._consumer: Any = None

    async def start(self, app: AppT) -> None:
        """Check the servers and the installation; called before the first partition is read.

        Raises
        ------
        ConfigurationError
            Redis may evict, or the installation was founded with other facts.
        """
        if self._consumer is not None:
            return
        await self.publisher.start()
        settings = self.settings
        counts = {topic: await self.publisher.partitions(topic) for topic in settings.input_topics}
        partitions = counts[settings.transactions_topic]
        if counts[settings.rekeyed_topic] != partitions:
            raise ConfigurationError(
                f"topics {counts} must have the same number of partitions.",
                hint=f"Recreate {settings.rekeyed_topic} with {partitions}.",
            )
        check = partial(check_installation, self.store, settings, partitions)
        await check()
        self.learner.keeper.partitions = partitions
        self.engine = SliceEngine(
            self.store,
            settings,
            partitions,
            self.journal,
            partial(self.publisher.end, settings.journal_topic),
        )
        self._consumer = app.consumer
        self.ownership = Ownership(settings, self.engine, self.relay, self._consumer, check)
        self.sweeps = Sweeps(settings, self.engine, self._consumer, self._try)
        self.rescoring = Rescoring(self.engine, settings.rescore_customers_max, self._try)

    async def positions(self, assigned: Set[TP]) -> Mapping[TP, int]:
        """Become the owner of the assigned partitions; where each is to be read from."""
        self.learns = TP(self.settings.samples_topic, SAMPLES_PARTITION) in assigned
        if not self.learns:
            self.learner.keeper.clear()
        offsets = await self.ownership.take_over(assigned)
        self.ready.set()
        return {tp: offset for tp, offset in offsets.items() if tp in assigned}

    async def count(self, batch: RecordBatch) -> bool:
        """Process a batch in slices; False if it must not be acknowledged."""
        topic, partition, read_from = batch.topic, batch.partition, batch.read_from
        if partition not in self.engine.owned:
            self.ownership.stand_aside(partition)
            return False
        for records in batch.slices(self.settings.slice_records_max, _SLICE_BYTES_MAX):
            step = partial(self.engine.process, topic, partition, records, read_from)
            done = -1
            while done <= records[-1].offset:
                before = done
                if not await self._try(partition, step):
                    return False
                owned = self.engine.owned.get(partition)
                if owned is None:  # given up meanwhile
                    return False
                done = owned.checkpoint.next_offsets[topic]
                if done == before:  # held back until the other topic has come as far
                    await self._consumer.seek_partition(TP(topic, partition), done)
                    await asyncio.sleep(_HELD_BACK_SECONDS)
                    return False
            read_from = records[-1].offset + 1
        return True

    async def _try(
        self, partition: int, step: Callable[..., Awaitable[Committed | None]], *args: Any
    ) -> bool:
        """Take a step and relay what it committed; False if memory had to be dropped instead."""
        try:
            committed = await step(*args)
        except FencedError as error:
            log.warning("partition %d: %s", partition, error)
            await self.ownership.resync(partition)
            return False
        except StoreUnavailableError as error:
            log.warning("partition %d: %s", partition, error)
            await self.ownership.resync(partition)
            return False
        if committed is not None:
            await self.relay.submit(committed)
        return True

    async def sweep_forever(self) -> None:
        """See `Sweeps.run`."""
        await self.ready.wait()
        await self.sweeps.run()

    async def watch_over_store_forever(self) -> None:
        """See `Ownership.watch_forever`."""
        await self.ready.wait()
        await self.ownership.watch_forever()

    async def follow_scorecards_forever(self) -> None:
        """Take a new scorecard into use, then re-score everyone in the background."""
        await self.ready.wait()
        while True:
            version = await outlast("following scorecards", self.engine.newest_scorecard)
            for partition in list(self.engine.owned):
                if version is not None and partition in self.engine.owned:
                    await self._adopt(partition, version)
                await self.rescoring.run(partition)
            await asyncio.sleep(_SCORECARD_POLL_SECONDS)

    async def _adopt(self, partition: int, version: str) -> None:
        async def step() -> Committed | None:
            committed = await self.engine.adopt(partition, version)
            if committed is not None:
                log.info("partition %d is scored by %s", partition, version)
            return committed

        await self._try(partition, step)

    async def learn_forever(self) -> None:
        """Look and learn, if this worker is the one that learns; publish what the gate lets pass."""
        await self.ready.wait()
        said: tuple[str, ...] = ()
        resumed = False
        while True:
            await asyncio.sleep(_LESSON_POLL_SECONDS)
            if not self.learns or not self.engine.owned:
                resumed = False
                continue
            if not resumed:
                self.learner.resume(await outlast("learning", self.store.learning))
                resumed = True
            card = await outlast("learning", self._scorecard_in_use)
            attempt = await self.learner.attempt(card)
            if attempt is None:
                continue
            if attempt.reasons != said:
                said = attempt.reasons
                for reason in said:
                    log.info("learner: %s", reason)
            if attempt.promoted is not None:
                await outlast("learning", partial(self._publish_scorecard, attempt.promoted))
            body = attempt.learning.model_dump_json().encode()
            await outlast("learning", partial(self.store.save_learning, body))

    async def _scorecard_in_use(self) -> Scorecard:
        version = await self.engine.newest_scorecard()
        found = self.engine.scorecards.get(version or BOOTSTRAP_VERSION)
        return self.engine.bootstrap if found is None else found

    async def _publish_scorecard(self, card: Scorecard) -> None:
        await publish_scorecard(card, self.store, self.journal, self.publisher, self.settings)

    async def beat_forever(self) -> None:
        """Say every second that the event loops turn, and what is done in them."""
        path = self.settings.heartbeat
        if path is None:
            return
        try:
            path.unlink(missing_ok=True)  # of a worker before this one
            path.touch()
            path.unlink()
        except OSError as error:
            raise ConfigurationError(
                f"EVERSCORE_HEARTBEAT: cannot write {path}: {error.strerror}",
                hint="Name a file in a folder that this user may write.",
            ) from None
        await self.ready.wait()
        while True:
            connected = await self._consumer.connected()  # through the consumer's own event loop
            given = self._consumer.assignment()
            owned = set(self.engine.owned)
            waiting = {tp.partition for tp in given if tp.topic in self.settings.input_topics}
            beat = Heartbeat(sorted(owned), sorted(waiting - owned), connected)
            with suppress(OSError):  # a disk that is full is no reason to stop counting
                beat.write(path)
            await asyncio.sleep(BEAT_SECONDS)

    async def close(self) -> None:
        """Publish what was committed, if Kafka takes it at once, and let go of all connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS_MAX):
                await self.relay.drain()
        await self.publisher.stop()
        await self.journal.close()
        self.learner.stop()
        await self.store.close()
