"""What the topics hold of one partition's changes and dead letters, against what they must hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from ops.verify.log import LogReader
from ops.verify.told import Place, Told, digest
from schemas.dead_letter import DeadLetter
from schemas.errors import shown
from streams.homes import home_partition
from streams.settings import Settings


@dataclass(slots=True)
class Published:
    """What was found in the topics.

    Attributes
    ----------
    changes : dict of ce_id to digest of the body
    early : set of ce_ids
        Of those told before the comparison began.
    two_bodies, customers : customer of each change told with two bodies; of each change
    changes_gone : int
        Records that the topic no longer holds, of the partitions read.
    """

    changes: dict[str, bytes] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    two_bodies: dict[str, str] = field(default_factory=dict)
    early: set[str] = field(default_factory=set)
    changes_gone: int = 0

    def see_change(self, customer: str, change_id: str, value: bytes | None) -> None:
        """Note one record of the changes topic."""
        body = digest(value)
        self.customers[change_id] = customer
        if self.changes.setdefault(change_id, body) != body:
            self.two_bodies[change_id] = customer


@dataclass(slots=True)
class Letters:
    """The dead letters of one partition, by index of the input topic and offset; and how many are gone."""

    places: set[Place] = field(default_factory=set)
    gone: int = 0


async def read_changes(
    log: LogReader,
    settings: Settings,
    partitions: int,
    partition: int,
    early_to: Mapping[int, int],
) -> Published:
    """Read all changes that were told of a partition; before `early_to`, they were told early."""
    published = Published()
    topic = settings.changes_topic
    spans = await log.bounds(topic, change_partitions(early_to, partitions, partition))
    published.changes_gone = sum(first for first, _ in spans.values())
    async for records in log.read(topic, spans):
        for record in records:
            customer = (record.key or b"").decode(errors="replace")
            if home_partition(customer, partitions) == partition:
                change_id = dict(record.headers)["ce_id"].decode()
                published.see_change(customer, change_id, record.value)
                if record.offset < early_to[record.partition]:
                    published.early.add(change_id)
    return published


def change_partitions(
    early_to: Mapping[int, int], partitions: int, partition: int
) -> Sequence[int]:
    """Where the changes of a partition are told, of those that the changes topic has."""
    # The same key lands on the same partition of every topic of the same size.
    return [partition] if len(early_to) == partitions else sorted(early_to)


async def read_letters(log: LogReader, settings: Settings, partition: int) -> Letters:
    """Read all dead letters of a partition."""
    letters = Letters()
    topic = settings.dead_letter_topic
    spans = await log.bounds(topic, range(await log.partitions(topic)))
    letters.gone = sum(first for first, _ in spans.values())
    async for records in log.read(topic, spans):
        for record in records:
            letter = DeadLetter.from_headers(record.headers)
            if letter.partition == partition and letter.topic in settings.input_topics:
                index = settings.input_topics.index(letter.topic)
                letters.places.add((index, letter.offset))
    return letters


def change_differences(
    published: Published, told: Told, waiting: Told, sequences: dict[str, int]
) -> Iterator[str]:
    """Every change once at least, with one body, and none that the log does not lead to.

    Parameters
    ----------
    published : as found in the topics
    told : as the replay tells it
    waiting : of what still is in the outbox
    sequences : how far each customer has come; what comes later no sweep has committed yet
    """
    for change_id, customer in published.two_bodies.items():
        yield f"customer {shown(customer)}: change {change_id} was told with two bodies"
    for change_id in published.early - told.changes.keys():
        yield (
            f"customer {shown(published.customers[change_id])}: change {change_id} was told, and "
            "the log does not lead to it"
        )
    known = waiting.changes | published.changes
    for customer, change_ids in told.sequences.items():
        done = change_ids[: sequences.get(customer, len(change_ids))]
        for sequence, change_id in enumerate(done, start=1):
            what = f"customer {shown(customer)}: change {sequence} ({change_id})"
            if change_id not in known:
                if not published.changes_gone:
                    yield f"{what} was never told"
            elif known[change_id] != told.changes[change_id]:
                yield f"{what} was told with another body"


def letter_differences(
    letters: Letters,
    expected: Set[Place],
    waiting: Set[Place],
    topics: Sequence[str],
    partition: int,
) -> Iterator[str]:
    """Every bad record among the dead letters, and no other."""
    for index, offset in sorted(letters.places - expected):
        yield f"{topics[index]}-{partition} offset {offset} is dead-lettered, and is not bad"
    missing = expected - letters.places - waiting
    for index, offset in sorted(missing) if not letters.gone else ():
        yield f"{topics[index]}-{partition} offset {offset} is bad, and not among the dead letters"
