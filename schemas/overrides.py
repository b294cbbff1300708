"""What an operator decides against what was learnt: names, thresholds, margins, labels of offers.

Read from a YAML file, applied when a scorecard is made, and no part of it afterwards: what is published
is overridden already.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from schemas.scorecard import Cuts, Probability
from schemas.segment_names import ALL_DEFAULT_NAMES, readable_label


def _default_name(name: str) -> str:
    if name not in ALL_DEFAULT_NAMES:
        raise ValueError(f"is no segment; known are {', '.join(ALL_DEFAULT_NAMES)}")
    return name


def _ascending(cuts: Cuts) -> Cuts:
    if list(cuts) != sorted(cuts):
        raise ValueError("must be four numbers that do not descend")
    return cuts


Threshold = Annotated[Probability, Field(strict=True)]  # neither "0.5" nor yes
Label = Annotated[str, AfterValidator(readable_label)]
AscendingCuts = Annotated[Cuts, AfterValidator(_ascending)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SegmentOverride(_Strict):
    """One segment."""

    name: Label | None = Field(default=None, description="What it is called instead.")
    offer: Label | None = Field(
        default=None, description="Label of the offer for its customers, for offer engines to read."
    )


class LifecycleOverride(_Strict):
    """P(alive) below which a customer is fading, then lost; instead of the settings'."""

    fading: Threshold | None = Field(default=None, description="Instead of EVERSCORE_FADING_BELOW.")
    lost: Threshold | None = Field(default=None, description="Instead of EVERSCORE_LOST_BELOW.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fading is not None and self.lost is not None and not self.lost < self.fading:
            raise ValueError(f"lost {self.lost} must lie below fading {self.fading}")
        return self


class RfmOverride(_Strict):
    """Cut points of the RFM quintiles, four ascending numbers each; instead of the sample's."""

    silence_days: AscendingCuts | None = Field(
        default=None, description="Days since the last purchase."
    )
    frequency: AscendingCuts | None = Field(default=None, description="Repeat purchases.")
    monetary_value: AscendingCuts | None = Field(
        default=None, description="Mean of the day sums without the first day, major units."
    )


class Overrides(_Strict):
    """The file; every key may be left out."""

    segments: dict[Annotated[str, AfterValidator(_default_name)], SegmentOverride] = Field(
        default={}, description="By the name that a segment has by default."
    )
    lifecycle: LifecycleOverride = LifecycleOverride()
    hysteresis: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        strict=True,
        description="Margin beyond a border before a customer changes sides, as a share of the "
        "squared distance between the two centres; instead of EVERSCORE_HYSTERESIS.",
    )
    rfm: RfmOverride = RfmOverride()

    @field_validator("segments")
    @classmethod
    def _told_apart(cls, segments: dict[str, SegmentOverride]) -> dict[str, SegmentOverride]:
        bearers: dict[str, str] = {}
        for default in ALL_DEFAULT_NAMES:
            name = (segments.get(default) or SegmentOverride()).name or default
            if name in bearers:
                raise ValueError(
                    f"{bearers[name]} and {default} would both be called {name!r}: with some number "
                    "of segments there are both"
                )
            bearers[name] = default
        return segments


NO_OVERRIDES = Overrides()
