"""One partition counted again from its first record, in memory, by the worker's own engine.

Owns the order of things: the journal's marks say which topic was read how far before which decision.
Compares nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from ops.verify.log import LogReader
from schemas.dead_letter import DeadLetter
from schemas.errors import PipelineError
from schemas.mark import Mark, decode_mark
from state.codec import Message
from state.memory_store import MemoryStore
from state.store import Checkpoint
from streams.engine import SliceEngine
from streams.settings import Clock, Settings
from streams.slices import Committed

Place = tuple[int, int]


class UnreplayableError(PipelineError):
    """The log or the journal does not hold what it takes to count a partition again."""


@dataclass(slots=True)
class Told:
    """What a partition has to say to the world, as far as a comparison needs it.

    Attributes
    ----------
    changes : dict of ce_id to digest of the body
    sequences : dict of customer to ce_ids of the changes, the first first
    letters : set of (index of the input topic, offset)
    """

    changes: dict[str, bytes] = field(default_factory=dict)
    sequences: dict[str, list[str]] = field(default_factory=dict)
    letters: set[Place] = field(default_factory=set)

    def hear(self, messages: Sequence[Message], settings: Settings) -> None:
        """Note the messages of one slice."""
        for message in messages:
            if message.topic == settings.changes_topic:
                change_id = (dict(message.headers)["ce_id"] or b"").decode()
                self.changes[change_id] = digest(message.value)
                customer_id = (message.key or b"").decode()
                self.sequences.setdefault(customer_id, []).append(change_id)
            elif message.topic == settings.dead_letter_topic:
                letter = DeadLetter.from_headers(message.headers)
                self.letters.add((settings.input_topics.index(letter.topic), letter.offset))


def digest(body: bytes | None) -> bytes:
    """Eight bytes that stand for a body: a partition can have more changes than memory for them."""
    return blake2b(body or b"", digest_size=8).digest()


class MarksOf:
    """The journal of one partition as a replay honours it: the whole chain lies ahead."""

    def __init__(self, marks: list[Mark]) -> None:
        self._marks = marks

    async def ahead_of(self, partition: int, checkpoint: Checkpoint) -> list[Mark]:
        """All of them."""
        return list(self._marks)

    async def scorecards(self) -> dict[str, bytes]:
        """None: the replay brings them."""
        return {}

    async def end(self, topic: str, partition: int) -> int:
        """A replay decides nothing anew, and need not be kept from it."""
        return 0


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
    found: dict[str, Mark] = {}
    if held.mark is not None:
        found[held.mark.id] = held.mark  # it may still be in the outbox
    spans = await log.bounds(settings.journal_topic, [partition])
    async for records in log.read(settings.journal_topic, spans):
        for record in records:
            mark = decode_mark(record.value)
            found[mark.id] = mark
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
    """

    def __init__(
        self,
        settings: Settings,
        partitions: int,
        partition: int,
        scorecards: Mapping[str, bytes],
    ) -> None:
        # Nothing here may happen by the wall clock: marks say when it did.
        self._settings = settings.model_copy(update={"clock": Clock.EVENT})
        self._partitions = partitions
        self._partition = partition
        self._scorecards = scorecards
        self.store = MemoryStore()
        self.told = Told()

    async def run(
        self, log: LogReader, held: Checkpoint, tick: Callable[[int], None]
    ) -> Checkpoint:
        """Count everything up to `held`; `tick` hears how many records each step took.

        Returns
        -------
        Checkpoint
            Where the replay stands: as `held`, if all is well.

        Raises
        ------
        UnreplayableError
            Records or marks are gone.
        """
        partition = self._partition
        for version, body in self._scorecards.items():
            await self.store.save_scorecard(version, body, current=False)
        marks = await marks_to(log, self._settings, partition, held)
        engine = SliceEngine(self.store, self._settings, self._partitions, MarksOf(marks))
        await engine.acquire(partition)
        for topic, start, end in stretches(marks, held):
            async for records in self._stretch(log, topic, start, end):
                self._hear(await engine.process(topic, partition, records))
                tick(len(records))
        await self._come_to_rest(engine)
        return engine.owned[partition].checkpoint

    async def _stretch(
        self, log: LogReader, topic: str, start: int, end: int
    ) -> AsyncIterator[list[Any]]:
        first, last = (await log.bounds(topic, [self._partition]))[self._partition]
        if start < first or end > last:
            raise UnreplayableError(
                f"{topic}-{self._partition} holds offsets {first} to {last}; {start} to {end} were "
                "counted.",
                hint="The topic must keep its records for ever.",
            )
        async for records in log.read(topic, {self._partition: (start, end)}):
            yield records

    async def _come_to_rest(self, engine: SliceEngine) -> None:
        """Let silence and the scorecard in use do all they have to do by the clock."""
        partition = self._partition
        while committed := await engine.sweep(
            partition, engine.owned[partition].checkpoint.clock_us
        ):
            self._hear(committed)
        while engine.owned[partition].rescore_cursor is not None:
            self._hear(await engine.rescore(partition))

    def _hear(self, committed: Committed | None) -> None:
        if committed is not None:
            self.told.hear(committed.messages, self._settings)


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
