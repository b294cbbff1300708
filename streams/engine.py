"""The slice engine: decode → gather → load → advance → commit, for the partitions a worker owns.

Knows the log and the store, not Faust: the worker, replay, verify and the simulator all drive this
same code. The wall clock is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np

from schemas.decoding import DecodedBatch, DecodingLimits, decode_transactions
from schemas.erasure import Erasure, is_erasure, read_erasure, tombstone_name
from schemas.errors import FencedError, InvalidErasureError, InvariantError, shown
from scoring.advance import advance
from scoring.erasure import erase
from scoring.events import Events
from scoring.states import UNKNOWN_US
from state.store import Gone, Tombstone
from streams.detours import detours, never_heard_of
from streams.holdings import Owned
from streams.homes import home_partition, home_partitions
from streams.messages import Record, dead_letters, too_much_in_all
from streams.settings import Clock
from streams.slices import Committed, Slices

_US_PER_DAY = 86_400_000_000
_NEVER_ERASED = Tombstone(UNKNOWN_US, 0)


class SliceEngine(Slices):
    """Everything a worker does to its partitions' states.

    Parameters
    ----------
    store, settings, partitions, journal, journal_told
        See `Holdings`.
    """

    @cached_property
    def _limits(self) -> DecodingLimits:
        return self.settings.decoding_limits

    @cached_property
    def _generation_us(self) -> int:
        return int(self.settings.dedup_horizon_days * _US_PER_DAY)

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
            if is_erasure(fresh[0].value, fresh[0].headers):
                return await self._forget(owned, topic, fresh[0])
            return await self._count(owned, topic, _until_erasure(fresh))

    async def _count(self, owned: Owned, topic: str, records: Sequence[Record]) -> Committed:
        before, last, heard = owned.checkpoint, records[-1], owned.checkpoint.heard
        came = len(records)
        if topic == self.settings.rekeyed_topic:
            records, heard = never_heard_of(records, heard)
        batch = decode_transactions(
            [record.value for record in records],
            [record.timestamp for record in records],
            self._limits,
        )
        home = self._at_home(owned, batch)
        gone = home & self._too_late(owned, batch)
        rows = np.flatnonzero(home & ~gone)
        ids, inverse = _unique([batch.customer_ids[row] for row in rows.tolist()])
        states, newcomers = await self._load(owned, ids)
        arrived_ms = np.array([record.timestamp for record in records], dtype=np.int64)
        events = self._events(topic, records, batch, rows, inverse, arrived_ms)
        advanced = advance(
            states, events, before.clock_us, owned.timeline, self.calendar, self._lateness_us
        )
        rejects = batch.rejects + too_much_in_all(batch, rows[advanced.refused])
        messages = dead_letters(
            records, sorted(rejects, key=itemgetter(0)), topic, owned.partition, self.settings
        )
        messages += detours(
            records, batch, home, topic, owned.partition, self.partitions, self.settings
        )
        after = replace(  # once: of a checkpoint of sixteen fields it costs as much as a purchase
            before,
            next_offsets={**before.next_offsets, topic: last.offset + 1},
            clock_us=advanced.clock_us,
            live=before.live or self._arrives_live(events, arrived_ms[batch.positions[rows]]),
            applied=before.applied + len(events) - advanced.duplicates - len(advanced.refused),
            duplicates=before.duplicates + advanced.duplicates + came - len(records),
            dead=before.dead + len(rejects),
            forwarded=before.forwarded + int((~home).sum()),
            erased=before.erased + int(gone.sum()),
            customers=before.customers + newcomers,
            heard=heard,
        )
        mark = self._mark_of_reading(owned, topic)
        return await self._commit(owned, after, advanced, messages, mark=mark)

    async def _forget(self, owned: Owned, topic: str, record: Record) -> Committed:
        """Erase a customer; who asks for nobody, or at the wrong partition, is a dead letter."""
        before, partition = owned.checkpoint, owned.partition
        after = before.moved(topic, record.offset + 1)
        mark = self._mark_of_reading(owned, topic)
        try:
            erasure = self._erasure(owned, record)
        except InvalidErasureError as error:
            after = replace(after, dead=before.dead + 1)
            messages = dead_letters([record], [(0, error)], topic, partition, self.settings)
            return await self._commit(owned, after, self._nothing(owned), messages, mark=mark)
        states, unknown = await self._load(owned, [erasure.customer_id])
        name = tombstone_name(erasure.customer_id)
        silent = advance(
            states, Events.none(), before.clock_us, owned.timeline, self.calendar, self._lateness_us
        )
        until_us = max(
            erasure.requested_at_us,
            int(silent.states.numbers["as_of_us"][0]),  # a clock may have been ahead of ours
            owned.tombstones.get(name, _NEVER_ERASED).until_us,
        )
        source = self._topics.index(topic), record.offset
        sequence = erase(silent, until_us, source, owned.timeline.card)
        after = replace(after, customers=before.customers - 1 + unknown)
        gone = Gone(erasure.customer_id, name, Tombstone(until_us, sequence))
        return await self._commit(owned, after, silent, [], mark=mark, gone=gone)

    def _erasure(self, owned: Owned, record: Record) -> Erasure:
        erasure = read_erasure(record.key, record.timestamp, record.headers)
        home = home_partition(erasure.customer_id, self.partitions)
        if home != owned.partition:
            raise InvalidErasureError(
                f"the erasure of customer {shown(erasure.customer_id)} belongs on partition {home}"
            )
        return erasure

    def _held_back_from(self, owned: Owned, topic: str) -> float:
        """Offset from which a topic's records must wait."""
        if owned.ahead:
            return owned.ahead[0].offsets[topic]
        waits = owned.repeats and owned.told_to is not None and owned.told_to[0] != topic
        return owned.checkpoint.next_offsets[topic] if waits else math.inf

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

    async def sweep(
        self, partition: int, clock_us: int, customers_max: int | None = None
    ) -> Committed | None:
        """Let silence do what it had to do by `clock_us`, for a bounded number of customers.

        Parameters
        ----------
        customers_max : int, optional
            As the settings have it by default.

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
            most = customers_max or self.settings.sweep_customers_max
            ids = await self.store.due(partition, until_us, most)
            if not ids:
                owned.next_due_us = await self.store.next_due_us(partition)
                return None
            states, _ = await self._load(owned, ids, used=False)
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

    async def rescore(self, partition: int, customers_max: int | None = None) -> Committed | None:
        """Bring some customers to the scorecard in use; None when all are or a page needed nothing.

        Parameters
        ----------
        customers_max : int, optional
            As the settings have it by default.
        """
        owned = self._own(partition)
        if owned.rescore_cursor is None:
            return None
        async with owned.lock:
            most = customers_max or self.settings.rescore_customers_max
            cursor, ids = await self.store.customers(partition, owned.rescore_cursor, most)
            states, _ = await self._load(owned, list(dict.fromkeys(ids)), used=False)
            stale = np.flatnonzero(states.numbers["card"] < owned.timeline.current)
            committed = None
            if len(stale):
                clock_us = owned.checkpoint.clock_us
                committed = await self._settle(owned, states.take(stale), clock_us)
            owned.rescore_cursor = cursor or None
            return committed

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

    def _too_late(self, owned: Owned, batch: DecodedBatch) -> np.ndarray[Any, Any]:
        """Which of the good records tell of a time for which their customers were erased."""
        if not owned.tombstones:
            return np.zeros(len(batch.customer_ids), dtype=np.bool_)
        until = {
            customer_id: owned.tombstones.get(tombstone_name(customer_id), _NEVER_ERASED).until_us
            for customer_id in set(batch.customer_ids)
        }
        until_us = np.array([until[customer_id] for customer_id in batch.customer_ids], np.int64)
        return np.asarray(batch.occurred_at_us <= until_us)

    def _at_home(self, owned: Owned, batch: DecodedBatch) -> np.ndarray[Any, Any]:
        """Which of the good records belong to this partition."""
        return np.asarray(home_partitions(batch.customer_ids, self.partitions) == owned.partition)


def _until_erasure(records: Sequence[Record]) -> Sequence[Record]:
    """Those before the first one that erases a customer: that is a slice of its own."""
    for index, record in enumerate(records):
        if record.value is None and is_erasure(record.value, record.headers):
            return records[:index]
    return records


def _unique(ids: list[str]) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Distinct ids in order of first appearance, and the index of each into them."""
    index: dict[str, int] = {}
    inverse = [index.setdefault(customer_id, len(index)) for customer_id in ids]
    if len(index) > len(ids):
        raise InvariantError("more customers than events")
    return list(index), np.array(inverse, dtype=np.intp)
