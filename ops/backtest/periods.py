"""Which days a backtest learns from, and which it predicts.

Days are those of the business time zone, counted from 1970-01-01. The default is the first half of the
data and the second, in whole weeks: 39 and 39 of CDNOW's 78.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ConfigurationError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date()
_WEEK = 7


@dataclass(frozen=True, slots=True)
class Periods:
    """The days of a backtest, each the last of its period but `first_day`."""

    first_day: int
    calibration_day: int
    holdout_day: int
    data_day: int

    @property
    def calibration_days(self) -> int:
        """Days to learn from."""
        return self.calibration_day - self.first_day + 1

    @property
    def holdout_days(self) -> int:
        """Days to predict."""
        return self.holdout_day - self.calibration_day

    def text(self) -> str:
        """Both periods for a person."""
        return (
            f"learnt from {as_date(self.first_day)} to {as_date(self.calibration_day)} "
            f"({_length(self.calibration_days)}), predicted to {as_date(self.holdout_day)} "
            f"({_length(self.holdout_days)})"
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person said of the periods; None is the default."""

    calibration_weeks: int | None = None
    holdout_weeks: int | None = None
    calibration_until: date | None = None
    holdout_until: date | None = None


def split(days: NDArray[np.int64], wanted: Wanted) -> Periods:
    """Choose the periods.

    Parameters
    ----------
    days : int64, shape (n,), n >= 1
        Day of every event.
    wanted : Wanted
        Without a length the holdout is as long as the calibration, or ends with the data.

    Raises
    ------
    ConfigurationError
        Weeks and a date say different things, or a period lies outside the data.

    Examples
    --------
    >>> split(np.array([0, 545]), Wanted())
    Periods(first_day=0, calibration_day=272, holdout_day=545, data_day=545)
    >>> split(np.array([0, 99]), Wanted(calibration_weeks=10, holdout_weeks=4)).text()
    'learnt from 1970-01-01 to 1970-03-11 (10 weeks), predicted to 1970-04-08 (4 weeks)'
    """
    first, last = int(days.min()), int(days.max())
    half = (last - first + 1) // (2 * _WEEK) * _WEEK
    calibration = _chosen(
        "calibration", wanted.calibration_weeks, wanted.calibration_until, first - 1, half
    )
    if not first <= calibration < last:
        raise ConfigurationError(
            f"the calibration would end on {as_date(calibration)}; the data lies between "
            f"{as_date(first)} and {as_date(last)}.",
            hint="Choose a day between them: --calibration-until or --calibration-weeks.",
        )
    rest = min(calibration - first + 1, last - calibration)
    holdout = _chosen("holdout", wanted.holdout_weeks, wanted.holdout_until, calibration, rest)
    if not calibration < holdout <= last:
        raise ConfigurationError(
            f"the holdout would end on {as_date(holdout)}; it begins after {as_date(calibration)} "
            f"and the data ends on {as_date(last)}.",
            hint="Choose a day between them: --holdout-until or --holdout-weeks.",
        )
    return Periods(first, calibration, holdout, last)


def as_date(day: int) -> date:
    """A day as a date.

    >>> as_date(9862).isoformat()
    '1997-01-01'
    """
    return _EPOCH + timedelta(days=day)


def _chosen(name: str, weeks: int | None, until: date | None, before: int, default: int) -> int:
    if weeks is not None and until is not None:
        raise ConfigurationError(
            f"--{name}-weeks {weeks} and --{name}-until {until} both say when the {name} ends.",
            hint="Give one of them.",
        )
    if until is not None:
        return (until - _EPOCH).days
    return before + (default if weeks is None else weeks * _WEEK)


def _length(days: int) -> str:
    weeks, rest = divmod(days, _WEEK)
    return f"{days} days" if rest else f"{weeks} weeks"
