"""What Redis and the topics hold of a partition against what a replay says they must.

Owns the comparison, field by field and change by change. Reads only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ops.verify.image import PartitionImage, image_of, settle
from ops.verify.log import LogReader
from ops.verify.published import (
    change_differences,
    letter_differences,
    read_published,
    waiting_in,
)
from ops.verify.replay import Replay
from schemas.errors import shown
from state.fields import FIELDS
from state.memory_store import MemoryStore
from state.store import Store
from streams.settings import Settings

_COUNTERS = (
    "next_offsets",
    "clock_us",
    "live",
    "applied",
    "duplicates",
    "dead",
    "forwarded",
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
    image = await image_of(store, partition)
    cards = await store.scorecards()
    replay = Replay(settings, partitions, partition, cards)
    verdict = Verdict(partition)

    def count(records: int) -> None:
        verdict.records += records
        tick(records)

    reached = await replay.run(log, image.checkpoint, count)
    for name in _COUNTERS:
        found, expected = getattr(image.checkpoint, name), getattr(reached, name)
        if _plain(found) != _plain(expected):
            verdict.differences.append(
                f"partition {partition}: {name} is {shown(found)}, the log says {shown(expected)}"
            )
    missing = [customer for (_, customer) in replay.store.hashes if customer not in image.hashes]
    image.hashes.update(zip(missing, await store.load_many(partition, missing), strict=True))
    sequences = {
        customer: int(fields["sequence"])
        for customer, fields in image.hashes.items()
        if fields is not None
    }
    await settle(image, settings, partitions, partition, cards)
    verdict.customers = len(replay.store.hashes)
    verdict.differences += _customer_differences(image, replay.store, partition)
    published = await read_published(log, settings, partitions, partition)
    verdict.changes, verdict.changes_gone = len(published.changes), published.changes_gone
    waiting = waiting_in(image.outbox, settings)
    verdict.differences += change_differences(published, replay.told, waiting, sequences)
    verdict.differences += letter_differences(
        published, replay.told, waiting, settings.input_topics, partition
    )
    return verdict


def _customer_differences(
    image: PartitionImage, expected: MemoryStore, partition: int
) -> Iterator[str]:
    due_at = expected.due_at.get(partition, {})
    for (_, customer), wanted in expected.hashes.items():
        found = image.hashes.get(customer)
        if found is None:
            yield f"customer {shown(customer)} is missing"
            continue
        for name in FIELDS:
            if found[name] != wanted[name]:
                yield (
                    f"customer {shown(customer)}: {name} is {_text(found[name])}, "
                    f"the log says {_text(wanted[name])}"
                )
        if image.due_at.get(customer) != due_at[customer]:
            yield (
                f"customer {shown(customer)}: due at {image.due_at.get(customer)}, "
                f"the log says {due_at[customer]}"
            )
    for customer in image.hashes.keys() - {customer for _, customer in expected.hashes}:
        yield f"customer {shown(customer)} is not in the log"


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _text(value: bytes) -> str:
    return shown(value.decode("utf-8", "backslashreplace"))
