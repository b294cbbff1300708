"""Whether the scorecard in use still fits: inertia and calibration, watched by Page-Hinkley.

Owns what is measured at a look and when it counts as drift. Pure: what is sent is judged, in the order in
which it comes; nothing is remembered elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from schemas.scorecard import Scorecard
from scoring.alive import prob_purchase
from scoring.business_calendar import BusinessCalendar
from scoring.kmeans import inertia
from scoring.shadow import Habits

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_US_PER_DAY = 86_400_000_000

EXPECTED_BUYERS_MIN = 50.0
"""Buyers that must be due before promise and reality are compared: chance alone is 14 % of so many."""

# Looks at which all was as it had been learnt are put before the first one, so that a scorecard that is
# wrong from its first day on is found out, too: Page-Hinkley compares with the mean of what it has seen.
_SETTLED_LOOKS = 10
# Measured by tests/unit/scoring/test_drift.py, weekly looks at 5,000 customers: half or twice as many
# buyers are found at the first to fourth look, a third less or half as many again at the third to ninth;
# in a steady shop calibration is not found in nine months, inertia not in a quarter (later, since customers
# who are gone add up, and centroids do have to move). Lower: one week of sales on CDNOW, in which nearly
# twice as many buy, counts as drift. Higher: the regular lesson comes first.
_INERTIA_SLACK, _INERTIA_THRESHOLD = 0.02, 0.25
_CALIBRATION_SLACK, _CALIBRATION_THRESHOLD = 0.10, 0.80

LOOKS_MAX = 104
"""Looks that are remembered: two years of weekly ones, far longer than a scorecard is in use."""


class Drifting(StrEnum):
    """What no longer fits."""

    INERTIA = "inertia"
    CALIBRATION = "calibration"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The sample as it is reported, each customer with the clock of their own partition.

    Attributes
    ----------
    customer_ids : tuple of str, length n
    frequency, first_day, last_day : int64, shape (n,)
        Repeat purchases; days since 1970-01-01.
    monetary_value : float64, shape (n,)
    clock_us : int64, shape (n,)
        Microseconds since 1970 UTC.
    """

    customer_ids: tuple[str, ...]
    frequency: IntArray
    first_day: IntArray
    last_day: IntArray
    monetary_value: FloatArray
    clock_us: IntArray

    def habits(self, calendar: BusinessCalendar) -> Habits:
        """Everyone as of their own partition's now."""
        t_x_days = (self.last_day - self.first_day).astype(np.float64)
        age_days = calendar.days_at(self.clock_us) - self.first_day
        return Habits(self.frequency, t_x_days, np.maximum(age_days, t_x_days), self.monetary_value)

    def __len__(self) -> int:
        return len(self.customer_ids)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at one look.

    Attributes
    ----------
    inertia_per_customer : float
        By the features and centroids of the scorecard in use.
    inertia_share : float
        Of the sample's whole spread about its mean: as customers age, both grow, though no centroid
        would fit better anywhere else.
    expected_buyers : float
        Of those who were in the sample at the earlier look and still are: how many were to buy since.
    actual_buyers : int
        How many did.
    days : float
        From the earlier look to this one, on average; 0 without one.
    """

    inertia_per_customer: float
    inertia_share: float
    expected_buyers: float
    actual_buyers: int
    days: float

    @property
    def comparable(self) -> bool:
        """Enough were due for the comparison to mean something."""
        return self.expected_buyers >= EXPECTED_BUYERS_MIN

    @property
    def excess(self) -> float:
        """How many more bought than promised, as a share of those; negative: fewer."""
        return (self.actual_buyers - self.expected_buyers) / max(self.expected_buyers, 1e-300)


def look(
    now: Snapshot, earlier: Snapshot | None, card: Scorecard, calendar: BusinessCalendar
) -> Look:
    """Measure how well a scorecard fits.

    Parameters
    ----------
    now : Snapshot
        At least one customer.
    earlier : Snapshot or None
        What the scorecard promised then is compared with what came.
    card : Scorecard
        In use, at both.
    calendar : BusinessCalendar
    """
    z = now.habits(calendar).features(card)
    mean = inertia(z, np.array(card.centroids)) / len(now)
    share = mean / max(float(((z - z.mean(axis=0)) ** 2).sum(axis=1).mean()), 1e-300)
    if earlier is None:
        return Look(mean, share, 0.0, 0, 0.0)
    index = {customer_id: row for row, customer_id in enumerate(now.customer_ids)}
    rows = [
        (before, index[customer_id])
        for before, customer_id in enumerate(earlier.customer_ids)
        if customer_id in index
    ]
    if not rows:
        return Look(mean, share, 0.0, 0, 0.0)
    then_rows, now_rows = np.array(rows, dtype=np.intp).T
    days = (now.clock_us[now_rows] - earlier.clock_us[then_rows]) / _US_PER_DAY
    days = np.maximum(days, 0.0)
    then = earlier.habits(calendar)
    x, t_x, age = (column[then_rows] for column in (then.frequency, then.t_x_days, then.age_days))
    alive = then.prob_alive(card.alive)[then_rows]
    promised = prob_purchase(days, x, t_x, age, card.alive, alive)
    bought = (now.last_day[now_rows] > earlier.last_day[then_rows]) & (days > 0)
    return Look(mean, share, float(promised.sum()), int(bought.sum()), float(days.mean()))


def drifted(ratios: Sequence[float], excesses: Sequence[float]) -> tuple[Drifting, ...]:
    """What has drifted at the last look.

    Parameters
    ----------
    ratios : sequence of float
        `Look.inertia_share` of each look under one scorecard, relative to the first; oldest first.
    excesses : sequence of float
        `Look.excess` of those looks at which there was enough to compare.

    Examples
    --------
    >>> drifted([1.0, 1.01], [-0.5, -0.5])
    ()
    >>> drifted([1.0, 1.01], [-0.5, -0.5, -0.5])
    (<Drifting.CALIBRATION: 'calibration'>,)
    """
    found = []
    if _alarmed(ratios, _INERTIA_SLACK, _INERTIA_THRESHOLD, mode="up", settled=1.0):
        found.append(Drifting.INERTIA)
    if _alarmed(excesses, _CALIBRATION_SLACK, _CALIBRATION_THRESHOLD, mode="both", settled=0.0):
        found.append(Drifting.CALIBRATION)
    return tuple(found)


def _alarmed(
    values: Sequence[float], slack: float, threshold: float, *, mode: str, settled: float
) -> bool:
    """Whether Page-Hinkley raises an alarm at the last value; after each alarm it begins anew."""
    from river.drift import PageHinkley  # noqa: PLC0415 - slow to import, and only the learner needs it

    detector = None
    for value in values:
        taken = [value]
        if detector is None or detector.drift_detected:
            detector = PageHinkley(
                min_instances=_SETTLED_LOOKS, delta=slack, threshold=threshold, mode=mode
            )
            taken = [settled] * _SETTLED_LOOKS + taken
        for one in taken:
            detector.update(one)  # type: ignore[no-untyped-call]
    return detector is not None and bool(detector.drift_detected)
