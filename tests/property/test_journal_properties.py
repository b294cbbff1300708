"""Rolled back to any commit, a partition tells the same history again: the journal sees to it."""

from __future__ import annotations

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.mark import decode_mark
from schemas.scorecard import Origin
from scoring.bootstrap import bootstrap_scorecard
from state.memory_store import MemoryStore
from state.store import Checkpoint, SliceCommit
from streams.engine import SliceEngine
from streams.journal import chain_after
from streams.settings import Settings
from streams.slices import Committed
from tests.support.purchases import ARRIVED_MS, LogRecord, Purchase

TOPICS = ("transactions", "transactions.rekeyed")
DAY, US_PER_DAY = 12_000, 86_400_000_000
SETTINGS = Settings(_env_file=None, clock="wall", owner="w", slice_records_max=3)


class RecordingStore(MemoryStore):
    """Keeps what it held after every commit."""

    def __init__(self) -> None:
        super().__init__()
        self.past: list[dict[str, object]] = []

    async def commit_slice(self, commit: SliceCommit) -> str:
        entry = await super().commit_slice(commit)
        self.past.append(copy.deepcopy({k: v for k, v in vars(self).items() if k != "past"}))
        return entry

    def roll_back(self, commits: int) -> None:
        vars(self).update(copy.deepcopy(self.past[commits]))


class World:
    """One partition, its two logs, and Kafka's memory of what was published."""

    def __init__(self) -> None:
        self.store = RecordingStore()
        self.logs: dict[str, list[LogRecord]] = {topic: [] for topic in TOPICS}
        self.published: list[object] = []
        self.cards: dict[str, bytes] = {}
        self.engine = SliceEngine(self.store, SETTINGS, 1, self)

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> tuple[list[object], int]:
        marks = [m.value for m in self.published if m.topic == SETTINGS.journal_topic]
        found = [decode_mark(value) for value in marks[checkpoint.journal_from :]]
        return chain_after(checkpoint.mark, found), len(marks)

    async def scorecards(self) -> dict[str, bytes]:
        mine = (m for m in self.published if m.topic == SETTINGS.scorecards_topic)
        return self.cards | {m.key.decode(): m.value for m in mine}

    async def end(self, topic: str, partition: int) -> int:
        return len(self.logs[topic])

    def publish(self, committed: Committed | None) -> bool:
        if committed is not None:
            self.published += committed.messages
        return committed is not None

    async def do(self, step: tuple[str, int]) -> None:
        name, amount = step
        if name in TOPICS:
            log = self.logs[name]
            for _ in range(amount):
                number = sum(map(len, self.logs.values()))
                purchase = Purchase(f"c{number * 7 % 5}", DAY + number // 2, 100, f"t-{number}")
                log.append(LogRecord(len(log), purchase.value, timestamp=ARRIVED_MS + number))
            await self.read(name, amount)
        elif name == "silence":  # the wall clock, so many days after the last purchase
            clock = self.engine.owned[0].checkpoint.clock_us + amount * 20 * US_PER_DAY
            self.publish(await self.engine.sweep(0, max(clock, DAY * US_PER_DAY)))
        else:
            await self.adopt(amount)

    async def read(self, topic: str, slice_size: int) -> bool:
        start = self.engine.owned[0].checkpoint.next_offsets[topic]
        records = self.logs[topic][start : start + slice_size]
        return bool(records) and self.publish(await self.engine.process(topic, 0, records))

    async def adopt(self, number: int) -> None:
        card = bootstrap_scorecard(hysteresis=0.05 + number / 100).model_copy(
            update={"number": len(self.cards) + 1, "origin": Origin.FITTED}
        )
        body = card.model_dump_json().encode()
        self.cards[card.version] = body
        await self.store.save_scorecard(card.version, body, current=True)
        self.publish(await self.engine.adopt(0, card.version))

    async def go_on(self, slice_size: int, first: str) -> None:
        """Read what is left, in another order and other slices, then let silence and cards finish."""
        order = (first, *(topic for topic in TOPICS if topic != first))
        while any([await self.read(topic, slice_size) for topic in order]):
            pass
        clock = self.engine.owned[0].checkpoint.clock_us
        while self.publish(await self.engine.sweep(0, clock)):
            pass
        while self.engine.owned[0].rescore_cursor is not None:
            self.publish(await self.engine.rescore(0))

    def changes(self) -> dict[str, tuple[bytes | None, dict[str, bytes]]]:
        """Changes by id; the same id with another body fails."""
        found: dict[str, tuple[bytes | None, dict[str, bytes]]] = {}
        for message in self.published:
            if message.topic == SETTINGS.changes_topic:
                headers = dict(message.headers)
                told = (message.value, headers)
                assert found.setdefault(headers["ce_id"].decode(), told) == told
        return found


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(TOPICS), st.integers(1, 4)),
        st.tuples(st.sampled_from(("silence", "scorecard")), st.integers(1, 6)),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=150)
@given(steps, st.data())
async def test_rollback_to_any_commit_repeats_every_change_under_its_id(steps, data):
    world = World()
    await world.engine.acquire(0)
    for step in steps:
        await world.do(step)
    await world.go_on(3, TOPICS[0])
    changes, hashes = world.changes(), copy.deepcopy(world.store.hashes)
    reviews, held = copy.deepcopy(world.store.due_at), await world.store.checkpoint(0)

    commits = data.draw(st.integers(-1, len(world.store.past) - 1), label="commits kept")
    if commits < 0:  # flushed
        world.store = RecordingStore()
    else:
        world.store.roll_back(commits)
    world.engine = SliceEngine(world.store, SETTINGS, 1, world)
    await world.engine.acquire(0)
    await world.go_on(data.draw(st.integers(1, 9)), data.draw(st.sampled_from(TOPICS)))

    assert world.changes() == changes
    assert world.store.hashes == hashes
    assert world.store.due_at == reviews
    again = await world.store.checkpoint(0)
    for same in ("next_offsets", "clock_us", "live", "applied", "customers", "adoptions", "mark"):
        assert getattr(again, same) == getattr(held, same), same
    assert not world.engine.owned[0].ahead
