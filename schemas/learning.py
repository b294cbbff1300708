"""What the learner knows of the scorecard in use and of its shadow: for people, and for its successor.

No part of a history: it is lost with Redis, and learnt again.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from schemas.scorecard import Scorecard


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Drift(_Frozen):
    """Something that no longer fitted, and when."""

    kind: str = Field(description="inertia or calibration.")
    at: datetime = Field(description="Stream time.")


class Fit(_Frozen):
    """How well the scorecard in use fits the sample, as of the last look."""

    looked_at: datetime = Field(description="Stream time.")
    inertia_per_customer: FiniteFloat
    inertia_share_at_first: FiniteFloat = Field(
        description="Share of the sample's spread within the segments, at the first look."
    )
    inertia_ratios: tuple[FiniteFloat, ...] = Field(
        min_length=1, description="That share at each look, relative to the first; oldest first."
    )
    excesses: tuple[FiniteFloat, ...] = Field(
        default=(),
        description="At each look with enough to compare: how many more bought than promised, as a "
        "share of those; negative: fewer.",
    )
    promised_buyers: FiniteFloat | None = Field(
        default=None, description="At the last of these: P(buy) summed over the sample."
    )
    actual_buyers: int | None = Field(default=None, description="How many of them did buy.")
    over_days: FiniteFloat | None = Field(default=None, description="Within so many days.")
    drifts: tuple[Drift, ...] = Field(default=(), description="The latest, oldest first.")


class Shadow(_Frozen):
    """A candidate that is scored beside the scorecard in use, on the sample."""

    card: Scorecard = Field(description="Its number is provisional.")
    judged_at: datetime = Field(description="Stream time.")
    customers: int = Field(ge=1, description="Scored by both.")
    gain: FiniteFloat = Field(description="Share by which inertia would fall.")
    moved: int = Field(ge=0, description="Who would be in another segment.")
    moved_by_parameters: int = Field(
        ge=0, description="Whom the parameters of P(alive) alone would move, lifecycle included."
    )
    moves: tuple[tuple[int, ...], ...] = Field(
        description="Customers by segment in use (rows) and the candidate's (columns)."
    )
    reason: str


class Learning(_Frozen):
    """Of one scorecard in use; that of another one is of no use any more."""

    version: str = Field(description="The scorecard in use.")
    customers: int = Field(ge=0, description="In the sample.")
    fit: Fit | None = None
    shadow: Shadow | None = None
