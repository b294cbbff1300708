"""One slice of one partition: load → settle → commit, and the marks that a partition comes to.

Owns what every slice has in common, whatever it is about, and how a commit is put together. What is to be
done, and when, is `streams.engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from schemas.erasure import tombstone_name
from schemas.mark import Mark
from scoring.advance import Advanced, advance
from scoring.business_calendar import BusinessCalendar
from scoring.change_events import render
from scoring.events import Events
from scoring.states import States
from scoring.timeline import Timeline
from state.checkpoints import refusal
from state.codec import decode_rows, due_scores
from state.fields import FIELDS, SCORE_FIELDS
from state.outbox import Message, Outgoing, Run, pack_messages
from state.rows import CustomerRows
from state.store import Checkpoint, Gone, SliceCommit
from streams.holdings import Holdings, Owned
from streams.homes import sample_ranks
from streams.messages import mark_message, scorecard_message
from streams.samples import forgotten, sample_messages
from streams.tails import ChangeTails, spelled_out


@dataclass(frozen=True, slots=True)
class Committed:
    """One slice as committed.

    Attributes
    ----------
    partition : int
    entry : str
        Outbox entry that holds its messages; empty if there are none.
    outgoing : sequence of Message and Run
        To be published, in order.
    customers : int
        Customers written.
    outbox_bytes : int
        Size of the entry.
    """

    partition: int
    entry: str
    outgoing: Sequence[Outgoing]
    customers: int
    outbox_bytes: int

    @property
    def messages(self) -> list[Message]:
        """The same, record by record."""
        return spelled_out(self.outgoing)


class Slices(Holdings):
    """Holdings whose partitions' states can be changed, a slice at a time.

    Parameters
    ----------
    store, settings, partitions, journal, journal_told
        See `Holdings`.
    """

    @cached_property
    def calendar(self) -> BusinessCalendar:
        """The business time zone."""
        return BusinessCalendar(self.settings.timezone)

    @cached_property
    def _lateness_us(self) -> int:
        return int(self.settings.lateness_seconds * 1e6)

    @cached_property
    def _tails(self) -> ChangeTails:
        return ChangeTails(self.settings.source)

    async def _load(self, owned: Owned, ids: list[str], *, used: bool = True) -> tuple[States, int]:
        """States of customers, and how many of them are new; see `OwnerCache.get` for `used`."""
        cached, found = owned.cache.get(ids, used=used)
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
        loaded.numbers["sample_rank"] = sample_ranks(wanted)
        newcomers = sum(fields is None for fields in stored)
        if newcomers and owned.tombstones:
            for row, (customer_id, fields) in enumerate(zip(wanted, stored, strict=True)):
                erased = owned.tombstones.get(tombstone_name(customer_id))
                if fields is None and erased is not None:
                    loaded.numbers["sequence"][row] = erased.sequence
        if not len(found):
            return loaded, newcomers
        states = States.blank(ids)
        states.put(found.tolist(), cached)
        states.put(absent.tolist(), loaded)
        return states, newcomers

    async def _settle(self, owned: Owned, states: States, clock_us: int) -> Committed:
        """Nobody has bought: whoever is in memory for that stays there."""
        advanced = advance(
            states, Events.none(), clock_us, owned.timeline, self.calendar, self._lateness_us
        )
        after = replace(owned.checkpoint, clock_us=advanced.clock_us)
        raised = advanced.clock_us > owned.checkpoint.clock_us
        mark = self._mark(owned, clock_us=advanced.clock_us) if raised else None
        return await self._commit(owned, after, advanced, [], SCORE_FIELDS, mark=mark, used=False)

    def _nothing(self, owned: Owned) -> Advanced:
        clock_us = owned.checkpoint.clock_us
        return advance(States.blank([]), Events.none(), clock_us, owned.timeline, self.calendar)

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

    def _mark_of_reading(self, owned: Owned, topic: str) -> Mark | None:
        """Before a slice of another topic than the last one's, or the very first; else None."""
        before = owned.checkpoint
        if before.mark is not None and before.mark.reading == topic:
            return None
        return self._mark(owned, clock_us=before.clock_us, reading=topic)

    async def _come_to_marks(self, owned: Owned) -> None:
        """Decide again what was decided here before Redis was rolled back."""
        while owned.ahead and all(
            owned.checkpoint.next_offsets[topic] >= offset
            for topic, offset in owned.ahead[0].offsets.items()
        ):
            await self._come_to(owned, owned.ahead[0])
            owned.ahead.popleft()

    async def _come_to(self, owned: Owned, mark: Mark) -> None:
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

    def _journal_from(self, owned: Owned) -> int:
        """Where the marks begin that may follow a checkpoint of now.

        Those are still to be published, unless some lie ahead that were published before.
        """
        if owned.ahead:
            return owned.checkpoint.journal_from
        return max(owned.journal_to, self._journal_told(owned.partition))

    @staticmethod
    def _use(owned: Owned, timeline: Timeline) -> None:
        """Score by a timeline from now on; only after its commit, or a refused one would show."""
        if timeline.adoptions != owned.timeline.adoptions:
            owned.timeline = timeline
            owned.rescore_cursor = 0

    async def _commit(
        self,
        owned: Owned,
        after: Checkpoint,
        advanced: Advanced,
        messages: list[Message],
        fields: Sequence[str] = FIELDS,
        mark: Mark | None = None,
        gone: Gone | None = None,
        *,
        used: bool = True,
    ) -> Committed:
        after = replace(
            after,
            commits=owned.checkpoint.commits + 1,
            journal_from=self._journal_from(owned),
            mark=after.mark if mark is None else mark,
        )
        if mark is not None:
            messages.append(mark_message(mark, partition=owned.partition, settings=self.settings))
            if not mark.previous:  # what the first purchases were scored by, for those who replay
                messages.append(scorecard_message(owned.timeline.card.scorecard, self.settings))
        partition, settings = owned.partition, self.settings
        states = advanced.states if gone is None else States.blank([])
        messages += sample_messages(states, after, settings, self.partitions)
        if gone is not None:
            messages.append(forgotten(gone.customer_id, settings))
        outgoing: list[Outgoing] = [*messages]
        if advanced.changes.blocks:
            outgoing.append(self._told(advanced, partition))
        commit = SliceCommit(
            partition=partition,
            before=owned.checkpoint,
            after=after,
            customer_ids=states.customer_ids,
            rows=CustomerRows(states, owned.timeline, self._topics, self.calendar, fields),
            due_at=due_scores(states.numbers),
            fields=fields,
            outbox=pack_messages(outgoing),
            erased=[] if gone is None else [gone],
        )
        entry = await self.store.commit_slice(commit)
        owned.checkpoint = after
        owned.cache.put(states, used=used)
        if gone is not None:
            owned.cache.drop(gone.customer_id)
            owned.tombstones[gone.name] = gone.tombstone
        if len(states):
            soonest = int(states.numbers["next_review_us"].min())
            owned.next_due_us = min(owned.next_due_us, soonest)
        return Committed(partition, entry, outgoing, len(states), len(commit.outbox))

    def _told(self, advanced: Advanced, partition: int) -> Run:
        """The change events of one call of `advance`, in order."""
        ids = advanced.states.customer_ids
        told = render(advanced.changes, ids, self._topics, partition, self.calendar)
        topic = self.settings.changes_topic
        return Run.of(topic, partition, self.partitions, self._tails.of(told))
