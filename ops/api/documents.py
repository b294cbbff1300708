"""What the API answers, as models: the source of its OpenAPI description.

Answers are not built from them, which would cost more than the answer: tests hold every answer
against the description.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.change import Cause, Lifecycle, Margin, Review, Rfm, Source

Quarter = Annotated[str, Field(pattern=r"^\d{4}-Q[1-4]$", examples=["1998-Q2"])]
Day = datetime | Quarter
"""Exact, or by the quarter where the policy says so."""


class Document(BaseModel):
    """Nothing in it that is not described."""

    model_config = ConfigDict(extra="forbid")


class NextChange(Document):
    """A change that silence alone will bring."""

    at: Day
    kind: Literal["segment", "lifecycle"]
    previous: str | None
    current: str | None


class Freshness(Document):
    """How far behind the answer may be."""

    lag_records: int | None = Field(
        description="Purchases of the customer's partition in Kafka and not yet counted; null: not known."
    )
    stream_time: datetime | None = Field(description="The latest moment that was counted.")
    last_success_at: datetime | None = Field(
        description="When this API last saw the partition's worker commit; null: not since it runs."
    )
    looked_at: datetime | None = Field(description="When this API last asked for these numbers.")


class Profile(Document):
    """One customer as of one moment."""

    customer_id: str = Field(description="In clear, or its HMAC-SHA256.")
    as_of: datetime = Field(description="P(alive) and everything else hold for this moment.")
    segment: str | None = Field(description="null: no purchase is left to score.")
    segment_since: Day | None
    lifecycle: Lifecycle | None
    first_purchase_at: Day | None
    last_purchase_at: Day | None
    frequency: int = Field(ge=0, description="Repeat purchase days.")
    monetary_value: float = Field(description="Mean of the day sums without the first.")
    monetary_total: float
    refund_total: float
    sequence: int = Field(
        ge=0, description="Changes told so far; 0 for a past day, which has no history."
    )
    scorecard: str = Field(description="Version of the numbers that the scores come from.")
    t_x_days: int | None = Field(description="First to last purchase day.")
    age_days: float | None = Field(description="First purchase day to now.")
    silence_days: float | None = Field(description="Last purchase day to now.")
    prob_alive: float | None = Field(ge=0, le=1)
    expected_purchases_30d: float | None = Field(ge=0)
    expected_purchases_90d: float | None = Field(ge=0)
    prob_purchase_30d: float | None = Field(ge=0, le=1)
    expected_spend: float | None = Field(
        ge=0, description="A purchase day, major units; null until a spend model is fitted."
    )
    clv_90d: float | None = Field(ge=0, description="Discounted spend of the next 90 days.")
    clv_365d: float | None = Field(ge=0, description="Discounted spend of the next 365 days.")
    rfm: Rfm | None
    margin: Margin | None
    next_changes: list[NextChange]
    freshness: Freshness


class Batch(Document):
    """Many customers: those known in the order asked for, and those not."""

    customers: list[Profile]
    unknown: list[str] = Field(description="Ids of whom nothing is known, as they were given.")


class Expectation(Document):
    """P(alive) at one moment if nothing is bought until then."""

    at: datetime
    prob_alive: float = Field(ge=0, le=1)


class PurchaseDay(Document):
    """What was bought on one day."""

    day: str = Field(pattern=r"^\d{4,}-\d{2}-\d{2}$")
    purchases: int = Field(ge=1)
    amount: float = Field(description="Purchases less refunds of that day, major units.")


class Outlook(Document):
    """P(alive) by the day, and the changes to come."""

    customer_id: str
    as_of: datetime
    segment: str | None
    thresholds: dict[str, float] = Field(description="P(alive) below which the lifecycle moves on.")
    course: list[Expectation] | None = Field(
        description="P(alive) at the beginning of each past day, as the purchases until then had it; null "
        "where dates are shown by the quarter."
    )
    days: list[Expectation]
    next_changes: list[NextChange]
    purchase_days: list[PurchaseDay] | None = Field(
        description="The latest ones, ascending; null where dates are shown by the quarter."
    )


class Change(Document):
    """A change event as Kafka has it, with its id, type and kind."""

    id: str
    type: str
    kind: Literal["segment", "lifecycle"]
    customer_id: str
    sequence: int = Field(ge=1)
    previous: str | None
    current: str | None
    cause: Cause
    occurred_at: Day
    prob_alive: float
    prob_purchase_30d: float
    expected_purchases_30d: float
    expected_purchases_90d: float
    frequency: int
    silence_days: float | None
    monetary_value: float
    expected_spend: float | None
    clv_90d: float | None
    clv_365d: float | None
    rfm: Rfm
    margin: Margin | None
    next_review: NextReview | None
    scorecard: str
    source: Source | None


class NextReview(Review):
    """What happens next if nothing happens."""

    at: Day  # type: ignore[assignment]


class Remembered(Document):
    """How far back this API remembers changes."""

    changes: int = Field(ge=0, description="Of all customers.")
    changes_max: int
    since: Day | None = Field(description="Event time of the oldest of them.")
    caught_up: bool = Field(description="Whether it has read all that Kafka holds.")


class History(Document):
    """The changes of one customer with their causes, the oldest first."""

    customer_id: str
    changes: list[Change]
    told: int = Field(ge=0, description="How many there have ever been.")
    complete: bool = Field(description="Whether all of them are here.")
    remembered: Remembered


class Segment(Document):
    """One segment."""

    name: str
    customers: int = Field(ge=0)
    share: float = Field(ge=0, le=1, description="Of all customers.")
    revenue: float = Field(description="Purchases less refunds so far, major units.")
    revenue_share: float | None = Field(description="null: there is no revenue.")
    mean_prob_alive: float | None = Field(description="As of the last time each was scored.")


class Flow(Document):
    """Changes from one segment to another; null: not known before, or not scored any more."""

    previous: str | None
    current: str | None
    changes: int = Field(ge=1)


class Segments(Document):
    """The customer base."""

    counted_at: datetime = Field(description="When the count ended.")
    customers: int = Field(ge=0)
    unscored: int = Field(ge=0, description="Customers without a purchase that was not cancelled.")
    currency: str
    scorecard: str
    segments: list[Segment]
    flows: list[Flow] = Field(description="Of the changes remembered.")
    remembered: Remembered


class Member(Document):
    """A customer in a segment's list."""

    customer_id: str
    prob_alive: float | None = Field(description="As of the last time they were scored.")
    revenue: float


