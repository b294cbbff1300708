"""What a slice has to say to Kafka: dead letters, records sent home, change events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from schemas.dead_letter import DeadLetter
from schemas.decoding import DecodedBatch
from schemas.mark import Mark, encode_mark
from schemas.scorecard import Scorecard
from scoring.business_calendar import BusinessCalendar
from scoring.change_events import render
from scoring.changes import ChangeLog
from scoring.states import States
from state.codec import Message
from streams.homes import home_partition
from streams.settings import Settings


class Record(Protocol):
    """What the engine reads of a Kafka record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def dead_letters(
    records: Sequence[Record], batch: DecodedBatch, topic: str, partition: int, settings: Settings
) -> list[Message]:
    """The bad records of a batch, each with its own key, bytes and headers, and the reason.

    Its timestamp a dead letter has from its publication: what a record was stamped with, no broker
    need take, and retention might begin in 1970.
    """
    messages = []
    for index, error in batch.rejects:
        record = records[index]
        letter = DeadLetter.of(error, topic, partition, record.offset)
        messages.append(
            Message(
                topic=settings.dead_letter_topic,
                key=record.key,
                value=record.value,
                headers=[*record.headers, *letter.headers()],
            )
        )
    return messages


def detours(
    records: Sequence[Record],
    batch: DecodedBatch,
    home: np.ndarray[Any, Any],
    partitions: int,
    settings: Settings,
) -> list[Message]:
    """The good records that were met on a foreign partition, keyed rightly, to their home.

    Parameters
    ----------
    home : bool, shape (good records,)
        Which of them are at home.
    partitions : int
        Of each input topic.
    """
    messages = []
    for row in np.flatnonzero(~home).tolist():
        record, customer_id = records[batch.positions[row]], batch.customer_ids[row]
        messages.append(
            Message(
                topic=settings.rekeyed_topic,
                key=customer_id.encode(),
                value=record.value,
                headers=list(record.headers),
                partition=home_partition(customer_id, partitions),
                timestamp_ms=record.timestamp,
            )
        )
    return messages


def change_messages(
    changes: ChangeLog,
    states: States,
    topics: Sequence[str],
    partition: int,
    calendar: BusinessCalendar,
    settings: Settings,
) -> list[Message]:
    """The change events of one call of `advance`, in order."""
    rendered = render(changes, states.customer_ids, topics, partition, calendar, settings.source)
    return [
        Message(topic=settings.changes_topic, key=key.encode(), value=body, headers=headers)
        for key, headers, body in rendered
    ]


def mark_message(mark: Mark, *, partition: int, settings: Settings) -> Message:
    """A mark for the journal."""
    return Message(
        topic=settings.journal_topic,
        key=str(partition).encode(),
        value=encode_mark(mark),
        headers=[],
        partition=partition,
    )


def scorecard_message(card: Scorecard, settings: Settings) -> Message:
    """A scorecard for its topic, which keeps one record of each version."""
    return Message(
        topic=settings.scorecards_topic,
        key=card.version.encode(),
        value=card.model_dump_json().encode(),
        headers=[],
    )
