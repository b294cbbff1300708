"""Records met on a foreign partition: sent home, and counted there once however often they are sent.

A worker that counts its log again after a flush or rollback sends them again, perhaps weeks later, when no
customer remembers their ids any more. So each bears where it came from, and its home remembers how far
it has heard of every partition: workers send in the order of the log, so what comes from before that has
been here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from schemas.decoding import DecodedBatch
from state.outbox import Message
from streams.homes import home_partition
from streams.messages import Record
from streams.settings import Settings

ORIGIN_HEADER = "__everscore.origin"  # partition and offset of the transactions topic


def detours(
    records: Sequence[Record],
    batch: DecodedBatch,
    home: np.ndarray[Any, Any],
    topic: str,
    partition: int,
    partitions: int,
    settings: Settings,
) -> list[Message]:
    """The good records that were met on a foreign partition, keyed rightly, to their home.

    Parameters
    ----------
    home : bool, shape (good records,)
        Which of them are at home.
    topic, partition
        Where they were met: sent once more, they keep their first origin.
    partitions : int
        Of each input topic.
    """
    messages = []
    for row in np.flatnonzero(~home).tolist():
        record, customer_id = records[batch.positions[row]], batch.customer_ids[row]
        origin = [(ORIGIN_HEADER, f"{partition}:{record.offset}".encode())]
        messages.append(
            Message(
                topic=settings.rekeyed_topic,
                key=customer_id.encode(),
                value=record.value,
                headers=[*record.headers, *(origin if topic != settings.rekeyed_topic else [])],
                partition=home_partition(customer_id, partitions),
                timestamp_ms=record.timestamp,
            )
        )
    return messages


def never_heard_of(
    records: Sequence[Record], heard: Mapping[int, int]
) -> tuple[Sequence[Record], dict[int, int]]:
    """Of records that were sent home those that come for the first time.

    Parameters
    ----------
    heard : mapping of partition to offset
        Of each partition the first record that was not yet heard of.

    Returns
    -------
    those records, and `heard` with them
    """
    new, now = [], dict(heard)
    for record in records:
        origin = _origin(record)
        if origin is not None:
            partition, offset = origin
            if offset < now.get(partition, 0):
                continue
            now[partition] = offset + 1
        new.append(record)
    return new, now


def _origin(record: Record) -> tuple[int, int] | None:
    """Where a record was met first; None for those who do not say."""
    said = None
    for name, value in record.headers:
        if name == ORIGIN_HEADER and value is not None:
            said = value  # the last word is ours
    if said is None:
        return None
    partition, _, offset = said.decode().partition(":")
    return int(partition), int(offset)