class Members(Document):
    """A page of a segment's customers."""

    segment: str
    counted_at: datetime
    customers: list[Member]
    next_cursor: str | None = Field(
        description="Give it as `cursor` for the next page; null: the last."
    )


class Found(Document):
    """Customers whose ids begin so."""

    customers: list[str] = Field(description="In the order of ids.")
    more: bool = Field(description="Whether there are more than were asked for.")
    counted_at: datetime


class Welcome(Document):
    """Where to go from here."""

    service: str
    version: str
    key: str
    role: str
    may: list[str]
    ids: Literal["clear", "hmac"]
    dates: Literal["exact", "quarter"]
    currency: str = Field(description="Of every amount.")
    timezone: str = Field(description="Where a purchase day begins.")
    openapi: str
    routes: list[str]


class Health(Document):
    """Whether it is well."""

    status: str
    authentication: bool = Field(description="Whether it asks for a key.")


class Ready(Document):
    """Whether it can answer."""

    status: Literal["ready"]
    changes: Literal["caught up", "catching up", "away"]


class PredictData(Document):
    """The result of /predict."""

    prob_alive: str


class Predicted(Document):
    """Answer of /predict."""

    code: Literal[200]
    status: Literal["success"]
    data: PredictData


class Placed(Document):
    """Answer of /segment."""

    cluster: int = Field(ge=0, description="Index of the segment in the scorecard.")
    segment: str
    input_data: dict[str, Any]


class InvalidRequest(Document):
    """A variable is missing or wrong."""

    code: Literal[503]
    message: dict[Literal["INVALID REQUEST"], str]


Change.model_rebuild()
