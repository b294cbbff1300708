"""What the API answers of all customers together and of the service, as models; see `documents`."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from ops.api.documents import Document, Freshness, Remembered


class RfmCell(Document):
    """Customers with one recency and one frequency score, 1 to 5."""

    recency: int = Field(ge=1, le=5)
    frequency: int = Field(ge=1, le=5)
    customers: int = Field(ge=1)
    revenue: float = Field(description="Purchases less refunds so far, major units.")


class MatrixCell(Document):
    """Customers with about as many repeat purchases and about as long a silence."""

    frequency_from: int = Field(description="Repeat purchase days, up to the next bin.")
    silence_days_from: int = Field(description="Since the last purchase day, up to the next bin.")
    customers: int = Field(ge=1)
    mean_prob_alive: float = Field(ge=0, le=1, description="As of the count.")


class CustomerBase(Document):
    """The customer base in two tables."""

    counted_at: datetime = Field(description="When the count ended.")
    rfm: list[RfmCell] = Field(description="Cells with somebody in them.")
    frequency_bins: list[int] = Field(description="Where each bin of the matrix begins.")
    silence_bins: list[int] = Field(description="Where each bin of the matrix begins, days.")
    matrix: list[MatrixCell] = Field(description="Cells with somebody in them.")


class PartitionState(Freshness):
    """Where one partition stands."""

    partition: int
    owner: str | None = Field(description="Worker that last took it; it may have ended since.")
    applied: int | None = Field(description="Purchases counted.")
    duplicates: int | None = Field(description="Purchases that had been counted before.")
    dead: int | None = Field(description="Records that could not be counted.")


class Fitness(Document):
    """How well the scorecard in use still fits the learner's sample."""

    looked_at: datetime = Field(description="Stream time.")
    inertia_ratio: float = Field(
        description="How much more of the spread the segments leave unexplained than at first."
    )
    buyers_excess: float | None = Field(
        description="How many more bought than P(buy) promised, as a share; negative: fewer; null: "
        "too few were due."
    )
    drifts: list[str] = Field(description="What has drifted, the latest last.")


class ShadowState(Document):
    """The learner's candidate, scored beside the scorecard in use on its sample."""

    judged_at: datetime = Field(description="Stream time.")
    customers: int
    moved: int = Field(description="Who would be in another segment.")
    gain: float = Field(description="Share by which inertia would fall.")


class ScorecardState(Document):
    """The scorecard in use."""

    version: str
    family: str
    segments: list[str]
    adopted_at: datetime | None = Field(description="By the clock of partition 0.")
    method: str
    customers: int = Field(description="That it was learnt from.")
    observed_at: datetime | None
    inertia_per_customer: float | None
    previous_inertia_per_customer: float | None
    fit: Fitness | None = Field(description="null: not looked at yet.")
    shadow: ShadowState | None = Field(description="null: there is no candidate.")


class Reason(Document):
    """Dead letters of one kind."""

    error: str
    letters: int = Field(ge=1)


class Letter(Document):
    """One dead letter without its bytes."""

    at: str = Field(description="As `everscore dlq show` takes it.")
    died_at: datetime
    error: str
    message: str | None = Field(description="null: it may quote what the role may not see.")
    source: str = Field(description="Topic, partition and offset of the record.")


class DeadLettersState(Document):
    """What could not be counted."""

    counted: int | None = Field(description="By the workers, ever; null: not known yet.")
    following: bool = Field(
        description="Whether Kafka's are being read; else the rest is of before."
    )
    reasons: list[Reason] = Field(description="Of those that Kafka holds, the most first.")
    latest: list[Letter] = Field(description="The newest first.")


class ServiceState(Document):
    """The state of the service as this API last saw it."""

    now: datetime
    version: str
    lag_records: int | None = Field(description="Of all partitions; null: not known.")
    events_per_second: float | None = Field(
        description="Records counted, over the last ten seconds; null: not known yet."
    )
    partitions: list[PartitionState]
    scorecard: ScorecardState | None = Field(description="null: none was adopted yet.")
    changes: Remembered
    dead_letters: DeadLettersState
