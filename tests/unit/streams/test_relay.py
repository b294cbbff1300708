"""The outbox relay: in order, at least once with the same ids, and never without a bound."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from schemas.errors import BrokerUnavailableError, InvariantError, StoreUnavailableError
from state.memory_store import MemoryStore
from state.outbox import Message, pack_messages
from state.store import SliceCommit
from streams import patience
from streams.relay import OutboxRelay
from streams.slices import Committed


def message(text: str) -> Message:
    return Message("segment-changes", b"k", text.encode(), [("ce_id", f"id-{text}".encode())])


class Broker:
    """What a producer would publish to; can be closed, and can fail."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.published: list[Message] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.waiting_when_published: list[int] = []
        self.batches: list[int] = []

    async def publish(self, messages) -> None:
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        self.published += messages
        self.batches.append(len(messages))
        self.waiting_when_published.append(len(await self.store.outbox(0, "", 1_000)))

    @property
    def texts(self) -> list[str]:
        return [(message.value or b"").decode() for message in self.published]


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    for partition in range(3):
        await store.acquire(partition, "w")
    return store


async def commit(store: MemoryStore, *texts: str, partition: int = 0, size: int = 100) -> Committed:
    messages = [message(text) for text in texts]
    before = await store.checkpoint(partition)
    entry = await store.commit_slice(
        SliceCommit(partition, before, before, outbox=pack_messages(messages))
    )
    return Committed(partition, entry, messages, len(messages), size)


async def left(store: MemoryStore, partition: int = 0) -> int:
    return len(await store.outbox(partition, "", 1_000))


