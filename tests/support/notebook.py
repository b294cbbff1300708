"""What a batch notebook computes of purchases on a day, with lifetimes and nothing of ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from schemas.scorecard import AliveParams, Family
from tests.support.purchases import Purchase

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # lifetimes 0.11.3 sets an option that pandas 3 has retired
    from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter
    from lifetimes.utils import summary_data_from_transaction_data

FITTERS = {Family.BGNBD: BetaGeoFitter, Family.MBGNBD: ModifiedBetaGeoFitter}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def notebook(
    purchases: Iterable[Purchase], until: str, params: AliveParams, zone: str = "UTC"
) -> pd.DataFrame:
    """Frequency, recency, T, value and P(alive) of whoever had bought by the end of a day."""
    listed = list(purchases)
    log = pd.DataFrame(
        {
            "id": [purchase.customer_id for purchase in listed],
            "date": [
                (EPOCH + timedelta(days=purchase.day)).astimezone(ZoneInfo(zone)).date()
                for purchase in listed
            ],
            "dollars": [purchase.cents / 100 for purchase in listed],
        }
    )
    fitter = FITTERS[params.family]()
    fitter.params_ = pd.Series(
        {"r": params.r, "alpha": params.alpha_days, "a": params.a, "b": params.b}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lifetimes 0.11.3 uses what pandas 3 deprecates
        summary = summary_data_from_transaction_data(
            log, "id", "date", "dollars", observation_period_end=until, freq="D"
        )
        summary["prob_alive"] = fitter.conditional_probability_alive(
            summary["frequency"], summary["recency"], summary["T"]
        )
    return summary


def check_equal(found: Mapping[str, Mapping[str, Any]], expected: pd.DataFrame) -> None:
    """Profiles by id are what the notebook has, P(alive) to 1e-12."""
    assert found.keys() == set(expected.index)
    for ours, theirs in {
        "frequency": "frequency",
        "t_x_days": "recency",
        "age_days": "T",
        "monetary_value": "monetary_value",
        "prob_alive": "prob_alive",
    }.items():
        got = np.array([found[name][ours] for name in expected.index], dtype=np.float64)
        assert np.abs(got - expected[theirs].to_numpy(dtype=np.float64)).max() <= (
            1e-12 if ours == "prob_alive" else 1e-9
        ), ours
