"""Renders changes as change events: body, id and headers.

Owns the numbers an event adds to a state: expected purchases, RFM scores, margin, next review.
How they are written down is `scoring.change_bodies`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.change import ChangeType, cloud_event_headers
from scoring.alive import expected_purchases
from scoring.business_calendar import BusinessCalendar
from scoring.change_bodies import ChangeColumns, Vocabulary, Written, write
from scoring.changes import CAUSES, ChangeBlock, ChangeLog
from scoring.review import LIFECYCLES, age_days, monetary_value, silence_days, t_x_days
from scoring.rfm import rfm_scores
from scoring.segments import FloatArray
from scoring.states import NUMBERS, Numbers
from scoring.texts import Texts
from scoring.timeline import Card

EXPECTED_PURCHASES_DAYS = 30.0

KINDS = tuple(ChangeType)
_KINDS = [kind.encode() for kind in KINDS]
_CAUSES = [cause.encode() for cause in CAUSES]
_QUINTILES = range(6)
_RFM = [
    b'{"recency":%d,"frequency":%d,"monetary":%d}' % (r, f, m)
    for r in _QUINTILES
    for f in _QUINTILES
    for m in _QUINTILES
]
_RFM_STEPS = np.array([36, 6, 1])  # of a score in the index into `_RFM`
_LIFECYCLES = [name.value for name in LIFECYCLES]
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


def expected_purchases_30d(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> FloatArray:
    """Purchases expected in the 30 days after `as_of_us`; 0 where nothing is left to score."""
    scored = numbers["frequency"] >= 0
    expected = np.zeros(len(numbers))
    rows = numbers[scored]
    expected[scored] = expected_purchases(
        EXPECTED_PURCHASES_DAYS,
        rows["frequency"],
        t_x_days(rows),
        age_days(rows, calendar),
        card.alive,
        alive=rows["prob_alive"],
    )
    return expected


def rfm_of(numbers: Numbers, card: Card, calendar: BusinessCalendar) -> np.ndarray:
    """Quintile scores as of `as_of_us`, int8, shape (n, 3)."""
    return rfm_scores(
        silence_days(numbers, calendar),
        numbers["frequency"],
        monetary_value(numbers),
        card.scorecard.rfm,
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
            scores=_RFM,
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
    blocks: Sequence[ChangeBlock], card: Card, calendar: BusinessCalendar, labels: list[bytes]
) -> ChangeColumns:
    """What is told of the changes that one scorecard led to; fills in the labels used."""
    numbers = _rows_of(blocks)
    previous = [name for block in blocks for name in block.previous.tolist()]
    current = [name for block in blocks for name in block.current.tolist()]
    # Someone may come from a segment that only an older scorecard has.
    segments = card.segment_names[:-1].tolist()
    names = list(dict.fromkeys([*segments, *_LIFECYCLES, *previous, *current]))
    known = [name for name in names if name is not None]
    label_of: dict[str | None, int] = {name: index for index, name in enumerate(known)}
    labels.extend(name.encode() for name in known)
    nothing = label_of[None] = len(labels)
    # Index NONE is the last element.
    segment_labels = np.array([*range(len(segments)), nothing], dtype=np.int16)
    stage_labels = np.array([*map(label_of.__getitem__, _LIFECYCLES), nothing], dtype=np.int16)
    scored = numbers["frequency"] >= 0
    alive, money = np.nan_to_num(numbers["prob_alive"]), monetary_value(numbers)
    z = card.segmenter.features(alive, numbers["frequency"], money)
    distance, beyond = card.segmenter.margin(z, np.maximum(numbers["segment"], 0))
    silence = np.where(scored, silence_days(numbers, calendar), 0.0)
    return ChangeColumns(
        numbers=numbers,
        customers=_column([block.rows for block in blocks], np.int64),
        kinds=np.repeat(
            np.array([KINDS.index(block.kind) for block in blocks], dtype=np.uint8),
            [len(block.rows) for block in blocks],
        ),
        causes=_column([block.causes for block in blocks], np.uint8),
        previous=np.array(list(map(label_of.__getitem__, previous)), dtype=np.int16),
        current=np.array(list(map(label_of.__getitem__, current)), dtype=np.int16),
        beyond=beyond.astype(np.int16),
        next_segments=segment_labels[numbers["next_segment"]],
        next_lifecycles=stage_labels[numbers["next_lifecycle"]],
        rfm=(rfm_of(numbers, card, calendar) @ _RFM_STEPS).astype(np.int16),
        prob_alive=alive,
        expected=expected_purchases_30d(numbers, card, calendar),
        silence=np.maximum(silence, 0.0),
        monetary=money,
        distance=distance,
    )


def _rows_of(blocks: Sequence[ChangeBlock]) -> Numbers:
    """The customers of all blocks; numpy joins structured rows by promoting each of their fields."""
    raw = b"".join([block.numbers.tobytes() for block in blocks])
    return np.frombuffer(raw, dtype=NUMBERS)


def _column(parts: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=dtype), *parts], dtype=dtype)
