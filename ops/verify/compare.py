"""What Redis and the topics hold of a partition against what a replay says they must.

Owns the comparison, field by field and change by change. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ops.verify.image import PartitionImage, image_of, settle
from ops.verify.log import LogReader
from ops.verify.prints import Expected, read_prints
from ops.verify.published import (
    change_differences,
    letter_differences,
    read_changes,
    read_letters,
)
from ops.verify.replay import Replay, UnreplayableError
from ops.verify.replay_engine import Counted, ReplayEngine
from ops.verify.told import Told, letters_in
from schemas.errors import shown
from schemas.scorecard import Origin
from scoring.business_calendar import BusinessCalendar
from state.codec import due_scores, encode_columns
from state.fields import FIELDS
from state.store import Store, Tombstone
from streams.messages import change_messages
from streams.settings import Settings

_PAGE = 5_000  # customers compared at a time

_COUNTERS = (
    "next_offsets",
    "heard",
    "clock_us",
    "live",
    "applied",
    "duplicates",
    "dead",
    "forwarded",
    "erased",
    "customers",
    "adoptions",
)


@dataclass(slots=True)
class Verdict:
    """What was compared in a partition, and what differs.

    Attributes
    ----------
    differences : list of str
        A sentence each, naming customer and field.
    """

    partition: int
    records: int = 0
    customers: int = 0
    changes: int = 0
    changes_gone: int = 0
    differences: list[str] = field(default_factory=list)


async def verify_partition(
    store: Store,
    log: LogReader,
    settings: Settings,
    partitions: int,
    partition: int,
    tick: Callable[[int], None],
) -> Verdict:
    """Replay a partition and compare everything.

    Raises
    ------
    UnreplayableError, MovingPartitionError
    """
    topic = settings.changes_topic
    bounds = await log.bounds(topic, range(await log.partitions(topic)))
    early_to = {number: end for number, (_, end) in bounds.items()}
    image = await image_of(store, partition)
    cards = await store.scorecards()
    lost = {version for _, version in image.checkpoint.adoptions} - cards.keys()
    expected = Expected(settings, partition)
    replay = Replay(settings, partitions, partition, cards, expected.hear)
    verdict = Verdict(partition)
    verdict.differences += [f"scorecard {shown(version)} is missing" for version in sorted(lost)]
    if any(not version.startswith(Origin.BOOTSTRAP) for version in lost):
        raise UnreplayableError(
            f"partition {partition} was scored by {', '.join(sorted(lost))}, which Redis has lost.",
            hint="Bring it back: everscore rebuild.",
        )

    async for records in replay.steps(log, image.checkpoint):
        verdict.records += records
        tick(records)
    reached = replay.reached
    for name in _COUNTERS:
        found, wanted = getattr(image.checkpoint, name), getattr(reached, name)
        if _plain(found) != _plain(wanted):
            verdict.differences.append(
                f"partition {partition}: {name} is {shown(found)}, the log says {shown(wanted)}"
            )
    everyone = replay.engine.everyone
    missing = [customer for customer in everyone.known_ids if customer not in image.hashes]
    image.hashes.update(zip(missing, await store.load_many(partition, missing), strict=True))
    committed = {
        customer: int(fields["sequence"])
        for customer, fields in image.hashes.items()
        if fields is not None
    }
    verdict.differences += _tombstone_differences(image, replay.engine.owned[partition].tombstones)
    for gone in replay.engine.gone.values():
        committed.setdefault(
            gone.customer_id, image.tombstones.get(gone.name, gone.tombstone).sequence
        )
    await settle(image, settings, partitions, partition, cards)
    verdict.customers = len(everyone.known_ids)
    verdict.differences += _customer_differences(image, replay.engine, partition)
    if len(early_to) == partitions:  # else a partition's changes are all over the topic
        told = await read_prints(log, settings, [partition], early_to)
        verdict.changes, verdict.changes_gone = told.count, told.gone
        changes = [message for message in image.outbox if message.topic == topic]
        as_expected = expected.is_told(
            told, changes, lambda: [committed.get(name, 0) for name in everyone.customer_ids]
        )
    if len(early_to) != partitions or not as_expected:
        published = await read_changes(log, settings, partitions, partition, early_to)
        verdict.changes, verdict.changes_gone = len(published.changes), published.changes_gone
        verdict.differences += change_differences(
            published,
            await _told_again(log, settings, partitions, image, verdict, cards),
            Told().hear(image.outbox, settings),
            committed,
        )
    verdict.differences += letter_differences(
        await read_letters(log, settings, partition),
        expected.letters,
        letters_in(image.outbox, settings),
        settings.input_topics,
        partition,
    )
    return verdict


async def _told_again(
    log: LogReader,
    settings: Settings,
    partitions: int,
    image: PartitionImage,
    verdict: Verdict,
    cards: Mapping[str, bytes],
) -> Told:
    """What the log leads to, this time by the id of each change: something is wrong with some of them."""
    told, partition = Told(), verdict.partition
    calendar = BusinessCalendar(settings.timezone)

    def hear(counted: Counted) -> None:
        changes, states = counted.advanced.changes, counted.advanced.states
        topics = settings.input_topics
        told.hear(change_messages(changes, states, topics, partition, calendar, settings), settings)

    replay = Replay(settings, partitions, partition, cards, hear)
    async for _ in replay.steps(log, image.checkpoint):
        pass
    return told


def _customer_differences(
    image: PartitionImage, engine: ReplayEngine, partition: int
) -> Iterator[str]:
    timeline, topics = engine.owned[partition].timeline, engine.settings.input_topics
    for states in engine.everyone.pages(_PAGE):
        wanted = encode_columns(states, timeline, topics, engine.calendar)
        there = [image.hashes.get(customer) for customer in states.customer_ids]
        found = [fields for fields in there if fields is not None]
        for row, fields in enumerate(there):
            if fields is None:
                yield f"customer {shown(states.customer_ids[row])} is missing"
        rows = [row for row, fields in enumerate(there) if fields is not None]
        customers = [states.customer_ids[row] for row in rows]
        for name in FIELDS:
            column = wanted[name]
            if len(rows) < len(there):
                column = [column[row] for row in rows]
            yield from _field_differences(name, customers, [f[name] for f in found], column)
        due = zip(states.customer_ids, due_scores(states.numbers), there, strict=True)
        for customer, due_at, fields in due:
            if fields is not None and image.due_at.get(customer) != due_at:
                yield (
                    f"customer {shown(customer)}: due at {image.due_at.get(customer)}, "
                    f"the log says {due_at}"
                )
    for customer in image.hashes.keys() - set(engine.everyone.known_ids):
        yield f"customer {shown(customer)} is not in the log"


def _tombstone_differences(
    image: PartitionImage, expected: Mapping[str, Tombstone]
) -> Iterator[str]:
    found = image.tombstones
    for name in sorted(expected.keys() - found.keys()):
        yield f"tombstone {shown(name)} is missing"
    for name in sorted(found.keys() - expected.keys()):
        yield f"tombstone {shown(name)} is of nobody whom the log erases"
    for name in sorted(found.keys() & expected.keys()):
        if found[name] != expected[name]:
            yield f"tombstone {shown(name)} is {found[name]}, the log says {expected[name]}"


def _field_differences(
    name: str, customers: Sequence[str], found: Sequence[bytes], wanted: Sequence[str | bytes]
) -> Iterator[str]:
    expected = _encoded(wanted)
    if found == expected:
        return
    for customer, value, right in zip(customers, found, expected, strict=True):
        if value != right:
            yield f"customer {shown(customer)}: {name} is {_text(value)}, the log says {_text(right)}"


def _encoded(column: Sequence[str | bytes]) -> list[bytes]:
    return [value if isinstance(value, bytes) else value.encode() for value in column]


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _text(value: bytes) -> str:
    return shown(value.decode("utf-8", "backslashreplace"))
