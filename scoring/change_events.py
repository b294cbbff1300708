"""Renders changes as change events: body, id and headers.

Owns the numbers an event adds to a state: expected purchases, RFM scores, margin, next review.
The body's contract is `schemas.change.ChangeEvent`; here it is written column by column, at a
twentieth of the cost of building the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import msgspec
import numpy as np

from schemas.change import ChangeType, change_ids, cloud_event_headers
from scoring.alive import expected_purchases
from scoring.business_calendar import BusinessCalendar
from scoring.changes import ChangeBlock, ChangeLog
from scoring.moments import rfc3339
from scoring.review import LIFECYCLES, age_days, monetary_value, silence_days, t_x_days
from scoring.rfm import rfm_scores
from scoring.segments import FloatArray
from scoring.states import Numbers
from scoring.timeline import Card

EXPECTED_PURCHASES_DAYS = 30.0

_encode = msgspec.json.Encoder().encode


class _Margin(msgspec.Struct, gc=False):
    segment: str
    distance: float


class _Review(msgspec.Struct, gc=False):
    at: str
    segment: str | None
    lifecycle: str | None


class _Source(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: int


class _Body(msgspec.Struct, gc=False):
    """As `schemas.change.ChangeEvent`, in the same order; a struct is written in half a dict's time."""

    customer_id: str
    sequence: int
    previous: str | None
    current: str | None
    cause: str
    occurred_at: str | None
    prob_alive: float
    expected_purchases_30d: float
    frequency: int
    silence_days: float
    monetary_value: float
    rfm: msgspec.Raw
    margin: _Margin | None
    next_review: _Review | None
    scorecard: str
    source: _Source


_QUINTILES = range(6)
_RFM = [
    msgspec.Raw(_encode({"recency": r, "frequency": f, "monetary": m}))
    for r in _QUINTILES
    for f in _QUINTILES
    for m in _QUINTILES
]
_RFM_STEPS = np.array([36, 6, 1])  # of a score in the index into `_RFM`
_LIFECYCLE_TEXTS = [*(name.value for name in LIFECYCLES), None]
_text = str.__str__  # of a StrEnum, without its detour through Python


@dataclass(frozen=True, slots=True)
class RenderedChanges:
    """n changes as they are told, in order; a column each.

    Attributes
    ----------
    bodies : list of bytes
        JSON.
    times : list of str or None
        Event time, as in the body.
    """

    customer_ids: list[str]
    sequences: list[int]
    types: list[ChangeType]
    ids: list[bytes]
    times: list[str | None]
    bodies: list[bytes]

    def __len__(self) -> int:
        return len(self.ids)

    def headers(self, rows: Sequence[int], source: str) -> Iterator[list[tuple[str, bytes]]]:
        """CloudEvents headers of some of them; `source` names this installation."""
        for row in rows:
            yield cloud_event_headers(
                self.types[row],
                change_id=self.ids[row],
                source=source,
                subject=self.customer_ids[row],
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
    rendered = RenderedChanges([], [], [], [], [], [])
    # Blocks are many and small; numpy's price is by the call.
    for card, blocks in groupby(log.blocks, key=attrgetter("card")):
        _render_into(rendered, list(blocks), card, customer_ids, topics, partition, calendar)
    return rendered


def _render_into(
    rendered: RenderedChanges,
    blocks: Sequence[ChangeBlock],
    card: Card,
    customer_ids: Sequence[str],
    topics: Sequence[str],
    partition: int,
    calendar: BusinessCalendar,
) -> None:
    numbers = np.concatenate([block.numbers for block in blocks])
    count = len(numbers)
    customers = [customer_ids[row] for block in blocks for row in block.rows.tolist()]
    kinds = [block.kind for block in blocks for _ in range(len(block.rows))]
    sequences = numbers["sequence"].tolist()
    previous = np.concatenate([block.previous for block in blocks]).tolist()
    current = np.concatenate([block.current for block in blocks]).tolist()
    causes = list(map(_text, np.concatenate([block.causes for block in blocks]).tolist()))
    occurred_at = rfc3339(numbers["as_of_us"])
    source_topics = [topics[topic] for topic in numbers["source_topic"].tolist()]
    offsets = numbers["source_offset"].tolist()
    bodies = map(
        _Body,
        customers,
        sequences,
        previous,
        current,
        causes,
        occurred_at,
        np.nan_to_num(numbers["prob_alive"]).tolist(),
        expected_purchases_30d(numbers, card, calendar).tolist(),
        np.maximum(numbers["frequency"], 0).tolist(),
        _silence(numbers, calendar),
        monetary_value(numbers).tolist(),
        [_RFM[index] for index in (rfm_of(numbers, card, calendar) @ _RFM_STEPS).tolist()],
        _margins(numbers, card),
        _reviews(numbers, card),
        [card.version] * count,
        map(_Source, source_topics, [partition] * count, offsets),
    )
    identities = [
        f"{kind}\n{customer}\n{sequence}\n{before}\n{after}\n{cause}\n{at}\n{card.version}"
        for kind, customer, sequence, before, after, cause, at in zip(
            map(_text, kinds),
            customers,
            sequences,
            previous,
            current,
            causes,
            occurred_at,
            strict=True,
        )
    ]
    rendered.customer_ids.extend(customers)
    rendered.sequences.extend(sequences)
    rendered.types.extend(kinds)
    rendered.ids.extend(change_ids(identities))
    rendered.times.extend(occurred_at)
    rendered.bodies.extend(map(_encode, bodies))


def _silence(numbers: Numbers, calendar: BusinessCalendar) -> list[float]:
    silence = np.where(numbers["frequency"] >= 0, silence_days(numbers, calendar), 0.0)
    values: list[float] = np.maximum(silence, 0.0).tolist()
    return values


def _margins(numbers: Numbers, card: Card) -> list[_Margin | None]:
    scored = numbers["frequency"] >= 0
    z = card.segmenter.features(
        np.nan_to_num(numbers["prob_alive"]), numbers["frequency"], monetary_value(numbers)
    )
    distance, target = card.segmenter.margin(z, np.maximum(numbers["segment"], 0))
    margins: list[_Margin | None] = list(
        map(_Margin, card.segment_names[target].tolist(), distance.tolist())
    )
    if scored.all():
        return margins
    return [margin if ok else None for margin, ok in zip(margins, scored.tolist(), strict=True)]


def _reviews(numbers: Numbers, card: Card) -> list[_Review | None]:
    """What silence does next and when; None where it changes nothing any more."""
    return [
        None if at is None else _Review(at, segment, lifecycle)
        for at, segment, lifecycle in zip(
            rfc3339(numbers["next_review_us"]),
            card.segment_names[numbers["next_segment"]].tolist(),
            [_LIFECYCLE_TEXTS[index] for index in numbers["next_lifecycle"].tolist()],
            strict=True,
        )
    ]
