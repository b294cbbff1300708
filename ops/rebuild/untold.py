"""What a partition owes to Kafka and Kafka does not have: committed, and lost before it was published.

Owns finding it, and putting it into the outbox, from where workers publish it. What was told is not told
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ops.verify.log import LogReader
from ops.verify.prints import Expected, lacking, print_of, read_prints
from ops.verify.published import change_partitions, read_letters
from ops.verify.replay import Replay, journal_of
from ops.verify.replay_engine import Counted
from ops.verify.told import Place, letters_in
from schemas.mark import decode_mark
from scoring.change_events import render
from state.outbox import Message, pack_messages
from state.store import Checkpoint, SliceCommit, Store
from streams.messages import mark_message, scorecard_message, told_messages
from streams.settings import Settings
from streams.tails import ChangeTails, PrintArray, fingerprints_of

_ENTRY_MESSAGES_MAX = 2_000  # of one entry of the outbox, as a worker's slice would make it


@dataclass(frozen=True, slots=True)
class Untold:
    """What was never told.

    Attributes
    ----------
    changes, detours : fingerprints
        Change events; records that were to be sent to their home partition.
    letters : set of (index of the input topic, offset)
        Bad records.
    first : list of Message
        A mark, and the scorecard that goes with it, before everything else.
    """

    changes: PrintArray
    detours: PrintArray
    letters: set[Place]
    first: list[Message] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(len(self.changes) or len(self.detours) or self.letters or self.first)


async def find_untold(
    log: LogReader,
    settings: Settings,
    expected: Expected,
    replay: Replay,
    waiting: Sequence[Message],
) -> Untold:
    """Look for everything that the log leads to in the topics and in the outbox.

    Where a topic has let go of records, what was told cannot be known of all: then of each customer only
    those changes count as untold that follow one that is still there.

    Parameters
    ----------
    expected : what the replay must have told
    replay : at its end
    waiting : of what still is in the outbox
    """
    partition, topic = replay.partition, settings.changes_topic
    bounds = await log.bounds(topic, range(await log.partitions(topic)))
    ends = {number: end for number, (_, end) in bounds.items()}
    home = change_partitions(ends, replay.partitions, partition)
    found = await read_prints(log, settings, home, ends)
    changes, rows, sequences = expected.untold(
        found, [message for message in waiting if message.topic == topic]
    )
    if found.gone:
        last = expected.last_told(found, len(replay.engine.everyone))[rows]
        changes = changes[(last > 0) & (sequences > last)]
    letters = await read_letters(log, settings, partition)
    bad = expected.letters - letters.places - letters_in(waiting, settings)
    return Untold(
        changes,
        await _detours(log, settings, expected, waiting),
        set() if letters.gone else bad,
        await _mark(log, settings, replay, waiting),
    )


async def _detours(
    log: LogReader, settings: Settings, expected: Expected, waiting: Sequence[Message]
) -> PrintArray:
    sent = expected.detours
    if not len(sent):
        return sent
    topic = settings.rekeyed_topic
    there = [print_of(message) for message in waiting if message.topic == topic]
    spans = await log.bounds(topic, range(await log.partitions(topic)))
    async for batch in log.read_whole(topic, spans):
        there += batch.fingerprints().tolist()
    return sent[lacking(sent, np.array(there, dtype=np.int64))]


async def _mark(
    log: LogReader, settings: Settings, replay: Replay, waiting: Sequence[Message]
) -> list[Message]:
    mark, partition = replay.reached.mark, replay.partition
    if mark is None:
        return []
    there = await journal_of(log, settings, partition)
    there += [
        decode_mark(message.value or b"")
        for message in waiting
        if message.topic == settings.journal_topic
    ]
    if mark.id in {one.id for one in there}:
        return []
    first = [mark_message(mark, partition=partition, settings=settings)]
    if not mark.previous:
        first.append(scorecard_message(replay.engine.scorecards[mark.scorecard], settings))
    return first


async def tell(
    untold: Untold,
    again: Callable[[Callable[[Counted], None]], Replay],
    log: LogReader,
    target: Checkpoint,
    store: Store,
    held: Checkpoint,
) -> int:
    """Put it into the outbox; returns how many messages. The partition is counted once more for it.

    Parameters
    ----------
    again : callable
        A replay, given its listener.
    target : what to count up to
    held : the partition as it is ours
    """
    if not untold:
        return 0
    messages, told = list(untold.first), 0
    replay = again(lambda counted: messages.extend(_picked(counted, untold, replay)))
    async for _ in replay.steps(log, target):
        while len(messages) >= _ENTRY_MESSAGES_MAX:
            told += await _put(store, held, replay.partition, messages)
    while messages:
        told += await _put(store, held, replay.partition, messages)
    return told


def _picked(counted: Counted, untold: Untold, replay: Replay) -> Iterator[Message]:
    """The messages of a slice that were never told."""
    settings = replay.settings
    for message in counted.messages:
        if message.topic == settings.dead_letter_topic:
            if letters_in([message], settings) & untold.letters:
                yield message
        elif message.topic == settings.rekeyed_topic and print_of(message) in untold.detours:
            yield message
    changes, states = counted.advanced.changes, counted.advanced.states
    if len(untold.changes) and changes.blocks:
        calendar = replay.engine.calendar
        topics, partition = settings.input_topics, replay.partition
        told = render(changes, states.customer_ids, topics, partition, calendar)
        prints = fingerprints_of(ChangeTails(settings.source).of(told))
        rows = np.flatnonzero(~lacking(prints, untold.changes))
        yield from told_messages(told, rows.tolist(), settings)


async def _put(store: Store, held: Checkpoint, partition: int, messages: list[Message]) -> int:
    entry = messages[:_ENTRY_MESSAGES_MAX]
    del messages[:_ENTRY_MESSAGES_MAX]
    await store.commit_slice(SliceCommit(partition, held, held, outbox=pack_messages(entry)))
    return len(entry)
