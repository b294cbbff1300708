"""The slice engine: decode → gather → load → advance → commit, for the partitions a worker owns.

Knows the log and the store, not Faust: the worker, replay, verify and the simulator all drive this
same code. The wall clock is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np

from schemas.decoding import DecodedBatch, decode_transactions
from schemas.errors import FencedError, InvariantError
from schemas.mark import Mark
from scoring.advance import Advanced, Events, advance
from scoring.business_calendar import BusinessCalendar
from scoring.states import UNKNOWN_US, States
from scoring.timeline import Timeline
from state.checkpoints import refusal
from state.codec import Message, decode_rows, due_scores, encode_rows, pack_messages
from state.fields import FIELDS, SCORE_FIELDS
from state.store import Checkpoint, SliceCommit, Store
from streams.holdings import Holdings, Journal, Owned
from streams.homes import home_partitions, sample_rank
from streams.messages import (
    Record,
    change_messages,
    dead_letters,
    detours,
    mark_message,
    scorecard_message,
    too_much_in_all,
)
from streams.samples import sample_messages
from streams.settings import Clock, Settings

_US_PER_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Committed:
    """One slice as committed.

    Attributes
    ----------
    partition : int
    entry : str
        Outbox entry that holds its messages; empty if there are none.
    messages : list of Message
        To be published, in order.
    customers : int
        Customers written.
    outbox_bytes : int
        Size of the entry.
    """

    partition: int
    entry: str
    messages: list[Message]
    customers: int
    outbox_bytes: int


class SliceEngine(Holdings):
    """Everything a worker does to its partitions' states.

    Parameters
    ----------
    store, settings, partitions, journal
        See `Holdings`.
    """

    def __init__(
        self, store: Store, settings: Settings, partitions: int, journal: Journal | None = None
    ) -> None:
        super().__init__(store, settings, partitions, journal)
        self.calendar = BusinessCalendar(settings.timezone)
        self._limits = settings.decoding_limits
        self._lateness_us = int(settings.lateness_seconds * 1e6)
        self._generation_us = int(settings.dedup_horizon_days * _US_PER_DAY)

    async def process(
        self, topic: str, partition: int, records: Sequence[Record], read_from: int = 0
    ) -> Committed | None:
        """Count a run of records of one topic partition as one slice.

        Parameters
        ----------
        read_from : int
            Where reading went on: from there to the first record the log holds nothing.

        Returns
        -------
        Committed or None
            None if all had been counted before, or the journal holds them back until the other topic
            has come as far as it once was: `next_offsets` says how far it went.

        Raises
        ------
        FencedError
            Another worker owns the partition, Redis is not where we left it, or the records were read
            before we found that out, and others come before them: `resync`.
        StoreUnavailableError
            Whether the slice was written is not known: `resync`.
        """
        owned = self._own(partition)
        async with owned.lock:
            start = owned.checkpoint.next_offsets[topic]
            if read_from > start:
                raise FencedError(f"{topic}-{partition} is at {start}, not at {read_from}")
            await self._come_to_marks(owned)
            end = self._held_back_from(owned, topic)
            fresh = [record for record in records if start <= record.offset < end]
            if not fresh:
                return None
            batch = decode_transactions(
                [record.value for record in fresh],
                [record.timestamp for record in fresh],
                self._limits,
            )
            home = self._at_home(owned, batch)
            rows = np.flatnonzero(home)
            ids, inverse = _unique([batch.customer_ids[row] for row in rows.tolist()])
            states, newcomers = await self._load(owned, ids)
            arrived_ms = np.array([record.timestamp for record in fresh], dtype=np.int64)
            events = self._events(topic, fresh, batch, rows, inverse, arrived_ms)
            advanced = advance(
                states,
                events,
                owned.checkpoint.clock_us,
                owned.timeline,
                self.calendar,
                self._lateness_us,
            )
            rejects = batch.rejects + too_much_in_all(batch, rows[advanced.refused])
            messages = dead_letters(
                fresh, sorted(rejects, key=itemgetter(0)), topic, partition, self.settings
            )
            messages += detours(fresh, batch, home, self.partitions, self.settings)
            before = owned.checkpoint
            after = replace(
                before.moved(topic, fresh[-1].offset + 1),
                clock_us=advanced.clock_us,
                live=before.live or self._arrives_live(events, arrived_ms[batch.positions[rows]]),
                applied=before.applied + len(events) - advanced.duplicates - len(advanced.refused),
                duplicates=before.duplicates + advanced.duplicates,
                dead=before.dead + len(rejects),
                forwarded=before.forwarded + int((~home).sum()),
                customers=before.customers + newcomers,
            )
            mark = None
            if before.mark is None or before.mark.reading != topic:
                mark = self._mark(owned, clock_us=before.clock_us, reading=topic)
            return await self._commit(owned, after, advanced, messages, mark=mark)

    @staticmethod
    def _held_back_from(owned: Owned, topic: str) -> float:
        """Offset from which a topic's records must wait."""
        if owned.ahead:
            return owned.ahead[0].offsets[topic]
        waits = owned.repeats and owned.told_to is not None and owned.told_to[0] != topic
        return owned.checkpoint.next_offsets[topic] if waits else math.inf

    def _mark(
        self,
        owned: Owned,
        *,
        clock_us: int,
        scorecard: str | None = None,
        reading: str | None = None,
    ) -> Mark:
        """A decision taken here: what is not said stays as it is."""
        before = owned.checkpoint
        last = self._topics[0] if before.mark is None else before.mark.reading
        return Mark.after(
            before.mark,
            offsets=dict(before.next_offsets),
            clock_us=clock_us,
            scorecard=scorecard or owned.timeline.card.version,
            reading=reading or last,
        )

    async def _come_to_marks(self, owned: Owned) -> None:
        """Decide again what was decided here before Redis was rolled back."""
        while owned.ahead and all(
            owned.checkpoint.next_offsets[topic] >= offset
            for topic, offset in owned.ahead[0].offsets.items()
        ):
            mark = owned.ahead[0]
            clock_us = max(owned.checkpoint.clock_us, mark.clock_us)
            timeline = self._timeline(owned.timeline.adoptions)
            if mark.scorecard != timeline.card.version:
                timeline.adopt(clock_us, self.scorecards[mark.scorecard])
            after = replace(
                owned.checkpoint,
                clock_us=clock_us,
                adoptions=tuple(timeline.adoptions),
                mark=mark,
            )
            await self._commit(owned, after, self._nothing(owned), [])
            self._use(owned, timeline)
            owned.ahead.popleft()

    def _nothing(self, owned: Owned) -> Advanced:
        clock_us = owned.checkpoint.clock_us
        return advance(States.blank([]), Events.none(), clock_us, owned.timeline, self.calendar)

    @staticmethod
    def _use(owned: Owned, timeline: Timeline) -> None:
        """Score by a timeline from now on; only after its commit, or a refused one would show."""
        if timeline.adoptions != owned.timeline.adoptions:
            owned.timeline = timeline
            owned.rescore_cursor = 0

    def caught_up_clock(self, partition: int, wall_us: int) -> int:
        """The partition's clock if nothing is left to read: by the wall where that is meant."""
        owned = self._own(partition)
        checkpoint = owned.checkpoint
        if owned.repeats:
            return checkpoint.clock_us
        by_wall = self.settings.clock is Clock.WALL or (
            self.settings.clock is Clock.AUTO and checkpoint.live
        )
        return max(checkpoint.clock_us, wall_us) if by_wall else checkpoint.clock_us

    def is_due(self, partition: int, clock_us: int) -> bool:
        """Whether silence may have something to do by `clock_us`."""
        owned = self._own(partition)
        return bool(owned.ahead) or owned.next_due_us <= clock_us - self._lateness_us

    async def sweep(self, partition: int, clock_us: int) -> Committed | None:
        """Let silence do what it had to do by `clock_us`, for a bounded number of customers.

        Returns
        -------
        Committed or None
            None if no customer was due.
        """
        owned = self._own(partition)
        if not self.is_due(partition, clock_us):
            return None
        async with owned.lock:
            await self._come_to_marks(owned)
            reached_us = owned.checkpoint.clock_us
            clock_us = reached_us if owned.repeats else max(clock_us, reached_us)
            until_us = clock_us - self._lateness_us
            ids = await self.store.due(partition, until_us, self.settings.sweep_customers_max)
            if not ids:
                owned.next_due_us = await self.store.next_due_us(partition)
                return None
            states, _ = await self._load(owned, ids)
            committed = await self._settle(owned, states, clock_us)
            # Not asked of the store here: what was committed must be handed on, whoever is away.
            owned.next_due_us = UNKNOWN_US
            return committed

    async def adopt(self, partition: int, version: str) -> Committed | None:
        """Take a scorecard into use, as of the partition's clock; None if it is not newer.

        Nobody goes back to one: whether a customer had left it would depend on who was met when.
        """
        owned = self._own(partition)
        async with owned.lock:
            if version not in self.scorecards:
                await self.load_scorecards()
            card, used = self.scorecards[version], owned.timeline.card.scorecard
            if owned.repeats or card.number <= used.number:
                return None
            clock_us = owned.checkpoint.clock_us
            if owned.checkpoint.mark is None:  # nothing was ever scored here
                timeline = self._timeline([(UNKNOWN_US, version)])
            else:
                timeline = self._timeline(owned.timeline.adoptions)
                timeline.adopt(clock_us, card)
            after = replace(owned.checkpoint, adoptions=tuple(timeline.adoptions))
            mark = self._mark(owned, clock_us=clock_us, scorecard=version)
            committed = await self._commit(owned, after, self._nothing(owned), [], mark=mark)
            self._use(owned, timeline)
            return committed

    async def rescore(self, partition: int) -> Committed | None:
        """Bring some customers to the scorecard in use; None when all are or a page needed nothing."""
        owned = self._own(partition)
        if owned.rescore_cursor is None:
            return None
        async with owned.lock:
            cursor, ids = await self.store.customers(
                partition, owned.rescore_cursor, self.settings.sweep_customers_max
            )
            states, _ = await self._load(owned, list(dict.fromkeys(ids)))
            stale = np.flatnonzero(states.numbers["card"] < owned.timeline.current)
            committed = None
            if len(stale):
                clock_us = owned.checkpoint.clock_us
                committed = await self._settle(owned, states.take(stale), clock_us)
            owned.rescore_cursor = cursor or None
            return committed

    async def _settle(self, owned: Owned, states: States, clock_us: int) -> Committed:
        advanced = advance(
            states, Events.none(), clock_us, owned.timeline, self.calendar, self._lateness_us
        )
        after = replace(owned.checkpoint, clock_us=advanced.clock_us)
        raised = advanced.clock_us > owned.checkpoint.clock_us
        mark = self._mark(owned, clock_us=advanced.clock_us) if raised else None
        return await self._commit(owned, after, advanced, [], SCORE_FIELDS, mark=mark)

    async def _load(self, owned: Owned, ids: list[str]) -> tuple[States, int]:
        """States of customers, and how many of them are new."""
        cached, found = owned.cache.get(ids)
        if len(found) == len(ids):
            return cached, 0
        missing = np.ones(len(ids), dtype=np.bool_)
        missing[found] = False
        absent = np.flatnonzero(missing)
        wanted = [ids[row] for row in absent.tolist()]
        stored = await self.store.load_many(owned.partition, wanted)
        try:
            loaded = decode_rows(wanted, stored, owned.timeline, self._topics)
        except KeyError:  # a scorecard that we never adopted: was it another worker?
            held = await self.store.checkpoint(owned.partition)
            refused = refusal(owned.partition, held, owned.checkpoint)
            if refused is not None:
                raise refused from None
            raise
        loaded.numbers["sample_rank"] = [sample_rank(customer_id) for customer_id in wanted]
        newcomers = sum(fields is None for fields in stored)
        states = States.blank(ids)
        for part, rows in ((cached, found), (loaded, absent)):
            states.numbers[rows] = part.numbers
            states.days[rows] = part.days
            states.ids_previous[rows] = part.ids_previous
            states.ids_current[rows] = part.ids_current
        return states, newcomers

    def _events(
        self,
        topic: str,
        records: Sequence[Record],
        batch: DecodedBatch,
        rows: np.ndarray[Any, Any],
        inverse: np.ndarray[Any, Any],
        arrived_ms: np.ndarray[Any, Any],
    ) -> Events:
        positions = batch.positions[rows]
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        return Events(
            rows=inverse,
            occurred_at_us=batch.occurred_at_us[rows],
            amount_units=batch.amount_units[rows],
            is_refund=batch.is_refund[rows],
            hashes=[batch.hashes[row] for row in rows.tolist()],
            generations=arrived_ms[positions] * 1000 // self._generation_us,
            topics=np.full(len(rows), self._topics.index(topic), dtype=np.int64),
            offsets=offsets[positions],
        )

    def _arrives_live(self, events: Events, arrived_ms: np.ndarray[Any, Any]) -> bool:
        lag_us = arrived_ms * 1000 - events.occurred_at_us
        return bool((lag_us <= self.settings.live_within_seconds * 1e6).any())

    def _at_home(self, owned: Owned, batch: DecodedBatch) -> np.ndarray[Any, Any]:
        """Which of the good records belong to this partition."""
        homes = dict.fromkeys(batch.customer_ids, True)
        strangers = [customer_id for customer_id in homes if customer_id not in owned.cache]
        if strangers:
            found = home_partitions(strangers, self.partitions) == owned.partition
            homes.update(zip(strangers, found.tolist(), strict=True))
        return np.array([homes[customer_id] for customer_id in batch.customer_ids], dtype=np.bool_)

    async def _commit(
        self,
        owned: Owned,
        after: Checkpoint,
        advanced: Advanced,
        messages: list[Message],
        fields: Sequence[str] = FIELDS,
        mark: Mark | None = None,
    ) -> Committed:
        after = replace(after, commits=owned.checkpoint.commits + 1)
        if mark is not None:
            after = replace(after, mark=mark)
            messages.append(mark_message(mark, partition=owned.partition, settings=self.settings))
            if not mark.previous:  # what the first purchases were scored by, for those who replay
                messages.append(scorecard_message(owned.timeline.card.scorecard, self.settings))
        states, partition, settings = advanced.states, owned.partition, self.settings
        messages += change_messages(
            advanced.changes, states, self._topics, partition, self.calendar, settings
        )
        messages += sample_messages(states, after, settings, self.partitions)
        commit = SliceCommit(
            partition=partition,
            before=owned.checkpoint,
            after=after,
            customer_ids=states.customer_ids,
            rows=encode_rows(states, owned.timeline, self._topics, self.calendar, fields),
            due_at=due_scores(states.numbers),
            fields=fields,
            outbox=pack_messages(messages),
        )
        entry = await self.store.commit_slice(commit)
        owned.checkpoint = after
        owned.cache.put(states)
        if len(states):
            soonest = int(states.numbers["next_review_us"].min())
            owned.next_due_us = min(owned.next_due_us, soonest)
        return Committed(partition, entry, messages, len(states), len(commit.outbox))


def _unique(ids: list[str]) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Distinct ids in order of first appearance, and the index of each into them."""
    index: dict[str, int] = {}
    inverse = [index.setdefault(customer_id, len(index)) for customer_id in ids]
    if len(index) > len(ids):
        raise InvariantError("more customers than events")
    return list(index), np.array(inverse, dtype=np.intp)
