"""Renders changes as change events: body, id and headers.

Owns their order and which texts they are made of. The numbers an event adds to a state are those of
`scoring.telling`; how they are written down is `scoring.change_bodies`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.change import cloud_event_headers
from scoring.business_calendar import BusinessCalendar
from scoring.change_bodies import ChangeColumns, Vocabulary, Written, write
from scoring.changes import CAUSES, KINDS, ChangeBlock, ChangeLog, Labels
from scoring.states import NUMBERS, Numbers
from scoring.telling import tell
from scoring.texts import Texts
from scoring.timeline import Card

_KINDS = [kind.encode() for kind in KINDS]
_CAUSES = [cause.encode() for cause in CAUSES]
ID_CHARS = 36


@dataclass(frozen=True, slots=True)
class RenderedChanges:
    """n changes as they are told, in order; a column each.

    Attributes
    ----------
    names : list of bytes
        Customer ids, UTF-8, of all states handed in.
    customers : int64, shape (n,)
        Indices into `names`.
    sequences : int64, shape (n,)
    kinds : uint8, shape (n,)
        Indices into `KINDS`.
    ids : bytes
        36 characters each.
    times : Texts
        Event time, as in the body; empty where there is none.
    bodies : Texts
        JSON.
    """

    names: list[bytes]
    customers: NDArray[np.int64]
    sequences: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    ids: bytes
    times: Texts
    bodies: Texts

    def __len__(self) -> int:
        return len(self.customers)

    def key(self, row: int) -> bytes:
        """Whose change it is."""
        return self.names[int(self.customers[row])]

    def headers(self, row: int, source: str) -> list[tuple[str, bytes]]:
        """CloudEvents headers of one of them; `source` names this installation."""
        return cloud_event_headers(
            KINDS[self.kinds[row]],
            change_id=self.ids[row * ID_CHARS : (row + 1) * ID_CHARS],
            source=source,
            subject=self.key(row),
            time=self.times[row],
        )


def render(
    log: ChangeLog,
    customer_ids: Sequence[str],
    topics: Sequence[str],
    partition: int,
    calendar: BusinessCalendar,
) -> RenderedChanges:
    """What is told of changes.

    Parameters
    ----------
    log : of one call of `advance`
    customer_ids : of the states handed to it
    topics : the input topics, as the states index them
    partition : of the input topics
    calendar : the business time zone
    """
    names = [customer_id.encode() for customer_id in customer_ids] if log.blocks else []
    columns: list[ChangeColumns] = []
    written: list[Written] = []
    # Blocks are many and small; numpy's price is by the call.
    for card, blocks in groupby(log.blocks, key=attrgetter("card")):
        words = Vocabulary(
            customers=names,
            kinds=_KINDS,
            causes=_CAUSES,
            labels=[],
            topics=[topic.encode() for topic in topics],
            version=card.version.encode(),
        )
        columns.append(_columns_of(list(blocks), card, calendar, words.labels))
        written.append(write(columns[-1], words, partition))
    return RenderedChanges(
        names,
        customers=_column([part.customers for part in columns], np.int64),
        sequences=_column([part.numbers["sequence"] for part in columns], np.int64),
        kinds=_column([part.kinds for part in columns], np.uint8),
        ids=b"".join(part.ids for part in written),
        times=Texts.joined([part.times for part in written]),
        bodies=Texts.joined([part.bodies for part in written]),
    )


def _columns_of(
    blocks: Sequence[ChangeBlock], card: Card, calendar: BusinessCalendar, names: list[bytes]
) -> ChangeColumns:
    """What is told of the changes that one scorecard led to; fills in the names used."""
    labels, previous, current = _labelled(blocks, card)
    names.extend(labels.texts)
    numbers = _rows_of(blocks)
    told = tell(numbers, card, calendar)
    return ChangeColumns(
        numbers=numbers,
        customers=_column([block.rows for block in blocks], np.int64),
        kinds=_column([block.kinds for block in blocks], np.uint8),
        causes=_column([block.causes for block in blocks], np.uint8),
        previous=previous,
        current=current,
        beyond=labels.segments[told.beyond],
        next_segments=labels.segments[numbers["next_segment"]],
        next_lifecycles=labels.lifecycles[numbers["next_lifecycle"]],
        told=told,
    )


def _labelled(
    blocks: Sequence[ChangeBlock], card: Card
) -> tuple[Labels, NDArray[np.int16], NDArray[np.int16]]:
    """Labels for all blocks, and where their changes came from and led to."""
    labels = blocks[0].labels
    if any(block.labels is not labels for block in blocks):
        names = dict.fromkeys(name for block in blocks for name in block.labels.names)
        labels = Labels.of(names, card, card)
    places = [
        None if block.labels is labels else labels.indices(block.labels.names) for block in blocks
    ]
    previous, current = (
        _column(
            [
                column if place is None else place[column]
                for place, column in zip(places, columns, strict=True)
            ],
            np.int16,
        )
        for columns in (
            [block.previous for block in blocks],
            [block.current for block in blocks],
        )
    )
    return labels, previous, current


def _rows_of(blocks: Sequence[ChangeBlock]) -> Numbers:
    """The customers of all blocks; numpy joins structured rows by promoting each of their fields."""
    if len(blocks) == 1:
        return blocks[0].numbers
    raw = b"".join([block.numbers.tobytes() for block in blocks])
    return np.frombuffer(raw, dtype=NUMBERS)


def _column(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    if len(parts) == 1 and parts[0].dtype == dtype:
        return parts[0]
    return np.concatenate([np.zeros(0, dtype=dtype), *parts], dtype=dtype)
