"""The partitions a worker holds: whose they are, where they stand, by which scorecards they are scored.

Owns acquiring, opening and giving up, and what it takes to go on where a partition was left: its
checkpoint, its timeline of scorecards, and the marks of the journal it has yet to come to again.
Changes no customer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from uuid import uuid4

from schemas.errors import FencedError
from schemas.mark import Mark
from schemas.scorecard import Origin, Scorecard
from scoring.bootstrap import bootstrap_scorecard
from scoring.states import UNKNOWN_US
from scoring.timeline import Timeline
from state.checkpoints import refusal
from state.owner_cache import OwnerCache
from state.store import Adoption, Checkpoint, Store
from streams.settings import Settings


class Journal(Protocol):
    """What the engine needs of the journal."""

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> list[Mark]:
        """Marks that Kafka has and the checkpoint has not come to: Redis was rolled back."""

    async def scorecards(self) -> dict[str, bytes]:
        """All scorecards ever published, by version."""


class EmptyJournal:
    """The journal of an installation whose Redis is never rolled back."""

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> list[Mark]:
        """See `Journal.ahead_of`."""
        return []

    async def scorecards(self) -> dict[str, bytes]:
        """See `Journal.scorecards`."""
        return {}


@dataclass(slots=True)
class Owned:
    """One partition of ours; `ahead` are marks to come to again before deciding anything anew."""

    partition: int
    checkpoint: Checkpoint
    timeline: Timeline
    cache: OwnerCache
    next_due_us: int
    rescore_cursor: int | None = None
    ahead: deque[Mark] = field(default_factory=deque)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


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
    """

    def __init__(
        self, store: Store, settings: Settings, partitions: int, journal: Journal | None = None
    ) -> None:
        self.store = store
        self.settings = settings
        self.partitions = partitions
        self.journal = journal or EmptyJournal()
        self.owned: dict[int, Owned] = {}
        self.scorecards: dict[str, Scorecard] = {}
        self._topics = settings.input_topics

    async def acquire(self, partition: int) -> Checkpoint:
        """Become the owner of a partition and learn where it stands."""
        checkpoint = await self.store.acquire(partition, self.settings.owner, uuid4().hex)
        self.owned[partition] = await self._open(partition, checkpoint)
        return self.owned[partition].checkpoint

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
        ahead = await self.journal.ahead_of(partition, checkpoint)
        await self.load_scorecards()
        if ahead:
            await self._restore_scorecards(ahead[-1].scorecard)
        adoptions = checkpoint.adoptions
        if not adoptions:
            current = ahead[0].scorecard if ahead else await self.store.current_scorecard()
            card = self.scorecards[current] if current else await self._bootstrap()
            adoptions = ((UNKNOWN_US, card.version),)
            checkpoint = replace(checkpoint, adoptions=adoptions)
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
        )

    def _timeline(self, adoptions: Sequence[Adoption]) -> Timeline:
        return Timeline([(moment, self.scorecards[version]) for moment, version in adoptions])

    async def _bootstrap(self) -> Scorecard:
        card = bootstrap_scorecard(
            self.settings.family,
            hysteresis=self.settings.hysteresis,
            lifecycle=self.settings.lifecycle,
        )
        await self.store.save_scorecard(
            card.version, card.model_dump_json().encode(), current=False
        )
        await self.load_scorecards()
        return self.scorecards[card.version]

    async def _restore_scorecards(self, last: str) -> None:
        """Bring back what a flushed Redis lost of the scorecards; `last` was the one in use."""
        for version, body in (await self.journal.scorecards()).items():
            await self.store.save_scorecard(version, body, current=False)
        await self.load_scorecards()
        card = self.scorecards[last]
        if card.origin is not Origin.BOOTSTRAP and await self.store.current_scorecard() is None:
            await self.store.save_scorecard(last, card.model_dump_json().encode(), current=True)

    async def load_scorecards(self) -> None:
        """Learn of scorecards published since."""
        for version, body in (await self.store.scorecards()).items():
            if version not in self.scorecards:
                self.scorecards[version] = Scorecard.model_validate_json(body)

    def _own(self, partition: int) -> Owned:
        owned = self.owned.get(partition)
        if owned is None:
            raise FencedError(f"partition {partition} is not ours")
        return owned
