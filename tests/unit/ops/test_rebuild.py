"""Rebuilding a partition: killed after any write, what comes next ends right, and tells nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from ops.rebuild import partition as rebuilding
from ops.rebuild.partition import PartitionRebuild, Rebuilt
from ops.verify.compare import verify_partition
from ops.verify.replay import UnreplayableError, journal_of
from schemas.errors import RebuildingError
from schemas.mark import Mark
from state.memory_store import MemoryStore
from state.outbox import unpack_messages
from state.store import Checkpoint, SliceCommit
from streams.engine import SliceEngine
from streams.journal import chain_after
from streams.settings import Settings
from streams.tails import spelled_out
from tests.support.memory_log import MemoryLog
from tests.support.purchases import Purchase, cdnow_of

SETTINGS = Settings(_env_file=None, slice_records_max=50, sweep_customers_max=40)
TOPIC = SETTINGS.transactions_topic
OWNER = "rebuild here"
CUSTOMERS = 60
THEN = ("rebuild", "worker")


class KilledError(BaseException):
    """As kill -9 would."""


class FrailStore(MemoryStore):
    """Dies after so many writes."""

    writes_left = -1

    def _written(self) -> None:
        self.writes_left -= 1
        if self.writes_left == 0:
            raise KilledError

    async def commit_slice(self, commit: SliceCommit) -> str:
        entry = await super().commit_slice(commit)
        self._written()
        return entry

    async def forget(self, partition: int, owned: Checkpoint, customer_ids: Sequence[str]) -> None:
        await super().forget(partition, owned, customer_ids)
        self._written()

    async def acquire(self, partition: int, owner: str, token: str = "") -> Checkpoint:
        found = await super().acquire(partition, owner, token)
        self._written()
        return found


class JournalOf:
    """The journal as a worker reads it."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> tuple[list[Mark], int]:
        return chain_after(checkpoint.mark, await journal_of(self._log, SETTINGS, partition)), 0

    async def scorecards(self) -> dict[str, bytes]:
        records = self._log.topics[SETTINGS.scorecards_topic][0]
        return {(record.key or b"").decode(): record.value or b"" for record in records}

    async def end(self, topic: str, partition: int) -> int:
        return len(self._log.topics[topic][partition])


class World:
    """One partition, its log, and a worker that counts it."""

    def __init__(self) -> None:
        self.store = FrailStore()
        self.log = MemoryLog(SETTINGS, 1)

    def produce(self, purchases: Sequence[Purchase]) -> None:
        for purchase in purchases:
            self.log.append(TOPIC, 0, purchase.value, key=purchase.customer_id.encode())
        self.log.append(TOPIC, 0, b"{", key=b"x")

    async def count(self) -> None:
        """A worker takes over, counts everything, comes to rest and publishes its outbox."""
        engine = SliceEngine(self.store, SETTINGS, 1, JournalOf(self.log))
        checkpoint = await engine.acquire(0)
        await self.publish()
        records = self.log.topics[TOPIC][0][checkpoint.next_offsets[TOPIC] :]
        for start in range(0, len(records), SETTINGS.slice_records_max):
            await engine.process(TOPIC, 0, records[start : start + SETTINGS.slice_records_max])
        while await engine.sweep(0, engine.owned[0].checkpoint.clock_us):
            pass
        await self.publish()

    async def publish(self) -> None:
        for entry, packed in await self.store.outbox(0, "", 10_000):
            self.log.publish(spelled_out(unpack_messages(packed)))
            await self.store.trim_outbox(0, entry)

    async def rebuild(self, *, to_end: bool = False) -> Rebuilt:
        work = PartitionRebuild(self.store, self.log, SETTINGS, 1, 0, OWNER)  # type: ignore[arg-type]
        cards = await JournalOf(self.log).scorecards()
        for version, body in cards.items():
            await self.store.save_scorecard(version, body, current=False)
        return await work.run(cards, lambda _: None, to_end=to_end)

    async def differences(self) -> list[str]:
        verdict = await verify_partition(self.store, self.log, SETTINGS, 1, 0, lambda _: None)  # type: ignore[arg-type]
        return verdict.differences

    def told(self) -> Counter[str]:
        """How often each change was published, by its id."""
        records = self.log.topics[SETTINGS.changes_topic][0]
        return Counter(dict(record.headers)["ce_id"].decode() for record in records)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "_PAGE", 13)
    monkeypatch.setattr(rebuilding, "_FORGOTTEN_AT_ONCE", 1)


@pytest.fixture
async def world() -> World:
    here = World()
    here.produce(cdnow_of(CUSTOMERS))
    await here.count()
    assert await here.differences() == []
    assert len(here.store.hashes) == CUSTOMERS
    return here


def damage(store: MemoryStore) -> None:
    """A field edited, a customer and a due time gone, strangers, wrong counters."""
    store.hashes[0, "00003"]["frequency"] = b"99"
    store.hashes[0, "00004"]["ledger"] = b""
    del store.hashes[0, "00005"]
    del store.due_at[0]["00006"]
    for stranger in ("ghost", "wraith"):
        store.hashes[0, stranger] = dict(store.hashes[0, "00007"])
        store.due_at[0][stranger] = 1.0
    store.checkpoints[0] = Checkpoint(
        **{name: getattr(store.checkpoints[0], name) for name in Checkpoint.__slots__}
        | {"applied": 3, "customers": 1}
    )


