"""Change events: what an offer engine consumes.

Owns the body's model, the CloudEvents 1.0 headers (Kafka binding, binary mode) and the id of a change.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha1
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

CHANGES_NAMESPACE = UUID(
    "5e0c1b1e-6f0b-5d0c-9a5e-37a1c3f1d0aa"
)  # our own namespace; any constant would do
_ID_CHARS, _SHA1_BYTES = 36, 20


class ChangeType(StrEnum):
    """What changed."""

    SEGMENT = "everscore.segment.changed.v1"
    LIFECYCLE = "everscore.lifecycle.changed.v1"


class Lifecycle(StrEnum):
    """Where P(alive) lies between the scorecard's two thresholds."""

    ACTIVE = "active"
    FADING = "fading"
    LOST = "lost"


class Cause(StrEnum):
    """Why it changed."""

    TRANSACTION = "transaction"
    SILENCE = "silence"
    REFUND = "refund"
    LATE_EVENT = "late_event"
    SCORECARD = "scorecard"
    ERASURE = "erasure"


class Rfm(BaseModel):
    """Quintile scores, 1 (worst) to 5 (best)."""

    model_config = ConfigDict(frozen=True)

    recency: int = Field(ge=1, le=5)
    frequency: int = Field(ge=1, le=5)
    monetary: int = Field(ge=1, le=5)


class Margin(BaseModel):
    """How far the customer is from the border to the nearest other segment."""

    model_config = ConfigDict(frozen=True)

    segment: str
    distance: float = Field(ge=0, description="In standardised feature space, hysteresis included.")


class Source(BaseModel):
    """The record that caused the change, or the position at which silence was noticed."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    offset: int


class Review(BaseModel):
    """What happens next if nothing happens."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    segment: str | None = Field(
        description="The segment it leads to; null if only the lifecycle moves."
    )
    lifecycle: Lifecycle | None


class ChangeEvent(BaseModel):
    """Body of a change event; the key is the customer_id."""

    model_config = ConfigDict(frozen=True, title="Change event v1")

    customer_id: str
    sequence: int = Field(ge=1, description="Per customer, gapless from 1.")
    previous: str | None = Field(description="null: the customer was not known before.")
    current: str | None = Field(description="null: no purchase is left to score.")
    cause: Cause
    occurred_at: datetime = Field(description="Event time: of the transaction, or of the crossing.")
    prob_alive: float = Field(ge=0, le=1)
    prob_purchase_30d: float = Field(
        ge=0, le=1, description="Of a purchase within 30 days; four decimals, as all of the value."
    )
    expected_purchases_30d: float = Field(ge=0)
    expected_purchases_90d: float = Field(ge=0)
    frequency: int = Field(ge=0, description="Repeat purchase days.")
    silence_days: float = Field(ge=0, description="Since the last purchase day began.")
    monetary_value: float = Field(
        description="Mean of the day sums without the first; major units."
    )
    expected_spend: float | None = Field(
        ge=0, description="A purchase day, major units; null until a spend model is fitted."
    )
    clv_90d: float | None = Field(ge=0, description="Discounted spend of the next 90 days.")
    clv_365d: float | None = Field(ge=0, description="Discounted spend of the next 365 days.")
    rfm: Rfm
    margin: Margin | None = Field(description="null: no purchase is left to score.")
    next_review: Review | None = Field(description="null: silence changes nothing any more.")
    scorecard: str
    source: Source


def change_ids(identities: Sequence[bytes]) -> list[bytes]:
    r"""UUIDv5 of everything that identifies each change.

    The same change always has the same id, two different changes never share one: an identity
    holds type, customer, sequence, previous, current, cause, event time and scorecard.

    >>> from uuid import uuid5
    >>> change_ids([b"a", b"b"]) == [str(uuid5(CHANGES_NAMESPACE, name)).encode() for name in "ab"]
    True
    """
    # uuid.uuid5 spelled out for many: building and printing a UUID object costs ten times the hash.
    namespace = CHANGES_NAMESPACE.bytes
    digests = b"".join(
        [sha1(namespace + identity, usedforsecurity=False).digest() for identity in identities]
    )
    raw = np.frombuffer(digests, dtype=np.uint8).reshape(-1, _SHA1_BYTES)[:, :16].copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x50
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    digits = np.frombuffer(raw.tobytes().hex().encode(), dtype=np.uint8).reshape(-1, 32)
    text = np.full((len(digits), _ID_CHARS), ord("-"), dtype=np.uint8)
    for start, end, shift in ((0, 8, 0), (8, 12, 1), (12, 16, 2), (16, 20, 3), (20, 32, 4)):
        text[:, start + shift : end + shift] = digits[:, start:end]
    whole = text.tobytes()
    return [whole[at : at + _ID_CHARS] for at in range(0, len(whole), _ID_CHARS)]


def cloud_event_headers(
    change_type: ChangeType, *, change_id: bytes, source: str, subject: bytes, time: bytes
) -> list[tuple[str, bytes]]:
    """Headers of a CloudEvent 1.0 in the Kafka binding's binary mode; `time` is empty where there is none."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", change_id),
        ("ce_type", change_type.encode()),
        ("ce_source", source.encode()),
        ("ce_subject", subject),
        ("ce_time", time),
        ("content-type", b"application/json"),
    ]
