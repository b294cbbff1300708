"""What a scorecard refuses to be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from schemas.scorecard import (
    AliveParams,
    Family,
    LifecycleThresholds,
    Origin,
    RfmCuts,
    Scaler,
    Scorecard,
    SpendParams,
    Training,
)

FITTED = Scorecard(
    number=7,
    origin=Origin.FITTED,
    alive=AliveParams(r=0.1 + 0.2, alpha_days=43.3, a=0.9, b=1.6),
    spend=SpendParams(p=6.25, q=3.74, v=15.4),
    scaler=Scaler(mean=(0.4, 0.5, 1.9), scale=(0.3, 0.7, 1.8)),
    centroids=((1 / 3, 1.8, 0.9), (-0.9, -0.7, -1.0)),
    segments=("Loyal", "Hibernating"),
    hysteresis=0.05,
    rfm=RfmCuts(silence_days=(1, 2, 3, 4), frequency=(0, 1, 2, 3), monetary_value=(0, 5, 9, 30)),
    training=Training(
        method="by hand", customers=23_570, observed_at=datetime(1998, 6, 30, tzinfo=UTC)
    ),
)


def with_field(**changes):
    return Scorecard.model_validate(FITTED.model_dump() | changes)


def test_version_names_origin_and_number():
    assert FITTED.version == "fitted-7"


def test_json_gives_back_the_same_numbers_to_the_last_bit():
    assert Scorecard.model_validate_json(FITTED.model_dump_json()) == FITTED


def test_scorecard_cannot_be_changed():
    with pytest.raises(ValidationError):
        FITTED.number = 8  # type: ignore[misc]


def test_family_is_mbgnbd_unless_said_otherwise():
    assert FITTED.alive.family is Family.MBGNBD


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("segments", ("Loyal",), "both must be k >= 2"),
        ("segments", ("Loyal", "Loyal"), "repeat"),
        ("segments", ("Loyal", "At-Risk", "Lost"), "both must be k >= 2"),
        ("centroids", ((0.0, 0.0, 0.0),), "both must be k >= 2"),
        ("centroids", ((0.0, 0.0, float("nan")), (1.0, 0.0, 0.0)), "finite"),
        ("centroids", ((0.0, 0.0), (1.0, 0.0)), "required"),
        ("hysteresis", 1.0, "less than 1"),
        ("hysteresis", -0.1, "greater than or equal to 0"),
        ("number", -1, "greater than or equal to 0"),
        ("scaler", {"mean": (0, 0, 0), "scale": (1, 0, 1)}, "greater than 0"),
        ("alive", {"r": 1, "alpha_days": 0, "a": 1, "b": 1}, "greater than 0"),
        ("lifecycle", {"fading": 0.2, "lost": 0.2}, "must lie below fading"),
        ("lifecycle", {"fading": 1.0, "lost": 0.2}, "less than 1"),
        ("surprise", 1, "not permitted"),
    ],
)
def test_impossible_scorecard_is_refused_with_the_reason(field, value, reason):
    with pytest.raises(ValidationError, match=reason):
        with_field(**{field: value})


def test_same_fields_written_again_are_accepted():
    assert with_field() == FITTED


def test_one_cluster_count_and_as_many_names_suffice():
    assert with_field(lifecycle=LifecycleThresholds(fading=0.3, lost=0.1)).lifecycle.lost == 0.1
