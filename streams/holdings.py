"""The partitions a worker holds: whose they are, where they stand, by which scorecards they are scored.

Owns acquiring, opening and giving up, and what it takes to go on where a partition was left: its
checkpoint, its timeline of scorecards, and the marks of the journal it has yet to come to again.
Changes no customer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol
from uuid import uuid4

from schemas.errors import FencedError
from schemas.mark import Mark
from schemas.scorecard import Scorecard
from scoring.bootstrap import BOOTSTRAP_VERSION
from scoring.states import UNKNOWN_US
from scoring.timeline import Timeline
from state.checkpoints import refusal
from state.owner_cache import OwnerCache
from state.store import Adoption, Checkpoint, Store, Tombstone
from streams.overrides import first_scorecard
from streams.settings import Settings

_CLEARED_AT_ONCE = 1_000  # customers; Redis does nothing else meanwhile


class Journal(Protocol):
    """What the engine needs of the journal."""

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> tuple[list[Mark], int]:
        """Marks that Kafka has and the checkpoint has not come to: Redis was rolled back.

        Returns
        -------
        list of Mark
            In order.
        int
            How far the journal was read.
        """

    async def scorecards(self) -> dict[str, bytes]:
        """All scorecards ever published, by version."""

    async def end(self, topic: str, partition: int) -> int:
        """Offset after the last record of an input topic's partition."""


class EmptyJournal:
    """The journal of an installation whose Redis is never rolled back."""

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> tuple[list[Mark], int]:
        """See `Journal.ahead_of`."""
        return [], 0

    async def scorecards(self) -> dict[str, bytes]:
        """See `Journal.scorecards`."""
        return {}

    async def end(self, topic: str, partition: int) -> int:
        """See `Journal.end`."""
        return 0


@dataclass(slots=True)
class Owned:
    """One partition of ours.

    Attributes
    ----------
    ahead : deque of Mark
        To come to again before deciding anything anew.
    told_to : (input topic, offset)
        What the last mark says is read, and where its log ended when the partition was opened: so
        far changes may have been told that Redis has lost.
    journal_to : int
        How far the journal was read when the partition was opened.
    tombstones : dict
        Of `Store.tombstones`.
    """

    partition: int
    checkpoint: Checkpoint
    timeline: Timeline
    cache: OwnerCache
    next_due_us: int
    rescore_cursor: int | None = None
    ahead: deque[Mark] = field(default_factory=deque)
    told_to: tuple[str, int] | None = None
    journal_to: int = 0
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def repeats(self) -> bool:
        """Whether it may be on ground where it was before: then it decides nothing anew."""
        if self.ahead or self.told_to is None:
            return bool(self.ahead)
        topic, offset = self.told_to
        return self.checkpoint.next_offsets[topic] < offset