def flush(store: MemoryStore) -> None:
    """Everything gone."""
    store.hashes.clear()
    store.due_at.clear()
    store.checkpoints.clear()
    store._outboxes.clear()


def lose_checkpoint(store: MemoryStore) -> None:
    """Only the checkpoint gone, all customers still there."""
    store.checkpoints.clear()


async def test_damage_is_mended_and_nothing_told_again(world):
    told = world.told()
    damage(world.store)
    assert len(await world.differences()) > 5
    done = await world.rebuild()
    assert (done.customers, done.removed, done.told) == (CUSTOMERS, 2, 0)
    assert await world.differences() == []
    await world.count()
    assert world.told() == told


@pytest.mark.parametrize("lose", [flush, lose_checkpoint])
async def test_partition_without_a_checkpoint_is_counted_to_the_end_of_the_log(world, lose):
    told = world.told()
    lose(world.store)
    done = await world.rebuild()
    assert (done.customers, done.told) == (CUSTOMERS, 0)
    assert await world.differences() == []
    assert world.told() == told


def leave_alone(store: MemoryStore) -> None:
    """Nothing at all."""


@pytest.mark.parametrize("to_end", [False, True])
@pytest.mark.parametrize(
    ("harm", "then"),
    [
        (damage, "rebuild"),  # no worker can know of damage that was not mended yet
        *((harm, then) for harm in (flush, lose_checkpoint, leave_alone) for then in THEN),
    ],
)
async def test_rebuild_killed_after_any_write_ends_right(harm, to_end, then):
    purchases = cdnow_of(CUSTOMERS)
    writes, killed = 0, True
    while killed:
        writes += 1
        world = World()
        world.produce(purchases[:150])
        await world.count()
        world.produce(purchases[150:200])  # which nobody has counted yet
        harm(world.store)
        world.store.writes_left = writes
        try:
            await world.rebuild(to_end=to_end)
            killed = False
        except KilledError:
            killed = True
        world.store.writes_left = -1
        if then == "rebuild":
            await world.rebuild(to_end=to_end)
        await world.count()
        assert await world.differences() == [], f"killed after write {writes}"
        world.produce(purchases[200:])
        await world.count()
        assert await world.differences() == [], f"killed after write {writes}"
    assert writes > 4


async def test_changes_that_were_never_told_go_into_the_outbox_once(world):
    changes = world.log.topics[SETTINGS.changes_topic][0]
    told = world.told()
    lost = changes[5:9] + changes[40:41]
    world.log.topics[SETTINGS.changes_topic][0] = changes[:5] + changes[9:40] + changes[41:]
    letters = world.log.topics[SETTINGS.dead_letter_topic][0]
    assert len(letters) == 1
    world.log.topics[SETTINGS.dead_letter_topic][0] = []
    assert (await world.rebuild()).told == len(lost) + 1
    assert (await world.rebuild()).told == 0
    await world.publish()
    assert world.told() == told
    assert [record.value for record in world.log.topics[SETTINGS.dead_letter_topic][0]] == [b"{"]
    assert await world.differences() == []


async def test_mark_that_was_lost_with_the_outbox_is_told_again(world):
    journal = world.log.topics[SETTINGS.journal_topic][0]
    assert len(journal) == 1
    world.log.topics[SETTINGS.journal_topic][0] = []
    world.log.topics[SETTINGS.scorecards_topic][0] = []
    cards = await world.store.scorecards()
    work = PartitionRebuild(world.store, world.log, SETTINGS, 1, 0, OWNER)
    assert (await work.run(cards, lambda _: None, to_end=False)).told == 2
    await world.publish()
    (again,) = world.log.topics[SETTINGS.journal_topic][0]
    assert again.value == journal[0].value


async def test_of_a_topic_that_let_go_of_changes_only_what_follows_one_of_them_is_told(world):
    topic = SETTINGS.changes_topic
    changes = world.log.topics[topic][0]
    first = len(changes) // 2
    kept = changes[first:]
    last = {record.key: record for record in kept}
    of_some = next(one for one in last.values() if sum(r.key == one.key for r in kept) > 1)
    world.log.topics[topic][0] = [record for record in kept if record is not of_some]
    world.log.first = {topic: first}
    assert (await world.rebuild()).told == 1
    await world.publish()
    assert world.log.topics[topic][0][-1].value == of_some.value


async def test_log_that_no_longer_reaches_back_is_refused_and_nothing_changed(world):
    damage(world.store)
    seen = {key: dict(fields) for key, fields in world.store.hashes.items()}
    world.log.first = {TOPIC: 10}
    with pytest.raises(UnreplayableError, match=f"{TOPIC}-0 holds offsets 10 to .*; 0 to .* were"):
        await world.rebuild()
    assert world.store.hashes == seen


async def test_worker_cannot_acquire_what_is_reserved_and_goes_on_afterwards(world):
    await world.store.reserve(0, OWNER, 60.0)
    with pytest.raises(RebuildingError):
        await world.count()
    await world.rebuild()
    await world.store.reserve(0, OWNER, 0.0)
    await world.count()
    assert await world.differences() == []


async def test_partition_that_was_never_counted_is_left_to_its_worker():
    world = World()
    world.produce(cdnow_of(5))
    done = await world.rebuild()
    assert (done.records, done.customers) == (0, 0)
    await world.count()
    assert await world.differences() == []
