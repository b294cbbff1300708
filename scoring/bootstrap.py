"""The scorecard before there is enough to learn from: published parameters, plain thresholds.

Nothing in it was learnt from the user's customers, and it says so (`origin: bootstrap`).
"""

from __future__ import annotations

from schemas.scorecard import (
    AliveParams,
    Family,
    LifecycleThresholds,
    Origin,
    RfmCuts,
    Scaler,
    Scorecard,
    Training,
)

DAYS_PER_WEEK = 7.0

# Batislam, Denizel and Filiztekin (2007), MBG/NBD on CDNOW, weeks.
_MBGNBD = AliveParams(
    family=Family.MBGNBD, r=0.525, alpha_days=6.183 * DAYS_PER_WEEK, a=0.891, b=1.614
)
# Fader, Hardie and Lee (2005), BG/NBD on CDNOW, weeks.
_BGNBD = AliveParams(
    family=Family.BGNBD, r=0.243, alpha_days=4.414 * DAYS_PER_WEEK, a=0.793, b=2.426
)

# A 2 × 2 grid of centroids is two plain thresholds: P(alive) at 0.5 and log(1 + repeat purchases)
# at 1.25, that is between 2 and 3 repeat purchases. All share one monetary coordinate, so money
# plays no part until something is known about it.
_HIGH_P, _LOW_P = 0.75, 0.25
_OFTEN, _SELDOM = 2.0, 0.5


BOOTSTRAP_VERSION = "bootstrap-0"


def bootstrap_scorecard(
    family: Family = Family.MBGNBD,
    *,
    hysteresis: float = 0.05,
    lifecycle: LifecycleThresholds | None = None,
) -> Scorecard:
    """Scorecard number 0.

    >>> bootstrap_scorecard().version
    'bootstrap-0'
    """
    return Scorecard(
        number=0,
        origin=Origin.BOOTSTRAP,
        alive=_MBGNBD if family is Family.MBGNBD else _BGNBD,
        scaler=Scaler(mean=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0)),
        centroids=(
            (_HIGH_P, _OFTEN, 0.0),
            (_HIGH_P, _SELDOM, 0.0),
            (_LOW_P, _OFTEN, 0.0),
            (_LOW_P, _SELDOM, 0.0),
        ),
        segments=("Champions", "Loyal", "At-Risk", "Hibernating"),
        hysteresis=hysteresis,
        lifecycle=lifecycle or LifecycleThresholds(),
        rfm=RfmCuts(
            silence_days=(30.0, 60.0, 120.0, 240.0),
            frequency=(0.0, 1.0, 3.0, 6.0),
            monetary_value=(0.0, 15.0, 30.0, 60.0),
        ),
        training=Training(method="published parameters and plain thresholds", customers=0),
    )
