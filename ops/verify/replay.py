"""One partition counted again from its first record, in memory, by the worker's own engine.

Owns the order of things: the journal's marks say which topic was read how far before which decision.
Compares nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any

from ops.verify.log import LogReader
from ops.verify.replay_engine import SLICE_RECORDS_MAX, Counted, ReplayEngine, turns
from schemas.errors import PipelineError
from schemas.mark import Mark, decode_mark
from state.store import Checkpoint
from streams.settings import Settings

_offset = attrgetter("offset")


class UnreplayableError(PipelineError):
    """The log or the journal does not hold what it takes to count a partition again."""


async def journal_of(log: LogReader, settings: Settings, partition: int) -> list[Mark]:
    """All marks of a partition, in the order in which they were told."""
    spans = await log.bounds(settings.journal_topic, [partition])
    return [
        decode_mark(record.value)
        async for records in log.read(settings.journal_topic, spans)
        for record in records
    ]


async def marks_to(
    log: LogReader, settings: Settings, partition: int, held: Checkpoint
) -> list[Mark]:
    """The marks that led to a checkpoint, in order.

    Raises
    ------
    UnreplayableError
        The journal has lost one.
    """
    if held.commits and held.mark is None:
        raise UnreplayableError(f"partition {partition} was counted before there was a journal.")
    found = {mark.id: mark for mark in await journal_of(log, settings, partition)}
    if held.mark is not None:
        found.setdefault(held.mark.id, held.mark)  # it may still be in the outbox
    chain: list[Mark] = []
    at = "" if held.mark is None else held.mark.id
    while at:
        if at not in found:
            raise UnreplayableError(
                f"partition {partition}: mark {at} is not in {settings.journal_topic}.",
                hint="The topic must keep its records for ever.",
            )
        chain.append(found[at])
        at = found[at].previous
    return chain[::-1]


class Replay:
    """A partition counted again up to a checkpoint.

    Parameters
    ----------
    settings : Settings
    partitions : int
        Of each input topic.
    partition : int
    scorecards : mapping of version to body
    listener : callable
        Hears each slice.

    Attributes
    ----------
    engine : ReplayEngine
        From the first step on.
    """

    engine: ReplayEngine

    def __init__(
        self,
        settings: Settings,
        partitions: int,
        partition: int,
        scorecards: Mapping[str, bytes],
        listener: Callable[[Counted], None],
    ) -> None:
        self.settings = settings
        self.partitions = partitions
        self.partition = partition
        self._scorecards = scorecards
        self._listener = listener

    async def steps(self, log: LogReader, held: Checkpoint) -> AsyncIterator[int]:
        """Count everything up to `held`; yields how many records each step took.

        Raises
        ------
        UnreplayableError
            Records or marks are gone.
        """
        partition = self.partition
        marks = await marks_to(log, self.settings, partition, held)
        self.engine = ReplayEngine(self.settings, self.partitions, marks, self._listener)
        for version, body in self._scorecards.items():
            await self.engine.store.save_scorecard(version, body, current=False)
        await self.engine.acquire(partition)
        for topic, cuts in readings(stretches(turns(marks), held)):
            async for records in self._read(log, topic, cuts):
                while self.reached.next_offsets[topic] <= records[-1].offset:
                    await self.engine.process(topic, partition, records)
                yield len(records)
        await self._come_to_rest()
        yield 0

    @property
    def reached(self) -> Checkpoint:
        """Where the replay stands: as it was to, if all is well."""
        return self.engine.owned[self.partition].checkpoint

    async def _read(
        self, log: LogReader, topic: str, cuts: Sequence[int]
    ) -> AsyncIterator[list[Any]]:
        """Records of a topic from the first cut to the last, in slices that reach over none."""
        start, end = cuts[0], cuts[-1]
        first, last = (await log.bounds(topic, [self.partition]))[self.partition]
        if start < first or end > last:
            raise UnreplayableError(
                f"{topic}-{self.partition} holds offsets {first} to {last}; {start} to {end} were "
                "counted.",
                hint="The topic must keep its records for ever.",
            )
        waiting: list[Any] = []
        ends = deque(cuts[1:])
        async for records in log.read(topic, {self.partition: (start, end)}):
            waiting += records
            while waiting:
                size = bisect_left(waiting, ends[0], key=_offset)
                if size == len(waiting) < SLICE_RECORDS_MAX:
                    break  # more may come before the next cut; nothing comes after the last
                if size < len(waiting) and size <= SLICE_RECORDS_MAX:
                    ends.popleft()
                size = min(size, SLICE_RECORDS_MAX)
                if size:
                    yield waiting[:size]
                waiting = waiting[size:]
        if waiting:
            yield waiting

    async def _come_to_rest(self) -> None:
        """Let silence and the scorecard in use do all they have to do by the clock."""
        engine, partition = self.engine, self.partition
        while await engine.sweep(partition, engine.owned[partition].checkpoint.clock_us):
            pass
        while engine.owned[partition].rescore_cursor is not None:
            await engine.rescore(partition)


def stretches(marks: Sequence[Mark], held: Checkpoint) -> list[tuple[str, int, int]]:
    """Which topic was read from where to where, in order: between two marks only one is read."""
    found = []
    for mark, following in pairwise([*marks, None]):
        assert mark is not None  # noqa: S101 - only the last one is, and it is no first
        ends = held.next_offsets if following is None else following.offsets
        start, end = mark.offsets[mark.reading], ends[mark.reading]
        if start < end:
            found.append((mark.reading, start, end))
    return found


def readings(stretches: Sequence[tuple[str, int, int]]) -> list[tuple[str, list[int]]]:
    """What to read in one go: a topic, and the offsets at which its slices must end; the first begins.

    >>> readings([("t", 0, 5), ("t", 5, 9), ("r", 0, 3), ("t", 9, 12)])
    [('t', [0, 5, 9]), ('r', [0, 3]), ('t', [9, 12])]
    """
    found: list[tuple[str, list[int]]] = []
    for topic, start, end in stretches:
        if found and found[-1][0] == topic and found[-1][1][-1] == start:
            found[-1][1].append(end)
        else:
            found.append((topic, [start, end]))
    return found
