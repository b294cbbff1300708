"""Every setting, read once from `EVERSCORE_*` environment variables; `everscore doctor` prints them."""

from __future__ import annotations

import os
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from schemas.decoding import DecodingLimits
from schemas.scorecard import Family, LifecycleThresholds
from state.keys import Keys
from streams.access_settings import AccessSettings

Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")]


class Clock(StrEnum):
    """What silence is measured by."""

    AUTO = "auto"
    EVENT = "event"
    WALL = "wall"


class Settings(AccessSettings):
    """Configuration of all commands."""

    redis_cluster: bool = Field(False, description="Name keys with the partition as hash tag.")
    key_prefix: str = Field(
        "", pattern=r"^[A-Za-z0-9._:-]{0,64}$", description="Before every Redis key."
    )
    group: str = Field("everscore", description="Kafka consumer group of the workers.")
    owner: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="Name under which this worker owns partitions.",
    )
    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Static membership: a worker that comes back under this name, which no other "
        "may bear, within the session timeout, has its partitions again without a rebalance.",
    )
    heartbeat: Path | None = Field(
        None, description="File in which a worker says every second that it is well."
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none", description="Of what is published; all but gzip need `pip install aiokafka[all]`."
    )
    source: str = Field("/everscore", description="CloudEvents source of the change events.")

    transactions_topic: Topic = "transactions"
    rekeyed_topic: Topic = "transactions.rekeyed"
    changes_topic: Topic = "segment-changes"
    dead_letter_topic: Topic = "transactions.dead-letter"
    scorecards_topic: Topic = "scorecards"
    samples_topic: Topic = "customer-samples"
    journal_topic: Topic = "partition-journal"

    timezone: str = Field("UTC", description="Business time zone: where a purchase day begins.")
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="The only currency counted.")
    clock: Clock = Field(
        Clock.AUTO,
        description="event: silence is measured by event time. wall: by the wall clock once caught "
        "up. auto: by the wall clock from the first record on that arrives about when it happened.",
    )
    live_within_seconds: PositiveFloat = Field(
        3600.0, description="auto: a record this close to its event time makes a partition live."
    )
    lateness_seconds: NonNegativeFloat = Field(
        0.0, description="How far silence stays behind the clock, for logs out of time order."
    )
    future_seconds_max: PositiveFloat = Field(
        3600.0, description="Further ahead of its record's timestamp, a transaction is dead."
    )
    record_bytes_max: PositiveInt = Field(1_048_576, description="Larger records are dead.")
    dedup_horizon_days: PositiveFloat = Field(
        7.0, description="A transaction id is remembered at least this long after it arrived."
    )

    family: Family = Field(
        Family.MBGNBD, description="mbgnbd, or bgnbd: one-time buyers never die."
    )
    segment_count: int = Field(4, ge=2, le=8, description="k of k-means.")
    hysteresis: float = Field(
        0.05, ge=0, lt=1, description="How far past a border to change sides."
    )
    fading_below: float = Field(
        0.5, gt=0, lt=1, description="P(alive) of the lifecycle's first step."
    )
    lost_below: float = Field(
        0.2, gt=0, lt=1, description="P(alive) of the lifecycle's second step."
    )
    overrides: Path | None = Field(
        None,
        description="YAML file in which an operator names segments, sets thresholds and margins, "
        "and labels offers; read whenever a scorecard is made.",
    )
    sample_customers_max: PositiveInt = Field(5_000, description="Customers the learner keeps.")
    first_fit_customers: PositiveInt = Field(
        1_000, description="Sample for the first real scorecard."
    )
    first_fit_days: PositiveFloat = Field(
        120.0,
        description="Days of history before it: shorter, no silence is long enough to learn from.",
    )
    learn_interval_days: PositiveFloat = Field(
        14.0, description="Stream time between two tries to learn: habits change by the week."
    )
    learn_look_days: PositiveFloat = Field(
        7.0, description="Stream time between two looks at whether the scorecard still fits."
    )
    learn_gain_min: float = Field(
        0.03, gt=0, lt=1, description="A candidate is promoted if inertia falls by this share,"
    )
    learn_moves_min: float = Field(
        0.05,
        gt=0,
        le=1,
        description="or if its model's parameters alone move this share of the sample; 1: never.",
    )
    seed: int = Field(20260101, description="Of everything random.")

    # Sized by measurement: smaller slices waste round trips, larger ones add latency and replay.
    slice_records_max: PositiveInt = Field(2_000, description="Records of one atomic commit.")
    sweep_customers_max: PositiveInt = Field(
        2_000,
        description="Customers of one sweep commit; a twentieth of it while a partition keeps pace.",
    )
    sweep_interval_seconds: PositiveFloat = Field(0.2, description="Pause between two sweeps.")
    rescore_customers_max: PositiveInt = Field(
        200,
        description="Customers of one commit after a new scorecard; a quarter of it while purchases come.",
    )
    cache_customers_max: PositiveInt = Field(
        500_000, description="States kept in a worker's memory."
    )
    relay_entries_max: PositiveInt = Field(
        256, description="Outbox entries waiting before slices wait."
    )
    fetch_max_wait_ms: PositiveInt = Field(
        20, description="How long a broker may hold an empty fetch."
    )
    fetch_bytes_max: PositiveInt = Field(524_288, description="Bytes of one partition's fetch.")
    session_timeout_seconds: PositiveFloat = Field(
        10.0, description="Silence after which Kafka calls a worker dead."
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{name!r} is not an IANA time zone, such as Europe/London") from None
        return name

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.lost_below < self.fading_below:
            raise ValueError(
                f"lost_below {self.lost_below} must lie below fading_below {self.fading_below}"
            )
        return self

    @property
    def compression_type(self) -> str | None:
        """As aiokafka's producer wants it."""
        return None if self.compression == "none" else self.compression

    @property
    def keys(self) -> Keys:
        """Names of the Redis keys."""
        return Keys(prefix=self.key_prefix, cluster=self.redis_cluster)

    @property
    def input_topics(self) -> tuple[str, str]:
        """The topics a partition's checkpoint follows, in the order in which states index them."""
        return self.transactions_topic, self.rekeyed_topic

    @property
    def decoding_limits(self) -> DecodingLimits:
        """What the decoder refuses."""
        return DecodingLimits(
            currency=self.currency,
            future_us_max=int(self.future_seconds_max * 1e6),
            record_bytes_max=self.record_bytes_max,
        )

    @property
    def lifecycle(self) -> LifecycleThresholds:
        """P(alive) thresholds of the lifecycle."""
        return LifecycleThresholds(fading=self.fading_below, lost=self.lost_below)
