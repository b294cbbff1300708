"""A partition as Redis holds it at one moment. Owns reading it whole; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.errors import PipelineError
from state.memory_store import MemoryStore
from state.outbox import Message, unpack_messages
from state.store import Checkpoint, Fields, Store, Tombstone
from streams.engine import SliceEngine
from streams.settings import Clock, Settings
from streams.tails import spelled_out

_PAGE = 2_000
_TRIES = 5  # a partition that is being counted is read again until it stood still meanwhile
_OUTBOX_PAGE = 1_000


class MovingPartitionError(PipelineError):
    """A partition is being counted so fast that it cannot be read as of one moment."""

    retriable = True


@dataclass(slots=True)
class PartitionImage:
    """A partition in Redis as of one moment."""

    checkpoint: Checkpoint
    hashes: dict[str, Fields | None] = field(default_factory=dict)
    due_at: dict[str, float] = field(default_factory=dict)
    outbox: list[Message] = field(default_factory=list)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)


async def image_of(store: Store, partition: int) -> PartitionImage:
    """Read a partition as of one moment.

    Raises
    ------
    MovingPartitionError
        It never stood still.
    """
    for _ in range(_TRIES):
        image = PartitionImage(await store.checkpoint(partition))
        cursor = 0
        while True:
            cursor, page = await store.reviews(partition, cursor, _PAGE)
            image.due_at.update(page)
            if cursor == 0:
                break
        ids = list(image.due_at)
        for start in range(0, len(ids), _PAGE):
            some = ids[start : start + _PAGE]
            image.hashes.update(zip(some, await store.load_many(partition, some), strict=True))
        image.outbox = await outbox_of(store, partition)
        image.tombstones = await store.tombstones(partition)
        if await store.checkpoint(partition) == image.checkpoint:
            return image
    raise MovingPartitionError(
        f"partition {partition} did not stand still while it was read, {_TRIES} times.",
        hint="Stop the workers, or try again when less is going on.",
    )


async def outbox_of(store: Store, partition: int) -> list[Message]:
    """What is committed and not known to be published."""
    messages: list[Message] = []
    after = ""
    while entries := await store.outbox(partition, after, _OUTBOX_PAGE):
        for _, packed in entries:
            messages += spelled_out(unpack_messages(packed))
        after = entries[-1][0]
    return messages


async def settle(
    image: PartitionImage,
    settings: Settings,
    partitions: int,
    partition: int,
    cards: Mapping[str, bytes],
) -> None:
    """Let silence and scorecards do to the image what no sweep has committed yet."""
    clock = image.checkpoint.clock_us / 1e6 - settings.lateness_seconds
    card = image.checkpoint.adoptions[-1][1] if image.checkpoint.adoptions else ""
    waiting = [
        customer
        for customer, fields in image.hashes.items()
        if fields is not None
        and (image.due_at.get(customer, clock + 1) <= clock or fields["scorecard"] != card.encode())
    ]
    if not waiting:
        return
    scratch = MemoryStore()
    for version, body in cards.items():
        await scratch.save_scorecard(version, body, current=False)
    scratch.checkpoints[partition] = image.checkpoint
    for customer in waiting:
        scratch.hashes[partition, customer] = dict(image.hashes[customer] or {})
    scratch.due_at[partition] = {
        customer: image.due_at[customer] for customer in waiting if customer in image.due_at
    }
    quiet = settings.model_copy(update={"clock": Clock.EVENT})
    engine = SliceEngine(scratch, quiet, partitions)
    await engine.acquire(partition)
    while await engine.sweep(partition, image.checkpoint.clock_us):
        pass
    while engine.owned[partition].rescore_cursor is not None:
        await engine.rescore(partition)
    for customer in waiting:
        image.hashes[customer] = scratch.hashes[partition, customer]
    image.due_at.update(scratch.due_at[partition])
