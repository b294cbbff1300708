"""What the topics hold of one partition's changes and dead letters, against what they must hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ops.verify.log import LogReader
from ops.verify.replay import Place, Told, digest
from schemas.dead_letter import DeadLetter
from schemas.errors import shown
from state.codec import unpack_messages
from streams.homes import home_partition
from streams.settings import Settings


@dataclass(slots=True)
class Published:
    """What was found in the topics.

    Attributes
    ----------
    changes : dict of ce_id to digest of the body
    two_bodies, customers : customer of each change told with two bodies; of each change
    changes_gone, letters_gone : int
        Records that the topics no longer hold, of all partitions.
    letters : set of (index of the input topic, offset)
    """

    changes: dict[str, bytes] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    two_bodies: dict[str, str] = field(default_factory=dict)
    letters: set[Place] = field(default_factory=set)
    changes_gone: int = 0
    letters_gone: int = 0

    def see_change(self, customer: str, change_id: str, value: bytes | None) -> None:
        """Note one record of the changes topic."""
        body = digest(value)
        self.customers[change_id] = customer
        if self.changes.setdefault(change_id, body) != body:
            self.two_bodies[change_id] = customer


async def read_published(
    log: LogReader, settings: Settings, partitions: int, partition: int
) -> Published:
    """Read all that was told of a partition."""
    published = Published()
    topic = settings.changes_topic
    count = await log.partitions(topic)
    # The same key lands on the same partition of every topic of the same size.
    spans = await log.bounds(topic, [partition] if count == partitions else range(count))
    published.changes_gone = sum(first for first, _ in spans.values())
    async for records in log.read(topic, spans):
        for record in records:
            customer = (record.key or b"").decode(errors="replace")
            if home_partition(customer, partitions) == partition:
                published.see_change(customer, dict(record.headers)["ce_id"].decode(), record.value)
    topic = settings.dead_letter_topic
    spans = await log.bounds(topic, range(await log.partitions(topic)))
    published.letters_gone = sum(first for first, _ in spans.values())
    async for records in log.read(topic, spans):
        for record in records:
            letter = DeadLetter.from_headers(record.headers)
            if letter.partition == partition and letter.topic in settings.input_topics:
                index = settings.input_topics.index(letter.topic)
                published.letters.add((index, letter.offset))
    return published


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
    for change_id in published.changes.keys() - told.changes.keys():
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
    published: Published, told: Told, waiting: Told, topics: Sequence[str], partition: int
) -> Iterator[str]:
    """Every bad record among the dead letters, and no other."""
    for index, offset in sorted(published.letters - told.letters):
        yield f"{topics[index]}-{partition} offset {offset} is dead-lettered, and is not bad"
    missing = told.letters - published.letters - waiting.letters
    for index, offset in sorted(missing) if not published.letters_gone else ():
        yield f"{topics[index]}-{partition} offset {offset} is bad, and not among the dead letters"


def waiting_in(outbox: Sequence[bytes], settings: Settings) -> Told:
    """What is committed and not yet published."""
    waiting = Told()
    for packed in outbox:
        waiting.hear(unpack_messages(packed), settings)
    return waiting
