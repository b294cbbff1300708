"""The worker's own engine, counting a partition again in memory.

Decode, gather and advance are the worker's; what it would write and tell is handed to a listener
instead, unrendered. Nothing happens by the wall clock: marks of the journal say when it did. A worker
sets one whenever silence moves somebody, so most marks only raise the clock: their records need no slice
of their own, since neither the size of slices nor the timing of sweeps shows in the history.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ops.verify.everyone import ColumnStore, Everyone
from schemas.mark import Mark
from scoring.advance import Advanced
from scoring.events import Events
from scoring.states import UNKNOWN_US, States
from state.fields import FIELDS
from state.outbox import Message
from state.store import Checkpoint, Gone
from streams.engine import SliceEngine
from streams.holdings import Owned
from streams.settings import Clock, Settings
from streams.slices import Committed

# Larger slices hold more in memory (a change takes 1 kB until it is told), smaller ones are slower:
# customers with many purchases cost a round for each of them in every slice. 50,000 took as long.
SLICE_RECORDS_MAX = 12_000


class MarksOf:
    """The journal of one partition as a replay honours it: the whole chain lies ahead."""

    def __init__(self, marks: list[Mark]) -> None:
        self._marks = marks

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> tuple[list[Mark], int]:
        """All of them."""
        return list(self._marks), 0

    async def scorecards(self) -> dict[str, bytes]:
        """None: the replay brings them."""
        return {}

    async def end(self, topic: str, partition: int) -> int:
        """A replay decides nothing anew, and need not be kept from it."""
        return 0


def turns(marks: Sequence[Mark]) -> list[Mark]:
    """The marks that do more than raise the clock: from them on another topic or scorecard is used."""
    return [
        mark
        for previous, mark in pairwise([None, *marks])
        if mark is not None
        and (
            previous is None
            or (previous.reading, previous.scorecard) != (mark.reading, mark.scorecard)
        )
    ]


@dataclass(frozen=True, slots=True)
class Counted:
    """One slice as counted again.

    Attributes
    ----------
    messages : list of Message
        Dead letters and records sent to their home partition.
    advanced : Advanced
    rows : intp, shape (customers of the slice,)
        Where each of them stands among everyone.
    """

    messages: list[Message]
    advanced: Advanced
    rows: NDArray[np.intp]


class ReplayEngine(SliceEngine):
    """Counts one partition again.

    Parameters
    ----------
    settings : Settings
    partitions : int
        Of each input topic.
    marks : list of Mark
        The journal's, in order.
    listener : callable
        Hears each slice.

    Attributes
    ----------
    gone : dict of str to Gone
        Customers erased, by the names of their tombstones.
    """

    def __init__(
        self,
        settings: Settings,
        partitions: int,
        marks: list[Mark],
        listener: Callable[[Counted], None],
    ) -> None:
        quiet = settings.model_copy(
            update={"clock": Clock.EVENT, "sweep_customers_max": SLICE_RECORDS_MAX}
        )
        self._columns = ColumnStore()
        super().__init__(self._columns, quiet, partitions, MarksOf(marks))
        self._listener = listener
        self._turns = deque(turns(marks))
        clocks = [mark.clock_us for mark in marks]
        self._clocks = np.maximum.accumulate(np.array([UNKNOWN_US, *clocks], dtype=np.int64))
        self._raised_at = {
            topic: np.array([mark.offsets[topic] for mark in marks], dtype=np.int64)
            for topic in settings.input_topics
        }
        self.gone: dict[str, Gone] = {}

    @property
    def everyone(self) -> Everyone:
        """The customers, as far as they were counted."""
        return self._columns.everyone

    async def _open(self, partition: int, checkpoint: Checkpoint) -> Owned:
        owned = await super()._open(partition, checkpoint)
        owned.cache = self.everyone
        return owned

    def _held_back_from(self, owned: Owned, topic: str) -> float:
        return self._turns[0].offsets[topic] if self._turns else math.inf

    async def _come_to(self, owned: Owned, mark: Mark) -> None:
        if self._turns and mark is self._turns[0]:
            await super()._come_to(owned, mark)
            self._turns.popleft()
            return
        clock_us = max(owned.checkpoint.clock_us, mark.clock_us)
        owned.checkpoint = replace(owned.checkpoint, clock_us=clock_us, mark=mark)

    def _events(self, topic: str, *args: Any) -> Events:
        events = super()._events(topic, *args)
        raised = np.searchsorted(self._raised_at[topic], events.offsets, side="right")
        return replace(events, not_before_us=self._clocks[raised])

    async def _load(self, owned: Owned, ids: list[str], *, used: bool = True) -> tuple[States, int]:
        known, found = self.everyone.get(ids)
        gone = self.everyone.gone_of(ids)
        if len(found) == len(ids) and not len(gone):
            return known, 0
        states = States.blank(ids, card=owned.timeline.current)
        states.numbers[found] = known.numbers
        states.days[found] = known.days
        states.ids_previous[found] = known.ids_previous
        states.ids_current[found] = known.ids_current
        states.numbers["card"][gone] = owned.timeline.current
        return states, len(ids) - len(found) + len(gone)

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
        after = replace(after, commits=owned.checkpoint.commits + 1)
        owned.checkpoint = after if mark is None else replace(after, mark=mark)
        states = advanced.states
        self.everyone.put(states)
        if len(states):
            soonest = int(np.min(states.numbers["next_review_us"]))
            owned.next_due_us = min(owned.next_due_us, soonest)
        self._listener(Counted(messages, advanced, self.everyone.slots(states.customer_ids)))
        if gone is not None:
            self.everyone.erase(gone.customer_id, gone.tombstone.sequence)
            owned.tombstones[gone.name] = gone.tombstone
            self.gone[gone.name] = gone
        return Committed(owned.partition, "", messages, len(states), 0)
