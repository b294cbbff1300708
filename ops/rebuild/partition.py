"""One partition of Redis written anew as the log has it.

Owns the order of writing, which makes a kill at any point harmless:

1. the partition is ours: its worker can commit no more, and looks once a second whether we let go;
2. what was never told goes into the outbox: rows written before it would keep it from being told;
3. tombstones, then rows and due times, page by page, each atomic: as of the checkpoint, which stands where
   it stood;
4. customers and tombstones that the log does not know go;
5. the checkpoint, with its counters.

Where there is no checkpoint to write up to, the partition is counted to the end of the log, and the
checkpoint says "nothing" until the last step: a worker that takes over before it begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import uuid4

from ops.rebuild.untold import find_untold, tell
from ops.verify.image import outbox_of
from ops.verify.log import LogReader
from ops.verify.prints import Expected
from ops.verify.replay import Replay, journal_of
from ops.verify.replay_engine import Counted, ReplayEngine
from state.codec import due_scores
from state.rows import CustomerRows
from state.store import Checkpoint, SliceCommit, Store
from streams.journal import chain_after
from streams.settings import Settings

_PAGE = 2_000  # customers written at once: as many as a worker's slice may hold
_FORGOTTEN_AT_ONCE = 1_000

T = TypeVar("T")


@dataclass(slots=True)
class Rebuilt:
    """What was done to a partition.

    Attributes
    ----------
    records, customers : int
        Counted again; written.
    removed : int
        Customers that the log does not know.
    told : int
        Messages put into the outbox that had never been told.
    """

    partition: int
    records: int = 0
    customers: int = 0
    removed: int = 0
    told: int = 0


class PartitionRebuild:
    """One partition, being rebuilt.

    Parameters
    ----------
    store : Store
    log : LogReader
    settings : Settings
    partitions : int
        Of each input topic.
    partition : int
        Reserved for `owner`.
    owner : str
    """

    def __init__(
        self,
        store: Store,
        log: LogReader,
        settings: Settings,
        partitions: int,
        partition: int,
        owner: str,
    ) -> None:
        self._store = store
        self._log = log
        self._settings = settings
        self._partitions = partitions
        self._partition = partition
        self._owner = owner

    async def run(
        self, cards: Mapping[str, bytes], tick: Callable[[int], None], *, to_end: bool
    ) -> Rebuilt:
        """Do it.

        Parameters
        ----------
        cards : scorecards by version
            Those that Redis had lost among them.
        tick : callable
            Hears how many records each step took.
        to_end : bool
            Up to the end of the log instead of the checkpoint, as where there is none.

        Raises
        ------
        UnreplayableError
            Records or marks are gone; nothing was changed.
        FencedError
            Somebody else has taken the partition over; whatever they find is right.
        """
        partition, store, log = self._partition, self._store, self._log
        done = Rebuilt(partition)
        held = await store.acquire(partition, self._owner, uuid4().hex)
        cards = {**cards, **await store.scorecards()}  # its worker may have learnt until now
        to_end = to_end or not held.commits
        target = await self._end_of_log() if to_end else held
        if target is None:
            return done  # nothing was ever counted
        expected = Expected(self._settings, partition)
        replay = self._replay(cards, expected.hear)
        async for records in replay.steps(log, target):
            done.records += records
            tick(records)
        if to_end and held.commits:
            held = await self._begin_anew(held)
        # The outbox before the topics: what its former owner publishes meanwhile is in one of them.
        waiting = await outbox_of(store, partition)
        untold = await find_untold(log, self._settings, expected, replay, waiting)
        done.told = await tell(
            untold, lambda hear: self._replay(cards, hear), log, target, store, held
        )
        done.customers = await self._write(replay.engine, held)
        done.removed = await self._remove_strangers(replay.engine, held)
        commits = max(held.commits, target.commits) + 1
        after = replace(replay.reached, commits=commits)
        await store.commit_slice(SliceCommit(partition, held, after))
        return done

    def _replay(self, cards: Mapping[str, bytes], hear: Callable[[Counted], None]) -> Replay:
        return Replay(self._settings, self._partitions, self._partition, cards, hear)

    async def _end_of_log(self) -> Checkpoint | None:
        """Where a worker that honours the journal would get to; None if there is no journal yet.

        The last mark says which topic is read from there on; the other one waits for its worker.
        """
        settings, partition = self._settings, self._partition
        chain = chain_after(None, await journal_of(self._log, settings, partition))
        if not chain:
            return None
        last = chain[-1]
        _, end = (await self._log.bounds(last.reading, [partition]))[partition]
        offsets = {**last.offsets, last.reading: max(end, last.offsets[last.reading])}
        return Checkpoint(commits=1, next_offsets=offsets, mark=last)

    async def _begin_anew(self, held: Checkpoint) -> Checkpoint:
        """Say that nothing is counted, before rows say more than the checkpoint does."""
        nothing = Checkpoint(next_offsets=dict.fromkeys(held.next_offsets, 0))
        await self._store.commit_slice(SliceCommit(self._partition, held, nothing))
        return replace(nothing, epoch=held.epoch, token=held.token, owner=held.owner)

    async def _write(self, engine: ReplayEngine, held: Checkpoint) -> int:
        timeline = engine.owned[self._partition].timeline
        topics = self._settings.input_topics
        for some in _some_of(list(engine.gone.values()), _FORGOTTEN_AT_ONCE):
            await self._store.commit_slice(SliceCommit(self._partition, held, held, erased=some))
        for states in engine.everyone.pages(_PAGE):
            page = SliceCommit(
                self._partition,
                held,
                held,
                customer_ids=states.customer_ids,
                rows=CustomerRows(states, timeline, topics, engine.calendar),
                due_at=due_scores(states.numbers),
            )
            await self._store.commit_slice(page)
        return len(engine.everyone.known_ids)

    async def _remove_strangers(self, engine: ReplayEngine, held: Checkpoint) -> int:
        strangers: set[str] = set()
        cursor = 0
        while True:
            cursor, ids = await self._store.customers(self._partition, cursor, _PAGE)
            strangers.update(name for name in ids if name not in engine.everyone)
            if cursor == 0:
                break
        for some in _some_of(sorted(strangers), _FORGOTTEN_AT_ONCE):
            await self._store.forget(self._partition, held, some)
        stones = sorted((await self._store.tombstones(self._partition)).keys() - engine.gone.keys())
        for some in _some_of(stones, _FORGOTTEN_AT_ONCE):
            await self._store.forget(self._partition, held, [], some)
        return len(strangers)


def _some_of(ids: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """A few at a time."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
