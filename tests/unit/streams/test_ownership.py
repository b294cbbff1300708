"""A partition that is being rebuilt: its worker stands aside, and has it back when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from faust.types import TP

from state.memory_store import MemoryStore
from state.store import REBUILDER, SliceCommit
from streams import ownership as owning
from streams.engine import SliceEngine
from streams.ownership import Ownership
from streams.relay import OutboxRelay
from streams.settings import Settings
from tests.support.purchases import LogRecord, cdnow_of

SETTINGS = Settings(_env_file=None, owner="worker")
TOPIC = SETTINGS.transactions_topic
INPUTS = {TP(topic, 0) for topic in SETTINGS.input_topics}
REBUILD = REBUILDER + "here"


class FakeConsumer:
    """Notes what is paused and where reading goes on."""

    def __init__(self) -> None:
        self.paused: set[TP] = set()
        self.seeks: dict[TP, int] = {}

    def assignment(self) -> set[TP]:
        return set(INPUTS)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        self.paused |= set(tps)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        self.paused -= set(tps)

    async def seek_partition(self, tp: TP, offset: int) -> None:
        self.seeks[tp] = offset


class Worker:
    """One partition counted to offset 20, and watched over."""

    def __init__(self) -> None:
        self.store, self.consumer = MemoryStore(), FakeConsumer()
        self.engine = SliceEngine(self.store, SETTINGS, 1)
        relay = OutboxRelay(self.store, self, 10)
        self.ownership = Ownership(SETTINGS, self.engine, relay, self.consumer, self._fit)

    async def _fit(self) -> None: ...

    async def publish(self, messages: object) -> None: ...

    async def count(self) -> None:
        await self.ownership.take_over(INPUTS)
        records = [LogRecord(at, p.value) for at, p in enumerate(cdnow_of(50)[:20])]
        await self.engine.process(TOPIC, 0, records)

    async def until(self, *, owns: bool) -> None:
        async with asyncio.timeout(20):
            while (0 in self.engine.owned) is not owns:
                await asyncio.sleep(0.01)


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr(owning, "_CHECK_SECONDS", 0.01)
    here = Worker()
    await here.count()
    watching = asyncio.create_task(here.ownership.watch_forever())
    yield here
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


async def test_worker_stands_aside_and_takes_back_what_the_rebuild_lets_go(worker):
    await worker.store.reserve(0, REBUILD, 60.0)
    held = await worker.store.acquire(0, REBUILD, "its token")
    await worker.until(owns=False)
    assert worker.consumer.paused == INPUTS
    await asyncio.sleep(0.1)  # ten looks
    assert (await worker.store.checkpoint(0)).token == "its token"
    after = held.moved(TOPIC, 13)
    await worker.store.commit_slice(SliceCommit(0, held, after))
    await worker.store.reserve(0, REBUILD, 0.0)
    await worker.until(owns=True)
    assert worker.consumer.paused == set()
    assert worker.consumer.seeks[TP(TOPIC, 0)] == 13
    assert worker.engine.owned[0].checkpoint.owner == "worker"


async def test_partition_assigned_while_it_is_rebuilt_is_taken_when_that_is_over(worker):
    await worker.store.reserve(0, REBUILD, 60.0)
    await worker.store.acquire(0, REBUILD)
    assert await worker.ownership.take_over(INPUTS) == {}
    assert worker.consumer.paused == INPUTS
    await worker.until(owns=False)
    await worker.store.reserve(0, REBUILD, 0.0)
    await worker.until(owns=True)
    assert worker.consumer.seeks[TP(TOPIC, 0)] == 20


async def test_partition_of_another_worker_is_not_taken_back(worker):
    await worker.store.acquire(0, "another worker")
    await worker.until(owns=False)
    await asyncio.sleep(0.1)  # ten looks; patience is two session timeouts
    assert 0 not in worker.engine.owned
    assert (await worker.store.checkpoint(0)).owner == "another worker"


async def test_customers_of_a_partition_of_which_nothing_is_counted_go(worker):
    assert len(worker.store.hashes) > 5
    worker.store.checkpoints.clear()
    await worker.until(owns=True)
    async with asyncio.timeout(20):
        while worker.store.hashes:
            await asyncio.sleep(0.01)
    assert worker.store.due_at[0] == {}
    assert worker.engine.owned[0].checkpoint.commits == 0
