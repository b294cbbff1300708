"""Record batches: what the batch transport delivers, and the account kept of those delivered.

Owns which batches of a partition are unacknowledged and how far its acknowledged prefix reaches.
Knows no consumer, no broker and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import faust
from faust.types import AppT, ConsumerMessage, EventT, Message

from schemas.errors import PipelineError


class OffsetsLostError(PipelineError):
    """The log does not hold the offset at which a partition must be read next."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch:
    """Consecutive records of one partition, as fetched: bytes in, nothing decoded.

    Attributes
    ----------
    topic, partition : str, int
        Where the records come from.
    records : list of aiokafka ConsumerRecord
        At least one; `.offset .timestamp .key .value .headers`, offsets ascending.
    read_from : int
        Where reading went on: from there to the first record the log holds nothing.
    """

    topic: str
    partition: int
    records: list[Any]
    read_from: int

    @property
    def first_offset(self) -> int:
        """Offset of the first record."""
        return cast(int, self.records[0].offset)

    @property
    def next_offset(self) -> int:
        """Offset to read next once this batch is done with."""
        return cast(int, self.records[-1].offset) + 1

    def slices(self, records_max: int, bytes_max: int) -> Iterator[list[Any]]:
        """The records in runs of at most so many and of at most so many bytes, one at least."""
        start = size = 0
        for end, record in enumerate(self.records):
            more = len(record.value or b"") + len(record.key or b"")
            if end > start and (end - start == records_max or size + more > bytes_max):
                yield self.records[start:end]
                start, size = end, 0
            size += more
        yield self.records[start:]


def message_of(batch: RecordBatch, generation_id: int) -> ConsumerMessage:
    """The message that carries a batch through Faust; it stands for the batch's last record."""
    last = batch.records[-1]
    return ConsumerMessage(
        topic=batch.topic,
        partition=batch.partition,
        offset=last.offset,
        timestamp=last.timestamp / 1000,
        timestamp_type=last.timestamp_type,
        headers=None,
        key=None,
        value=cast(bytes, batch),  # passed on untouched by RecordBatchSchema
        checksum=None,
        generation_id=generation_id,
    )


def batch_of(message: Message) -> RecordBatch:
    """The batch that a message of this transport carries."""
    return cast(RecordBatch, message.value)


@dataclass(slots=True)
class Partition:
    """What is known of an assigned partition since its last seek."""

    epoch: int
    expected: int  # the next batch starts here or later
    position: int
    end: int  # of the log, as last seen
    pending: deque[ConsumerMessage] = field(default_factory=deque)  # delivered, oldest first
    acked_to: int | None = None

    def settle(self) -> int | None:
        """End of the acknowledged prefix: a failed batch holds back all later ones."""
        while self.pending and self.pending[0].acked:
            self.acked_to = batch_of(self.pending.popleft()).next_offset
        return self.acked_to

    def waiting(self) -> list[int]:
        """Sizes of the batches delivered and not acknowledged."""
        return [len(batch_of(message).records) for message in self.pending if not message.acked]

    def lag(self) -> int:
        """Offsets from the first unacknowledged one to the end of the log."""
        self.settle()
        done = batch_of(self.pending[0]).first_offset if self.pending else self.position
        return max(0, self.end - done)


class RecordBatchSchema(faust.Schema[Any, Any]):
    """Passes record batches on as they are."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """Build the function that makes an event of a message."""

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return app.create_event(None, message.value, {}, message)

        return decode