async def turns(count: int = 50) -> None:
    """Let everyone run who can."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(relay: OutboxRelay):
    task = asyncio.create_task(relay.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, InvariantError):
            await task


async def test_what_was_committed_is_published_in_order_and_then_forgotten(store):
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 8)
    async with running(relay):
        for number in range(20):
            await relay.submit(await commit(store, f"{number}a", f"{number}b"))
        await relay.drain()
    assert broker.texts == [f"{number}{letter}" for number in range(20) for letter in "ab"]
    assert await left(store) == 0


async def test_nothing_is_forgotten_before_it_is_published(store):
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 8)
    async with running(relay):
        await relay.submit(await commit(store, "a"))
        await relay.submit(await commit(store, "b"))
        await relay.drain()
    assert broker.waiting_when_published[0] == 2


async def test_partitions_are_trimmed_each_through_its_own_last_entry(store):
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 8)
    await commit(store, "never submitted", partition=2)
    async with running(relay):
        for partition in (0, 1, 0, 1, 1):
            await relay.submit(await commit(store, f"p{partition}", partition=partition))
        await relay.drain()
    assert broker.texts == ["p0", "p1", "p0", "p1", "p1"]
    assert [await left(store, partition) for partition in range(3)] == [0, 0, 1]


async def test_slice_without_messages_is_not_waited_for(store):
    relay = OutboxRelay(store, Broker(store), 1)
    for _ in range(5):
        await relay.submit(await commit(store))
    await relay.drain()


async def test_crash_between_publishing_and_trimming_publishes_the_same_ids_again(
    store, monkeypatch
):
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 8)
    trim = store.trim_outbox

    async def crash(*_):
        raise InvariantError("the worker dies here")

    monkeypatch.setattr(store, "trim_outbox", crash)
    async with running(relay) as task:
        await relay.submit(await commit(store, "a", "b"))
        await relay.submit(await commit(store, "c"))
        with pytest.raises(InvariantError):
            await task
    monkeypatch.setattr(store, "trim_outbox", trim)
    before = list(broker.published)
    assert await OutboxRelay(store, broker, 8).recover(0) == 3
    again = broker.published[len(before) :]
    assert again == before
    assert [dict(message.headers)["ce_id"] for message in again] == [b"id-a", b"id-b", b"id-c"]
    assert await left(store) == 0
    assert await OutboxRelay(store, broker, 8).recover(0) == 0


async def test_broker_away_keeps_everything_and_gets_it_when_back(store, monkeypatch, caplog):
    monkeypatch.setattr(patience, "BACKOFF_SECONDS_MIN", 0.0)
    broker = Broker(store)
    broker.failure = BrokerUnavailableError("Kafka at x does not answer")
    relay = OutboxRelay(store, broker, 8)
    async with running(relay) as task:
        await relay.submit(await commit(store, "a"))
        await turns()
        assert not task.done()
        assert broker.published == []
        assert await left(store) == 1
        broker.failure = None
        await relay.drain()
    assert broker.texts == ["a"]
    assert await left(store) == 0
    assert "waiting: Kafka at x does not answer" in caplog.text
    assert "publishing goes on after" in caplog.text


async def test_store_away_after_publishing_is_trimmed_when_back(store, monkeypatch):
    monkeypatch.setattr(patience, "BACKOFF_SECONDS_MIN", 0.0)
    trim, refusals = store.trim_outbox, iter([True, True, False])

    async def trim_at_last(*entry):
        if next(refusals):
            raise StoreUnavailableError("Redis at x does not answer")
        await trim(*entry)

    monkeypatch.setattr(store, "trim_outbox", trim_at_last)
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 8)
    async with running(relay):
        await relay.submit(await commit(store, "a"))
        await relay.drain()
    assert broker.texts == ["a"]
    assert await left(store) == 0


async def test_error_that_waiting_does_not_mend_ends_the_relay(store):
    broker = Broker(store)
    broker.failure = InvariantError("a message of no topic")
    relay = OutboxRelay(store, broker, 8)
    async with running(relay) as task:
        await relay.submit(await commit(store, "a"))
        with pytest.raises(InvariantError):
            await task
    assert await left(store) == 1


@pytest.mark.parametrize("entries", [1, 64, 65, 200])
async def test_recovery_publishes_all_entries_of_one_partition_in_order(store, entries):
    broker = Broker(store)
    for number in range(entries):
        await commit(store, f"{number}a", f"{number}b")
        await commit(store, "other", partition=1)
    assert await OutboxRelay(store, broker, 8).recover(0) == 2 * entries
    assert broker.texts == [f"{number}{letter}" for number in range(entries) for letter in "ab"]
    assert await left(store) == 0
    assert await left(store, 1) == entries


async def test_recovery_forgets_nothing_when_the_broker_fails(store):
    broker = Broker(store)
    broker.failure = BrokerUnavailableError("no")
    await commit(store, "a")
    with pytest.raises(BrokerUnavailableError):
        await OutboxRelay(store, broker, 8).recover(0)
    assert await left(store) == 1


async def test_submit_waits_while_too_many_entries_are_unpublished(store):
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 2)
    broker.open.clear()
    async with running(relay):
        await relay.submit(await commit(store, "in hand"))
        await turns()  # the relay takes it and waits for the broker
        await relay.submit(await commit(store, "1"))
        await relay.submit(await commit(store, "2"))
        third = asyncio.create_task(relay.submit(await commit(store, "3")))
        await turns()
        assert not third.done()
        assert broker.published == []
        broker.open.set()
        await third
        await relay.drain()
    assert broker.texts == ["in hand", "1", "2", "3"]


async def test_drain_waits_for_what_is_being_published(store):
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 2)
    broker.open.clear()
    async with running(relay):
        await relay.submit(await commit(store, "a"))
        drained = asyncio.create_task(relay.drain())
        await turns()
        assert not drained.done()
        broker.open.set()
        await drained
    assert await left(store) == 0


async def test_large_entries_wait_for_one_another_and_are_published_a_few_at_a_time(store):
    broker = Broker(store)
    broker.open.clear()
    relay = OutboxRelay(store, broker, 1_000)
    megabytes = 4 * 1024 * 1024
    entries = [await commit(store, f"{n}", size=megabytes) for n in range(20)]

    async def submit() -> None:
        for entry in entries:
            await relay.submit(entry)

    async with running(relay):
        submitting = asyncio.create_task(submit())
        await turns()
        assert not submitting.done()
        assert relay._waiting.qsize() < len(entries) - 2
        broker.open.set()
        await submitting
        await relay.drain()
    assert broker.texts == [str(n) for n in range(20)]
    assert set(broker.batches) <= {1, 2}  # eight megabytes


async def test_next_is_published_while_the_store_still_forgets_what_was(store, monkeypatch):
    trim, trimmable = store.trim_outbox, asyncio.Event()

    async def trim_later(*entry):
        await trimmable.wait()
        await trim(*entry)

    monkeypatch.setattr(store, "trim_outbox", trim_later)
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 8)
    async with running(relay):
        await relay.submit(await commit(store, "a"))
        await turns()
        await relay.submit(await commit(store, "b"))
        await turns()
        assert broker.texts == ["a", "b"]
        assert await left(store) == 2
        trimmable.set()
        await relay.drain()
    assert await left(store) == 0


async def test_what_is_published_within_a_moment_is_trimmed_by_one_call(store, monkeypatch):
    monkeypatch.setattr("streams.relay._TRIM_SECONDS", 0.2)
    trim, trimmed = store.trim_outbox, []

    async def noted(partition, entry):
        trimmed.append((partition, entry))
        await trim(partition, entry)

    monkeypatch.setattr(store, "trim_outbox", noted)
    broker = Broker(store)
    relay = OutboxRelay(store, broker, 8)
    async with running(relay):
        for text in ("a", "b", "c"):
            await relay.submit(last := await commit(store, text))
            await turns()
        assert broker.batches == [1, 1, 1]
        await relay.drain()
    assert trimmed == [(last.partition, last.entry)]
    assert await left(store) == 0
