"""The scorecard: the immutable, versioned set of numbers that scoring needs."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveFloat, model_validator

Probability = Annotated[float, Field(gt=0, lt=1)]
Point = tuple[FiniteFloat, FiniteFloat, FiniteFloat]
"""One value per feature, in the order P(alive), log frequency, log monetary."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Family(StrEnum):
    """Which dropout model: MBG/NBD lets a one-time buyer drop out, BG/NBD does not."""

    BGNBD = "bgnbd"
    MBGNBD = "mbgnbd"


class Origin(StrEnum):
    """How a scorecard came to be."""

    BOOTSTRAP = "bootstrap"
    FITTED = "fitted"


class AliveParams(_Frozen):
    """BG/NBD or MBG/NBD parameters; alpha_days in days, the others unitless."""

    family: Family = Family.MBGNBD
    r: PositiveFloat
    alpha_days: PositiveFloat
    a: PositiveFloat
    b: PositiveFloat


class SpendParams(_Frozen):
    """Gamma-Gamma parameters; v in major units."""

    p: PositiveFloat
    q: PositiveFloat
    v: PositiveFloat


class Scaler(_Frozen):
    """Standardisation of the features: (value − mean) / scale."""

    mean: Point
    scale: tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class LifecycleThresholds(_Frozen):
    """P(alive) below which a customer is fading, then lost."""

    fading: Probability = 0.5
    lost: Probability = 0.2

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.lost < self.fading:
            raise ValueError(f"lost {self.lost} must lie below fading {self.fading}")
        return self


Cuts = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class RfmCuts(_Frozen):
    """Quintile cut points, ascending: silence in days, repeat purchases, mean day sum in major units."""

    silence_days: Cuts
    frequency: Cuts
    monetary_value: Cuts


class Training(_Frozen):
    """On what and how the numbers were learnt."""

    method: str
    customers: int = Field(ge=0)
    repeat_customers: int = Field(default=0, ge=0)
    observed_at: datetime | None = None
    inertia_per_customer: FiniteFloat | None = None
    previous_inertia_per_customer: FiniteFloat | None = None
    log_likelihood_per_customer: FiniteFloat | None = None
    source: str | None = Field(
        default=None, description="Where the customers came from; null for the learner's sample."
    )
    parameter_errors: tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat] | None = Field(
        default=None, description="Standard errors of r, alpha_days, a and b, as shares of them."
    )
    silhouette: FiniteFloat | None = None
    stability: FiniteFloat | None = Field(
        default=None,
        description="Share of customers who get the same segment from the worst of some bootstrap draws.",
    )


class Scorecard(_Frozen):
    """Everything `advance` needs to know beyond the customers themselves."""

    number: int = Field(ge=0, description="Ascending; 0 is the bootstrap scorecard.")
    origin: Origin
    alive: AliveParams
    spend: SpendParams | None = None
    discount_rate: float = Field(
        default=0.1, ge=0, le=10, description="Per year: what is spent later is worth less by it."
    )
    scaler: Scaler
    centroids: tuple[Point, ...] = Field(description="In standardised feature space, shape (k, 3).")
    segments: tuple[str, ...] = Field(description="Name of each centroid.")
    hysteresis: float = Field(
        ge=0,
        lt=1,
        description="A customer leaves a segment only when this share of the squared distance "
        "between the two centroids beyond the middle.",
    )
    lifecycle: LifecycleThresholds = LifecycleThresholds()
    rfm: RfmCuts
    training: Training
    restores: str | None = Field(
        default=None,
        description="Version whose numbers these are: a way back is a new scorecard with old numbers.",
    )
    default_segments: tuple[str, ...] | None = Field(
        default=None,
        description="What the segments are called by default, if an operator has renamed some.",
    )
    offers: tuple[str | None, ...] | None = Field(
        default=None,
        description="Label that an operator gave the offer for each segment; null for none.",
    )

    @property
    def version(self) -> str:
        """How events and states name this scorecard."""
        return f"{self.origin.value}-{self.number}"

    @property
    def identities(self) -> tuple[str, ...]:
        """By which segments are recognised in another scorecard, whatever an operator calls them."""
        return self.segments if self.default_segments is None else self.default_segments

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.centroids) < 2 or len(self.centroids) != len(self.segments):
            raise ValueError(
                f"{len(self.centroids)} centroids and {len(self.segments)} names: both must be k >= 2"
            )
        for names in (self.segments, self.identities):
            if len(set(names)) != len(names):
                raise ValueError(f"segment names {names} repeat")
        for field in ("default_segments", "offers"):
            parallel = getattr(self, field)
            if parallel is not None and len(parallel) != len(self.segments):
                raise ValueError(f"{len(parallel)} {field} for {len(self.segments)} segments")
        return self
