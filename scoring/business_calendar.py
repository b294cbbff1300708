"""Purchase days are calendar days of the business time zone; between them time runs on evenly.

Owns the conversion between instants (microseconds since 1970 UTC) and civil days (days since
1970-01-01 on the wall clocks of the business, with a fraction). Reads no clock.

A float64 of civil days resolves about 2 µs in this century: whole days are exact, and so is every
comparison of days; instants are rounded up, so that a crossing is never seen before it happens.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_US_PER_DAY = 86_400_000_000
_US_PER_SECOND = 1_000_000
_NEVER_US = np.iinfo(np.int64).max
# Later instants (the year 32,000 and on) are never: their microseconds no longer fit the arithmetic.
_DAYS_MAX = 11_000_000.0
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BusinessCalendar:
    """Civil time of one IANA time zone.

    Parameters
    ----------
    timezone_name : str
        Such as "UTC" or "Europe/London". Rules are known from 1970 to 2100; beyond, the offset of
        the nearest known moment holds.

    Examples
    --------
    >>> calendar = BusinessCalendar("Asia/Kolkata")
    >>> calendar.day_of(np.array([0, 18 * 3600 * 10**6 + 1800 * 10**6]))
    array([0, 1])
    """

    def __init__(self, timezone_name: str = "UTC") -> None:
        self.timezone_name = timezone_name
        self._starts_us, self._offsets_us = _transitions(timezone_name)
        self._fixed = len(self._offsets_us) == 1

    def days_at(self, instants_us: IntArray) -> FloatArray:
        """Civil days since 1970-01-01 of each instant, the fraction of the day included."""
        if self._fixed:
            offset = self._offsets_us[0]
        else:
            offset = self._offsets_us[self._period(self._starts_us, instants_us)]
        whole, rest = np.divmod(instants_us + offset, _US_PER_DAY)
        days: FloatArray = whole + rest / _US_PER_DAY
        return days

    def day_of(self, instants_us: IntArray) -> IntArray:
        """Civil day number of each instant, days since 1970-01-01."""
        return np.floor(self.days_at(instants_us)).astype(np.int64)

    def instant_of(self, civil_days: FloatArray) -> IntArray:
        """First microsecond at or after each civil moment.

        A civil moment that occurs twice (autumn) is the first of the two; one that is skipped
        (spring) is the moment at which the clocks have moved on. Infinity gives the largest int64.
        """
        finite = civil_days < _DAYS_MAX
        whole = np.floor(np.where(finite, civil_days, 0.0))
        rest = np.ceil((np.where(finite, civil_days, 0.0) - whole) * _US_PER_DAY)
        civil_us = whole.astype(np.int64) * _US_PER_DAY + rest.astype(np.int64)
        if self._fixed:
            instants = civil_us - self._offsets_us[0]
        else:
            # A period begins, in civil time, where its predecessor's clock stood or its own stands,
            # whichever is later: so repeated moments go to the former, skipped ones to its end.
            before = np.r_[self._offsets_us[0], self._offsets_us[:-1]]
            civil_starts = self._starts_us + np.maximum(before, self._offsets_us)
            period = self._period(civil_starts, civil_us)
            instants = civil_us - self._offsets_us[period]
            ends = np.r_[self._starts_us[1:], _NEVER_US][period]
            instants = np.minimum(instants, ends)
        return np.where(finite, instants, _NEVER_US)

    @staticmethod
    def _period(starts: IntArray, moments: IntArray) -> NDArray[np.intp]:
        return np.maximum(np.searchsorted(starts, moments, side="right") - 1, 0)


@lru_cache(maxsize=32)
def _transitions(timezone_name: str) -> tuple[IntArray, IntArray]:
    """When each offset begins, and the offsets; microseconds, ascending, never empty."""
    zone = ZoneInfo(timezone_name)
    start = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    end = datetime(_LAST_YEAR, 1, 1, tzinfo=UTC)
    starts = [_us(start)]
    offsets = [_offset(zone, start)]
    step = timedelta(days=7)  # no zone has ever changed twice within a week and back
    moment = start
    while moment < end:
        later = moment + step
        if _offset(zone, later) != offsets[-1]:
            changed = _first_change(zone, moment, later, offsets[-1])
            starts.append(_us(changed))
            offsets.append(_offset(zone, changed))
            later = changed
        moment = later
    return (
        np.array(starts, dtype=np.int64),
        np.array([offset // timedelta(microseconds=1) for offset in offsets], dtype=np.int64),
    )


def _first_change(zone: ZoneInfo, low: datetime, high: datetime, known: timedelta) -> datetime:
    """First second between two moments whose offset is not the known one."""
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset(zone, middle) == known:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1) * _US_PER_SECOND
