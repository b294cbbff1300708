"""Renders changes as change events: body, id and headers.

Owns the numbers an event adds to a state: expected purchases, RFM scores, margin, next review.
The body's contract is `schemas.change.ChangeEvent`; here it is written column by column, at a
tenth of the cost of building the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from schemas.change import cloud_event_headers
from scoring.alive import expected_purchases
from scoring.business_calendar import BusinessCalendar
from scoring.changes import ChangeBlock, ChangeLog
from scoring.review import LIFECYCLES, age_days, monetary_value, silence_days, t_x_days
from scoring.rfm import rfm_scores
from scoring.segments import FloatArray
from scoring.states import Numbers
from scoring.timeline import Card

EXPECTED_PURCHASES_DAYS = 30.0
_MICROSECONDS_MAX = 253_402_300_799_999_999  # 9999-12-31: RFC 3339 has no later year

_encode = msgspec.json.Encoder().encode


def rfc3339(instants_us: np.ndarray) -> list[str | None]:
    """RFC 3339 in UTC with microseconds; None where there is no such moment.

    >>> rfc3339(np.array([852076800000000, 2**63 - 1]))
    ['1997-01-01T00:00:00.000000Z', None]
    """
    known = (instants_us <= _MICROSECONDS_MAX) & (instants_us >= -_MICROSECONDS_MAX)
    moments = np.where(known, instants_us, 0).astype("datetime64[us]")
    texts = np.datetime_as_string(moments, unit="us").tolist()
    if known.all():
        return [text + "Z" for text in texts]
    return [text + "Z" if ok else None for text, ok in zip(texts, known.tolist(), strict=True)]


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
    source: str,
) -> Iterator[tuple[str, list[tuple[str, bytes]], bytes]]:
    """Key, headers and body of each change, in order.

    Parameters
    ----------
    log : of one call of `advance`
    customer_ids : of the states handed to it
    topics : the input topics, as the states index them
    partition : of the input topics
    calendar : the business time zone
    source : CloudEvents source, a URI reference that names this installation
    """
    for block in log.blocks:
        yield from _render_block(block, customer_ids, topics, partition, calendar, source)


def _render_block(
    block: ChangeBlock,
    customer_ids: Sequence[str],
    topics: Sequence[str],
    partition: int,
    calendar: BusinessCalendar,
    source: str,
) -> Iterator[tuple[str, list[tuple[str, bytes]], bytes]]:
    numbers, card = block.numbers, block.card
    occurred_at = rfc3339(numbers["as_of_us"])
    columns: dict[str, list[Any]] = {
        "customer_id": [customer_ids[row] for row in block.rows.tolist()],
        "sequence": numbers["sequence"].tolist(),
        "previous": block.previous.tolist(),
        "current": block.current.tolist(),
        "cause": block.causes.tolist(),
        "occurred_at": occurred_at,
        "prob_alive": np.nan_to_num(numbers["prob_alive"]).tolist(),
        "expected_purchases_30d": expected_purchases_30d(numbers, card, calendar).tolist(),
        "frequency": np.maximum(numbers["frequency"], 0).tolist(),
        "silence_days": _silence(numbers, calendar),
        "monetary_value": monetary_value(numbers).tolist(),
        "rfm": [
            {"recency": r, "frequency": f, "monetary": m}
            for r, f, m in rfm_of(numbers, card, calendar).tolist()
        ],
        "margin": _margins(numbers, card),
        "next_review": next_reviews(numbers, card),
        "scorecard": [card.version] * len(numbers),
        "source": [
            {"topic": topics[topic], "partition": partition, "offset": offset}
            for topic, offset in zip(
                numbers["source_topic"].tolist(), numbers["source_offset"].tolist(), strict=True
            )
        ],
    }
    names = tuple(columns)
    for values in zip(*columns.values(), strict=True):
        body = dict(zip(names, values, strict=True))
        yield (
            body["customer_id"],
            cloud_event_headers(
                block.kind,
                source=source,
                subject=body["customer_id"],
                time=body["occurred_at"],
                identity=(
                    f"{body['customer_id']}\n{body['sequence']}\n{body['previous']}\n"
                    f"{body['current']}\n{body['cause']}\n{body['occurred_at']}\n{card.version}"
                ),
            ),
            _encode(body),
        )


def _silence(numbers: Numbers, calendar: BusinessCalendar) -> list[float]:
    silence = np.where(numbers["frequency"] >= 0, silence_days(numbers, calendar), 0.0)
    values: list[float] = np.maximum(silence, 0.0).tolist()
    return values


def _margins(numbers: Numbers, card: Card) -> list[dict[str, Any] | None]:
    scored = numbers["frequency"] >= 0
    z = card.segmenter.features(
        np.nan_to_num(numbers["prob_alive"]), numbers["frequency"], monetary_value(numbers)
    )
    distance, target = card.segmenter.margin(z, np.maximum(numbers["segment"], 0))
    return [
        {"segment": name, "distance": d} if ok else None
        for name, d, ok in zip(
            card.segment_names[target].tolist(), distance.tolist(), scored.tolist(), strict=True
        )
    ]


def next_reviews(numbers: Numbers, card: Card) -> list[dict[str, Any] | None]:
    """What silence does next and when; None where it changes nothing any more."""
    segments = card.segment_names[numbers["next_segment"]].tolist()
    lifecycles = [*LIFECYCLES, None]
    return [
        None if at is None else {"at": at, "segment": segment, "lifecycle": lifecycles[lifecycle]}
        for at, segment, lifecycle in zip(
            rfc3339(numbers["next_review_us"]),
            segments,
            numbers["next_lifecycle"].tolist(),
            strict=True,
        )
    ]
