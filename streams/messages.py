"""What a slice has to say to Kafka: dead letters, records sent home, change events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.dead_letter import DeadLetter, Header
from schemas.decoding import DecodedBatch
from schemas.errors import CustomerTotalError, InvalidTransactionError, PipelineError, shown
from schemas.mark import Mark, encode_mark
from schemas.scorecard import Scorecard
from schemas.transaction import UNITS_PER_MAJOR
from scoring.business_calendar import BusinessCalendar
from scoring.change_events import RenderedChanges, render
from scoring.changes import ChangeLog
from scoring.ledger import TOTAL_UNITS_MAX
from scoring.states import States
from state.outbox import Message
from streams.settings import Settings


class Record(Protocol):
    """What the engine reads of a Kafka record."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]


def dead_letters(
    records: Sequence[Record],
    rejects: Sequence[tuple[int, PipelineError]],
    topic: str,
    partition: int,
    settings: Settings,
) -> list[Message]:
    """The bad ones of some records, by their index, each with its own key, bytes and headers, and the reason.

    Its timestamp a dead letter has from its publication: what a record was stamped with, no broker
    need take, and retention might begin in 1970.
    """
    messages = []
    for index, error in rejects:
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


def too_much_in_all(
    batch: DecodedBatch, refused: NDArray[np.intp]
) -> list[tuple[int, InvalidTransactionError]]:
    """Good records whose customers have too much already, by their index, with the reason."""
    limit = f"{TOTAL_UNITS_MAX // UNITS_PER_MAJOR:,}"
    return [
        (
            int(batch.positions[row]),
            CustomerTotalError(
                f"customer {shown(batch.customer_ids[row])} would have "
                f"{'refunds' if batch.is_refund[row] else 'purchases'} of more than {limit} in all "
                f"with this one of {batch.amount_units[row] / UNITS_PER_MAJOR:,.4f}"
            ),
        )
        for row in refused.tolist()
    ]


def change_messages(
    changes: ChangeLog,
    states: States,
    topics: Sequence[str],
    partition: int,
    calendar: BusinessCalendar,
    settings: Settings,
) -> list[Message]:
    """The change events of one call of `advance`, in order."""
    told = render(changes, states.customer_ids, topics, partition, calendar)
    return told_messages(told, range(len(told)), settings)


def told_messages(told: RenderedChanges, rows: Sequence[int], settings: Settings) -> list[Message]:
    """Some changes as they go out."""
    topic, source = settings.changes_topic, settings.source
    return [
        Message(topic, told.key(row), told.bodies[row], told.headers(row, source))  # type: ignore[arg-type]  # no header of ours is null
        for row in rows
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