class Holdings:
    """The partitions of one worker, in memory.

    Parameters
    ----------
    store : Store
    settings : Settings
    partitions : int
        How many partitions each input topic has.
    journal : Journal, optional
        Where to find marks that Redis lost; none by default.
    journal_told : callable, optional
        Offset in a partition's journal that lies behind all that we published there, as far as known.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        partitions: int,
        journal: Journal | None = None,
        journal_told: Callable[[int], int] = lambda _: 0,
    ) -> None:
        self.store = store
        self.settings = settings
        self.partitions = partitions
        self.journal = journal or EmptyJournal()
        self._journal_told = journal_told
        self.owned: dict[int, Owned] = {}
        self.scorecards: dict[str, Scorecard] = {}
        self._topics = settings.input_topics

    async def acquire(self, partition: int) -> Checkpoint:
        """Become the owner of a partition and learn where it stands."""
        checkpoint = await self.store.acquire(partition, self.settings.owner, uuid4().hex)
        if not checkpoint.commits:
            await self._clear(partition, checkpoint)
        self.owned[partition] = await self._open(partition, checkpoint)
        return self.owned[partition].checkpoint

    async def _clear(self, partition: int, checkpoint: Checkpoint) -> None:
        """Remove customers that nobody has counted: of a rebuild cut short, or of a checkpoint lost.

        Counting from the first record would count their purchases once more, and keep those of
        customers away who are erased only later.
        """
        names = list(await self.store.tombstones(partition))
        if names:
            await self.store.forget(partition, checkpoint, [], names)
        cursor, left = 0, True
        while left:
            cursor, ids = await self.store.customers(partition, cursor, _CLEARED_AT_ONCE)
            left = bool(ids or cursor)  # a scan that others remove from may come to no end
            if ids:
                await self.store.forget(partition, checkpoint, ids)
                cursor = 0

    async def resync(self, partition: int) -> Checkpoint | None:
        """Drop what is in memory and read where the partition stands; None if it is lost.

        After a refused or unanswered commit memory may be ahead of Redis or behind it.
        """
        held = await self.store.checkpoint(partition)
        owned = self.owned.get(partition)
        if owned is None:
            return None
        ours = owned.checkpoint
        if held.epoch < ours.epoch:  # rolled back or flushed: begin a new epoch there
            return await self.acquire(partition)
        if (held.epoch, held.token) != (ours.epoch, ours.token):
            self.release(partition)
            return None
        self.owned[partition] = await self._open(partition, held)
        return self.owned[partition].checkpoint

    async def is_where_left(self, partition: int) -> bool:
        """Whether Redis still holds a partition as we left it, though nothing is to be written."""
        owned = self._own(partition)
        async with owned.lock:
            held = await self.store.checkpoint(partition)
            return refusal(partition, held, owned.checkpoint) is None

    def release(self, partition: int) -> None:
        """Forget a partition that another worker takes over."""
        self.owned.pop(partition, None)

    async def _open(self, partition: int, checkpoint: Checkpoint) -> Owned:
        ahead, journal_to = await self.journal.ahead_of(partition, checkpoint)
        adoptions = checkpoint.adoptions
        if not adoptions:
            first = ahead[0].scorecard if ahead else await self._in_use()
            adoptions = ((UNKNOWN_US, first),)
            checkpoint = replace(checkpoint, adoptions=adoptions)
        await self._know([version for _, version in adoptions] + [m.scorecard for m in ahead])
        last = ahead[-1] if ahead else checkpoint.mark
        told_to = None
        if last is not None:
            told_to = last.reading, await self.journal.end(last.reading, partition)
        timeline = self._timeline(adoptions)
        offsets = {topic: checkpoint.next_offsets.get(topic, 0) for topic in self._topics}
        return Owned(
            partition=partition,
            checkpoint=replace(checkpoint, next_offsets=offsets),
            timeline=timeline,
            cache=OwnerCache(self.settings.cache_customers_max // self.partitions),
            next_due_us=await self.store.next_due_us(partition),
            rescore_cursor=0 if timeline.current else None,
            ahead=deque(ahead),
            told_to=told_to,
            journal_to=journal_to,
            tombstones=await self.store.tombstones(partition),
        )

    def _timeline(self, adoptions: Sequence[Adoption]) -> Timeline:
        return Timeline([(moment, self.scorecards[version]) for moment, version in adoptions])

    async def _in_use(self) -> str:
        """Version to begin a partition with."""
        version = await self.store.current_scorecard()
        await self.load_scorecards()  # only now: it was kept before it was named
        return version if version in self.scorecards else BOOTSTRAP_VERSION

    @cached_property
    def bootstrap(self) -> Scorecard:
        """What the first purchases are scored by, if nobody kept another one before us."""
        return first_scorecard(self.settings)

    async def _know(self, versions: Sequence[str]) -> None:
        """Have scorecards in memory and in Redis; what Redis has lost is in Kafka, or was never told."""
        wanted = set(versions)
        held = await self.load_scorecards()
        if not wanted <= self.scorecards.keys():
            await self._keep(await self.journal.scorecards())
        if not wanted <= self.scorecards.keys():
            await self._keep({BOOTSTRAP_VERSION: self.bootstrap.model_dump_json().encode()})
        forgotten = (wanted & self.scorecards.keys()) - held
        if forgotten:  # those who look a customer up have no memory but Redis
            await self._keep(
                {one: self.scorecards[one].model_dump_json().encode() for one in forgotten}
            )

    async def _keep(self, bodies: Mapping[str, bytes]) -> None:
        for version, body in bodies.items():
            await self.store.save_scorecard(version, body, current=False)
        await self.load_scorecards()  # as they were kept before us, if they were
        for version, body in bodies.items():
            if version not in self.scorecards:  # Redis has lost it again
                self.scorecards[version] = Scorecard.model_validate_json(body)

    async def load_scorecards(self) -> Set[str]:
        """Learn of scorecards published since; returns all versions that Redis holds."""
        held = await self.store.scorecards()
        for version, body in held.items():
            if version not in self.scorecards:
                self.scorecards[version] = Scorecard.model_validate_json(body)
        return held.keys()

    async def newest_scorecard(self) -> str | None:
        """Version that every partition is to adopt, named to Redis again if it has forgotten it.

        None until there is one beside the bootstrap scorecard.
        """
        version = await self.store.current_scorecard()
        await self.load_scorecards()
        known = self.scorecards.get(version or "")
        used = [owned.timeline.card.version for owned in self.owned.values()]
        used += [owned.ahead[-1].scorecard for owned in self.owned.values() if owned.ahead]
        newest = max((self.scorecards[one] for one in used), key=_number, default=known)
        if newest is None or newest.number <= (known.number if known else 0):
            return None if known is None else known.version
        body = newest.model_dump_json().encode()
        await self.store.save_scorecard(newest.version, body, current=True)
        return newest.version

    def _own(self, partition: int) -> Owned:
        owned = self.owned.get(partition)
        if owned is None:
            raise FencedError(f"partition {partition} is not ours")
        return owned


def _number(card: Scorecard) -> int:
    return card.number
